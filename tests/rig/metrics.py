"""Reads the metrics of instances, from their files and from their endpoints, and checks that what
came in is what became of it."""
import json
import re
import urllib.error
import urllib.request

CAME = ["received", "revived", "takenOver"]
FATES = ["placed", "events", "duplicates", "older", "rejected", "malformed", "givenUp", "kept",
         "handedBack"]
SAMPLE = re.compile(r"^sr3sub_(\w+)(?:\{(.*)\})? (\S+)$")


def read(path):
    """The metrics file at `path`, parsed."""
    with open(path) as file:
        return json.load(file)


def unbalanced(counts):
    """How many came in and are neither settled nor in flight: 0 at any moment."""
    return (sum(counts[name] for name in CAME) - sum(counts[name] for name in FATES)
            - counts["inFlight"])


def is_whole(sample):
    """Whether the counters are those since the start: there was no housekeeping."""
    return not sample["flow"].get("next_housekeeping")


def check_files(paths):
    """Those of the files that count since the start must add up."""
    for sample in map(read, paths):
        if is_whole(sample):
            assert unbalanced(sample["sr3sub"]) == 0, sample["sr3sub"]


class Endpoint:
    """What an instance answers at `port`."""

    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path, method="GET", body=None):
        """(status, text); status 0: nobody answers."""
        request = urllib.request.Request(self.url + path, data=body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def samples(self):
        """{"settled_total fate=placed": 3.0, ...}"""
        status, text = self.get("/metrics")
        assert status == 200
        found = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name, labels, value = SAMPLE.match(line).groups()
                found[name + (" " + labels.replace('"', "") if labels else "")] = float(value)
        return found

    def unbalanced(self):
        """As above, and never touched by a housekeeping."""
        samples = self.samples()
        came = sum(samples[name] for name in ("received_total", "revived_total",
                                              "taken_over_total"))
        return came - sum(value for name, value in samples.items()
                          if name.startswith(("settled_total ", "in_flight ")))

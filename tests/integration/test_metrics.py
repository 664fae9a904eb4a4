"""The metrics: the file, its history, the endpoint. What came in is what became of it."""
import calendar
import glob
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

from rig.announcer import Message, announce, v02
from rig.fileserver import FileServer
from rig.metrics import Endpoint, read, unbalanced
from rig.process import free_port, wait_until
from rig.subscriber import PROJECT
from rig.verify import Progress

IN_HAND = 20
OFTEN = "metrics_writeInterval 0.1"
DATA = f"{PROJECT}/tests/data/metrics"  # what sr3 wrote
TIME = re.compile(r"\d{8}T\d{6}\.\d+")


@pytest.fixture
def unwell(serve, work):
    """Another nginx, which answers 503 until unwell.trouble()."""
    server = serve(f"{work}/www")
    server.trouble(unlucky_percent=100)
    return server


def wait_for(endpoint, name, value, seconds=60):
    """Waits until the endpoint says so; meanwhile the counts must add up."""
    def reached():
        assert endpoint.unbalanced() == 0
        return endpoint.samples()[name] == value
    wait_until(reached, seconds, lambda: f"{name} = {value}: {endpoint.samples()}")


@pytest.mark.release
def test_counts_add_up(subscribe, nginx, unwell, files, store):
    """Of good ones, copies, older ones, malformed ones, those that a rule rejects, and those that
    are kept for another try and are fetched in the end. Nothing is received twice."""
    good, late, unwanted = files[:100], files[100:160], files[160:170]
    port = free_port()
    names = "|".join(re.escape(entry.rel_path) for entry in unwanted)
    subscription = subscribe(
        store=store, options=f"prefetch {IN_HAND}\nhousekeeping 4s\nmetricsListen 127.0.0.1:{port}",
        places=f"directory {{directory}}\nmirror on\nreject .*({names})$")
    endpoint = Endpoint(port)
    messages = [*announce(good, nginx.url), *announce(unwanted, nginx.url),
                *announce(late, unwell.url),
                *[Message("v02.post.bad", b"nonsense", "text/plain") for _ in range(3)]]
    subscription.announce(messages)
    subscription.start()
    Progress(subscription.directory, good).wait(60)
    wait_for(endpoint, "settled_total fate=malformed", 3)
    wait_for(endpoint, "settled_total fate=rejected", len(unwanted))
    wait_for(endpoint, "settled_total fate=placed", len(good))
    wait_for(endpoint, "received_total", len(messages))
    assert endpoint.samples()["attempts_failed_total reason=http_5xx"] > 0

    again = [*announce(good[:7], nginx.url), v02(good[8], nginx.url, 1_700_000_000 * 10**9, True)]
    subscription.publish(again)
    wait_for(endpoint, "settled_total fate=duplicate", 7)
    wait_for(endpoint, "settled_total fate=older", 1)
    unwell.trouble()
    wait_for(endpoint, "settled_total fate=placed", len(good) + len(late), 120)
    subscription.wait_queue_empty()
    wait_for(endpoint, "retry_waiting", 0)
    samples = endpoint.samples()
    assert samples["received_total"] == len(messages) + len(again)
    assert samples["revived_total"] == samples["settled_total fate=kept_for_retry"] > 0
    assert samples["downloads_total"] == len(good) + len(late)
    assert samples["file_size_bytes_count"] == samples["latency_seconds_count"] \
        == len(good) + len(late)
    assert samples["connections_reused_total"] > samples["connections_opened_total"] > 0
    assert samples["store_answers_total"] > len(good)


def test_file_says_the_same(subscribe, nginx, files):
    """Counters of the file, before the first housekeeping, are those of the endpoint."""
    some, port = files[:200], free_port()
    subscription = subscribe(options=f"{OFTEN}\nmetricsListen 127.0.0.1:{port}")
    subscription.announce(announce([*some, *some[:50]], nginx.url))
    instance = subscription.start()
    endpoint = Endpoint(port)
    wait_until(lambda: endpoint.get("/metrics")[0] == 200, 30, "the endpoint answers")
    Progress(subscription.directory, some).wait(60)
    wait_for(endpoint, "settled_total fate=duplicate", 50)
    assert instance.stop() == 0
    sample = read(subscription.metrics())
    assert unbalanced(sample["sr3sub"]) == 0
    assert sample["sr3sub"]["received"] == sample["gather.message"]["rxGoodCount"] == 250
    assert sample["flow"]["transferRxFiles"] == sample["sr3sub"]["placed"] == 200
    assert sample["log"]["rejectCount"] == sample["sr3sub"]["duplicates"] == 50
    assert sample["flow"]["stop_requested"] is True
    assert sample["sr3sub"]["memoryBytes"] > 1_000_000 and sample["sr3sub"]["openFiles"] > 5
    assert sample["sr3sub"]["writeInterval"] == 0.1
    disk = os.statvfs(subscription.directory)
    assert 0 < sample["sr3sub"]["diskFreeBytes"] <= disk.f_blocks * disk.f_frsize


def fields_of_sr3():
    """{(member, name): values of it in sr3's files}"""
    found = {}
    for path in glob.glob(f"{DATA}/*.json"):
        for member, names in read(path).items():
            for name, value in names.items():
                found.setdefault((member, name), []).append(value)
    return found


def is_of_kind(value, theirs):
    """Whether it is of the type of theirs, which may be a whole number by chance if it is 0."""
    if any(isinstance(other, (bool, str)) for other in theirs):
        return isinstance(value, type(theirs[0]))
    whole = any(isinstance(other, int) and other for other in theirs)
    return isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)


def zero(value):
    return value == 0


def recent(since):
    """A time since then: text as sr3 writes it, or seconds."""
    def check(value):
        if isinstance(value, str):
            value = TIME.fullmatch(value) and calendar.timegm(
                time.strptime(value.split(".")[0], "%Y%m%dT%H%M%S")) + float(
                    "0." + value.split(".")[1])
        return value and since - 1 <= value <= time.time() + 1
    return check


def test_fields_mean_what_they_mean_to_sr3(subscribe, nginx, files):
    """Each name in sr3's files, after so many good ones, copies and malformed ones."""
    some, began = files[:50], time.time()
    good = announce(some, nginx.url)
    bad = [Message("v02.post.bad", b"nonsense", "text/plain")] * 3
    subscription = subscribe(options=f"{OFTEN}\nhousekeeping 1h")
    subscription.announce([*good, *bad])
    instance = subscription.start()
    Progress(subscription.directory, some).wait(60)
    subscription.publish(good[:7])

    def settled():
        ours = read(subscription.metrics())["sr3sub"]
        return ours["received"] == 60 and not ours["inFlight"]
    wait_until(settled, 30, lambda: read(subscription.metrics()))
    sample = read(subscription.metrics())
    spent = time.time() - began
    sent = [*good, *bad, *good[:7]]
    wanted = {
        "flow": {
            "stop_requested": lambda value: value is False,
            "last_housekeeping": recent(began), "next_housekeeping": zero,
            "transferConnected": lambda value: value is False, "transferConnectStart": zero,
            "transferConnectTime": lambda value: 0 <= value <= spent,
            "transferRxBytes": lambda value: value == sum(entry.size for entry in some),
            "transferTxBytes": zero, "transferRxFiles": lambda value: value == len(some),
            "transferTxFiles": zero, "transferRxLast": recent(began),
            "last_housekeeping_cpuTime": lambda value: 0 <= value <= spent,
            "cpuTime": lambda value: 0 < value <= spent,
            "msgRate": lambda value: 60 / spent <= value <= 60 * 1000,
            "msgRateCpu": lambda value: value >= 60 / spent, "current_sleep": zero},
        "gather.message": {
            "connected": lambda value: value is True, "disconnectLast": zero,
            "disconnectTime": zero, "disconnectCount": zero,
            "rxByteCount": lambda value: value == sum(len(message.body) for message in sent),
            "rxGoodCount": lambda value: value == 57, "rxBadCount": lambda value: value == 3,
            "txByteCount": zero, "txGoodCount": zero, "txBadCount": zero,
            "brokerQueuedMessageCount": lambda value: value in range(-2, 61),
            "rxLast": recent(began)},
        "retry": {"msgs_in_download_retry": zero, "msgs_in_post_retry": zero},
        "log": {"lagMax": lambda value: 0 < value <= spent,
                "lagTotal": lambda value: 0 < value <= 50 * spent,
                "lagMessageCount": lambda value: value == 50,
                "rejectCount": lambda value: value == 7},
        "sarracenia.transfer": {"byteRateInstant": lambda value: value > 0},
    }
    theirs = fields_of_sr3()
    assert set(theirs) == {(member, name) for member in wanted for name in wanted[member]}
    wrong = [(member, name, sample[member][name]) for (member, name), values in theirs.items()
             if not (is_of_kind(sample[member][name], values)
                     and wanted[member][name](sample[member][name]))]
    assert not wrong, wrong
    assert instance.stop() == 0


def test_file_is_never_seen_half_written(subscribe, nginx, files):
    """Opened 10,000 times while it is rewritten as fast as can be."""
    subscription = subscribe(options="metrics_writeInterval 0.001")
    subscription.announce(announce(files[:500], nginx.url))
    subscription.start()
    path = subscription.metrics()
    wait_until(lambda: os.path.exists(path), 30, "the first write")
    written = {read(path)["sr3sub"]["written"] for _ in range(10000)}
    assert len(written) > 10
    names = os.listdir(os.path.dirname(path))
    assert [name for name in names if name.endswith(".json")] == [os.path.basename(path)]


def test_file_goes_with_a_clean_end(subscribe):
    """What stays behind a killed instance is known by its age."""
    subscription = subscribe(options=f"metricsKeep off\n{OFTEN}")
    path = subscription.metrics()
    subscription.declare()
    killed = subscription.start()
    wait_until(lambda: os.path.exists(path), 30, "the first write")
    killed.kill()
    sample = read(path)["sr3sub"]
    stale_s = time.time() - sample["written"]
    wait_until(lambda: time.time() - sample["written"] > 3 * sample["writeInterval"], 10,
               "the file is stale")
    assert stale_s >= 0
    instance = subscription.start()
    instance.wait_consuming()
    assert instance.stop() == 0
    assert not os.path.exists(path)
    assert not os.listdir(os.path.dirname(path))


def test_name_of_the_file(subscribe):
    """With variables, so that instances that share a directory have a file each."""
    subscription = subscribe(options="metricsFilename sub_${CONFIG}_0${INSTANCE}.json")
    subscription.start_all(2)
    folder = os.path.dirname(subscription.metrics())
    wait_until(lambda: sorted(os.listdir(folder)) == ["sub_test_01.json", "sub_test_02.json"], 30,
               lambda: os.listdir(folder))


def test_history(subscribe):
    """Each line is a sample, in sr3's form."""
    subscription = subscribe(options=f"logMetrics on\n{OFTEN}")
    subscription.declare()
    subscription.start().wait_consuming()
    pattern = f"{subscription.metrics()}.*"

    def lines():
        return [line for path in glob.glob(pattern) for line in open(path)]

    wait_until(lambda: len(lines()) > 5, 30, "five samples")
    assert subscription.stop() == [0]
    text = "{" + "".join(lines()).rstrip().rstrip(",") + "}"
    for stamp, sample in json.loads(text, object_pairs_hook=list):
        assert re.fullmatch(r"\d{8}-\d{6}", stamp)
        assert {"flow", "sr3sub"} <= {name for name, _ in sample}


def test_queue(subscribe, files):
    """How much waits there and who consumes; what sr3 has a field for comes from one instance."""
    entries, stopped = files[:50], threading.Event()
    server = FileServer({entry.rel_path: lambda count: stopped.wait(60) and None
                         for entry in entries})
    subscription = subscribe(options=f"prefetch 1\n{OFTEN}")
    subscription.announce(announce(entries, server.url))
    subscription.start(1).wait_consuming()
    subscription.start(2).wait_consuming()

    def samples():
        return [read(subscription.metrics(number)) for number in (1, 2)
                if os.path.exists(subscription.metrics(number))]
    wait_until(lambda: len(samples()) == 2 and samples()[1]["sr3sub"]["queueConsumers"] == 2, 60, samples)
    first, second = samples()
    assert 48 <= first["gather.message"]["brokerQueuedMessageCount"] <= 50
    assert "brokerQueuedMessageCount" not in second["gather.message"]
    assert second["sr3sub"]["queueMessages"] == 48
    stopped.set()
    subscription.stop()
    server.close()


def test_health(subscribe, rabbit, nginx, files):
    port = free_port()
    subscription = subscribe(options=f"metricsListen 127.0.0.1:{port}")
    subscription.declare()
    subscription.start().wait_consuming()
    endpoint = Endpoint(port)
    wait_until(lambda: endpoint.get("/readyz") == (200, "ok\n"), 30, lambda: endpoint.get("/readyz"))
    assert endpoint.get("/healthz") == (200, "ok\n")
    rabbit.stop()
    wait_until(lambda: endpoint.get("/readyz")[0] == 503, 30, lambda: endpoint.get("/readyz"))
    assert "broker" in endpoint.get("/readyz")[1]
    assert endpoint.get("/healthz")[0] == 200  # a restart would not help
    assert endpoint.samples()["intake_paused reason=broker"] == 1
    rabbit.start()
    wait_until(lambda: endpoint.get("/readyz")[0] == 200, 60, lambda: endpoint.get("/readyz"))
    samples = endpoint.samples()
    assert samples["broker_disconnects_total"] == 1
    assert samples["broker_disconnected_seconds_total"] > 0


def test_endpoint_refuses(subscribe):
    port = free_port()
    subscription = subscribe(options=f"metricsListen 127.0.0.1:{port}")
    subscription.declare()
    subscription.start().wait_consuming()
    endpoint = Endpoint(port)
    assert endpoint.get("/metrics", "HEAD") == (200, "")
    assert endpoint.get("/metrics", "POST", b"x" * 100)[0] == 405
    assert endpoint.get("/metrics/../etc/passwd")[0] == 404
    assert endpoint.get("/")[0] == 404
    assert endpoint.get("/metrics?" + "x" * 100_000)[0] in (0, 414, 431)
    assert endpoint.get("/metrics")[0] == 200


def test_clients_that_are_slow(subscribe, nginx, files):
    """More of them than are served at a time hold up neither the work nor, for long, the others."""
    some, port = files[:200], free_port()
    subscription = subscribe(options=f"metricsListen 127.0.0.1:{port}")
    subscription.declare()
    subscription.start().wait_consuming()
    silent = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(40)]
    for client in silent[::2]:
        client.sendall(b"GET /metr")
    subscription.publish(announce(some, nginx.url))
    Progress(subscription.directory, some).wait(60)
    endpoint = Endpoint(port)
    wait_until(lambda: endpoint.get("/healthz")[0] == 200, 60, "an answer")
    for client in silent:
        client.close()


def test_listens_nowhere_twice(subscribe):
    """A port that is taken is said, and nothing else is affected."""
    port = free_port()
    subscription = subscribe(options=f"metricsListen 127.0.0.1:{port}")
    subscription.declare()
    subscription.start(1).wait_consuming()
    second = subscription.start(2)
    second.wait_consuming()
    second.wait_for_log(rf"\[ERROR\] .*metricsListen '127.0.0.1:{port}': Address already in use")


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool")
def test_prometheus_accepts_the_text(subscribe, nginx, files):
    port = free_port()
    subscription = subscribe(options=f"metricsListen 127.0.0.1:{port}")
    subscription.announce(announce(files[:20], nginx.url))
    subscription.start()
    Progress(subscription.directory, files[:20]).wait(60)
    text = Endpoint(port).get("/metrics")[1]
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                             capture_output=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr

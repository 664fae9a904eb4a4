"""A Prometheus of our own that scrapes instances every second, with the alerts that we ship."""
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request

from rig.process import Process, accepts_connections, free_port, wait_until
from rig.subscriber import PROJECT

ALERTS = f"{PROJECT}/telegraf/alerts.yml"
CONFIGURATION = """\
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{folder}/alerts.yml]
scrape_configs:
{jobs}
"""
JOB = "  - job_name: {job}\n    static_configs: [{{targets: {targets}}}]"


def quicken(text):
    """The same rules for a test: what takes minutes takes as many seconds or less."""
    text = re.sub(r"(?m)^( +for: ).*$", r"\g<1>2s", text)
    return re.sub(r"\[(\d+)m\]", "[10s]", text)


class Prometheus:
    """Scrapes the ports of `jobs`, {name: ports}. `change` edits the rules further."""

    def __init__(self, folder, jobs, change=lambda rules: rules):
        self.folder, self.port = os.path.abspath(folder), free_port()
        os.makedirs(self.folder, exist_ok=True)
        with open(ALERTS) as rules, open(f"{self.folder}/alerts.yml", "w") as file:
            file.write(change(quicken(rules.read())))
        listed = [JOB.format(job=job, targets=json.dumps([f"127.0.0.1:{port}" for port in ports]))
                  for job, ports in jobs.items()]
        with open(f"{self.folder}/prometheus.yml", "w") as file:
            file.write(CONFIGURATION.format(folder=self.folder, jobs="\n".join(listed)))
        self.server = Process(
            ["/usr/bin/prometheus", f"--config.file={self.folder}/prometheus.yml",
             f"--storage.tsdb.path={self.folder}/data",
             f"--web.listen-address=127.0.0.1:{self.port}"], f"{self.folder}/output.log")
        wait_until(lambda: accepts_connections(self.port) and self.query("vector(1)"), 60,
                   f"Prometheus answers, see {self.folder}/output.log")

    def _get(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it is not ready yet
                return {}
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def query(self, expression):
        """[(labels, value)] of an instant query."""
        return [(row["metric"], float(row["value"][1]))
                for row in self._get("query", query=expression).get("result", [])]

    def firing(self):
        """(name, job) of the alerts that fire."""
        return {(alert["labels"]["alertname"], alert["labels"]["job"]) for alert in self._get("alerts")["alerts"]
                if alert["state"] == "firing"}

    def close(self):
        self.server.stop()

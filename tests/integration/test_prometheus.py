"""A real Prometheus scrapes real instances: each alert fires when its cause is there and is silent
otherwise, and each panel of the dashboard has something to show."""
import itertools
import json
import subprocess
import threading
import time

import pytest

from rig.announcer import announce
from rig.fileserver import FileServer
from rig.metrics import Endpoint
from rig.process import free_port, wait_until
from rig.prometheus import ALERTS, Prometheus
from rig.subscriber import PROJECT, Store

pytestmark = pytest.mark.release_only
DASHBOARD = f"{PROJECT}/telegraf/grafana-dashboard.json"
SECONDS = 90


class Scene:
    """Instances of one subscription, scraped."""

    def __init__(self, subscription, folder, ports, files, url, change=lambda rules: rules):
        self.subscription, self.url = subscription, url
        self.files = iter(files)
        subscription.declare()
        for number in range(1, len(ports) + 1):
            subscription.start(number).wait_consuming()
        for port in ports:
            wait_until(lambda: Endpoint(port).get("/readyz")[0] == 200, 30, "it is ready")
        self.prometheus = Prometheus(f"{folder}/prometheus", ports, change)

    def publish(self, count, **how):
        self.subscription.publish(announce(list(itertools.islice(self.files, count)), self.url,
                                           **how))

    def wait_scraped(self, times):
        """Until so many samples are there; files come meanwhile."""
        def is_scraped():
            self.publish(5)
            found = self.prometheus.query(f"count_over_time(sr3sub_received_total[5m]) >= {times}")
            return len(found) > 0
        wait_until(is_scraped, SECONDS, f"{times} samples", every=0.5)

    def wait_firing(self, name):
        wait_until(lambda: name in self.prometheus.firing(), SECONDS,
                   lambda: f"{name}: {self.prometheus.firing()} fire", every=0.3)


@pytest.fixture
def scene(subscribe, redis, nginx, many_files, tmp_path):
    """scene(url=..., options=..., replicas=...)"""
    made = []

    def make(url=None, options="", replicas=1, change=lambda rules: rules):
        start = free_port() // 10 * 10
        subscription = subscribe(
            store=Store(redis),
            options=f"metricsListen 127.0.0.1:{start // 10}${{INSTANCE}}\n{options}")
        ports = [start + number for number in range(1, replicas + 1)]
        made.append(Scene(subscription, tmp_path, ports, many_files, url or nginx.url, change))
        return made[-1]

    yield make
    for each in made:
        each.prometheus.close()


def low(rules):
    """Limits that a test reaches with little."""
    return rules.replace("> 1000", "> 20")


def test_silent_while_all_is_well(scene):
    well = scene(replicas=2)
    well.wait_scraped(25)
    assert not well.prometheus.firing()
    assert len(well.prometheus.query('up{job="sr3sub"} == 1')) == 2


def test_instance_gone(scene):
    gone = scene(replicas=2)
    gone.subscription.running()[0].kill()
    gone.wait_firing("InstanceGone")


def test_broker_disconnected(scene, rabbit):
    without = scene()
    rabbit.stop()
    without.wait_firing("BrokerDisconnected")
    assert "IntakePaused" not in without.prometheus.firing()


def test_intake_paused(scene, redis):
    paused = scene()
    redis.stop()
    paused.wait_firing("IntakePaused")


def test_lag_high(scene):
    late = scene()

    def fires():
        late.publish(20, start_ns=time.time_ns() - 600 * 10**9)
        return "LagHigh" in late.prometheus.firing()
    wait_until(fires, SECONDS, late.prometheus.firing, every=0.5)


def test_nothing_placed(scene):
    scene().wait_firing("NothingPlaced")


def test_queue_grows(scene):
    """Its depth is asked for twice a minute, so a minute passes."""
    done = threading.Event()
    server = FileServer({})
    server.answer = lambda path: done.wait(SECONDS + 60) and None
    full = scene(url=server.url, options="prefetch 1", change=low)
    full.publish(100)
    full.wait_firing("QueueGrows")
    done.set()
    full.subscription.running()[0].kill()
    server.close()


def test_retries_wait_and_attempts_fail(scene, nginx):
    nginx.trouble(unlucky_percent=100)
    failing = scene(options="prefetch 20\nhousekeeping 2s", change=low)
    failing.publish(200)
    failing.wait_firing("RetriesWait")
    failing.wait_firing("ManyAttemptsFail")
    nginx.trouble()


def test_every_alert_has_been_caused():
    """One that is added comes with a test."""
    with open(__file__) as source, open(ALERTS) as rules:
        text = source.read()
        names = [line.split()[-1] for line in rules if "- alert:" in line]
    assert len(names) == 8 and all(f'"{name}"' in text for name in names)


def test_rules_are_valid():
    checked = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True,
                             timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def expressions():
    """[(panel, query)] of the dashboard, its variables filled in."""
    with open(DASHBOARD) as file:
        panels = json.load(file)["panels"]
    return [(panel["title"], target["expr"].replace("$job", "sr3sub")
             .replace("$__rate_interval", "10s"))
            for panel in panels for target in panel.get("targets", [])]


def test_dashboard(scene):
    shown = scene(replicas=2)
    shown.wait_scraped(12)
    queries = expressions()
    assert len(queries) > 30

    def empty():
        shown.publish(20)
        return [(panel, query) for panel, query in queries
                if not any(value == value for _, value in shown.prometheus.query(query))]
    wait_until(lambda: not empty(), SECONDS, empty, every=0.5)

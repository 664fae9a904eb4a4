"""A real Prometheus scrapes real instances: each alert fires when its cause is there and is silent
otherwise, and each panel of the dashboard has something to show.

All scenes play at once, below one Prometheus, each as a job of its own.
"""
import collections
import itertools
import json
import subprocess
import threading
import time

import pytest

from rig.announcer import announce
from rig.fileserver import FileServer
from rig.metrics import Endpoint
from rig.nginx import Nginx
from rig.process import accepts_connections, free_port, wait_until
from rig.prometheus import ALERTS, Prometheus
from rig.redis import Redis
from rig.subscriber import PROJECT, Store

pytestmark = pytest.mark.release_only
DASHBOARD = f"{PROJECT}/telegraf/grafana-dashboard.json"
SECONDS = 90
TURN_SECONDS = 0.5
FILES_OF_A_SCENE = 1000
# which alerts fire where; where nothing is placed, NothingPlaced may as well
CAUSED = {"gone": {"InstanceGone"}, "disconnected": {"BrokerDisconnected"},
          "paused": {"IntakePaused"}, "late": {"LagHigh"}, "silent": {"NothingPlaced"},
          "full": {"QueueGrows"}, "failing": {"RetriesWait", "ManyAttemptsFail"}}


def free_ports(count):
    """As metricsListen can name them: one number for all, and that of the instance behind it."""
    while True:
        start = free_port() // 10 * 10
        wanted = [start + number for number in range(1, count + 1)]
        if not any(accepts_connections(port) for port in wanted):
            return wanted


class Scene:
    """Instances of one subscription, and what happens to them."""

    def __init__(self, name, subscribe, files, url, options="", replicas=1, **settings):
        self.job, self.url, self.files = f"sr3sub_{name}", url, iter(files)
        self.ports = free_ports(replicas)
        self.subscription = subscribe(
            options=f"metricsListen 127.0.0.1:{self.ports[0] // 10}${{INSTANCE}}\n{options}",
            **settings)
        self.subscription.declare()
        for number in range(1, replicas + 1):
            self.subscription.start(number)

    def wait_ready(self):
        for port in self.ports:
            wait_until(lambda: Endpoint(port).get("/readyz")[0] == 200, 60, "it is ready")

    def publish(self, count, **how):
        self.subscription.publish(announce(list(itertools.islice(self.files, count)), self.url,
                                           **how))


class Stage:
    """All scenes, their Prometheus, and what has fired so far: {job: names}."""

    def __init__(self, subscribe, rabbit, nginx, files, folder):
        self.rabbit, self.redis = rabbit, Redis(f"{folder}/redis").start()
        self.nginx = Nginx(f"{folder}/nginx", nginx.root).start()
        self.nginx.trouble(unlucky_percent=100)
        self.held = threading.Event()
        self.server = FileServer({})
        self.server.answer = lambda path: self.held.wait(2 * SECONDS) and None
        rabbit.add_user("guest2", "guest2")
        plans = {
            "well": dict(replicas=2), "gone": dict(replicas=2), "late": {}, "silent": {},
            "disconnected": dict(broker=rabbit.url("guest2", "guest2")),
            "paused": dict(store=Store(self.redis)),
            "full": dict(url=self.server.url, options="prefetch 1"),
            "failing": dict(url=self.nginx.url, options="prefetch 20\nhousekeeping 2s")}
        self.scenes = {name: Scene(name, subscribe, files[start * FILES_OF_A_SCENE:],
                                   plan.pop("url", nginx.url), **plan)
                       for start, (name, plan) in enumerate(plans.items())}
        for scene in self.scenes.values():
            scene.wait_ready()
        self.prometheus = Prometheus(
            f"{folder}/prometheus", {scene.job: scene.ports for scene in self.scenes.values()},
            lambda rules: rules.replace("> 1000", "> 20").replace('job="sr3sub"',
                                                                  'job=~"sr3sub_.*"'))
        self.fired, self.over = collections.defaultdict(set), threading.Event()
        self.cause()
        self.player = threading.Thread(target=self.play, daemon=True)
        self.player.start()

    def cause(self):
        self.scenes["gone"].subscription.running()[0].kill()
        self.rabbit.control("delete_user", "guest2")
        self.redis.stop()
        self.scenes["full"].publish(100)
        self.scenes["failing"].publish(200)

    def play(self):
        while not self.over.wait(TURN_SECONDS):
            self.scenes["well"].publish(5)
            self.scenes["late"].publish(5, start_ns=time.time_ns() - 600 * 10**9)
            for name, job in self.prometheus.firing():
                self.fired[job.removeprefix("sr3sub_")].add(name)

    def close(self):
        self.over.set()
        self.player.join()
        self.held.set()
        for instance in self.scenes["full"].subscription.running():
            instance.kill()
        self.server.close()
        self.prometheus.close()
        self.nginx.close()
        self.redis.start()  # or the instances would go on asking for it


@pytest.fixture(scope="module")
def stage(work, rabbit_server, nginx_server, many_files, subscribe_together):
    played = Stage(subscribe_together, rabbit_server, nginx_server.start(), many_files,
                   f"{work}/stage")
    yield played
    played.close()


def test_silent_while_all_is_well(stage):
    wait_until(lambda: stage.prometheus.query(
        'count_over_time(sr3sub_received_total{job="sr3sub_well"}[5m]) >= 20'), SECONDS,
        "20 samples")
    assert not stage.fired["well"]
    assert len(stage.prometheus.query('up{job="sr3sub_well"} == 1')) == 2


@pytest.mark.parametrize("scene, alert",
                         [(scene, alert) for scene, alerts in CAUSED.items()
                          for alert in sorted(alerts)])
def test_alert(stage, scene, alert):
    wait_until(lambda: alert in stage.fired[scene], SECONDS, lambda: f"{stage.fired} fired")


def test_nothing_else_fired(stage):
    for scene, fired in stage.fired.items():
        allowed = {"NothingPlaced"} if scene in CAUSED else set()
        more = fired - CAUSED.get(scene, set()) - allowed
        assert not more, f"{scene}: {more}"


def test_every_alert_has_been_caused():
    """One that is added comes with a scene."""
    with open(ALERTS) as rules:
        names = {line.split()[-1] for line in rules if "- alert:" in line}
    assert names == set().union(*CAUSED.values())


def test_rules_are_valid():
    checked = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True,
                             timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def expressions():
    """[(panel, query)] of the dashboard, its variables filled in."""
    with open(DASHBOARD) as file:
        panels = json.load(file)["panels"]
    return [(panel["title"], target["expr"].replace("$job", "sr3sub_well")
             .replace("$__rate_interval", "10s"))
            for panel in panels for target in panel.get("targets", [])]


def test_dashboard(stage):
    """Each of its queries gets numbers."""
    queries = expressions()
    assert len(queries) > 30

    def empty():
        return [(panel, query) for panel, query in queries
                if not any(value == value for _, value in stage.prometheus.query(query))]
    wait_until(lambda: not empty(), SECONDS, empty, every=0.5)

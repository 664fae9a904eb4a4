"""The stack in a swarm: the README's steps, then replicas that come, go, are updated and are killed
while 20,000 announcements wait. Each test goes on where the one before it ended."""
import contextlib
import os
import random
import re
import subprocess
import threading
import time

import pytest

from rig.engine import PROJECT, CommandFailed
from rig.process import wait_until
from rig.swarm import STACK, SUBSCRIBER, Site, Stack, epoch, servers_image
from rig.tree import make_tree
from rig.verify import compare

STEP = re.compile(r"^\d+\. .*?(?=^\d+\. |^\|)", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
CONVERGED = " converged"
PREFETCH = 25  # unless a subscription says otherwise
SERVERS_FILE = f"{PROJECT}/tests/container/servers/stack.yml"


@pytest.fixture(scope="module")
def stack(engine, work):
    """Nothing is built or deployed yet."""
    engine.base_image("debian:trixie-slim", "trixie")
    servers_image(engine)
    engine.docker("tag", "servers", "redis:7")
    os.makedirs(f"{work}/site")
    os.makedirs(f"{work}/files")
    return Stack(engine, Site(f"{work}/site"), f"{work}/servers", f"{work}/files")


@pytest.fixture
def figure(capsys):
    """figure(text) is shown whatever becomes of the test."""
    def show(text):
        with capsys.disabled():
            print(f"\n    {text}", end="")
    return show


def steps():
    """What each step of the README has one type."""
    with open(f"{PROJECT}/README.md") as file:
        chapter = file.read().split("\n## Containers\n")[1].split("\n## ")[0]
    return ["\n".join(line.strip() for line in COMMANDS.search(step)[1].splitlines())
            for step in STEP.findall(chapter)]


def with_servers(command):
    """Deploys the servers of the test, too."""
    return command.replace("docker stack deploy -c container/docker-compose.yml",
                           f"docker stack deploy -c container/docker-compose.yml -c {SERVERS_FILE}")


def instances_logged(text):
    return sorted({int(number) for number in re.findall(r"instance: (\d+)$", text, re.MULTILINE)})


def test_steps_of_the_readme(stack, figure):
    """Each with what it says one should see, but Telegraf, whose image cannot be made here."""
    (clone, directories, init, build, deploy, redis, redis_log, scale, look, five,
     monitoring) = steps()
    assert clone.startswith("git clone ") and "monitoring.yml" in monitoring
    stack.shell(directories)
    assert "is now a manager" in stack.shell(init)
    assert "Successfully tagged sr3sub:latest" in stack.shell(build, 900)
    printed = stack.shell(with_servers(deploy))
    assert f"Creating service {SUBSCRIBER}" in printed and "Ignoring" not in printed, printed
    assert stack.shell("docker service ls --format '{{.Replicas}}'").split().count("0/0") == 2
    stack.prepare()
    assert CONVERGED in stack.shell(redis)
    assert "Ready to accept connections" in stack.look(redis_log)
    assert CONVERGED in stack.shell(scale)
    entries = make_tree(stack.files, small=200, seed=11)
    stack.announce(entries)
    stack.wait_placed(entries, 60)
    seen = stack.look(look)
    assert "Running" in seen and instances_logged(seen) == [1] and "data/sr3/subscribe" in seen
    assert CONVERGED in stack.shell(five.splitlines()[0])
    seen = stack.look("\n".join(five.splitlines()[1:]))
    assert instances_logged(seen) == [1, 2, 3, 4, 5]
    assert re.findall(r"subscribe_dd_all_0(\d).json", seen) == list("12345")
    figure(f"image: {stack.shell('docker images --format {{.Size}} sr3sub:latest').strip()}")


class Watch(threading.Thread):
    """Looks at the metrics directory all the time; `seen` are its states, each with its time."""

    def __init__(self, site):
        super().__init__(daemon=True)
        self.site, self.seen, self.ended = site, [], threading.Event()

    def run(self):
        while not self.ended.wait(0.02):
            numbers = self.site.metrics_files()
            if not self.seen or self.seen[-1][1] != numbers:
                self.seen.append((time.time(), numbers))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *unused):
        self.ended.set()
        self.join()


def first_placed(stack, slots):
    """{number: when it says to have placed its first file}, once all of them have."""
    def moments():
        found = {}
        for slot, container in stack.slots().items():
            lines = (line for line in stack.log(container).splitlines() if "downloaded ok" in line)
            found[slot] = epoch(next(lines, ""))
        return {slot: found[slot] for slot in slots if found.get(slot)}
    wait_until(lambda: len(moments()) == len(slots), 60, lambda: f"files of {slots}: {moments()}")
    return moments()


def longest_gap(moments, began, ended):
    inside = sorted([began, *(moment for moment in moments if began < moment < ended), ended])
    return max(later - earlier for earlier, later in zip(inside, inside[1:]))


def kill_one(stack):
    """kill -9 of any task but those of the test's servers."""
    container = random.choice(stack.containers() + stack.containers(f"{STACK}_redis"))
    with contextlib.suppress(CommandFailed):  # unless it has just ended by itself
        stack.engine.docker("kill", container)


def test_scale_update_and_loss(stack, figure):
    """Files come at such a pace that there is always something under way."""
    stack.scale(1)
    stack.wait_healthy(1)
    stack.wait_consumers(1)
    stack.set_pace(100)
    entries = make_tree(stack.files, small=20000, seed=12)
    before = stack.fetched()
    stack.announce(entries)

    began = stack.scale(5)
    moments = first_placed(stack, [2, 3, 4, 5])
    delays = [moment - began for moment in moments.values()]
    figure(f"from 'scale' to the first file of a new replica: {min(delays):.1f} s, "
           f"of the last of four {max(delays):.1f} s")
    assert min(delays) < 15
    stack.wait_healthy(5)
    assert stack.site.metrics_files() == [1, 2, 3, 4, 5]
    logs = {slot: stack.log(container) for slot, container in stack.slots().items()}
    for slot, container in stack.slots().items():
        assert instances_logged(logs[slot]) == [slot]
        assert f"host: {container[:12]}" in logs[slot]

    stack.scale(2)
    wait_until(lambda: stack.site.metrics_files() == [1, 2], 60, "two files of metrics")
    wait_until(lambda: len(stack.containers()) == 2, 60, "two containers")
    assert stack.waiting()["messages"] > 2000, "too little is left for the rest"

    stack.engine.docker("tag", "sr3sub", "sr3sub:next")
    old = set(stack.containers())
    with Watch(stack.site) as watch:
        began = time.time()
        stack.engine.docker("service", "update", "--image", "sr3sub:next", SUBSCRIBER, seconds=240)
        ended = time.time()
    wait_until(lambda: len(stack.containers()) == 2, 60, "the end of the old ones")
    assert not old & set(stack.containers())
    assert stack.waiting()["messages"] > 1000, "too little is left for the rest"
    gap = longest_gap(stack.site.placed().values(), began, ended)
    figure(f"update of two replicas: {ended - began:.0f} s, nothing placed for at most {gap:.1f} s")
    assert gap < 5
    assert {tuple(numbers) for _, numbers in watch.seen} == {(1, 2)}, watch.seen
    clean = {path for path, times in (stack.fetched() - before).items() if times > 1}
    assert not clean, f"fetched twice without a kill: {len(clean)}"

    kills = 3
    for _ in range(kills):
        kill_one(stack)
        wait_until(lambda: len(stack.containers()) == 2, 60, "two containers", every=0.3)
        wait_until(lambda: stack.containers(f"{STACK}_redis"), 60, "a Redis", every=0.3)
        placed = len(stack.site.placed())
        stack.wait_placed(placed + 100, 60)
    stack.set_pace(5000)
    stack.wait_empty()
    stack.wait_healthy(2)
    outcome = compare(stack.site.data, entries)
    stray = [path for path in outcome.stray if os.path.basename(path).startswith(".")]
    assert not (outcome.lost or outcome.corrupt or outcome.attributes or stray), outcome
    twice = sum(times - 1 for times in (stack.fetched() - before).values())
    figure(f"20,000 files: {kills} kills, fetched again {twice}")
    assert twice <= PREFETCH * kills
    assert stack.site.metrics_files() == [1, 2]


def test_more_replicas_are_faster(stack, figure):
    """Each may have eight transfers under way with a server that takes 40 ms to answer."""
    stack.scale(0)
    wait_until(lambda: not stack.containers(), 60, "no container")
    stack.site.configure("transfersMax 8\ntransfersMaxPerHost 8\nprefetch 40")
    rates = {}
    for count in (1, 2, 4):
        stack.scale(count)
        stack.wait_consumers(count)
        entries = make_tree(stack.files, small=1500 * count, seed=20 + count)
        stack.announce(entries, "late")
        stack.wait_empty()
        placed = stack.site.placed()
        moments = sorted(placed[entry.rel_path] for entry in entries)
        first, last = len(moments) // 10, len(moments) * 9 // 10
        rates[count] = (last - first) / (moments[last] - moments[first])
    figure("files/s with 1, 2, 4 replicas: " + ", ".join(
        f"{rates[count]:.0f} ({rates[count] / rates[1]:.2f})" for count in rates))
    assert rates[2] > 1.5 * rates[1] and rates[4] > 2.5 * rates[1]


def query(stack, expression):
    """[value] as Prometheus answers."""
    printed = stack.engine.docker(
        "exec", stack.containers("monitoring_prometheus")[0], "promtool", "query", "instant",
        "http://127.0.0.1:9090", expression)
    return [float(value) for value in re.findall(r"=> (\S+) @", printed)]


def test_prometheus_finds_all_replicas(stack):
    """By the name service alone; Telegraf and Grafana are not started, their images not here."""
    stack.scale(3)
    stack.wait_healthy(3)
    stack.engine.docker("tag", "servers", "prom/prometheus:v2.53.3")
    command = steps()[-1].splitlines()[0].replace(
        "-c container/monitoring.yml",
        f"-c container/monitoring.yml -c {PROJECT}/tests/container/servers/monitoring.yml")
    printed = stack.shell(command)
    assert "Creating service monitoring_grafana" in printed and "Ignoring" not in printed, printed

    def found(count):
        with contextlib.suppress(CommandFailed, IndexError, subprocess.TimeoutExpired):
            return query(stack, 'up{job="sr3sub"}') == [1.0] * count
    wait_until(lambda: found(3), 90, "three replicas", every=1)
    assert query(stack, "sum(sr3sub_broker_connected)") == [3.0]
    stack.scale(1)
    wait_until(lambda: found(1), 90, "one replica", every=1)
    stack.engine.docker("stack", "rm", "monitoring")


def test_end(stack):
    """All containers have gone, and so have the files of metrics."""
    stack.remove()
    assert stack.site.metrics_files() == []

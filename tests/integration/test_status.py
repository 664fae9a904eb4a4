"""status and health, of instances on this host and of such as share no more than the metrics."""
import json
import os
import pty
import re
import signal
import subprocess

import pytest

from rig.announcer import announce
from rig.process import wait_until
from rig.subscriber import program
from rig.verify import Progress


def ask(subscription, *args, cache=None):
    """Runs a command to its end."""
    env = dict(subscription.env, XDG_CACHE_HOME=cache or subscription.cache)
    return subprocess.run([program(), *args], env=env, capture_output=True, text=True, timeout=30)


def states(subscription, **places):
    """{title: what status --json says of it}"""
    answer = ask(subscription, "status", "--json", **places)
    assert answer.returncode == 0, answer.stderr
    return {row["name"]: row for row in json.loads(answer.stdout)}


def wait_state(subscription, state, **places):
    def reached():
        return states(subscription, **places).get("subscribe/test", {}).get("state") == state
    wait_until(reached, 60, lambda: f"{state}: {states(subscription, **places)}")
    return states(subscription, **places)["subscribe/test"]


@pytest.fixture
def quick(subscribe):
    """A subscription that writes its metrics often."""
    return subscribe(options="metrics_writeInterval 1\ninstances 2")


@pytest.mark.release
def test_a_life(quick, nginx, files):
    """Stopped, partial, running, missing after kill -9, stopped."""
    some = files[:100]
    assert states(quick)["subscribe/test"]["state"] == "stopped"
    quick.announce(announce(some, nginx.url))
    first = quick.start(1)
    first.wait_consuming()
    assert wait_state(quick, "partial")["expected"] == 2
    second = quick.start(2)
    second.wait_consuming()
    Progress(quick.directory, some).wait(30)
    row = wait_state(quick, "running")
    assert (row["running"], row["expected"]) == (2, 2)
    assert {instance["pid"] for instance in row["instances"]} == {first.pid, second.pid}

    def table():
        return ask(quick, "status", "subscribe/te*").stdout
    wait_until(lambda: re.search(r"(?m)^subscribe/test +run +2/2 +0 100% ", table()), 30, table)
    assert "Total Running Configs:   1 ( Processes: 2 missing: 0 stray: 0 )" in table()
    for instance in (first, second):
        instance.kill()
    assert wait_state(quick, "missing")["expected"] == 2
    first = quick.start(1)
    second = quick.start(2)
    for instance in (first, second):
        instance.wait_consuming()
    wait_state(quick, "running")
    assert quick.stop() == [0, 0]
    assert wait_state(quick, "stopped")["expected"] == 0


def test_containers_are_seen_by_their_metrics(quick, tmp_path):
    """Only the metrics directory is shared, and the configuration is not there either."""
    quick.declare()
    instance = quick.start(2)
    instance.wait_consuming()
    host = tmp_path / "host"
    (host / "sr3").mkdir(parents=True)
    os.symlink(os.path.dirname(quick.metrics(2)), host / "sr3" / "metrics")
    env = dict(quick.env, XDG_CACHE_HOME=str(host), XDG_CONFIG_HOME=str(tmp_path / "none"))

    def row():
        answer = subprocess.run([program(), "status", "--json"], env=env, capture_output=True,
                                text=True, timeout=30)
        return {row["name"]: row for row in json.loads(answer.stdout)}.get("subscribe/test")

    wait_until(lambda: row() and row()["state"] == "running", 30, lambda: str(row()))
    assert [(one["instance"], one["here"]) for one in row()["instances"]] == [(2, False)]
    assert instance.stop() == 0
    wait_until(lambda: row()["state"] == "stopped", 30, lambda: str(row()))


def test_unknown_names(quick):
    answer = ask(quick, "status", "subscribe/nosuch")
    assert answer.returncode == 1
    assert "nosuch" in answer.stderr


def test_watch_without_a_terminal(quick):
    """One table after the other until a signal comes."""
    watcher = quick.run("status", "--watch")
    wait_until(lambda: watcher.log().count("Component/Config") >= 2, 30, watcher.log)
    watcher.send(signal.SIGINT)
    assert watcher.wait(10) == 0
    assert "\033" not in watcher.log()


def test_watch_on_a_terminal(quick):
    """In place, on a screen of its own that is taken away at the end."""
    ours, theirs = pty.openpty()
    watcher = subprocess.Popen([program(), "status", "--watch"], env=quick.env, stdin=theirs,
                               stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    os.set_blocking(ours, False)
    shown = bytearray()

    def read():
        try:
            shown.extend(os.read(ours, 65536))
        except (BlockingIOError, OSError):
            pass
        return shown

    try:
        wait_until(lambda: read().count(b"Component/Config") >= 2, 30, lambda: str(shown))
        os.kill(watcher.pid, signal.SIGINT)
        wait_until(lambda: (read(), watcher.poll() is not None)[1], 10, "end of the watcher")
    finally:
        watcher.kill()
        watcher.wait()
    read()
    os.close(ours)
    assert watcher.returncode == 0
    assert shown.startswith(b"\033[?1049h\033[?25l\033[H")
    assert shown.endswith(b"\033[?25h\033[?1049l")
    assert shown.count(b"\033[H") >= 2


def test_health(quick, rabbit):
    """Well while connected; not before, without the broker, or when it is gone."""
    words = ["health", "subscribe/test", "--no", "1"]
    answer = ask(quick, *words)
    assert answer.returncode == 1 and "metrics" in answer.stderr
    quick.declare()
    instance = quick.start(1)
    instance.wait_consuming()
    wait_until(lambda: ask(quick, *words).returncode == 0, 30, lambda: ask(quick, *words).stderr)
    assert ask(quick, *words).stderr == ""
    assert ask(quick, "health", "subscribe/test", "--no", "2").returncode == 1
    rabbit.stop()
    wait_until(lambda: "not connected" in ask(quick, *words).stderr, 30,
               lambda: ask(quick, *words).stderr)
    rabbit.start()
    wait_until(lambda: ask(quick, *words).returncode == 0, 60, lambda: ask(quick, *words).stderr)
    instance.kill()
    wait_until(lambda: "ended or hangs" in ask(quick, *words).stderr, 30,
               lambda: ask(quick, *words).stderr)
    assert ask(quick, *words).returncode == 1


@pytest.mark.parametrize("args", [["health"], ["health", "a", "b"],
                                  ["health", "subscribe/test", "--no", "x"]])
def test_wrong_usage(quick, args):
    assert ask(quick, *args).returncode == 2

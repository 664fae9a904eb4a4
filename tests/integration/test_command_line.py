"""The command line, exit codes, and the files an instance leaves."""
import json
import re
import signal

import pytest

from rig.announcer import announce
from rig.verify import Progress


def test_container_form(subscribe, nginx, files):
    """As the container calls it: the start line people grep for, and the metrics file."""
    some = files[:100]
    subscription = subscribe()
    subscription.announce(announce(some, nginx.url))
    instance = subscription.run("foreground", "--config", "subscribe/test.conf", "--logStdout",
                                "--no", "3")
    match = instance.wait_for_log(
        r"\[INFO\] (\d+) sarracenia\.flow run pid: (\d+) (\S+) instance: (\d+)")
    assert match.groups() == (str(instance.pid), str(instance.pid), "subscribe/subscribe/test",
                              "3")
    Progress(subscription.directory, some).wait(30)
    subscription.wait_queue_empty()
    assert instance.stop() == 0
    with open(subscription.metrics(3)) as file:
        metrics = json.load(file)
    assert {"flow", "gather.message", "retry", "log"} <= set(metrics)


def test_log_lines(subscribe, nginx, files):
    """Each announcement leaves the lines that sr3 would write."""
    some = files[:50]
    subscription = subscribe()
    subscription.announce(announce(some, nginx.url))
    instance = subscription.start()
    Progress(subscription.directory, some).wait(30)
    subscription.wait_queue_empty()
    assert instance.stop() == 0
    log = instance.log()
    stamp = r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \[INFO\] \d+ "
    accepted = re.findall(
        stamp + r"sarracenia\.flowcb\.log after_accept accepted: \(lag: [\d.]+ \)  exchange: \S+ "
        r"subtopic: (\S+) a file with baseUrl: (\S+) relPath: (\S+) id: \S{7} size: (\d+) $", log)
    assert {(row[2], int(row[3])) for row in accepted} == {(e.rel_path, e.size) for e in some}
    assert {path for _, path in instance.downloaded()} == {
        f"{subscription.directory}/{entry.rel_path}" for entry in some}


@pytest.mark.release
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_stops_cleanly(subscribe, signal_number):
    subscription = subscribe()
    subscription.declare()
    instance = subscription.start()
    instance.wait_consuming()
    instance.send(signal_number)
    assert instance.wait(10) == 0


def test_stops_without_a_broker(subscribe):
    """Also while it tries to connect."""
    subscription = subscribe(broker="amqp://guest:guest@127.0.0.1:1/")
    instance = subscription.start()
    instance.wait_for_log("instance: 1")
    instance.send(signal.SIGTERM)
    assert instance.wait(10) == 0


@pytest.mark.parametrize("args", [
    ["frobnicate"],
    ["foreground", "subscribe/test", "--no", ""],
    ["foreground", "subscribe/test", "--no", "many"],
    ["foreground", "subscribe/test", "--no"],
])
def test_usage_errors(subscribe, args):
    instance = subscribe().run(*args)
    assert instance.wait(10) == 2, instance.log()
    assert instance.log().strip()


def test_unknown_configuration(subscribe):
    instance = subscribe().run("foreground", "subscribe/nothere", "--no", "1")
    assert instance.wait(10) not in (0, None), instance.log()
    assert "nothere" in instance.log()


@pytest.mark.parametrize("line, hint", [
    ("brokre amqp://localhost/", "broker"),
    ("expire soon", "soon"),
    ("accept (unbalanced", "unbalanced"),
])
def test_broken_configuration(subscribe, line, hint):
    """The file, the line and what is meant."""
    subscription = subscribe()
    with open(subscription.configuration) as file:
        lines = file.read().splitlines()
    subscription.configure("\n".join([*lines, line, ""]))
    instance = subscription.start()
    assert instance.wait(10) == 1, instance.log()
    assert f"test.conf:{len(lines) + 1}" in instance.log()
    assert hint in instance.log()

"""What is logged where: layouts, files that are put aside, readers that do not read."""
import glob
import gzip
import json
import os
import re
import signal
import subprocess

import pytest

from rig.announcer import announce
from rig.process import wait_until
from rig.subscriber import program
from rig.verify import Progress


def lines_of(path):
    opened = gzip.open(path, "rt") if path.endswith(".gz") else open(path)
    with opened as file:
        return file.read().splitlines()


def placed(lines):
    return [line for line in lines if " after_work downloaded ok: " in line]


def work_off(subscription, entries, nginx, *args):
    """Downloads `entries` and stops; returns the instance."""
    subscription.announce(announce(entries, nginx.url))
    instance = subscription.run("foreground", "subscribe/test", "--no", "1", *args)
    Progress(subscription.directory, entries).wait(60)
    subscription.wait_queue_empty()
    assert instance.stop() == 0
    return instance


def test_own_layout(subscribe, nginx, files):
    subscription = subscribe(
        options="logFormat %(levelname)-8s|%(process)d|%(name)s.%(funcName)s|%(filename)s:"
                "%(lineno)04d|%(message)s")
    instance = work_off(subscription, files[:10], nginx)
    for line in instance.log().splitlines():
        assert re.match(rf"(INFO    |WARNING )\|{instance.pid}\|[\w.]+\|\w+\.c:\d{{4}}\|", line)


def test_a_layout_that_is_none(subscribe, nginx, files):
    """The usual one is used, and why is said."""
    subscription = subscribe(options="logFormat %(nosuch)s")
    instance = work_off(subscription, files[:10], nginx)
    assert "there is no '%(nosuch)'" in instance.log()
    assert len(instance.downloaded()) == 10


def test_json_beside_and_instead(subscribe, nginx, files):
    subscription = subscribe(options="logJson on")
    path = f"{subscription.folder}/own.log"
    work_off(subscription, files[:10], nginx, "--logFile", path)
    rows = [json.loads(line) for line in lines_of(f"{subscription.folder}/own.json")]
    text = lines_of(path)
    assert len(rows) == len(text)
    assert all(line.startswith(row["asctime"]) and line.endswith(row["message"])
               for line, row in zip(text, rows))
    instead = work_off(subscription, files[10:20], nginx)
    rows = [json.loads(line) for line in instead.log().splitlines()]
    assert sum(row["funcName"] == "after_work" for row in rows) == 10


@pytest.mark.release
def test_rotation_loses_nothing(subscribe, nginx, many_files):
    """Put aside every second, compressed: every line is in one of the files, once."""
    some = many_files[:4000]
    subscription = subscribe(options="logRotateInterval 1\nlogRotateCount 0\n"
                                     "logRotateCompress on\nmetrics_writeInterval 1")
    path = f"{subscription.folder}/own.log"
    subscription.declare()
    instance = subscription.run("foreground", "subscribe/test", "--no", "1", "--logFile", path)
    done = 0
    while done < len(some) or len(glob.glob(f"{path}.2*.gz")) < 3:
        batch = some[done:done + 400] if done < len(some) else some[:1]
        subscription.publish(announce(batch, nginx.url))
        done += len(batch)
        Progress(subscription.directory, some[:min(done, len(some))]).wait(60)
        assert done < len(some) + 10000
    subscription.wait_queue_empty()
    assert instance.stop() == 0
    logs = [path, *glob.glob(f"{path}.2*")]
    assert all(re.search(r"log\.\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(\.gz)?$", log) for log in logs[1:])
    lines = [line for log in logs for line in placed(lines_of(log))]
    assert sorted(line.split("ok: ")[1].split(" size: ")[0] for line in lines) == sorted(
        f"{subscription.directory}/{entry.rel_path}" for entry in some)


def test_only_the_newest_are_kept(subscribe, rabbit):
    """Errors are lines enough."""
    subscription = subscribe(broker="amqp://guest:guest@127.0.0.1:1/",
                             options="logRotateInterval 1\nlogRotateCount 2\nlogLevel debug\n"
                                     "housekeeping 1")
    path = f"{subscription.folder}/own.log"
    instance = subscription.run("foreground", "subscribe/test", "--no", "1", "--logFile", path)
    seen = set()

    def look():
        seen.update(glob.glob(f"{path}.2*"))
        return len(seen) >= 5
    wait_until(look, 60, lambda: str(seen))
    wait_until(lambda: len(glob.glob(f"{path}.2*")) <= 2, 30, lambda: str(glob.glob(f"{path}*")))
    assert instance.stop() == 0


@pytest.mark.release
def test_a_reader_that_does_not_read(subscribe, nginx, many_files):
    """Work goes on; what could be kept comes later, what is lost is told, and it can be stopped."""
    some = many_files[:5000]
    subscription = subscribe()
    subscription.announce(announce(some, nginx.url))
    reader, writer = os.pipe()
    running = subprocess.Popen(
        [program(), "foreground", "--config", "subscribe/test.conf", "--logStdout", "--no", "1"],
        env=subscription.env, stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.DEVNULL,
        start_new_session=True)
    os.close(writer)
    try:
        Progress(subscription.directory, some).wait(60)
        subscription.wait_queue_empty()
        os.set_blocking(reader, False)
        text = bytearray()

        def read():
            try:
                text.extend(os.read(reader, 1 << 20))
            except BlockingIOError:
                pass
            return b"could not be written and are lost" in text
        wait_until(read, 60, lambda: f"{len(text)} bytes", every=0.001)
        lost = int(re.search(rb" (\d+) lines of the log could not", text)[1])
        lines = text.decode().splitlines()
        assert lost > 0
        assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \[", line)
                   for line in lines), "a line is torn"
        assert len(lines) - 1 + lost >= 2 * len(some)
        os.kill(running.pid, signal.SIGTERM)
        assert running.wait(15) == 0
    finally:
        running.kill()
        running.wait()
        os.close(reader)


def test_stops_while_nobody_reads(subscribe, nginx, files):
    subscription = subscribe()
    subscription.announce(announce(files, nginx.url))
    reader, writer = os.pipe()
    running = subprocess.Popen(
        [program(), "foreground", "subscribe/test", "--logStdout"], env=subscription.env,
        stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.DEVNULL,
        start_new_session=True)
    os.close(writer)
    try:
        Progress(subscription.directory, files).wait(60)
        os.kill(running.pid, signal.SIGTERM)
        assert running.wait(15) == 0
    finally:
        running.kill()
        running.wait()
        os.close(reader)


def test_errors_in_numbers(subscribe, serve, tmp_path, files):
    """A thousand files that are not there: some lines, and a count."""
    empty = tmp_path / "empty"
    empty.mkdir()
    server = serve(empty)
    subscription = subscribe(options="logRepeatMax 5")
    subscription.announce(announce(files[:1000], server.url))
    instance = subscription.start()
    counted = instance.wait_for_log(r"attempt \d+ failed: .* \(and (\d+) more like it in \d+ s\)",
                                    60)
    assert int(counted[1]) > 900
    assert instance.stop() == 0
    lines = [line for line in instance.log().splitlines() if "do_download attempt " in line]
    assert len(lines) < 100

"""Disks that take nothing, and names that cannot be made: what waits stays with the broker, comes
when it can, and holds up nothing else."""
import os
import random
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from rig.announcer import announce
from rig.badserver import BadServer
from rig.calls import Calls
from rig.process import wait_until
from rig.tree import Plan, write
from rig.verify import Progress, compare, files_below

TROUBLE = "nothing new is taken for it until that is over"
WELL = "the disk takes files again"
PREFETCH = 20
# root may write anywhere, unless it gives that up
HUMBLE = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@pytest.fixture
def made(tmp_path, serve):
    """made(paths, size): (entries, nginx that serves them)."""
    def make(paths, size):
        rng = random.Random(size)
        entries = [write(tmp_path / "www", Plan(path, size, b"", b"", False), b"-" * 65536, rng)
                   for path in paths]
        return entries, serve(tmp_path / "www")
    return make


@pytest.fixture
def mounts():
    """mounts(directory, options): a small file system of its own there, which can be changed with
    mounts.change(directory, options)."""
    mounted = []

    def mount(directory, options):
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory])
        if done.returncode:
            pytest.skip("mounting a file system is not permitted here")
        mounted.append(directory)

    def change(directory, options):
        """Tried again while something is being written there."""
        wait_until(lambda: subprocess.run(["mount", "-o", f"remount,{options}", directory],
                                          stderr=subprocess.DEVNULL).returncode == 0,
                   10, f"mount -o remount,{options} {directory}")

    mount.change = change
    yield mount
    for directory in mounted:
        subprocess.run(["umount", "--lazy", directory], check=True)


def count_lines(subscription, text):
    return sum(instance.log().count(text) for instance in subscription.instances)


def kept(subscription):
    """Records in the retry store."""
    listed = subscription.run("retry", "list", f"subscribe/{subscription.name}", "--json",
                              log="retry_list")
    assert listed.wait(30) == 0, listed.log()
    return listed.log().splitlines()


def finish(subscription, entries, seconds=60):
    """All are there, and nothing else."""
    Progress(subscription.directory, entries).wait(seconds)
    subscription.wait_queue_empty()
    assert set(subscription.stop()) == {0}
    outcome = compare(subscription.directory, entries)
    assert outcome.is_good(), outcome


def assert_still_with_broker(subscription, entries):
    """Nothing is acked but what is there, nothing is half there, nothing is in the retry store."""
    sizes = {entry.rel_path: entry.size for entry in entries}

    def settled():
        there = files_below(subscription.directory)
        return (all(os.path.getsize(f"{subscription.directory}/{path}") == sizes.get(path)
                    for path in there)
                and sum(subscription.rabbit.messages(subscription.queue))
                == len(entries) - len(there))

    wait_until(settled, 20, lambda: f"{subscription.rabbit.messages(subscription.queue)} at the "
               f"broker; there: {sorted(files_below(subscription.directory))}")
    assert not kept(subscription)


def assert_said_once(subscription):
    wait_until(lambda: count_lines(subscription, WELL), 20, "the end of the trouble is said")
    assert count_lines(subscription, WELL) == count_lines(subscription, TROUBLE) == 1


@pytest.mark.parametrize("size", [70_000, pytest.param(700_000, marks=pytest.mark.release_only)])
def test_disk_full(subscribe, made, mounts, size):
    """A third of the files fits. The trouble is said once, and its end once."""
    count = 120 if size < 700_000 else 24
    entries, server = made([f"{number % 7}/f{number:04}" for number in range(count)], size)
    subscription = subscribe(options=f"prefetch {PREFETCH}")
    mounts(subscription.directory, f"size={size * count // 3}")
    subscription.announce(announce(entries, server.url))
    instance = subscription.start()
    instance.wait_for_log(TROUBLE, 30)
    position = server.log_position()
    wait_until(lambda: len(server.requests(position)) >= 2, 30, "it tries again twice")
    assert_still_with_broker(subscription, entries)
    assert count_lines(subscription, TROUBLE) == 1
    assert count_lines(subscription, WELL) == 0
    mounts.change(subscription.directory, "size=100m")
    Progress(subscription.directory, entries).wait(60)
    assert_said_once(subscription)
    finish(subscription, entries)


def test_body_without_end(subscribe, made, mounts):
    """It is not what fills the disk, although nothing limits sizes but the announced one."""
    entries, server = made([f"fine/f{number:04}" for number in range(50)], 3000)
    endless = BadServer()
    subscription = subscribe(options=f"prefetch {PREFETCH}")
    mounts(subscription.directory, "size=150m")
    names = ["endless_body", "endless_chunks", "huge_length"]
    subscription.announce(announce([replace(entries[0], rel_path=name) for name in names],
                                   endless.url) + announce(entries, server.url))
    instance = subscription.start()
    for name in names:
        instance.wait_for_log(f"{name}': many times as large as announced", 60)
    Progress(subscription.directory, entries).wait(30)
    assert not count_lines(subscription, TROUBLE)
    assert set(subscription.stop()) == {0}
    assert compare(subscription.directory, entries).is_good()
    endless.close()


def test_disk_read_only(subscribe, made, mounts):
    """Read-only for a while, from before the first file on."""
    entries, server = made([f"{number % 7}/f{number:04}" for number in range(100)], 3000)
    subscription = subscribe(options=f"prefetch {PREFETCH}")
    mounts(subscription.directory, "size=100m")
    mounts.change(subscription.directory, "ro")
    subscription.announce(announce(entries, server.url))
    subscription.start().wait_for_log(TROUBLE, 30)
    assert_still_with_broker(subscription, entries)
    mounts.change(subscription.directory, "rw")
    finish(subscription, entries)


@pytest.mark.parametrize("call, error, text", [
    ("openat2", "ESTALE", "Stale file handle"), ("renameat", "EDQUOT", "Disk quota exceeded"),
    ("syncfs,fsync", "EIO", "Input/output error")])
def test_disk_errors(subscribe, made, tmp_path, call, error, text):
    """A server of files that has forgotten our handles, a quota, a broken disk: nothing is acked,
    it is said once, and all goes on by itself when that is over."""
    entries, server = made([f"{number % 7}/f{number:04}" for number in range(100)], 3000)
    subscription = subscribe(options=f"prefetch {PREFETCH}")
    subscription.announce([])
    instance = subscription.start()
    instance.wait_consuming()
    calls = Calls(instance, f"{tmp_path}/strace.log", call, error)
    subscription.publish(announce(entries, server.url))
    instance.wait_for_log(f"{text}: {TROUBLE}", 30)
    wait_until(lambda: sum(subscription.rabbit.messages(subscription.queue)) == len(entries), 20,
               lambda: f"{subscription.rabbit.messages(subscription.queue)} at the broker")
    assert not kept(subscription)
    calls.close()
    Progress(subscription.directory, entries).wait(60)
    assert_said_once(subscription)
    finish(subscription, entries)


@pytest.mark.parametrize("durability", ["each", "group", "none"])
def test_durability(subscribe, made, tmp_path, durability):
    """What reaches the disk before its rename: by itself, with others, or when the system likes."""
    entries, server = made([f"{number % 3}/f{number:04}" for number in range(40)], 3000)
    subscription = subscribe(options=f"durability {durability}")
    subscription.announce([])
    instance = subscription.start()
    instance.wait_consuming()
    calls = Calls(instance, f"{tmp_path}/strace.log", "fsync,syncfs,renameat")
    subscription.publish(announce(entries, server.url))
    Progress(subscription.directory, entries).wait(60)
    subscription.wait_queue_empty()
    made_safe, renames, directories = {""}, 0, 0
    for line in calls.close():
        call = re.search(rf"(\w+)\(\d+<{re.escape(subscription.directory)}/?([^>]*)>"
                         r"(?:, \"([^\"]+)\")?", line)
        if not call or "resumed" in line:
            continue
        name, path, inflight = call.groups()
        if name == "renameat":
            renames += 1
            assert durability == "none" or made_safe & {"all", f"{path}/{inflight}"}, line
        elif name == "fsync":
            assert durability != "none"
            made_safe.add(path)
            directories += path in "012"
        else:
            assert durability == "group"
            made_safe.add("all")
    assert renames == len(entries)
    assert directories == renames or durability != "each"
    finish(subscription, entries)


def test_directory_not_writable(subscribe, made):
    """The whole of it: as a full disk. One below it: only its files wait."""
    entries, server = made([f"{place}/f{number:04}" for number in range(30)
                            for place in ("open", "closed")], 3000)
    subscription = subscribe(options=f"prefetch {PREFETCH}\nhousekeeping 3s")
    subscription.prefix = HUMBLE
    os.chmod(subscription.directory, 0o555)
    subscription.announce(announce(entries, server.url))
    instance = subscription.start()
    instance.wait_for_log(TROUBLE, 30)
    assert_still_with_broker(subscription, entries)
    os.mkdir(f"{subscription.directory}/closed", 0o555)
    os.chmod(subscription.directory, 0o755)
    Progress(subscription.directory, [entry for entry in entries
                                      if entry.rel_path.startswith("open")]).wait(60)
    assert not os.listdir(f"{subscription.directory}/closed")
    os.chmod(f"{subscription.directory}/closed", 0o755)
    finish(subscription, entries)


def test_names_in_the_way(subscribe, made):
    """A file where a directory should be, a directory where a file should be, and a name that is
    too long: only these files wait, or are given up, and the rest comes."""
    entries, server = made([f"fine/f{number:04}" for number in range(50)]
                           + ["file/below", "directory"], 3000)
    long = type(entries[0])("x" * 300, 3000, entries[0].digest, entries[0].md5,
                            entries[0].mtime_ns)
    subscription = subscribe(options="housekeeping 2s")
    os.mkdir(f"{subscription.directory}/directory")
    with open(f"{subscription.directory}/file", "w"):
        pass
    subscription.announce(announce([long, *entries[::-1]], server.url))
    instance = subscription.start()
    Progress(subscription.directory, entries[:50]).wait(30)
    for path in ("file/below", "directory"):
        instance.wait_for_log(f"{path}': ")
    assert not count_lines(subscription, TROUBLE)
    os.rmdir(f"{subscription.directory}/directory")
    os.remove(f"{subscription.directory}/file")
    finish(subscription, entries)


def test_directory_removed(subscribe, made):
    """The whole directory is removed while it runs: it is made again, and what comes later is
    placed."""
    entries, server = made([f"{number % 7}/f{number:04}" for number in range(200)], 3000)
    subscription = subscribe()
    subscription.announce([])
    subscription.start().wait_consuming()
    subscription.publish(announce(entries[:100], server.url))
    Progress(subscription.directory, entries[:100]).wait(30)
    shutil.rmtree(subscription.directory)
    subscription.publish(announce(entries[100:], server.url))
    finish(subscription, entries[100:])

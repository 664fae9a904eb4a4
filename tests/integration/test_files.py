"""Files announced by a broker and served by nginx end up on disk, whole and once."""
import os
import random

import pytest

from rig.announcer import announce, repeat
from rig.tree import Plan, make_tree, write
from rig.verify import Progress, compare


@pytest.mark.release
@pytest.mark.parametrize("instances", [1, 3])
@pytest.mark.parametrize("wire", ["v02", "v03"])
def test_every_file_is_placed_once(subscribe, nginx, files, wire, instances):
    """5,000 files, a fifth of them announced five times."""
    subscription = subscribe(wire=wire)
    position = nginx.log_position()
    subscription.announce(announce(repeat(files, {5: 0.2}), nginx.url, wire))
    for number in range(1, instances + 1):
        subscription.start(number)

    progress = Progress(subscription.directory, files)
    progress.wait(120)
    subscription.wait_queue_empty()

    assert set(subscription.stop()) == {0}
    outcome = compare(subscription.directory, files)
    assert outcome.is_good(), outcome
    assert not progress.partial
    fetches = nginx.fetches(position)
    assert len(fetches) == len(files)
    assert [path for path, times in fetches.items() if times > 1] == []
    assert subscription.rabbit.messages_ready(subscription.queue) == 0


def test_large_files(subscribe, serve, tmp_path):
    """Images, model fields and one of 20 MB beside small ones."""
    entries = make_tree(tmp_path / "www", small=50, radar=20, grib=10, huge_mb=20, seed=7)
    server = serve(tmp_path / "www")
    subscription = subscribe()
    subscription.announce(announce(entries, server.url))
    subscription.start()
    progress = Progress(subscription.directory, entries)
    progress.wait(60)
    subscription.wait_queue_empty()
    outcome = compare(subscription.directory, entries)
    assert outcome.is_good(), outcome
    assert not progress.partial


ODD_NAMES = ["with space.txt", "hash#tag.txt", "per%cent.txt", "per%20cent.txt", "plus+plus.txt",
             "question?mark.txt", "semi;colon,comma.txt", "Montréal_grêle.txt", "日本.txt",
             "quote'\"quote.txt", "star*dir/below.txt", ".hidden", "a" * 250, "&amp=.txt",
             "ends.tmp"]


@pytest.mark.parametrize("wire", ["v02", "v03"])
def test_odd_names(subscribe, serve, tmp_path, wire):
    """The local name is the announced one, whatever the URL needed."""
    # v02 cannot tell an announced %20 from an encoded space
    names = [name for name in ODD_NAMES if wire == "v03" or "%20" not in name]
    rng = random.Random(1)
    entries = [write(tmp_path / "www", Plan(f"odd/{name}", 300, name.encode(), b"\n", True),
                     b"x" * 65536, rng) for name in names]
    server = serve(tmp_path / "www")
    subscription = subscribe(wire=wire)
    subscription.announce(announce(entries, server.url, wire))
    subscription.start()
    Progress(subscription.directory, entries).wait(30)
    subscription.wait_queue_empty()
    outcome = compare(subscription.directory, entries)
    assert outcome.is_good(), outcome


def test_mirror_off(subscribe, nginx, files):
    """All files in one directory."""
    some = files[:200]
    subscription = subscribe(places="directory {directory}\nmirror off")
    subscription.announce(announce(some, nginx.url))
    subscription.start()
    subscription.wait_queue_empty()
    outcome = compare(subscription.directory, some, lambda e: os.path.basename(e.rel_path))
    assert outcome.is_good(), outcome


def test_accept_and_reject(subscribe, nginx, files):
    """Rules in file order, each with the directory above it; patterns match from the start."""
    some = files[:400]
    subscription = subscribe(places="""\
mirror on
directory {directory}/swob
accept .*/observations/.*
directory {directory}/text
reject .*citypage.*_fr.*
accept .*bulletins/.*
accept .*citypage.*
accept alerts.*
acceptUnmatched off""")
    position = nginx.log_position()
    subscription.announce(announce(some, nginx.url))
    subscription.start()
    subscription.wait_queue_empty()

    def place(entry):
        path = entry.rel_path
        if "/observations/" in path:
            return f"swob/{path}"
        if "bulletins/" in path or ("citypage" in path and "_fr" not in path):
            return f"text/{path}"
        return None

    accepted = [entry for entry in some if place(entry)]
    outcome = compare(subscription.directory, accepted, place)
    assert outcome.is_good(), outcome
    assert set(nginx.fetches(position)) == {entry.rel_path for entry in accepted}


@pytest.mark.parametrize("instances", [1, 3])
@pytest.mark.parametrize("first", ["old", "new"])
def test_newer_version_wins(subscribe, serve, tmp_path, first, instances):
    """Two versions of 200 paths, announced in either order."""
    old = make_tree(tmp_path / "www" / "old", small=200, seed=5)
    rng = random.Random(6)
    new = [write(tmp_path / "www" / "new",
                 Plan(entry.rel_path, entry.size + 7, b"newer ", b"", True), b"N" * 65536, rng)
           for entry in old]
    server = serve(tmp_path / "www")
    subscription = subscribe()
    older = announce(old, server.url + "old", start_ns=1_795_000_000_000_000_000)
    newer = announce(new, server.url + "new", start_ns=1_795_000_060_000_000_000)
    pairs = zip(older, newer) if first == "old" else zip(newer, older)
    subscription.announce([message for pair in pairs for message in pair])
    for number in range(1, instances + 1):
        subscription.start(number)
    subscription.wait_queue_empty(90)
    outcome = compare(subscription.directory, new)
    assert outcome.is_good(), outcome

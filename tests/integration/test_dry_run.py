"""dry_run: everything is said, nothing is done."""
import os

import pytest

from rig.metrics import read, unbalanced
from rig.posts import Post, Shelf, look, plant
from rig.process import wait_until

DATA = b"some bytes"
PLACES = "directory {directory}\nmirror on\nlogReject on\nreject .*unwanted\naccept .*"


@pytest.fixture
def shelf(serve, tmp_path):
    return Shelf(serve, tmp_path)


def posts(shelf):
    wanted = [Post("d/f", DATA), Post("kept", op={"remove": ""}),
              Post("new", DATA, op={"rename": "kept"}), Post("m", op={"directory": ""}),
              Post("l", op={"link": "kept"}), Post("unwanted", DATA)]
    return [shelf.render(post, "v03") for post in wanted]


def run(subscription, log="dry"):
    instance = subscription.run("foreground", "subscribe/test", "--no", "1", "--dry_run", log=log)
    subscription.wait_queue_empty()
    assert instance.stop() == 0
    return instance.log()


def test_nothing_is_done(subscribe, shelf, store):
    """And nothing is remembered: what was read by a dry run is not a duplicate afterwards."""
    subscription = subscribe(places=PLACES, store=store, options="delete on\nretry_ttl 1h")
    plant(subscription.directory, {"kept": b"mine"})
    subscription.announce(posts(shelf))
    log = run(subscription)
    place = subscription.directory
    for line in (f"would download: {place}/d/f from {shelf.url}shelf/", f"would remove: {place}/kept",
                 f"would rename: {place}/new", f"would mkdir: {place}/m", f"would link: {place}/l",
                 "unwanted rejected: 404", "is gone from it", "would be binding"):
        assert line in log, line
    assert "downloaded ok" not in log
    assert look(place) == {"kept": b"mine"}
    counts = read(subscription.metrics())["sr3sub"]
    assert (counts["events"], counts["rejected"], counts["placed"]) == (5, 1, 0)
    assert not unbalanced(counts)
    subscription.announce(posts(shelf)[:1])
    subscription.start()
    subscription.wait_queue_empty()
    assert look(place) == {"kept": b"mine", "d/f": DATA}


def test_what_waits_in_the_retry_store_stays_there(subscribe, shelf, store):
    subscription = subscribe(places=PLACES, store=store, options="prefetch 1\nattempts 1")
    subscription.announce([shelf.render(Post("missing"), "v03")])
    instance = subscription.start()
    instance.wait_for_log("attempt 1 failed")
    subscription.wait_queue_empty()  # because it was kept
    assert instance.stop() == 0
    log = run(subscription)
    assert "missing" not in log
    lister = subscription.run("retry", "list", "subscribe/test")
    wait_until(lambda: not lister.is_running(), 20, "the list is printed")
    assert "missing" in lister.log()


def test_nothing_is_declared(subscribe, rabbit):
    subscription = subscribe(places=PLACES)
    instance = subscription.run("foreground", "subscribe/test", "--dry_run")
    instance.wait_for_log("does not exist .* and 'dry_run' is on")
    assert instance.stop() == 0
    for command, said in (("setup", "would declare queue"), ("cleanup", "would delete queue")):
        done = subscription.run(command, "subscribe/test", "--dry_run")
        wait_until(lambda: not done.is_running(), 20, "it ends")
        assert done.exit_code() == 0 and f"{said} {subscription.queue}" in done.log()
        assert subscription.queue not in rabbit.control("list_queues", "name")
    assert os.path.isfile(subscription.configuration)


def test_cleanup_leaves_the_queue(subscribe, rabbit):
    subscription = subscribe(places=PLACES)
    subscription.declare()
    done = subscription.run("cleanup", "subscribe/test", "--dry_run")
    wait_until(lambda: not done.is_running(), 20, "it ends")
    assert subscription.queue in rabbit.control("list_queues", "name")

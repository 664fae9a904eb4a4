"""Several instances share the work: each file is fetched once, nothing is lost, whatever dies.

`fetched twice` is bounded by what was under way when something died, and is zero elsewhere.
"""
import random
import signal

import pytest

from rig.announcer import announce
from rig.fleet import ACTIVE, Fleet, Pace, summaries
from rig.subscriber import is_sanitized
from rig.tree import Plan, make_tree, write
from rig.verify import Progress, compare

LEASE_SECONDS = 30
OLD_NS, NEW_NS = 1_795_000_000_000_000_000, 1_795_000_060_000_000_000


@pytest.mark.release
def test_five_copies_at_once_for_five_instances(subscribe, nginx, many_files, store):
    """The copies of a file are announced one after the other, so that the broker gives each to
    another instance at the same moment: one of them fetches it."""
    files = many_files[:2000] if is_sanitized() else many_files
    subscription = subscribe(store=store)
    subscription.start_all(5)
    position = nginx.log_position()
    progress = Progress(subscription.directory, files)
    subscription.publish([message for message in announce(files, nginx.url) for _ in range(5)])

    progress.wait(180)
    subscription.wait_queue_empty()
    assert set(subscription.stop()) == {0}
    outcome = compare(subscription.directory, files)
    fetches = nginx.fetches(position)
    summaries.append(f"{len(files)} files announced 5 times, store {store}: {outcome}, "
                     f"{fetches.total()} GETs")
    assert outcome.is_good(), outcome
    assert not progress.partial
    assert len(fetches) == fetches.total() == len(files)


def kill_every_second(fleet, most):
    pace = Pace(1)
    while not fleet.is_done() and fleet.kills < most:
        fleet.kill()
        pace.wait()


def test_kill_one_of_three(subscribe, nginx, files, store):
    """kill -9 of any of three, every second; each may have had its transfers under way."""
    fleet = Fleet(subscribe(store=store), nginx, files[:2000], instances=3)
    fleet.wait_placed(0.02)
    kill_every_second(fleet, 8)
    fleet.finish(fetched_twice=fleet.kills * ACTIVE)


@pytest.mark.release_only
def test_kill_one_of_three_forty_times(subscribe, nginx, many_files, store):
    fleet = Fleet(subscribe(store=store), nginx, many_files, instances=3)
    fleet.wait_placed(0.005)
    kill_every_second(fleet, 42)
    assert fleet.kills >= 40
    fleet.finish(fetched_twice=fleet.kills * ACTIVE)


@pytest.mark.release_only
def test_broker_closes_connections_every_two_seconds(subscribe, rabbit, nginx, files, store):
    """Deliveries come again, to any instance, while their files are still under way."""
    fleet = Fleet(subscribe(store=store), nginx, files[:3000], instances=3)
    fleet.wait_placed(0.02)
    pace = Pace(2)
    while not fleet.is_done():
        rabbit.close_all_connections()
        pace.wait()
    fleet.finish()


@pytest.mark.release_only
def test_instance_stopped_beyond_its_lease(subscribe, nginx, files, store):
    """SIGSTOP while it downloads. Its broker takes back what it had, its claims lapse, and others
    do its work; when it goes on, it sees that it has lost them and does no harm."""
    subscription = subscribe(store=store, options="amqpHeartbeat 4s")
    fleet = Fleet(subscription, nginx, files[:2000], instances=3)
    fleet.wait_placed(0.1)
    victim = subscription.running()[0]
    victim.send(signal.SIGSTOP)
    try:
        fleet.progress.wait(LEASE_SECONDS + 60)
    finally:
        victim.send(signal.SIGCONT)
    victim.wait_for_log("lost connection to broker", 30)
    fleet.finish(fetched_twice=ACTIVE)


@pytest.mark.release_only
def test_a_fifth_of_the_answers_is_503(subscribe, nginx, files, store):
    """For a while; then all files come."""
    fleet = Fleet(subscribe(store=store), nginx, files[:2000], instances=3)
    nginx.trouble(unlucky_percent=20)
    try:
        fleet.wait_placed(0.5)
    finally:
        nginx.trouble()
    fleet.finish()


def two_versions(folder, count, seed):
    """(old, new): each path with other contents below `old` and `new`."""
    old = make_tree(folder / "old", small=count, seed=seed)
    rng = random.Random(seed)
    new = [write(folder / "new", Plan(entry.rel_path, entry.size + 7, b"newer ", b"", True),
                 b"N" * 65536, rng) for entry in old]
    return old, new


@pytest.mark.release
def test_newer_of_two_versions_wins(subscribe, serve, tmp_path, store):
    """500 paths, two versions each; every other path has the newer one announced first. Three
    instances get them in a mixed order, from a slow server."""
    old, new = two_versions(tmp_path / "www", 100 if is_sanitized() else 500, seed=5)
    server = serve(tmp_path / "www")
    older = announce(old, server.slow_url + "old", start_ns=OLD_NS)
    newer = announce(new, server.slow_url + "new", start_ns=NEW_NS)
    messages = []
    for number, pair in enumerate(zip(older, newer)):
        messages += pair if number % 2 else reversed(pair)
    subscription = subscribe(store=store)
    subscription.start_all(3)
    subscription.publish(messages)
    subscription.wait_queue_empty(90)
    assert set(subscription.stop()) == {0}
    outcome = compare(subscription.directory, new)
    summaries.append(f"{len(new)} paths in two versions, store {store}: {outcome}")
    assert outcome.is_good(), outcome

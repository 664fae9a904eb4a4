"""Redis, which replicas share, goes away, forgets, hesitates and refuses. Nothing is lost, and a
file is fetched twice only where Redis forgot who had it."""
import re
import signal
import time

import pytest

from rig.announcer import announce, v02
from rig.fleet import ACTIVE, Fleet, Pace
from rig.keys import claim_name, identity_key, key_base, placed_name
from rig.process import wait_until
from rig.redis import Redis
from rig.subscriber import Store
from rig.verify import Progress, compare, files_below

COMPLAINT = r"(?m)^.*\[(?:WARNING|ERROR)\].*(?i:redis).*$"
PREFETCH = 256


@pytest.fixture
def fleet(subscribe, redis, nginx, files):
    """Three instances with 2,000 files, the first of them placed."""
    made = Fleet(subscribe(store=Store(redis)), nginx, files[:2000], instances=3)
    made.wait_placed(0.1)
    return made


def complaints(instance):
    return re.findall(COMPLAINT, instance.log())


class Notice:
    """Made before an outage. An instance may have complained before, until it was connected."""

    def __init__(self, fleet):
        self.before = {instance: len(complaints(instance))
                       for instance in fleet.subscription.running()}

    def wait(self):
        """Until every instance has noticed."""
        for instance, count in self.before.items():
            wait_until(lambda: len(complaints(instance)) > count, 30,
                       lambda: f"a complaint about Redis:\n{instance.log()[-2000:]}")


def test_restarted_empty(fleet, redis):
    """What was claimed and placed is forgotten. Files are fetched again if they are announced
    again: those announced twice; and those that were under way, since nobody knows who else may
    have put another version in their place before they could be confirmed."""
    notice = Notice(fleet)
    redis.kill()
    notice.wait()
    redis.forget()
    redis.start()
    fleet.finish(fetched_twice=3 * ACTIVE, also=fleet.repeated)


def test_restarted_with_its_data(fleet, redis):
    for share in (0.2, 0.5):
        fleet.wait_placed(share)
        redis.kill()
        redis.start()
    fleet.finish()


@pytest.mark.release_only
def test_paused(fleet, redis):
    """Connections stay open but nothing is answered, for less than a lease."""
    with redis.paused():
        Pace(15).wait()
    fleet.finish()


def test_read_only(fleet, redis):
    notice = Notice(fleet)
    with redis.read_only():
        notice.wait()
    fleet.finish()


def test_out_of_memory(fleet, redis):
    notice = Notice(fleet)
    with redis.out_of_memory():
        notice.wait()
    fleet.finish()


def test_hesitates(fleet, redis):
    """Two seconds without an answer, again and again: slow, but nothing is wrong."""
    pace = Pace(3)
    for _ in range(3):
        redis.hesitate(2000)
        pace.wait()
    fleet.finish()


@pytest.mark.release_only
def test_everything_at_once(subscribe, redis, rabbit, serve, work, many_files):
    """Two minutes in which a replica is killed each second, the broker closes all connections,
    Redis dies, forgets, stands still and refuses, a replica stands still beyond its lease, and a
    fifth of the requests fail.

    When Redis forgets, what is announced again is fetched again: files announced twice, and what
    was under way in instances that died or lost their connection then."""
    server = serve(f"{work}/www", slow_rate=80)
    subscription = subscribe(store=Store(redis), options="amqpHeartbeat 4s")
    fleet = Fleet(subscription, server, many_files, instances=3, name="everything at once")
    fleet.wait_placed(0.005)
    frozen = subscription.running()[0]
    events = {
        5: lambda: frozen.send(signal.SIGSTOP),
        20: lambda: (redis.kill(), redis.forget(), redis.start()),
        35: lambda: redis.server.send(signal.SIGSTOP),
        42: lambda: redis.server.send(signal.SIGCONT),
        45: lambda: frozen.send(signal.SIGCONT),
        50: lambda: server.trouble(unlucky_percent=20),
        60: lambda: redis.client.replicaof("127.0.0.1", "1"),
        65: lambda: redis.client.replicaof("NO", "ONE"),
        75: lambda: (redis.kill(), redis.start()),
        90: lambda: server.trouble(),
    }
    pace = Pace(1)
    for second in range(120):
        if second in events:
            events[second]()
        fleet.kill(spare=frozen)
        if second % 2:
            rabbit.close_all_connections()
        pace.wait()
    fleet.finish(fetched_twice=(fleet.kills + 1) * ACTIVE + 3 * PREFETCH, also=fleet.repeated)


def test_absent_at_start(subscribe, tmp_path, nginx, files):
    """Says so once, waits, and begins by itself when Redis is there."""
    some = files[:50]
    redis = Redis(tmp_path / "redis")
    subscription = subscribe(store=Store(redis))
    subscription.announce(announce(some, nginx.url))
    instance = subscription.start()
    instance.wait_for_log(COMPLAINT, 30)
    pace = Pace(5)
    pace.wait()  # time in which it tries again, more than once
    assert instance.is_running()
    assert len(complaints(instance)) == 1, complaints(instance)
    assert str(redis.port) in complaints(instance)[0]
    assert not files_below(subscription.directory)
    redis.start()
    try:
        Progress(subscription.directory, some).wait(90)
        subscription.wait_queue_empty()
    finally:
        subscription.stop()
        redis.close()
    outcome = compare(subscription.directory, some)
    assert outcome.is_good(), outcome


def test_wrong_password(subscribe, redis, nginx, files):
    """Names the server and the option to correct, and not the password; begins once it is right."""
    some, wrong = files[:50], "Opensesame-18"

    class Mistaken(Store):
        def options(self, password=wrong):
            return super().options(password)

    subscription = subscribe(store=Mistaken(redis))
    subscription.announce(announce(some, nginx.url))
    instance = subscription.start()
    instance.wait_for_log(rf"(?mi)^.*\[(WARNING|ERROR)\](?=.*{redis.port})(?=.*password)"
                          rf"(?=.*(url|credentials)).*$", 30)
    assert instance.is_running()
    with redis.also_allowed(wrong):
        Progress(subscription.directory, some).wait(90)
        subscription.wait_queue_empty()
    assert wrong not in instance.log()


def test_nodupe_fail_open(subscribe, redis, nginx, files):
    """Without Redis files are fetched all the same and acked; when it is back, once each."""
    before, after = files[:100], files[100:200]
    redis.stop()
    subscription = subscribe(store=Store(redis), options="nodupe_fail open")
    subscription.announce(announce(before, nginx.url))
    instance = subscription.start()
    Progress(subscription.directory, before).wait(90)
    subscription.wait_queue_empty()
    assert complaints(instance)

    redis.start()
    instance.wait_for_log("the store answers again", 90)
    position = nginx.log_position()
    for _ in range(2):
        subscription.publish(announce(after, nginx.url))
        Progress(subscription.directory, after).wait(60)
        subscription.wait_queue_empty()
    assert nginx.fetches(position).total() == len(after)
    assert subscription.stop() == [0]
    outcome = compare(subscription.directory, before + after)
    assert outcome.is_good(), outcome


def test_key_of_another_type(subscribe, redis, nginx, files):
    """Something else is stored under one key: that announcement waits, all others go on."""
    some, poisoned = files[:50], files[7]
    subscription = subscribe(store=Store(redis))
    base = key_base(subscription.name)
    keytext = identity_key("md5", poisoned.md5)
    names = [placed_name(base, keytext, poisoned.rel_path),
             claim_name(base, keytext, poisoned.rel_path)]
    for name in names:
        redis.client.rpush(name, "not", "ours")
    others = [entry for entry in some if entry is not poisoned]
    subscription.announce([v02(poisoned, nginx.url, time.time_ns()),
                           *announce(others, nginx.url)])
    instance = subscription.start()
    Progress(subscription.directory, others).wait(60)
    instance.wait_for_log(r"WRONGTYPE", 30)
    wait_until(lambda: subscription.rabbit.messages(subscription.queue) == (0, 1), 30,
               lambda: f"{subscription.rabbit.messages(subscription.queue)}")
    redis.client.delete(*names)
    Progress(subscription.directory, some).wait(120)
    subscription.wait_queue_empty()
    outcome = compare(subscription.directory, some)
    assert outcome.is_good(), outcome

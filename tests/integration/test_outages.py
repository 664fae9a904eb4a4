"""Parts go away and come back. After each: nothing lost, nothing corrupt, no stray file."""
import os
import signal
import time

import pytest

from rig.announcer import announce, repeat
from rig.process import wait_until
from rig.verify import Progress, compare

AWAY_SECONDS = 20
ACTIVE = 32  # transfersMax: what one instance may have under way when it is killed


class Run:
    """Files on their way at the pace of nginx's slow port, so that there is a middle to act in."""

    def __init__(self, subscription, nginx, files, instances=1):
        self.subscription, self.nginx, self.files = subscription, nginx, files
        self.position = nginx.log_position()
        self.progress = Progress(subscription.directory, files)
        subscription.announce(announce(repeat(files, {2: 0.1}), nginx.slow_url))
        for number in range(1, instances + 1):
            subscription.start(number)

    def wait_placed(self, share, seconds=60):
        """Waits until this share of the files is there."""
        most_missing = len(self.files) * (1 - share)
        wait_until(lambda: self.progress.update() <= most_missing, seconds,
                   lambda: f"{share:.0%} placed, {len(self.progress.missing)} files missing")

    def finish(self, seconds=180, fetched_twice=0):
        """Waits for the rest, stops, and counts."""
        self.progress.wait(seconds)
        self.subscription.wait_queue_empty()
        assert set(self.subscription.stop()) <= {0}
        outcome = compare(self.subscription.directory, self.files)
        assert outcome.is_good(), outcome
        assert not self.progress.partial
        again = [path for path, n in self.nginx.fetches(self.position).items() if n > 1]
        assert len(again) <= fetched_twice, f"{len(again)} files fetched twice: {again[:3]}"


def test_broker_away(subscribe, rabbit, nginx, files):
    """RabbitMQ stopped for 20 s and started again."""
    subscription = subscribe()
    run = Run(subscription, nginx, files[:2000])
    run.wait_placed(0.2)
    rabbit.stop()
    time.sleep(AWAY_SECONDS)  # the length of the outage, not a wait for something
    assert subscription.running(), "sr3sub must outlive its broker"
    rabbit.start()
    run.finish()


def test_connections_closed_by_broker(subscribe, rabbit, nginx, files):
    run = Run(subscribe(), nginx, files[:2000])
    for share in (0.1, 0.25, 0.4, 0.55, 0.7):
        run.wait_placed(share)
        rabbit.close_all_connections()
    run.finish()


@pytest.mark.release
def test_kill_one_of_three_every_second(subscribe, nginx, files):
    """kill -9, then the same instance again; at least 15 times unless the work is done before."""
    subscription = subscribe()
    run = Run(subscription, nginx, files, instances=3)
    run.wait_placed(0.02)
    kills = 0
    while run.progress.update() and kills < 20:
        victim = subscription.running()[0]  # the one that runs longest
        number = int(victim.args[-1])
        assert victim.kill() == -signal.SIGKILL
        kills += 1
        subscription.start(number)
        second = time.monotonic() + 1  # the pace of the kills, not a wait for something
        wait_until(lambda: time.monotonic() > second, 5, "the next kill")
    print(f"{kills} kills")
    run.finish(fetched_twice=kills * ACTIVE)


@pytest.mark.release
def test_stop_in_the_middle(subscribe, rabbit, nginx, files):
    """SIGTERM: leaves within 10 s, hands back at once what it has not done, loses nothing."""
    subscription = subscribe()
    run = Run(subscription, nginx, files[:2000])
    run.wait_placed(0.2)
    instance = subscription.running()[0]
    instance.send(signal.SIGTERM)
    assert instance.wait(10) == 0
    announced = len(run.files) + 200
    placed = len(run.files) - run.progress.update()
    least = announced - placed - 200  # 200 copies may have been acked already
    wait_until(lambda: least <= rabbit.messages_ready(subscription.queue) <= announced - placed,
               2, lambda: f"{rabbit.messages_ready(subscription.queue)} messages handed back, "
                          f"{placed} of {announced} done")
    subscription.start()
    run.finish()


def test_file_server_away(subscribe, nginx, files):
    """nginx stopped for 20 s and started again."""
    run = Run(subscribe(), nginx, files[:2000])
    run.wait_placed(0.2)
    nginx.stop()
    time.sleep(AWAY_SECONDS)  # the length of the outage, not a wait for something
    nginx.start()
    run.finish(fetched_twice=ACTIVE)


def test_some_answers_are_503(subscribe, nginx, files):
    """One in ten requests fails; every file comes in the end."""
    some = files[:300]
    subscription = subscribe()
    nginx.trouble(unlucky_percent=10)
    try:
        subscription.announce(announce(some, nginx.url))
        subscription.start()
        Progress(subscription.directory, some).wait(120)
        subscription.wait_queue_empty()
    finally:
        nginx.trouble()
    outcome = compare(subscription.directory, some)
    assert outcome.is_good(), outcome


def test_frozen_broker(subscribe, rabbit, nginx, files):
    """A broker that answers no more, its connections still open, is noticed by its heartbeats."""
    some = files[:50]
    subscription = subscribe(options="amqpHeartbeat 2s")
    subscription.declare()
    instance = subscription.start()
    instance.wait_consuming()
    os.killpg(rabbit.server.pid, signal.SIGSTOP)
    try:
        instance.wait_for_log("lost connection to broker", 8)
    finally:
        os.killpg(rabbit.server.pid, signal.SIGCONT)
    subscription.announce(announce(some, nginx.url))
    Progress(subscription.directory, some).wait(60)
    subscription.wait_queue_empty()
    outcome = compare(subscription.directory, some)
    assert outcome.is_good(), outcome

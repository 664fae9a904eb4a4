"""Parts go away and come back. After each: nothing lost, nothing corrupt, no stray file."""
import os
import signal
import time

import pytest

from rig.announcer import announce
from rig.fleet import ACTIVE, Fleet
from rig.process import wait_until
from rig.verify import Progress, compare

AWAY_SECONDS = 20


def test_broker_away(subscribe, rabbit, nginx, files):
    """RabbitMQ stopped for 20 s and started again."""
    subscription = subscribe()
    run = Fleet(subscription, nginx, files[:2000])
    run.wait_placed(0.2)
    rabbit.stop()
    time.sleep(AWAY_SECONDS)  # the length of the outage, not a wait for something
    assert subscription.running(), "sr3sub must outlive its broker"
    rabbit.start()
    run.finish()


def test_connections_closed_by_broker(subscribe, rabbit, nginx, files):
    run = Fleet(subscribe(), nginx, files[:2000])
    for share in (0.1, 0.25, 0.4, 0.55, 0.7):
        run.wait_placed(share)
        rabbit.close_all_connections()
    run.finish()


@pytest.mark.release
def test_stop_in_the_middle(subscribe, rabbit, nginx, files):
    """SIGTERM: leaves within 10 s, hands back at once what it has not done, loses nothing."""
    subscription = subscribe()
    run = Fleet(subscription, nginx, files[:2000])
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
    run = Fleet(subscribe(), nginx, files[:2000])
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

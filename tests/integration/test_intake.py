"""How much is taken from the broker, and when: messageCountMax, messageRateMax, vip."""
import subprocess

import pytest

from rig.metrics import read, unbalanced
from rig.posts import Post, Shelf, endings, look, v03, wait_endings
from rig.process import wait_until
from rig.subscriber import log_seconds

DATA = b"some bytes"
PLACES = "directory {directory}\nmirror on\nlogReject on"
NOBODYS = "192.0.2.123"  # RFC 5737


@pytest.fixture
def shelf(serve, tmp_path):
    return Shelf(serve, tmp_path)


def posts(shelf, count, first=0):
    return [shelf.render(Post(f"f{i}", DATA), "v03") for i in range(first, first + count)]


# ---- messageCountMax ----

def test_count(subscribe, shelf, rabbit):
    """So many are settled, the rest stays in the queue for whoever comes next."""
    subscription = subscribe(places=PLACES, options="messageCountMax 30\nprefetch 7")
    subscription.announce(posts(shelf, 100))
    for taken in (30, 60, 90):
        instance = subscription.start()
        wait_until(lambda: not instance.is_running(), 30, "it stops by itself")
        assert instance.exit_code() == 0
        assert len(look(subscription.directory)) == taken
        wait_until(lambda: rabbit.messages(subscription.queue) == (100 - taken, 0), 20,
                   "the rest is in the queue")
        counts = read(subscription.metrics())["sr3sub"]
        assert (counts["received"], counts["placed"]) == (30, 30) and not unbalanced(counts)


def test_count_with_failures(subscribe, shelf, rabbit):
    """What waits for another try does not keep it from stopping, and is not lost."""
    subscription = subscribe(places=PLACES, options="messageCountMax 3")
    subscription.announce([v03(Post("gone", DATA), "http://127.0.0.1:1/")] + posts(shelf, 4))
    instance = subscription.start()
    wait_until(lambda: not instance.is_running(), 30, "it stops by itself")
    assert instance.exit_code() == 0
    assert len(look(subscription.directory)) == 2
    wait_until(lambda: rabbit.messages(subscription.queue) == (3, 0), 20, "three are left")


# ---- messageRateMax ----

def test_rate(subscribe, shelf):
    """Rejected ones count too. It is never faster; how much slower depends on the machine."""
    subscription = subscribe(places=f"{PLACES}\nreject .*f1[0-9]\naccept .*",
                             options="messageRateMax 20")
    subscription.announce(posts(shelf, 60))
    subscription.start()
    found = wait_endings(subscription, 60)
    subscription.wait_queue_empty()
    assert [ending.verdict for ending in found].count("404") == 10
    times = sorted(log_seconds(line[:23]) for line in subscription.instances[0].log().splitlines()
                   if " ok: " in line or " rejected: " in line)
    assert times[-1] - times[0] >= 59 / 20 - 0.5, "faster than it may"
    assert set(subscription.stop()) == {0}
    assert not unbalanced(read(subscription.metrics())["sr3sub"])


def test_what_waits_for_its_turn_is_handed_back(subscribe, shelf, rabbit):
    """At a stop, and when the connection is lost."""
    subscription = subscribe(places=PLACES, options="messageRateMax 0.5")
    subscription.announce(posts(shelf, 20))
    instance = subscription.start()
    wait_until(lambda: len(endings(subscription)) >= 2, 30, "the first is placed")
    rabbit.close_all_connections()
    wait_until(lambda: len(endings(subscription)) >= 4, 60, "it goes on")
    assert instance.stop() == 0
    done = len(look(subscription.directory))
    wait_until(lambda: sum(rabbit.messages(subscription.queue)) == 20 - done, 20,
               "the rest is in the queue")
    assert not unbalanced(read(subscription.metrics())["sr3sub"])


# ---- vip ----

def state(subscription):
    lister = subscription.run("status", "--json", log="status")
    wait_until(lambda: not lister.is_running(), 20, "status is printed")
    subscription.instances.remove(lister)
    return lister.log()


@pytest.fixture
def address():
    """Gives this host an address, or takes it away again."""
    def set_it(there):
        done = subprocess.run(["ip", "address", "add" if there else "delete", f"{NOBODYS}/32",
                               "dev", "lo"], capture_output=True, text=True)
        if there and done.returncode:
            pytest.skip(f"addresses cannot be added here: {done.stderr}")
    yield set_it
    set_it(False)


def test_vip_of_this_host(subscribe, shelf):
    subscription = subscribe(places=PLACES, options=f"vip {NOBODYS}\nvip 127.0.0.1")
    subscription.announce(posts(shelf, 5))
    subscription.start()
    wait_endings(subscription, 5)
    subscription.wait_queue_empty()
    assert "waitVip" not in state(subscription)


def test_vip_comes_and_goes(subscribe, shelf, rabbit, address):
    """While it is elsewhere nothing is taken, not for a moment, and connections are kept."""
    subscription = subscribe(places=PLACES, options=f"vip {NOBODYS}\nmetrics_writeInterval 1s")
    subscription.announce(posts(shelf, 5))
    instance = subscription.start()
    instance.wait_consuming()
    instance.wait_for_log("no address of vip belongs to this host")
    wait_until(lambda: "waitVip" in state(subscription), 30, "status says so")
    rabbit.close_all_connections()
    instance.wait_for_log("lost connection(.|\n)*getSetup binding")
    assert rabbit.messages(subscription.queue) == (5, 0) and not endings(subscription)
    address(True)
    instance.wait_for_log("work goes on")
    wait_endings(subscription, 5)
    subscription.wait_queue_empty()
    address(False)
    instance.wait_for_log("work goes on(.|\n)*no address of vip")
    subscription.publish(posts(shelf, 5, 5))
    wait_until(lambda: rabbit.messages(subscription.queue) == (5, 0), 20, "they stay there")
    address(True)
    wait_endings(subscription, 10)
    assert set(subscription.stop()) == {0}

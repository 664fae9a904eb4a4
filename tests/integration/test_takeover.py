"""A retiring sr3 leaves what it had still to fetch in its retry lists; sr3sub goes on with it."""
import os

import pytest

from rig.process import wait_until
from rig.sr3_retry import list_name, retry_entry
from rig.subscriber import Store
from rig.verify import Progress, compare


def expect_files(subscription, entries):
    Progress(subscription.directory, entries).wait(120)
    assert set(subscription.stop()) == {0}
    outcome = compare(subscription.directory, entries)
    assert outcome.is_good(), outcome


@pytest.mark.parametrize("instances", [1, 3])
def test_lists_in_redis(subscribe, redis, nginx, files, instances):
    """Both lists, with an entry that nobody can read and one that is in them twice."""
    ready, new = files[:40], files[40:80]
    subscription = subscribe(store=Store(redis))
    name = list_name(subscription.queue)
    redis.client.rpush(name, *[retry_entry(entry, nginx.url) for entry in ready],
                       '{"py/object": "sarracenia.Message", "pubTime": ')
    redis.client.rpush(f"{name}.new", *[retry_entry(entry, nginx.url) for entry in new + ready[:1]])
    position = nginx.log_position()
    for number in range(1, instances + 1):
        subscription.start(number)
    Progress(subscription.directory, ready + new).wait(120)
    wait_until(lambda: not redis.client.exists(name, f"{name}.new"), 30, "the lists are empty")
    expect_files(subscription, ready + new)
    assert nginx.fetches(position).total() == len(ready + new)


def test_files_on_disk(subscribe, nginx, files):
    """In the state directory of the configuration, one entry a line."""
    ready, new = files[:40], files[40:80]
    subscription = subscribe()
    state = f"{subscription.cache}/sr3/subscribe/{subscription.name}"
    os.makedirs(state)
    for name, entries in (("diskqueue_work_retry_01", ready), ("diskqueue_work_retry_01.new", new)):
        with open(f"{state}/{name}", "w") as file:
            file.writelines(f"{retry_entry(entry, nginx.url)}\n" for entry in entries)
    subscription.start()
    expect_files(subscription, ready + new)

"""What fails for now is kept in the retry store, acked, and comes when it can be had."""
import json

import pytest

from rig.announcer import announce
from rig.fileserver import Answer, FileServer
from rig.process import wait_until
from rig.tree import make_tree
from rig.verify import Progress, compare

IN_HAND = 20  # prefetch, so that little waits in hand and the rest goes to the store
QUICK = f"prefetch {IN_HAND}\nhousekeeping 4s"  # the longest delay between two tries, too


@pytest.fixture
def unwell(nginx):
    """nginx answers 503 to everything until unwell.trouble()."""
    nginx.trouble(unlucky_percent=100)
    yield nginx
    nginx.trouble()


def records(subscription, *arguments):
    """What `sr3sub retry list` prints, as JSON."""
    listed = subscription.run("retry", "list", f"subscribe/{subscription.name}", "--json",
                              *arguments, log="retry_list")
    assert listed.wait(30) == 0, listed.log()
    return [json.loads(line) for line in listed.log().splitlines()]


def wait_kept(subscription, count):
    """Waits until nothing is left at the broker but what is in hand, and the store has the rest."""
    wait_until(lambda: sum(subscription.rabbit.messages(subscription.queue)) <= IN_HAND, 90,
               lambda: f"{subscription.rabbit.messages(subscription.queue)} at the broker")
    wait_until(lambda: len(records(subscription)) >= count - IN_HAND, 30,
               lambda: f"{len(records(subscription))} of {count} kept", every=0.5)


def finish(subscription, entries):
    Progress(subscription.directory, entries).wait(120)
    subscription.wait_queue_empty()
    wait_until(lambda: not records(subscription), 60,
               lambda: f"{len(records(subscription))} records left", every=0.5)
    assert set(subscription.stop()) <= {0}
    outcome = compare(subscription.directory, entries)
    assert outcome.is_good(), outcome


@pytest.mark.release
def test_kept_while_the_server_is_unwell(subscribe, unwell, files, store):
    """More than can wait in hand fails, is acked, survives the death of every instance, and comes
    when the server is well again."""
    some = files[:300]
    subscription = subscribe(store=store, options=QUICK)
    subscription.announce(announce(some, unwell.url))
    subscription.start(1)
    subscription.start(2)
    wait_kept(subscription, len(some))
    for instance in subscription.running():
        instance.kill()
    ready = subscription.rabbit.messages_ready(subscription.queue)
    assert ready <= 2 * IN_HAND

    unwell.trouble()
    subscription.start(1)
    subscription.start(2)
    finish(subscription, some)


def test_gone(subscribe, nginx, files, store):
    """A file that is not there is asked for a few times, then given up; others are not held up."""
    gone, some = files[0], files[1:21]
    subscription = subscribe(store=store, options="housekeeping 2s")
    position = nginx.log_position()
    messages = announce([gone, *some], nginx.url)
    messages[0].body = messages[0].body.rstrip() + b".missing"
    subscription.announce(messages)
    instance = subscription.start()
    Progress(subscription.directory, some).wait(60)
    instance.wait_for_log(r"gave up .*\.missing", 60)
    finish(subscription, some)
    tried = [request for request in nginx.requests(position) if request.path.endswith(".missing")]
    assert 2 < len(tried) < 10


def test_retry_after_is_honoured(subscribe, tmp_path):
    """Nothing is asked of that server, for this file or another, before the time it named."""
    pause_seconds = 4
    entries = make_tree(tmp_path, small=10)
    bodies = {entry.rel_path: (tmp_path / entry.rel_path).read_bytes() for entry in entries}
    answers = {path: lambda count, body=body: body for path, body in bodies.items()}
    first = entries[0].rel_path
    busy = Answer(503, b"", {"Retry-After": str(pause_seconds)})
    answers[first] = lambda count: busy if count == 1 else bodies[first]
    server = FileServer(answers)
    subscription = subscribe()
    subscription.announce(announce(entries[:1], server.url))
    instance = subscription.start()
    instance.wait_for_log("attempt 1 failed", 30)
    subscription.publish(announce(entries[1:], server.url))
    Progress(subscription.directory, entries).wait(90)
    subscription.wait_queue_empty()
    server.close()
    (refused_at, path), *others = server.log
    assert path == first and server.requests[first] == 2
    assert min(at for at, _ in others) - refused_at >= pause_seconds


def test_retry_command(subscribe, unwell, files, store):
    """list says what waits and why; drop forgets; now does not wait any longer."""
    some = files[:60]
    subscription = subscribe(store=store, options=f"prefetch {IN_HAND}\nhousekeeping 1h")
    subscription.announce(announce(some, unwell.url))
    subscription.start()
    wait_kept(subscription, len(some))
    wait_until(lambda: any(record["tries"] for record in records(subscription)), 60,
               "files that were tried to be kept")
    assert subscription.stop() == [0]
    kept = records(subscription)
    assert all("503" in record["reason"] for record in kept if record["tries"])
    dropped = kept[0]["relPath"]
    assert dropped in {entry.rel_path for entry in some}

    name = f"subscribe/{subscription.name}"
    command = subscription.run("retry", "drop", name, dropped, log="retry_drop")
    assert command.wait(30) == 0 and command.log().startswith("1 of "), command.log()
    assert dropped not in {record["relPath"] for record in records(subscription)}

    unwell.trouble()
    command = subscription.run("retry", "now", name, log="retry_now")
    assert command.wait(30) == 0, command.log()
    subscription.start()
    finish(subscription, [entry for entry in some if entry.rel_path != dropped])

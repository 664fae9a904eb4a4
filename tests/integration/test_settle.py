"""Settling up: setup, cleanup, retry, bindings that went, and the files that remember."""
import json
import os
import socket

import amqp
import pytest

from rig.announcer import Publisher, announce
from rig.process import free_port, wait_until
from rig.subscriber import Store
from rig.verify import Progress

COMMAND_SECONDS = 40


def run(subscription, *args, seconds=COMMAND_SECONDS):
    """A command to its end: (exit status, what it printed)."""
    instance = subscription.run(*args, log=args[0])
    return instance.wait(seconds), instance.log()


def bindings(rabbit, queue):
    """{(exchange, topic)} of a queue, without the one every queue has."""
    rows = rabbit.control("list_bindings", "source_name", "destination_name", "routing_key")
    cells = [row.split("\t") for row in rows.splitlines()]
    return {(row[0], row[2]) for row in cells if row[0] and row[1] == queue}


def state(subscription, name=""):
    return f"{subscription.cache_of(1)}/sr3/subscribe/{subscription.name}/{name}"


def read(path):
    with open(path) as file:
        return file.read()


def declare_exchange(rabbit, name):
    with Publisher(rabbit) as publisher:
        publisher.declare_exchange(name)


def exchange_exists(rabbit, name):
    with rabbit.connect() as connection:
        try:
            connection.channel().exchange_declare(name, "topic", passive=True)
            return True
        except amqp.NotFound:
            return False


def reconfigure(subscription, old, new):
    text = read(subscription.configuration)
    assert old in text
    subscription.configure(text.replace(old, new))


@pytest.fixture
def silence():
    """The port of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


# ---- setup ----

@pytest.mark.parametrize("word", ["setup", "declare"])
def test_setup_declares(subscribe, rabbit, word):
    subscription = subscribe()
    declare_exchange(rabbit, subscription.exchange)
    status, log = run(subscription, word, "subscribe/test")
    assert status == 0, log
    assert bindings(rabbit, subscription.queue) == {(subscription.exchange, "v02.post.#")}
    assert f"queue declared {subscription.queue} (as: amqp://guest@127.0.0.1" in log
    assert f"binding {subscription.queue} with v02.post.# to {subscription.exchange}" in log
    assert run(subscription, word, "subscribe/test")[0] == 0


def test_setup_of_patterns_and_of_all(subscribe, rabbit):
    """Three configurations in one folder; the one that cannot be declared stops no other."""
    subscription = subscribe()
    declare_exchange(rabbit, subscription.exchange)
    text = read(subscription.configuration)
    for name in ["other", "third"]:
        with open(subscription.configuration.replace("test.conf", f"{name}.conf"), "w") as file:
            file.write(text.replace(subscription.queue, f"{subscription.queue}.{name}"))
    assert run(subscription, "setup", "subscribe/o*")[0] == 0
    assert rabbit.messages_ready(subscription.queue) is None
    assert rabbit.messages_ready(f"{subscription.queue}.other") == 0
    reconfigure(subscription, f"exchange {subscription.exchange}", "exchange xs_nowhere")
    status, log = run(subscription, "setup")
    assert status == 1
    assert "xs_nowhere" in log and "1 of 3 configurations" in log
    assert rabbit.messages_ready(f"{subscription.queue}.third") == 0
    status, log = run(subscription, "setup", "subscribe/z*")
    assert status == 1 and "subscribe/z*" in log


def test_setup_makes_no_exchange(subscribe, rabbit):
    subscription = subscribe(exchange="xs_missing")
    status, log = run(subscription, "setup", "subscribe/test")
    assert status == 1
    assert "xs_missing" in log and "does not exist" in log
    assert not exchange_exists(rabbit, "xs_missing")


@pytest.mark.parametrize("command", ["setup", "cleanup"])
def test_broker_away(subscribe, rabbit, silence, command):
    """Refused, or silent: the command ends by itself and says why."""
    for port in [free_port(), silence]:
        subscription = subscribe(broker=f"amqp://guest:guest@127.0.0.1:{port}/",
                                 options="connectTimeout 1")
        status, log = run(subscription, command, "subscribe/test")
        assert status == 1
        assert f"127.0.0.1:{port}" in log


def test_two_replicas_declare_at_once(subscribe, rabbit, nginx, files):
    subscription = subscribe()
    declare_exchange(rabbit, subscription.exchange)
    instances = [subscription.start(number) for number in (1, 2)]
    for instance in instances:
        instance.wait_consuming()
    assert bindings(rabbit, subscription.queue) == {(subscription.exchange, "v02.post.#")}
    subscription.publish(announce(files[:50], nginx.url))
    Progress(subscription.directory, files[:50]).wait(30)
    assert subscription.stop() == [0, 0]
    assert len(json.loads(read(state(subscription, "subscriptions.json")))) == 1


# ---- bindings that went ----

def start_and_stop(subscription):
    instance = subscription.start()
    instance.wait_consuming()
    assert instance.stop() == 0
    return instance.log()


def test_removed_subtopic_is_unbound(subscribe, rabbit):
    subscription = subscribe()
    exchange = subscription.exchange
    declare_exchange(rabbit, exchange)
    reconfigure(subscription, "subtopic #", "subtopic obs.#\nsubtopic radar.#")
    start_and_stop(subscription)
    assert bindings(rabbit, subscription.queue) == {(exchange, "v02.post.obs.#"),
                                                    (exchange, "v02.post.radar.#")}
    reconfigure(subscription, "subtopic radar.#", "subtopic model.#")
    log = start_and_stop(subscription)
    assert f"unbinding {subscription.queue} with v02.post.radar.# from {exchange}" in log
    assert bindings(rabbit, subscription.queue) == {(exchange, "v02.post.obs.#"),
                                                    (exchange, "v02.post.model.#")}
    assert "unbinding" not in start_and_stop(subscription)


def test_setup_unbinds_too_and_leaves_others_alone(subscribe, rabbit):
    """A binding that somebody else made is in no record of ours."""
    subscription = subscribe()
    exchange = subscription.exchange
    declare_exchange(rabbit, exchange)
    reconfigure(subscription, "subtopic #", "subtopic obs.#")
    assert run(subscription, "setup", "subscribe/test")[0] == 0
    with rabbit.connect() as connection:
        connection.channel().queue_bind(subscription.queue, exchange, "by.hand")
    reconfigure(subscription, "subtopic obs.#", "subtopic radar.#")
    assert run(subscription, "setup", "subscribe/test")[0] == 0
    assert bindings(rabbit, subscription.queue) == {(exchange, "v02.post.radar.#"),
                                                    (exchange, "by.hand")}


def test_exchange_of_a_removed_binding_is_gone(subscribe, rabbit):
    subscription = subscribe()
    for name in [subscription.exchange, "x_going"]:
        declare_exchange(rabbit, name)
    reconfigure(subscription, "subtopic #", "subtopic a.#\nexchange x_going\nsubtopic b.#")
    assert run(subscription, "setup", "subscribe/test")[0] == 0
    with rabbit.connect() as connection:
        connection.channel().exchange_delete("x_going")
    reconfigure(subscription, "exchange x_going\nsubtopic b.#\n", "")
    start_and_stop(subscription)
    assert bindings(rabbit, subscription.queue) == {(subscription.exchange, "v02.post.a.#")}
    assert "x_going" not in read(state(subscription, "subscriptions.json"))


def test_record_of_sr3_is_used_and_kept(subscribe, rabbit):
    """Members that only sr3 knows, and its entries of other queues, stay."""
    subscription = subscribe()
    exchange = subscription.exchange
    declare_exchange(rabbit, exchange)
    subscription.declare()
    with rabbit.connect() as connection:
        connection.channel().queue_bind(subscription.queue, exchange, "v02.post.old.#")
    other = {"broker": "amqp://elsewhere/", "bindings": [], "queue": {"name": "q_other"}, "x": [1]}
    ours = {"broker": rabbit.url().replace(":guest@", "@"), "mark": "kept",
            "bindings": [{"exchange": exchange, "prefix": ["v02", "post"], "sub": ["#"]},
                         {"exchange": exchange, "prefix": ["v02", "post"], "sub": ["old", "#"]},
                         {"exchange": 7}, "nonsense"],
            "queue": {"name": subscription.queue, "cleanup_needed": None, "more": True}}
    os.makedirs(state(subscription))
    with open(state(subscription, "subscriptions.json"), "w") as file:
        json.dump([other, ours], file)
    start_and_stop(subscription)
    assert bindings(rabbit, subscription.queue) == {(exchange, "v02.post.#")}
    found = json.loads(read(state(subscription, "subscriptions.json")))
    assert found[0] == other
    assert found[1]["mark"] == "kept" and found[1]["queue"]["more"] is True
    assert found[1]["bindings"] == [{"exchange": exchange, "prefix": ["v02", "post"],
                                     "sub": ["#"]}]


@pytest.mark.parametrize("text", ["", "{", "{}", "[[[", "[1]", "null", "\0\0", '[{"queue": 1}]'])
def test_unreadable_record_stops_nothing(subscribe, rabbit, nginx, files, text):
    subscription = subscribe()
    subscription.announce(announce(files[:20], nginx.url))
    os.makedirs(state(subscription))
    with open(state(subscription, "subscriptions.json"), "w") as file:
        file.write(text)
    instance = subscription.start()
    Progress(subscription.directory, files[:20]).wait(30)
    assert bindings(rabbit, subscription.queue) == {(subscription.exchange, "v02.post.#")}
    if text not in ("[1]", '[{"queue": 1}]'):
        assert "subscriptions.json" in instance.log()
        assert read(state(subscription, "subscriptions.json")) == text


# ---- files that remember ----

def test_state_files(subscribe, rabbit):
    """As sr3 has them: the process id while it runs, the record of what is bound."""
    subscription = subscribe()
    declare_exchange(rabbit, subscription.exchange)
    instance = subscription.start(7)
    instance.wait_consuming()
    pid = state(subscription, "subscribe_test_07.pid")
    assert read(pid) == str(instance.pid)
    entry, = json.loads(read(state(subscription, "subscriptions.json")))
    assert entry["broker"] == rabbit.url().replace(":guest@", "@")
    assert entry["bindings"] == [{"exchange": subscription.exchange, "prefix": ["v02", "post"],
                                  "sub": ["#"]}]
    assert entry["queue"] == {"name": subscription.queue, "cleanup_needed": None, "durable": True,
                              "expire": 3600.0, "prefetch": entry["queue"]["prefetch"],
                              "bind": True, "declare": True}
    assert "guest:guest" not in read(state(subscription, "subscriptions.json"))
    assert instance.stop() == 0
    assert not os.path.exists(pid)
    assert not [name for name in os.listdir(state(subscription)) if name.endswith(".qname")]


def test_queue_without_a_name_is_the_one_used_before(subscribe, rabbit):
    """Made from the configuration's name at first; what sr3 called it, where it did."""
    subscription = subscribe()
    declare_exchange(rabbit, subscription.exchange)
    reconfigure(subscription, f"queueName {subscription.queue}\n", "")
    path = state(subscription, "subscribe.test.guest.qname")
    start_and_stop(subscription)
    assert read(path) == "q_guest.subscribe.test.test"
    with open(path, "w") as file:
        file.write("q_guest.subscribe.test.anna_host_12345678")
    log = start_and_stop(subscription)
    assert "queue declared q_guest.subscribe.test.anna_host_12345678 " in log
    assert "set queueName" in log


# ---- cleanup ----

def test_cleanup(subscribe, rabbit, nginx, files):
    subscription = subscribe()
    subscription.announce(announce(files[:20], nginx.url))
    instance = subscription.start()
    Progress(subscription.directory, files[:20]).wait(30)
    subscription.wait_queue_empty()
    status, log = run(subscription, "cleanup", "subscribe/test")
    assert status == 1 and "is running" in log
    assert rabbit.messages_ready(subscription.queue) == 0
    assert os.path.exists(state(subscription, "subscriptions.json"))
    assert instance.stop() == 0
    for name in ["disabled", "diskqueue_work_retry_01"]:
        with open(state(subscription, name), "w"):
            pass
    status, log = run(subscription, "cleanup", "subscribe/test")
    assert status == 0, log
    assert f"deleting queue {subscription.queue}" in log
    assert f"removing state file: {state(subscription, 'subscriptions.json')}" in log
    assert os.listdir(state(subscription)) == ["disabled"]
    assert rabbit.messages_ready(subscription.queue) is None
    assert exchange_exists(rabbit, subscription.exchange)
    assert run(subscription, "cleanup", "subscribe/test")[0] == 0


def test_cleanup_spares_what_others_consume(subscribe, rabbit):
    """An instance on another host: its lock is not seen, its consumer is."""
    subscription = subscribe()
    subscription.declare()
    elsewhere = subscribe(queue=subscription.queue, exchange=subscription.exchange)
    elsewhere.start().wait_consuming()
    status, log = run(subscription, "cleanup", "subscribe/test")
    assert status == 1 and "consumes from it" in log
    assert rabbit.messages_ready(subscription.queue) == 0


def test_cleanup_of_several_wants_to_be_sure(subscribe, rabbit):
    subscription = subscribe()
    subscription.declare()
    text = read(subscription.configuration)
    with open(subscription.configuration.replace("test.conf", "other.conf"), "w") as file:
        file.write(text.replace(subscription.queue, f"{subscription.queue}.other"))
    for danger in [[], ["--dangerWillRobinson=1"], ["--dangerWillRobinson", "3"]]:
        status, log = run(subscription, "cleanup", "subscribe/*", *danger)
        assert status == 1 and "--dangerWillRobinson=2" in log
        assert rabbit.messages_ready(subscription.queue) == 0
    assert run(subscription, "cleanup", "subscribe/*", "--dangerWillRobinson=2")[0] == 0
    assert rabbit.messages_ready(subscription.queue) is None
    assert run(subscription, "cleanup")[0] == 2


def test_failed_cleanup_can_be_repeated(subscribe, rabbit):
    """Without the queue deleted nothing else goes."""
    subscription = subscribe()
    declare_exchange(rabbit, subscription.exchange)
    assert run(subscription, "setup", "subscribe/test")[0] == 0
    rabbit.stop()
    status, log = run(subscription, "cleanup", "subscribe/test")
    assert status == 1 and "connect to broker" in log
    assert os.path.exists(state(subscription, "subscriptions.json"))
    rabbit.start()
    assert run(subscription, "cleanup", "subscribe/test")[0] == 0
    assert rabbit.messages_ready(subscription.queue) is None


# ---- what waits for another try ----

def retry_list(subscription, *args):
    """The records, as (path, record)."""
    status, log = run(subscription, "retry", "list", "subscribe/test", *args, "--json")
    assert status == 0, log
    records = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return {record["relPath"].lstrip("/"): record for record in records}


def keep_for_retry(redis, subscription, paths, base_url):
    """As an instance does: ids by due time, in an hour, and the announcements by id."""
    name = f"sr3sub.retry.subscribe.{subscription.queue}"
    due_ms = 1000 * (int(redis.client.time()[0]) + 3600)
    for number, path in enumerate(paths):
        record = {"v": 1, "received": "20250102T040312", "failed": "20250102T040313", "tries": 2,
                  "reason": f"get '{base_url}/{path}': HTTP 503", "exchange": "x",
                  "topic": "v02.post.a", "contentType": "text/plain", "headers": {},
                  "body": f"20250102040312.75 {base_url} {path}"}
        redis.client.hset(f"{name}.body", f"{number:096x}", json.dumps(record))
        redis.client.zadd(f"{name}.due", {f"{number:096x}": due_ms + number})


def test_retry_list_drop_now(subscribe, redis, nginx, files):
    """Two hundred wait for an hour; some are forgotten, the others are fetched when told."""
    subscription = subscribe(store=Store(redis), options="retry_ttl 0")
    declare_exchange(subscription.rabbit, subscription.exchange)
    paths = [entry.rel_path.lstrip("/") for entry in files[:200]]
    keep_for_retry(redis, subscription, paths, nginx.url)
    records = retry_list(subscription)
    assert list(records) == paths
    assert all(record["tries"] == 2 and 3000 < record["dueIn"] <= 3601
               for record in records.values())
    status, log = run(subscription, "retry", "list", "subscribe/test")
    assert status == 0 and len(log.splitlines()) == 200
    assert "tries 2" in log and "HTTP 503" in log

    gone = {path for path in paths if "/bulletins/" in path}
    status, log = run(subscription, "retry", "drop", "subscribe/test", "*/bulletins/*")
    assert status == 0 and f"{len(gone)} of 200 records dropped" in log
    wanted = [path for path in paths if path not in gone]
    assert list(retry_list(subscription)) == wanted
    status, log = run(subscription, "retry", "now", "subscribe/test")
    assert status == 0 and f"{len(wanted)} of {len(wanted)} records due now" in log

    instance = subscription.start()
    wait_until(lambda: all(os.path.exists(f"{subscription.directory}/{path}") for path in wanted),
               40, lambda: f"files that waited, see {instance.log_path}")
    wait_until(lambda: not retry_list(subscription), 40, "nothing waits any more", every=0.5)
    assert not [path for path in gone if os.path.exists(f"{subscription.directory}/{path}")]


def test_retry_before_anything_ran(subscribe):
    subscription = subscribe()
    assert retry_list(subscription) == {}
    status, log = run(subscription, "retry", "drop", "subscribe/test")
    assert status == 0 and "0 of 0 records dropped" in log
    assert not os.path.exists(state(subscription))


def test_cleanup_in_redis(subscribe, redis):
    """Ours and sr3's for this queue; nothing of other queues, and not what has been placed."""
    subscription = subscribe(store=Store(redis))
    declare_exchange(subscription.rabbit, subscription.exchange)
    queue = subscription.queue
    ours = [f"sr3sub.retry.subscribe.{queue}.due", f"sr3sub.retry.subscribe.{queue}.body",
            *(f"sr3.retry_queue.{kind}.subscribe.{queue}{end}"
              for kind in ["work_retry", "post_retry"] for end in ["", ".new", ".hk"]),
            f"lock:sr3.retry_queue.work_retry.subscribe.{queue}.hk",
            "sr3.retry_queue.work_retry.subscribe.test.last_hk",
            "sr3.retry_queue.work_retry.subscribe.subscribe/test.last_hk"]
    others = ["sr3.nodupe.subscribe.test:a.b", f"sr3.retry_queue.work_retry.subscribe.{queue}x",
              f"sr3sub.retry.subscribe.{queue}x.due", "sr3.nodupe.subscribe.subscribe/test:a.b"]
    for key in ours + others:
        redis.client.rpush(key, "1")
    assert run(subscription, "setup", "subscribe/test")[0] == 0
    status, log = run(subscription, "cleanup", "subscribe/test")
    assert status == 0, log
    assert {key.decode() for key in redis.client.keys("*")} == set(others)


@pytest.mark.parametrize("how", ["absent", "silent", "refusing"])
def test_redis_away(subscribe, redis, silence, how):
    """The commands end by themselves and name the server; the cleanup can be given again."""
    subscription = subscribe(store=Store(redis))
    right = redis.url()
    port = {"absent": free_port(), "silent": silence, "refusing": redis.port}[how]
    wrong = f"redis://:Wrong-4712@127.0.0.1:{port}/0"
    declare_exchange(subscription.rabbit, subscription.exchange)
    assert run(subscription, "setup", "subscribe/test")[0] == 0
    reconfigure(subscription, right, wrong)
    for command in [["retry", "list", "subscribe/test"], ["cleanup", "subscribe/test"]]:
        status, log = run(subscription, *command)
        assert status == 1 and f"127.0.0.1:{port}" in log, log
        assert "Wrong-4712" not in log
    assert os.path.exists(state(subscription, "subscriptions.json"))
    reconfigure(subscription, wrong, right)
    assert run(subscription, "cleanup", "subscribe/test")[0] == 0
    assert os.listdir(state(subscription)) == []


@pytest.mark.parametrize("driver, url", [("retry_driver", "redisqueue_serverurl"),
                                         ("nodupe_driver", "nodupe_redis_serverurl")])
def test_redis_without_a_url(subscribe, driver, url):
    subscription = subscribe(options=f"{driver} redis")
    for command in [["check", "subscribe/test"], ["foreground", "subscribe/test"],
                    ["retry", "list", "subscribe/test"]]:
        status, log = run(subscription, *command)
        assert status == 1 and url in log and driver in log, log

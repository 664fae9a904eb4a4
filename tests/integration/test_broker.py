"""Brokers that refuse: one clear line that names the fix, patience, and work once it is mended."""
import re

import pytest

from rig.announcer import Publisher, announce
from rig.tls import Certificate
from rig.verify import Progress, compare

PASSWORD = "Opensesame-17"


@pytest.fixture
def some(files):
    return files[:50]


def expect_files(subscription, entries):
    Progress(subscription.directory, entries).wait(90)
    subscription.wait_queue_empty()
    outcome = compare(subscription.directory, entries)
    assert outcome.is_good(), outcome


def complaints(instance, pattern):
    """Lines of level WARNING or ERROR that match."""
    return [line for line in instance.log().splitlines()
            if re.search(r"\[(WARNING|ERROR|CRITICAL)\]", line)
            and re.search(pattern, line, re.IGNORECASE)]


def wait_for_complaint(instance, *words):
    """One line of level WARNING or above with all the words; then it must still be running."""
    ahead = "".join(f"(?=.*(?:{word}))" for word in words)
    instance.wait_for_log(rf"(?mi)^(?=.*\[(WARNING|ERROR|CRITICAL)\]){ahead}.*$", 30)
    assert instance.is_running()


def test_encrypted(subscribe, rabbit, nginx, some, certificate):
    """amqps with a certificate of our own authority."""
    subscription = subscribe(
        broker=f"amqps://guest:guest@localhost:{rabbit.tls_port}/",
        env={"SSL_CERT_FILE": certificate.ca})
    subscription.announce(announce(some, nginx.url))
    subscription.start()
    expect_files(subscription, some)


def test_certificate_for_another_host(subscribe, rabbit, nginx, some, certificate):
    """127.0.0.2 is not in the certificate: refused, unless tlsRigour is lax."""
    broker = f"amqps://guest:guest@127.0.0.2:{rabbit.tls_port}/"
    strict = subscribe(broker=broker, env={"SSL_CERT_FILE": certificate.ca})
    strict.announce(announce(some, nginx.url))
    instance = strict.start()
    wait_for_complaint(instance, "certificate|host ?name", "127.0.0.2")
    assert instance.stop() == 0
    assert rabbit.messages_ready(strict.queue) == len(some)

    lax = subscribe(broker=broker, options="tlsRigour lax", queue=strict.queue,
                    exchange=strict.exchange, env={"SSL_CERT_FILE": certificate.ca})
    lax.start()
    expect_files(lax, some)


def test_certificate_of_unknown_authority(subscribe, rabbit, nginx, some, tmp_path):
    subscription = subscribe(broker=f"amqps://guest:guest@localhost:{rabbit.tls_port}/",
                             env={"SSL_CERT_FILE": Certificate(tmp_path).ca})
    subscription.announce(announce(some, nginx.url))
    instance = subscription.start()
    wait_for_complaint(instance, "certificate")
    assert rabbit.messages_ready(subscription.queue) == len(some)


def test_wrong_password(subscribe, rabbit, nginx, some):
    rabbit.add_user("anna", "another one")
    subscription = subscribe(broker=rabbit.url("anna", PASSWORD))
    subscription.announce(announce(some, nginx.url))
    instance = subscription.start()
    wait_for_complaint(instance, "anna", "password|credentials|login|refused")
    rabbit.add_user("anna", PASSWORD)
    expect_files(subscription, some)
    assert PASSWORD not in instance.log()


def test_password_from_credentials_file(subscribe, rabbit, nginx, some):
    rabbit.add_user("bob", PASSWORD)
    subscription = subscribe(broker=rabbit.url("bob", "").replace(":@", "@"))
    with open(f"{subscription.folder}/config/sr3/credentials.conf", "w") as file:
        file.write(f"# who logs in where\n{rabbit.url('bob', PASSWORD)}\n")
    subscription.announce(announce(some, nginx.url))
    instance = subscription.start()
    expect_files(subscription, some)
    assert PASSWORD not in instance.log()


def test_missing_exchange(subscribe, rabbit, nginx, some):
    subscription = subscribe(exchange="x_later")
    instance = subscription.start()
    wait_for_complaint(instance, "x_later", "exchange")
    with Publisher(rabbit) as publisher:
        publisher.declare_exchange("x_later")
    instance.wait_consuming(60)
    subscription.publish(announce(some, nginx.url))
    expect_files(subscription, some)


def test_refused_vhost(subscribe, rabbit, nginx, some):
    rabbit.add_vhost("locked")
    rabbit.control("set_permissions", "-p", "locked", "guest", ".*", ".*", ".*")
    rabbit.add_user("carl", PASSWORD)
    subscription = subscribe(broker=rabbit.url("carl", PASSWORD, "locked"))
    subscription.declare("locked")
    subscription.publish(announce(some, nginx.url), "locked")
    instance = subscription.start()
    wait_for_complaint(instance, "locked", "vhost|virtual host")
    rabbit.add_user("carl", PASSWORD, "locked")
    Progress(subscription.directory, some).wait(90)
    assert compare(subscription.directory, some).is_good()
    assert PASSWORD not in instance.log()


def test_queue_may_not_be_declared(subscribe, rabbit, nginx, some):
    """A user without the right to configure this queue."""
    rabbit.add_user("dora", PASSWORD, configure="^nothing$", write=".*", read=".*")
    subscription = subscribe(broker=rabbit.url("dora", PASSWORD))
    subscription.announce(announce(some, nginx.url))
    instance = subscription.start()
    wait_for_complaint(instance, "queue|" + subscription.queue, "refused|access|permission|right")
    rabbit.add_user("dora", PASSWORD)
    expect_files(subscription, some)
    assert PASSWORD not in instance.log()


def test_queue_declared_differently(subscribe, rabbit, nginx, some):
    """The queue lives two hours, not one: it is used as it is, and the log says so."""
    subscription = subscribe()
    with Publisher(rabbit) as publisher:
        publisher.declare_queue(subscription.queue, subscription.exchange, "v02.post.#",
                                expire_ms=7_200_000)
        publisher.fill(subscription.queue, subscription.exchange, announce(some, nginx.url))
    instance = subscription.start()
    expect_files(subscription, some)
    assert complaints(instance, f"{subscription.queue}.*(expire|argument|declared|differ)")


def test_several_bindings(subscribe, rabbit, nginx, files):
    """Two exchanges and several subtopics on one queue."""
    subscription = subscribe(options="""\
exchange x_second
subtopic *.WXO-DD.bulletins.#
subtopic *.WXO-DD.alerts.#""")
    with Publisher(rabbit) as publisher:
        publisher.declare_exchange(subscription.exchange)
        publisher.declare_exchange("x_second")
        subscription.start().wait_consuming()
        messages = announce(files[:200], nginx.url)
        publisher.publish(subscription.exchange, messages[:100])
        # the first exchange is bound with '#', the second only with the two subtopics
        publisher.publish("x_second", messages[100:])
    wanted = files[:100] + [entry for entry in files[100:200]
                            if "/bulletins/" in entry.rel_path or "/alerts/" in entry.rel_path]
    expect_files(subscription, wanted)

"""What the integration tests share: servers, the tree of files, and a factory for subscriptions.

RabbitMQ, Redis and nginx are started once. A test that stops one of them need not start it again.
Everything lives in a temporary directory, removed at the end unless SR3SUB_KEEP is set.
"""
import collections
import contextlib
import itertools
import os
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from rig.fleet import summaries
from rig.nginx import Nginx
from rig.rabbit import Rabbit
from rig.redis import Redis
from rig.subscriber import Store, Subscription, program
from rig.tls import Certificate
from rig.tree import make_tree

STORES = ["disk", "redis"]  # where instances share what they know
numbers = itertools.count(1)
totals = []  # for each instance, whether its counts could be checked


def pytest_configure(config):
    config.addinivalue_line("markers", "release: run with the release build too, "
                                       "not only with the sanitizers")
    config.addinivalue_line("markers", "release_only: run with the release build only, long or of "
                                       "full size")


def pytest_sessionstart(session):
    if not os.access(program(), os.X_OK):
        pytest.exit(f"no program to test: {program()} (build it, or set SR3SUB)", 2)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the end of sr3sub's logs below a failed test, unless they are gone: after the last test
    everything is removed first. What was counted goes with the report, to whichever process prints
    it."""
    report = (yield).get_result()
    report.user_properties = [("counted", line) for line in summaries]
    report.user_properties += [("totals", what) for what in totals]
    summaries.clear()
    totals.clear()
    factory = getattr(item, "funcargs", {}).get("subscribe")
    if report.failed and factory and os.path.isdir(factory.work):
        for subscription in factory.made:
            report.sections.append((f"sr3sub, {subscription.folder}", subscription.log_tail()))


def pytest_terminal_summary(terminalreporter):
    """What the fleets counted, and the instances whose counts add up."""
    told = [told for reports in terminalreporter.stats.values() for report in reports
            for told in getattr(report, "user_properties", [])]
    sums = collections.Counter(what for name, what in told if name == "totals")
    if told:
        terminalreporter.write_sep("=", "counts")
        terminalreporter.write_line(
            f"what came in is what became of it: {sums['checked']} instances; not known: "
            f"{sums['unknown']}, whose logs are of other forms")
    for line in (line for name, line in told if name == "counted"):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def work():
    folder = tempfile.mkdtemp(prefix="sr3sub-test-")
    os.chmod(folder, 0o755)
    yield folder
    if os.environ.get("SR3SUB_KEEP"):
        print(f"\nkept: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def tmp_path(work):
    """As pytest's own, but inside our folder, which is removed at the end."""
    folder = pathlib.Path(work, f"tmp{next(numbers):03}")
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def certificate(work):
    return Certificate(f"{work}/tls")


@pytest.fixture(scope="session")
def many_files(work):
    """10,000 small files as (entries); nginx serves them."""
    return make_tree(f"{work}/www", small=10000)


@pytest.fixture(scope="session")
def files(many_files):
    """Half of them."""
    return many_files[:5000]


@pytest.fixture(scope="session")
def rabbit_server(work, certificate):
    server = Rabbit(f"{work}/rabbit", certificate)
    yield server
    server.close()


@pytest.fixture
def rabbit(rabbit_server):
    return rabbit_server.start()


@pytest.fixture(scope="session")
def redis_server(work):
    server = Redis(f"{work}/redis")
    yield server
    server.close()


@pytest.fixture
def redis(redis_server):
    """Running, and empty."""
    redis_server.start().clear()
    return redis_server


@pytest.fixture(params=STORES)
def store(request):
    """Tests that use this run once for each kind of store."""
    return Store(request.getfixturevalue("redis") if request.param == "redis" else None)


@pytest.fixture(scope="session")
def nginx_server(work, many_files):
    server = Nginx(f"{work}/nginx", f"{work}/www")
    yield server
    server.close()


@pytest.fixture
def nginx(nginx_server):
    return nginx_server.start()


@pytest.fixture
def serve(tmp_path):
    """serve(root): another nginx, for a tree the test made itself or with a pace of its own."""
    servers = []

    def start(root, **settings):
        servers.append(Nginx(tmp_path / f"nginx{len(servers)}", root, **settings).start())
        return servers[-1]

    yield start
    for server in servers:
        server.close()


class Factory:
    """Makes subscriptions, each with an exchange, a queue and a folder of its own."""

    def __init__(self, work, rabbit):
        self.work, self.rabbit = work, rabbit
        self.made = []

    def __call__(self, **settings):
        number = next(numbers)
        settings.setdefault("exchange", f"x{number}")
        settings.setdefault("queue", f"q_guest.test{number}")
        self.made.append(Subscription(f"{self.work}/{number:03}", self.rabbit, **settings))
        return self.made[-1]


@contextlib.contextmanager
def subscriptions(work, rabbit):
    """Factory of subscriptions. Their instances are stopped in the end, their logs must be free of
    sanitizer reports and passwords, and their counts must add up."""
    factory = Factory(work, rabbit)
    yield factory
    for subscription in factory.made:
        subscription.stop()
    complaints = [line for made in factory.made for line in made.complaints()]
    assert not complaints, "\n".join(complaints[:20])
    check_totals([instance for made in factory.made for instance in made.stopped()])


@pytest.fixture
def subscribe(work, rabbit):
    with subscriptions(work, rabbit) as factory:
        yield factory


@pytest.fixture(scope="module")
def subscribe_together(work, rabbit_server):
    """For what all tests of a module look at together."""
    with subscriptions(work, rabbit_server.start()) as factory:
        yield factory


def check_totals(instances):
    """What came in is what became of it, of every instance that ended well and says so."""
    for instance in instances:
        unbalanced = instance.unbalanced()
        totals.append("unknown" if unbalanced is None else "checked")
        assert not unbalanced, f"{unbalanced} are missing: {instance.totals()}"

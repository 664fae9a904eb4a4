"""Runs sr3sub: one configuration with a directory, a queue and state of its own.

The instances of a subscription share its state, as on one host, or have a cache directory each, as
replicas in containers have.
"""
import mmap
import os
import re
import shlex
import signal
import time
from dataclasses import dataclass

from rig.announcer import PREFIXES, Publisher
from rig.process import Process, wait_until

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONFIGURATION = """\
broker {broker}
exchange {exchange}
topicPrefix {prefix}
queueName {queue}
expire 1h
subtopic #
nodupe_ttl 1h
metricsKeep on
{options}
"""
DOWNLOADED = "sarracenia.flowcb.log after_work downloaded ok: "
FIGURES = re.compile(r" size: \d+ lag: -?[\d.]+( time: [\d.]+ rate: \d+B/s)?$")
SECRETS = ["guest:guest"]  # what no log may contain
TOTALS = re.compile(r"since the start: (received \d.*)")
COUNT = re.compile(r"([a-z][a-z ]*?) (\d+)")
CAME = ["received", "revived", "taken over"]
REPORTS = ["Sanitizer", "runtime error:", "Assertion"]


def program():
    """The sr3sub to test: $SR3SUB, or the release build."""
    return os.path.abspath(os.environ.get("SR3SUB", f"{PROJECT}/build/release/sr3sub"))


def is_sanitized():
    """Whether the program is built with AddressSanitizer: slower, and it needs more memory."""
    with open(program(), "rb") as file, \
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"__asan_init") >= 0


@dataclass
class Store:
    """Where the instances of a subscription keep what they share: in a rig.redis.Redis, or without
    one on the host."""
    redis: object = None

    def options(self, password=None):
        if not self.redis:
            return ""
        url = self.redis.url(password)
        return (f"nodupe_driver redis\nnodupe_redis_serverurl {url}\n"
                f"retry_driver redis\nredisqueue_serverurl {url}\n")

    @property
    def hosts(self):
        """Whether each instance may run on a host of its own."""
        return self.redis is not None

    def __str__(self):
        return "redis" if self.redis else "disk"


class Instance(Process):
    """One running sr3sub."""

    def __init__(self, args, log_path, env, cwd, number=None):
        self.log_path, self.number = log_path, number
        super().__init__(args, log_path, env=env, cwd=cwd)

    def log(self):
        """What this process has logged, standard error included."""
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def wait_for_log(self, pattern, seconds=20):
        """Waits for a line that matches, and returns the match."""
        def found():
            match = re.search(pattern, self.log())
            if not match and not self.is_running():
                raise RuntimeError(f"sr3sub ended with {self.exit_code()}:\n{self.log()[-2000:]}")
            return match
        return wait_until(found, seconds, lambda: f"'{pattern}' in the log:\n{self.log()[-2000:]}")

    def wait_consuming(self, seconds=30):
        """Waits until the queue is declared and bound."""
        return self.wait_for_log("sarracenia.moth.amqp getSetup binding", seconds)

    def totals(self):
        """{"received": 12, ...} since the start, as its log says at a clean end; None: it does
        not."""
        paths = [self.log_path, *[path for word, path in zip(self.args, self.args[1:])
                                  if word == "--logFile" and os.path.exists(path)]]
        for path in paths:
            with open(path, errors="replace") as file:
                found = TOTALS.findall(file.read())
            if found:
                return {name: int(count) for name, count in COUNT.findall(found[-1])}
        return None

    def unbalanced(self):
        """How many came in, and are neither settled nor in flight; None: not known."""
        totals = self.totals()
        if not totals:
            return None
        came = sum(totals.pop(name) for name in CAME)
        return came - sum(totals.values())

    def downloaded(self):
        """[(time as in the log, local path)] of the files it says it has placed."""
        return [(line[:23], FIGURES.sub("", line.split(DOWNLOADED, 1)[1].rstrip()))
                for line in self.log().splitlines() if DOWNLOADED in line]


class Subscription:
    """Everything below `folder`. `places` says where files go: sr3 lines with directory, mirror,
    accept, reject; `options` are further lines. `{directory}` in them is the data directory.
    With a `store` in Redis each instance has a cache directory of its own."""

    def __init__(self, folder, rabbit, name="test", wire="v02", exchange="xpublic", queue=None,
                 broker=None, options="", places="directory {directory}\nmirror on", env=None,
                 store=Store()):
        self.folder = os.path.abspath(folder)
        self.rabbit, self.name, self.exchange, self.wire = rabbit, name, exchange, wire
        self.queue = queue or f"q_guest.{name}"
        self.directory = f"{self.folder}/data"
        self.cache = f"{self.folder}/cache"
        self.store = store
        self.instances = []  # all that ever ran
        self.prefix = []  # the program is run by this command, if any
        self.env = dict(os.environ, HOME=self.folder, XDG_CONFIG_HOME=f"{self.folder}/config",
                        XDG_CACHE_HOME=self.cache, NO_PROXY="*",
                        ASAN_OPTIONS="exitcode=99:detect_leaks=1",
                        UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1", **(env or {}))
        os.makedirs(self.directory)
        lines = f"{store.options()}{places}\n{options}".replace("{directory}", self.directory)
        self.configure(CONFIGURATION.format(
            broker=broker or rabbit.url(), exchange=exchange, prefix=PREFIXES[wire],
            queue=self.queue, options=lines))

    @property
    def configuration(self):
        return f"{self.folder}/config/sr3/subscribe/{self.name}.conf"

    def configure(self, text):
        os.makedirs(os.path.dirname(self.configuration), exist_ok=True)
        with open(self.configuration, "w") as file:
            file.write(text)

    def cache_of(self, number):
        """The cache directory of an instance."""
        return f"{self.cache}{number}" if self.store.hosts else self.cache

    def metrics(self, number=1):
        return f"{self.cache_of(number)}/sr3/metrics/subscribe_{self.name}_{number:02}.json"

    def run(self, *args, log="run", number=1):
        """sr3sub with any arguments, on the host of an instance; every run has a log of its own."""
        log_path = f"{self.folder}/{len(self.instances):03}_{log}.log"
        env = dict(self.env, XDG_CACHE_HOME=self.cache_of(number))
        instance = Instance([*self.prefix, program(), *args], log_path, env, self.folder, number)
        self.instances.append(instance)
        return instance

    def start(self, number=1):
        return self.run("foreground", f"subscribe/{self.name}", "--no", str(number),
                        log=f"instance_{number:02}", number=number)

    def start_container(self, number=1):
        """As a container does; the base of the keys in Redis follows from it."""
        return self.run("foreground", "--config", f"subscribe/{self.name}.conf", "--logStdout",
                        "--no", str(number), log=f"container_{number:02}", number=number)

    def start_all(self, count):
        """Instances 1 to `count`; returns once all of them listen."""
        self.declare()
        started = [self.start(number) for number in range(1, count + 1)]
        for instance in started:
            instance.wait_consuming()
        return started

    def declare(self, vhost="/"):
        """Declares exchange and queue as sr3sub will, so that they can be filled beforehand."""
        with Publisher(self.rabbit, vhost) as publisher:
            publisher.declare_queue(self.queue, self.exchange, f"{PREFIXES[self.wire]}.#")

    def announce(self, messages):
        """Fills the queue before anybody reads it."""
        self.declare()
        with Publisher(self.rabbit) as publisher:
            publisher.fill(self.queue, self.exchange, messages)

    def publish(self, messages, vhost="/"):
        """Announces to whoever listens."""
        with Publisher(self.rabbit, vhost) as publisher:
            publisher.declare_exchange(self.exchange)
            publisher.publish(self.exchange, messages)

    def wait_queue_empty(self, seconds=60):
        """Waits until nothing waits and nothing is left unacknowledged."""
        wait_until(lambda: self.rabbit.messages_ready(self.queue) == 0, seconds,
                   lambda: f"{self.rabbit.messages_ready(self.queue)} messages still wait")
        wait_until(lambda: self.rabbit.messages(self.queue) == (0, 0), seconds,
                   lambda: f"(ready, unacknowledged) {self.rabbit.messages(self.queue)}")

    def running(self):
        return [instance for instance in self.instances if instance.is_running()]

    def stop(self):
        """SIGTERM to every instance at once; returns their exit codes."""
        stopped = self.running()
        for instance in stopped:
            instance.send(signal.SIGTERM)
        return [instance.stop() for instance in stopped]

    def downloaded(self):
        """As Instance.downloaded, of all instances."""
        return sorted(line for instance in self.instances for line in instance.downloaded())

    def complaints(self):
        """Reports of sanitizers, failed assertions and leaked passwords in the logs."""
        wrong = REPORTS + SECRETS + ([self.store.redis.password] if self.store.redis else [])
        return [line for instance in self.instances for line in instance.log().splitlines()
                if any(text in line for text in wrong)]

    def stopped(self):
        """Instances that were told to stop, and did."""
        return [instance for instance in self.instances
                if instance.number and instance.told_to_stop and instance.exit_code() == 0
                and "foreground" in instance.args]

    def log_tail(self, lines=30):
        """The end of each log, for a person to read."""
        parts = []
        for instance in self.instances:
            tail = "\n".join(instance.log().splitlines()[-lines:])
            parts.append(f"$ {shlex.join(instance.args)} -> {instance.exit_code()}\n{tail}")
        return "\n\n".join(parts)


def log_seconds(text):
    """Seconds since the epoch of a time as it stands in the log."""
    moment, milliseconds = text.split(",")
    return time.mktime(time.strptime(moment, "%Y-%m-%d %H:%M:%S")) + int(milliseconds) / 1000

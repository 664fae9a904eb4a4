"""Measures one case of a row: one or more instances of sr3sub with the servers they need.

Time      from the start of the process (of the first one) to its log line about the last file
          placed, or until the queue is empty where most announcements bring no file
CPU       user and system time until then, of sr3sub from its start
peak      VmHWM; of several instances the largest
counts    system calls and allocations of one more run, by an instance that was at rest and finds a
          full queue when it goes on: what happens once, when it starts, is not in them

All announcements wait in the queue at the start. Every file is compared with what was announced.
"""
import os
import random
import shutil
import signal
import time
from dataclasses import dataclass, field, replace

from counting import Counter, CpuMeter
from rig.announcer import Publisher, announce
from rig.process import wait_until
from rig.subscriber import DOWNLOADED, Subscription, log_seconds
from rig.verify import compare
from rows import DUPLICATES, NEW, REJECTED, RULES

PATIENCE_SECONDS = 900
LOOK_EVERY = 0.02
FEW_FILES = 1000  # removing these does not disturb what comes after
COUNTED_DUPLICATES = 20_000  # a count needs no more
REJECTED_TOP = "OTHER-DD"


@dataclass
class Sample:
    """One run. `amount`: files or announcements; `bytes`: of the files that were fetched."""
    seconds: float
    amount: int
    bytes: int = 0
    cpu_ms: dict = field(default_factory=dict)
    peak_kib: int = None

    @property
    def rate(self):
        return self.amount / self.seconds


class LineCounter:
    """Counts the files sr3sub says it has placed, reading only what was added to its log."""

    def __init__(self, path):
        self.file = open(path, errors="replace")
        self.count, self.last, self.rest = 0, None, ""

    def update(self):
        *lines, self.rest = (self.rest + self.file.read()).split("\n")
        for line in lines:
            if DOWNLOADED in line:
                self.count += 1
                self.last = log_seconds(line[:23])
        return self.count


def rules():
    """So many accept and reject lines; the last two are those that match."""
    lines = [f"{'reject' if number % 2 else 'accept'} .*/WXO-{number:03}/.*\\.(xml|cap|grib2)$"
             for number in range(RULES - 2)]
    return "\n".join([*lines, f"reject .*/{REJECTED_TOP}/.*", "accept .*"])


def rejected_ones(entries):
    """As if the same files were where they are rejected."""
    return [replace(entry, rel_path=entry.rel_path.replace("WXO-DD", REJECTED_TOP))
            for entry in entries]


def repeated(items, count):
    """So many of them, over and over."""
    return (items * (count // len(items) + 1))[:count]


def stop(subscription):
    if set(subscription.stop()) != {0}:
        raise RuntimeError(f"sr3sub failed:\n{subscription.log_tail()}")


def stop_and_compare(subscription, entries):
    """These files must be there, and no others."""
    stop(subscription)
    outcome = compare(subscription.directory, entries)
    if not outcome.is_good():
        raise RuntimeError(f"wrong files: {outcome}")


class Run:
    """Instances of one subscription at work, and how far they are."""

    def __init__(self, subscription, count):
        self.subscription = subscription
        self.started = time.time()
        self.instances = [subscription.start(number + 1) for number in range(count)]
        self.counters = [LineCounter(instance.log_path) for instance in self.instances]

    def placed(self):
        if not all(instance.is_running() for instance in self.instances):
            raise RuntimeError(f"sr3sub ended:\n{self.subscription.log_tail()}")
        return sum(counter.update() for counter in self.counters)

    def wait_placed(self, files):
        """Returns when the last one was, by the log."""
        wait_until(lambda: self.placed() >= files, PATIENCE_SECONDS,
                   lambda: f"{self.placed()} files placed", every=LOOK_EVERY)
        return max(counter.last or 0 for counter in self.counters)

    def wait_taken(self):
        """Returns when all announcements were."""
        with Publisher(self.subscription.rabbit) as publisher:
            wait_until(lambda: publisher.messages_ready(self.subscription.queue) == 0,
                       PATIENCE_SECONDS, "the queue is empty", every=LOOK_EVERY)
        return time.time()

    def peak_kib(self):
        return max(instance.peak_memory_kib() for instance in self.instances)


class Bench:
    """The files of a row, and what is done with them."""

    def __init__(self, servers, row):
        self.servers, self.row = servers, row
        self.site = servers.site(row.files, row.size)

    def subscription(self, case, env=None):
        """Not started yet."""
        folder = self.servers.folder()
        name, rabbit = os.path.basename(folder), self.servers.rabbit
        more = {"env": dict(env or {})}
        if case.tls:
            more["broker"] = f"amqps://guest:guest@localhost:{rabbit.tls_port}/"
            more["env"]["SSL_CERT_FILE"] = self.servers.certificate.ca
        if case.work == REJECTED:
            more["places"] = f"directory {{directory}}\nmirror on\n{rules()}"
        return Subscription(folder, rabbit, name=name, exchange=f"x_{name}", **more,
                            options=f"durability {case.durability}\n{case.options}",
                            store=self.servers.store(case.store, case.remembered))

    def files(self, case):
        """Their announcements."""
        return announce(self.site.entries, self.site.url(case))

    def messages(self, case, duplicates=None):
        """What is announced, and how many of them are measured; at most so many duplicates."""
        files, wanted = self.files(case), self.row.announcements
        if case.work == DUPLICATES:
            wanted = min(wanted, duplicates or wanted)
            return repeated(files, wanted), wanted
        if case.work == NEW:
            return files + repeated(files, case.waiting), len(files)
        others = announce(rejected_ones(self.site.entries), self.site.url(case))
        mixed = files + repeated(others, wanted - len(files))
        random.Random(1).shuffle(mixed)
        return mixed, wanted

    def cpu_meter(self, case):
        redis = self.servers.store(case.store, case.remembered).redis
        return CpuMeter(broker=self.servers.rabbit.server, server=self.site.process(case),
                        store=redis and redis.server)

    def fetch_before(self, case, subscription):
        """Duplicates are of files that were fetched, by an instance that has ended."""
        subscription.announce(self.files(case))
        run = Run(subscription, 1)
        run.wait_placed(self.row.files)
        subscription.wait_queue_empty()
        stop(subscription)

    def wait_done(self, case, run):
        """Returns the time."""
        if case.work == NEW:
            return run.wait_placed(self.row.files)
        taken = run.wait_taken()
        return max(taken, run.wait_placed(self.row.files)) if case.work == REJECTED else taken

    def measure(self, case):
        """One sample."""
        subscription = self.subscription(case)
        if case.work == DUPLICATES:
            self.fetch_before(case, subscription)
        messages, measured = self.messages(case)
        subscription.announce(messages)
        meter = self.cpu_meter(case)
        run = Run(subscription, case.instances)
        own = CpuMeter(**{f"sr3sub{instance.number}": instance for instance in run.instances})
        own.start = dict.fromkeys(own.start, 0)  # from the very start
        seconds = self.wait_done(case, run) - run.started
        cpu_ms = {"itself": sum(own.spent().values()), **meter.spent()}
        peak = run.peak_kib()
        self.finish(case, run)
        fetched = 0 if case.work == DUPLICATES else self.site.bytes
        return Sample(seconds, measured, fetched, cpu_ms, peak)

    def count(self, case):
        """What the files cost an instance that has started and finds them all in its queue:
        (Counts of each, peak in KiB)."""
        counter = Counter(f"{self.servers.work}/allocations{self.servers.runs}")
        subscription = self.subscription(case, counter.env)
        if case.work == DUPLICATES:
            self.fetch_before(case, subscription)
        subscription.declare()
        run = Run(subscription, 1)
        instance = run.instances[0]
        instance.wait_consuming()
        instance.send(signal.SIGSTOP)
        messages, measured = self.messages(case, COUNTED_DUPLICATES)
        subscription.publish(messages)
        counter.begin(instance.pid)
        instance.send(signal.SIGCONT)
        self.wait_done(case, run)
        if not case.waiting:
            subscription.wait_queue_empty()
        instance.send(signal.SIGSTOP)  # others may still be waiting
        counts, peak = counter.end(), run.peak_kib()
        instance.send(signal.SIGCONT)
        self.finish(case, run)
        return counts.each(measured), peak

    def finish(self, case, run):
        """Stops it, checks every file, and leaves the broker nothing."""
        if not case.waiting:
            run.subscription.wait_queue_empty()
        stop_and_compare(run.subscription, self.site.entries)
        with Publisher(self.servers.rabbit) as publisher:
            publisher.channel.queue_delete(run.subscription.queue)
        if self.row.files <= FEW_FILES:
            shutil.rmtree(run.subscription.directory)

"""How fast files are fetched, beside curl (tests/bench/run small, medium, big, late), and what a
file costs when nothing but sr3sub is counted (--count).

Each round downloads the same files in turn with `curl --parallel --parallel-max 50` and with one
instance of sr3sub in each kind of `durability`. First comes curl that writes to /dev/null: when it
is much faster than curl that makes files, the file system sets the pace. sr3sub gets one
announcement for each file, all of them waiting in the queue when it starts. The servers are our
own, on this machine; the files are in the page cache.

small     files like a weather service's, half of them shorter than 3 kB
medium    of 500 kB
big       of 200 MB
late      the small ones, from a server that takes 40 ms for each answer

Time      from the start of the process; for curl to its end, for sr3sub to its log line about the
          last file placed (it would go on waiting for more)
CPU       user and system time of the process over its whole life, divided by the files
peak RSS  VmHWM of the process
of curl   median of the ratios of each round

--count   one run for each kind of durability instead, with figures that hardly depend on what else
          the machine does: system calls (perf), allocations (tests/bench/allocations.c) and CPU of
          one instance that was at rest before, divided by the files. What happens once, when it
          starts, is not in them.
"""
import os
import random
import signal
import statistics
import sys
import time
from dataclasses import dataclass

from counting import Counter
from rig.announcer import Publisher, announce
from rig.nginx import Nginx
from rig.process import Process, accepts_connections, free_port, wait_until
from rig.rabbit import Rabbit
from rig.redis import Redis
from rig.subscriber import DOWNLOADED, Store, Subscription, log_seconds, program
from rig.tree import Plan, make_tree, write
from rig.verify import compare

NULL, CURL = "curl to /dev/null", "curl"
DURABILITIES = ["group", "each", "none"]
PATIENCE_SECONDS = 300
LATE_MS = 40
LETTERS = bytes(65536)  # what text would be made of


@dataclass
class Kind:
    """What is fetched: so many files of so many bytes, or small ones."""
    files: int
    size: int = None
    late: bool = False
    wanted: str = ""


KINDS = {
    "small": Kind(5000, wanted="rate of curl at least 0.30 (group) and 0.50 (none), CPU at most "
                               "2.5 (none), peak below 25 MiB"),
    "medium": Kind(200, size=500_000),
    "big": Kind(3, size=200_000_000),
    "late": Kind(2000, late=True, wanted="at least 300 files/s (group)"),
}


@dataclass
class Sample:
    """One download of all files."""
    seconds: float
    cpu_ms: float
    peak_kib: int

    def rate(self, amount):
        return amount / self.seconds


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
                self.last = line
        return self.count


def cpu_ms(process):
    return (process.usage.ru_utime + process.usage.ru_stime) * 1000


def watch_peak(process):
    """Peak memory so far; 0 when it has just ended."""
    try:
        return process.peak_memory_kib()
    except (FileNotFoundError, ProcessLookupError):
        return 0


def equal_files(root, count, size):
    """Files of this size, as (entries)."""
    rng = random.Random(11)
    return [write(root, Plan(f"file{number:05}.grib2", size, b"GRIB", b"7777", False), LETTERS, rng)
            for number in range(count)]


def start_late_server(work, root):
    """Returns its URL."""
    port = free_port()
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "late_server.py")
    Process([sys.executable, script, root, LATE_MS, port], f"{work}/late_server.log")
    wait_until(lambda: accepts_connections(port), 10, "the late server answers")
    return f"http://127.0.0.1:{port}/"


class Bench:
    """`count` files of the `kind` and the servers they come from, below `work`."""

    def __init__(self, kind, count, size, store, work):
        root = f"{work}/www"
        self.work, self.runs = work, 0
        self.entries = equal_files(root, count, size) if size else make_tree(root, count, seed=11)
        self.bytes = sum(entry.size for entry in self.entries)
        self.url = (start_late_server(work, root) if kind.late
                    else Nginx(f"{work}/nginx", root).start().url)
        self.rabbit = Rabbit(f"{work}/rabbit").start()
        self.store = Store(Redis(f"{work}/redis", durable=False).start()
                           if store == "redis" else None)

    def folder(self):
        """A new one for every run."""
        self.runs += 1
        return f"{self.work}/run{self.runs:03}"

    def curl(self, discard=False):
        folder = self.folder()
        os.makedirs(folder)
        with open(f"{folder}/urls", "w") as config:
            for entry in self.entries:
                output = "/dev/null" if discard else f"{folder}/data/{entry.rel_path}"
                config.write(f'url = "{self.url}{entry.rel_path}"\n'
                             f'output = "{output}"\n')
        started, peak = time.monotonic(), 0
        process = Process(["curl", "--parallel", "--parallel-max", "50", "--silent",
                           "--show-error", "--fail", "--create-dirs", "--config",
                           f"{folder}/urls"], f"{folder}/curl.log")
        while process.is_running():
            peak = max(peak, watch_peak(process))
            time.sleep(0.01)
        sample = Sample(time.monotonic() - started, cpu_ms(process), peak)
        for entry in self.entries:
            if not discard and os.path.getsize(f"{folder}/data/{entry.rel_path}") != entry.size:
                raise RuntimeError(f"curl: {entry.rel_path} has another size")
        return sample

    def subscription(self, durability, env=None):
        """Not started yet."""
        folder = self.folder()
        name = os.path.basename(folder)
        return Subscription(folder, self.rabbit, name=name, exchange=f"x_{name}", env=env,
                            options=f"durability {durability}", store=self.store)

    def sr3sub(self, durability):
        subscription = self.subscription(durability)
        subscription.announce(announce(self.entries, self.url))
        started = time.time()
        instance = subscription.start()
        last = self.wait_placed(instance)
        peak = watch_peak(instance)
        seconds = log_seconds(last[:23]) - started
        self.finish(subscription, instance)
        return Sample(seconds, cpu_ms(instance), peak)

    def wait_placed(self, instance):
        """Returns the log line about the last file."""
        counter = LineCounter(instance.log_path)
        wait_until(lambda: counter.update() >= len(self.entries) or not instance.is_running(),
                   PATIENCE_SECONDS, lambda: f"{counter.count} files placed", every=0.05)
        return counter.last

    def count(self, durability):
        """What the files cost an instance that has started and finds them all in its queue."""
        counter = Counter(f"{self.work}/allocations{self.runs}")
        subscription = self.subscription(durability, counter.env)
        subscription.declare()
        instance = subscription.start()
        instance.wait_consuming()
        instance.send(signal.SIGSTOP)
        subscription.publish(announce(self.entries, self.url))
        counter.begin(instance.pid)
        instance.send(signal.SIGCONT)
        self.wait_placed(instance)
        subscription.wait_queue_empty()
        counts, peak = counter.end(), watch_peak(instance)
        self.finish(subscription, instance)
        return counts, peak

    def finish(self, subscription, instance, entries=None):
        """Stops it, and checks every file, of `entries` if there were no others."""
        subscription.wait_queue_empty()
        if instance.stop() != 0:
            raise RuntimeError(f"sr3sub ended with {instance.exit_code()}:\n"
                               f"{instance.log()[-2000:]}")
        outcome = compare(subscription.directory, entries or self.entries)
        if not outcome.is_good():
            raise RuntimeError(f"wrong files: {outcome}")

    def long_queue(self, further):
        """Memory while `further` announcements wait; returns (announcements a second, KiB)."""
        times = further // len(self.entries) + 1
        copies = (self.entries * times)[:further]
        subscription = self.subscription("group")
        subscription.announce(announce(self.entries + copies, self.url))
        with Publisher(self.rabbit) as publisher:
            started = time.monotonic()
            instance = subscription.start()
            wait_until(lambda: publisher.messages_ready(subscription.queue) == 0,
                       PATIENCE_SECONDS, "the queue is empty", every=0.1)
            seconds = time.monotonic() - started
        peak = watch_peak(instance)
        self.finish(subscription, instance)
        return (len(self.entries) + further) / seconds, peak


def measure(bench, rounds):
    kinds = {NULL: lambda: bench.curl(discard=True), CURL: bench.curl}
    for durability in DURABILITIES:
        kinds[f"sr3sub, durability {durability}"] = lambda chosen=durability: bench.sr3sub(chosen)
    samples = {kind: [] for kind in kinds}
    for number in range(rounds):
        for kind, download in kinds.items():
            sample = download()
            samples[kind].append(sample)
            print(f"round {number + 1}  {kind:<26} {sample.rate(len(bench.entries)):8.1f} files/s",
                  flush=True)
    return samples


def print_table(samples, bench):
    files = len(bench.entries)
    print(f"\n{'medians':<26} {'files/s':>8} {'MB/s':>7} {'of curl':>8} {'CPU ms/file':>12} "
          f"{'of curl':>8} {'peak MiB':>9}")
    for kind, runs in samples.items():
        pairs = list(zip(runs, samples[CURL]))
        rate = statistics.median(run.rate(files) for run in runs)
        megabytes = statistics.median(run.rate(bench.bytes) for run in runs) / 1e6
        cpu = statistics.median(run.cpu_ms / files for run in runs)
        rate_ratio = statistics.median(curl.seconds / run.seconds for run, curl in pairs)
        cpu_ratio = statistics.median(run.cpu_ms / curl.cpu_ms for run, curl in pairs)
        peak = max(run.peak_kib for run in runs) / 1024
        print(f"{kind:<26} {rate:8.1f} {megabytes:7.1f} {rate_ratio:8.2f} {cpu:12.3f} "
              f"{cpu_ratio:8.2f} {peak:9.1f}")


def print_counts(bench):
    files = len(bench.entries)
    print(f"\n{'per file':<26} {'system calls':>12} {'allocations':>12} {'CPU ms':>7} "
          f"{'peak MiB':>9}")
    for durability in DURABILITIES:
        counts, peak = bench.count(durability)
        print(f"{'sr3sub, durability ' + durability:<26} {counts.system_calls / files:12.1f} "
              f"{counts.allocations / files:12.1f} {counts.cpu_ms / files:7.3f} "
              f"{peak / 1024:9.1f}", flush=True)


def run(chosen, work):
    kind = KINDS[chosen.what]
    bench = Bench(kind, chosen.files or kind.files, chosen.size or kind.size, chosen.store, work)
    bench.curl(discard=True)  # warms the page cache; not counted
    print(f"{chosen.what}: {len(bench.entries)} files, {bench.bytes / 1e6:.1f} MB, {program()}")
    if chosen.count:
        print_counts(bench)
        return
    print_table(measure(bench, chosen.rounds), bench)
    if chosen.queue:
        rate, peak = bench.long_queue(chosen.queue)
        print(f"\n{chosen.queue} announcements waiting behind the files: "
              f"{rate:.0f} announcements/s, peak {peak / 1024:.1f} MiB")
    if kind.wanted:
        print(f"\nwanted: {kind.wanted}")

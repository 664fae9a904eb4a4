"""Whether the cost of an announcement grows with what is remembered (tests/bench/run history).

There is one Redis for each number of remembered files, filled beforehand with keys like sr3's.
Each round goes through all of them in turn:

new         files that were never seen: from the start of the first instance to the last file placed
duplicates  the same announcements over and over, all of them waiting: from the start of the first
            instance until the queue is empty
plain       the same messages taken and acked by tests/bench/consume.c, which does nothing else
CPU         user and system time divided by the announcements: of all instances from start to end,
            of redis-server and of RabbitMQ while the duplicates were taken
peak        VmHWM of each instance
"""
import os
import statistics
import subprocess
import time
from dataclasses import dataclass

from rig.announcer import Publisher, announce
from rig.nginx import Nginx
from rig.process import wait_until
from rig.rabbit import Rabbit
from rig.redis import Redis
from rig.subscriber import PROJECT, Store, Subscription
from rig.tree import make_tree
from rig.verify import Progress, compare

PATIENCE_SECONDS = 900
TTL_SECONDS = 7 * 86400
FILL_AT_ONCE = 50000
TICKS = os.sysconf("SC_CLK_TCK")
# names of two hashes, values of a time and a path, and lives like those of remembered files
FILL = """
local first, count, ttl = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
for i = first, first + count - 1 do
    local key, path = redis.sha1hex('k' .. i), redis.sha1hex('p' .. i)
    redis.call('SET', 'sr3.nodupe.subscribe.bench:' .. string.sub(key, 1, 32) .. '.'
               .. string.sub(path, 1, 32),
               '1735790592.751|20251120/WXO-DD/observations/swob-ml/20251120/CYUL/2025-11-20-'
               .. i .. '-CYUL-AUTO-minute-swob.xml', 'EX', ttl + i % 86400)
end
return redis.call('DBSIZE')
"""


@dataclass
class Sample:
    """One round with one number of remembered files; rates a second, CPU in microseconds."""
    new_rate: float
    duplicate_rate: float
    plain_rate: float
    subscriber_us: float
    redis_us: float
    rabbit_us: float
    peaks_kib: list

    def of_plain(self):
        return self.duplicate_rate / self.plain_rate


def fill(redis, keys):
    """Seconds for five million: some twenty."""
    script = redis.client.register_script(FILL)
    for first in range(0, keys, FILL_AT_ONCE):
        script(args=[first, min(FILL_AT_ONCE, keys - first), TTL_SECONDS])
    if redis.client.dbsize() != keys:
        raise RuntimeError(f"Redis has {redis.client.dbsize()} keys instead of {keys}")


def session_cpu_ms(pid):
    """CPU time of the living processes of a session."""
    ticks = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == pid:
            ticks += int(fields[11]) + int(fields[12])
    return 1000 * ticks / TICKS


class History:
    def __init__(self, chosen, work):
        self.chosen, self.work = chosen, work
        self.runs = 0
        self.entries = make_tree(f"{work}/www", chosen.files, seed=11)
        self.nginx = Nginx(f"{work}/nginx", f"{work}/www").start()
        self.rabbit = Rabbit(f"{work}/rabbit").start()
        copies = self.entries * (chosen.duplicates // len(self.entries) + 1)
        self.duplicates = announce(copies[:chosen.duplicates], self.nginx.url)
        self.stores = {keys: self.filled(keys) for keys in chosen.remembered}

    def filled(self, keys):
        if self.chosen.store == "disk":
            return Store()
        redis = Redis(f"{self.work}/redis{keys}", durable=False).start()
        started = time.monotonic()
        fill(redis, keys)
        memory = redis.client.info("memory")["used_memory"]
        print(f"Redis with {keys} keys: {memory / 1e6:.0f} MB, filled in "
              f"{time.monotonic() - started:.1f} s", flush=True)
        return Store(redis)

    def subscription(self, store):
        self.runs += 1
        name = f"run{self.runs:03}"
        return Subscription(f"{self.work}/{name}", self.rabbit, name=name, exchange=f"x_{name}",
                            store=store)

    def start(self, subscription):
        return [subscription.start(number + 1) for number in range(self.chosen.replicas)]

    def stop(self, subscription):
        """Returns (CPU in ms, peaks in KiB) of the instances that ran."""
        stopped = subscription.running()
        if set(subscription.stop()) != {0}:
            raise RuntimeError(f"sr3sub failed:\n{subscription.log_tail()}")
        cpu = sum(instance.usage.ru_utime + instance.usage.ru_stime for instance in stopped)
        return 1000 * cpu, [instance.peak_kib for instance in stopped]

    def new(self, subscription):
        """Files a second."""
        subscription.announce(announce(self.entries, self.nginx.url))
        progress = Progress(subscription.directory, self.entries)
        started = time.monotonic()
        self.start(subscription)
        progress.wait(PATIENCE_SECONDS)
        seconds = time.monotonic() - started
        subscription.wait_queue_empty()
        self.stop(subscription)
        return len(self.entries) / seconds

    def wait_taken(self, subscription):
        with Publisher(self.rabbit) as publisher:
            wait_until(lambda: publisher.messages_ready(subscription.queue) == 0,
                       PATIENCE_SECONDS, "the queue is empty", every=0.02)

    def plain(self, subscription):
        """Messages a second of the same messages without us."""
        subscription.announce(self.duplicates)
        output = subprocess.run(
            [f"{PROJECT}/build/release/tests/bench_consume", str(self.rabbit.port),
             subscription.queue, str(len(self.duplicates))],
            check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS).stdout
        return float(output)

    def sample(self, store):
        subscription = self.subscription(store)
        new_rate = self.new(subscription)
        outcome = compare(subscription.directory, self.entries)
        if not outcome.is_good():
            raise RuntimeError(f"wrong files: {outcome}")
        plain_rate = self.plain(subscription)

        subscription.announce(self.duplicates)
        redis_ms = store.redis.cpu_ms() if store.redis else 0
        rabbit_ms = session_cpu_ms(self.rabbit.server.pid)
        started = time.monotonic()
        self.start(subscription)
        self.wait_taken(subscription)
        seconds = time.monotonic() - started
        redis_ms = store.redis.cpu_ms() - redis_ms if store.redis else 0
        rabbit_ms = session_cpu_ms(self.rabbit.server.pid) - rabbit_ms
        subscription.wait_queue_empty()
        subscriber_ms, peaks = self.stop(subscription)
        count = len(self.duplicates)
        return Sample(new_rate, count / seconds, plain_rate, 1000 * subscriber_ms / count,
                      1000 * redis_ms / count, 1000 * rabbit_ms / count, peaks)


def print_table(samples):
    first = next(iter(samples.values()))
    print(f"\n{'medians':>10} {'new':>8} {'of first':>8} {'duplicates':>11} {'of first':>8} "
          f"{'plain':>8} {'of plain':>8} {'CPU us':>7} {'Redis':>6} {'broker':>6}  peaks MiB")
    for keys, runs in samples.items():
        def median(value):
            return statistics.median(value(run) for run in runs)

        def of_first(value):
            return statistics.median(value(run) / value(other) for run, other in zip(runs, first))

        peaks = [max(peaks) / 1024 for peaks in zip(*(run.peaks_kib for run in runs))]
        print(f"{keys:>10} {median(lambda r: r.new_rate):8.0f} "
              f"{of_first(lambda r: r.new_rate):8.2f} "
              f"{median(lambda r: r.duplicate_rate):11.0f} "
              f"{of_first(lambda r: r.duplicate_rate):8.2f} "
              f"{median(lambda r: r.plain_rate):8.0f} {median(Sample.of_plain):8.2f} "
              f"{median(lambda r: r.subscriber_us):7.1f} {median(lambda r: r.redis_us):6.1f} "
              f"{median(lambda r: r.rabbit_us):6.1f}  {' '.join(f'{peak:.1f}' for peak in peaks)}")


def run(chosen, work):
    if chosen.store == "disk":
        chosen.remembered = [0]
    history = History(chosen, work)
    samples = {keys: [] for keys in history.stores}
    for number in range(chosen.rounds):
        for keys, store in history.stores.items():
            sample = history.sample(store)
            samples[keys].append(sample)
            print(f"round {number + 1}  {keys:>8} remembered: {sample.new_rate:6.0f} new files/s, "
                  f"{sample.duplicate_rate:6.0f} duplicates/s, plain {sample.plain_rate:6.0f}/s",
                  flush=True)
    print_table(samples)

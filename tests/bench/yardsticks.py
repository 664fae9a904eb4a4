"""What sr3sub is compared with, measured in the same run.

curl      the same files with `curl --parallel --parallel-max 50`: from its start to its end
disk      tests/bench/place.c writes and renames the same files, with the flushes of the same
          durability, and does nothing else
consume   tests/bench/consume.c takes the same messages off a queue and acks them, and does nothing
          else
limit     no measure: transfersMaxPerHost files in the time of one answer
"""
import os
import re
import shutil
import subprocess
import time

from bench import FEW_FILES, PATIENCE_SECONDS, Sample
from counting import CpuMeter, tool
from rig.announcer import Publisher
from rig.process import Process
from rig.subscriber import program
from rows import CONSUME, CURL, DISK, LIMIT
from servers import LATE_MS


def key(name, case):
    """The same for cases that share a measurement."""
    return {CURL: (CURL, "https" if case.tls else "http"), DISK: (DISK, case.durability),
            CONSUME: (CONSUME, case.work), LIMIT: (LIMIT, f"{LATE_MS} ms")}[name]


def per_host():
    """The default of transfersMaxPerHost."""
    table = subprocess.run([program(), "options", "--markdown"], check=True, capture_output=True,
                           text=True).stdout
    return int(re.search(r"^\| `transfersMaxPerHost`.*?\| `(\d+)` \|", table, re.M)[1])


class Curl(Process):
    """At work; its CPU time and memory are watched until it ends."""

    def wait_watched(self):
        """Returns its CPU time in ms."""
        while self.is_running():
            self.peak_memory_kib()
            time.sleep(0.005)
        if self.exit_code() != 0:
            raise RuntimeError(f"curl ended with {self.exit_code()}")
        return (self.usage.ru_utime + self.usage.ru_stime) * 1000


class Yardsticks:
    """Of the files of a Bench."""

    def __init__(self, bench):
        self.bench, self.servers, self.site = bench, bench.servers, bench.site
        self.measures = {CURL: self.curl, DISK: self.disk, CONSUME: self.consume,
                         LIMIT: self.limit}

    def measure(self, name, case):
        return self.measures[name](case)

    def remove(self, folder):
        if len(self.site.entries) <= FEW_FILES:
            shutil.rmtree(folder)

    def curl(self, case):
        folder = self.servers.folder()
        os.makedirs(folder)
        with open(f"{folder}/urls", "w") as config:
            for entry in self.site.entries:
                config.write(f'url = "{self.site.url(case)}{entry.rel_path}"\n'
                             f'output = "{folder}/data/{entry.rel_path}"\n')
        meter = CpuMeter(server=self.site.process(case))
        started = time.monotonic()
        process = Curl(["curl", "--parallel", "--parallel-max", "50", "--silent", "--show-error",
                        "--fail", "--create-dirs", "--cacert", self.servers.certificate.ca,
                        "--config", f"{folder}/urls"], f"{folder}/curl.log")
        cpu_ms = process.wait_watched()
        sample = Sample(time.monotonic() - started, len(self.site.entries), self.site.bytes,
                        {"itself": cpu_ms, **meter.spent()}, process.peak_kib)
        for entry in self.site.entries:
            if os.path.getsize(f"{folder}/data/{entry.rel_path}") != entry.size:
                raise RuntimeError(f"curl: {entry.rel_path} has another size")
        self.remove(folder)
        return sample

    def disk(self, case):
        folder = self.servers.folder()
        os.makedirs(folder)
        files = "".join(f"{entry.size} {entry.rel_path}\n" for entry in self.site.entries)
        seconds = float(subprocess.run(
            [tool("bench_place"), case.durability, folder], input=files, check=True,
            capture_output=True, text=True, timeout=PATIENCE_SECONDS).stdout)
        self.remove(folder)
        return Sample(seconds, len(self.site.entries), self.site.bytes)

    def consume(self, case):
        messages, _ = self.bench.messages(case)
        queue = f"q_guest.plain{self.servers.runs}"
        with Publisher(self.servers.rabbit) as publisher:
            publisher.declare_queue(queue, f"x_{queue}")
            publisher.fill(queue, f"x_{queue}", messages)
            meter = CpuMeter(broker=self.servers.rabbit.server)
            rate = float(subprocess.run(
                [tool("bench_consume"), str(self.servers.rabbit.port), queue, str(len(messages))],
                check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS).stdout)
            publisher.channel.queue_delete(queue)
        return Sample(len(messages) / rate, len(messages), 0, meter.spent())

    def limit(self, case):
        files = len(self.site.entries)
        return Sample(files / (per_host() * 1000 / LATE_MS), files, self.site.bytes)

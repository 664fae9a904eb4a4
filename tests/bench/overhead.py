"""What metrics and logging cost (tests/bench/run overhead).

In each round one instance of sr3sub downloads the same small files twice: with everything (a line
for each fate in the log, the metrics file and its history every second, the endpoint scraped every
second), and with nothing (logLevel critical, no events, no endpoint, the metrics file once a day).
`durability none`, so that what remains is as cheap as can be.

CPU       user and system time of the process over its whole life, divided by the files
more      median of the ratios of each round, less one

On a machine with other work to do the times vary by more than what is sought. With
--instructions the lines alone are measured once more in valgrind, which counts what the process
executes itself, whatever others do; the kernel's part is not in it. (Once a second something is
written or scraped: valgrind is so slow that these seconds would count for more than they are.)
"""
import os
import re
import statistics
import subprocess
import threading

from bench import stop_and_compare
from rig.announcer import announce
from rig.metrics import Endpoint
from rig.process import free_port
from rig.subscriber import Subscription, program

OUT = os.environ.get("CALLGRIND_OUT", "/dev/null")  # for callgrind_annotate
FILES, INSTRUCTION_FILES = 5000, 1000
WANTED = "less than 5 % more"
ALL = "logMetrics on\nmetrics_writeInterval 1\nmetricsListen 127.0.0.1:{port}\nlogReject on"
LINES = "metrics_writeInterval 1d"
NOTHING = "logLevel critical\nlogEvents none\nmetrics_writeInterval 1d"


class Scraper(threading.Thread):
    """Reads /metrics every second."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.endpoint, self.over = Endpoint(port), threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(1):
            self.endpoint.get("/metrics")

    def close(self):
        self.over.set()
        self.join()


def cpu_ms(instance):
    return (instance.usage.ru_utime + instance.usage.ru_stime) * 1000


def fetch(servers, site, entries, options, prefix=()):
    """One download of `entries`; returns the instance, which has ended."""
    folder, port = servers.folder(), free_port()
    name = os.path.basename(folder)
    subscription = Subscription(folder, servers.rabbit, name=name, exchange=f"x_{name}",
                                options="durability none\n" + options.format(port=port))
    subscription.prefix = list(prefix)
    subscription.announce(announce(entries, site.nginx.url))
    instance = subscription.start()
    scraper = Scraper(port)
    try:
        subscription.wait_queue_empty()
        stop_and_compare(subscription, entries)
    finally:
        scraper.close()
    return instance


def instructions(servers, site, entries, options):
    """How many the process executes."""
    instance = fetch(servers, site, entries, options,
                     ["valgrind", "--tool=callgrind", f"--callgrind-out-file={OUT}"])
    return int(re.search(r"Collected : (\d+)", instance.log())[1])


def measure_times(servers, site, rounds):
    """Prints them, and returns the share of the time that is not the kernel's."""
    ratios, shares, samples = [], [], {ALL: [], NOTHING: []}
    for number in range(rounds):
        for options in (ALL, NOTHING) if number % 2 else (NOTHING, ALL):
            ended = fetch(servers, site, site.entries, options)
            samples[options].append(cpu_ms(ended) / len(site.entries))
            shares.append(ended.usage.ru_utime * 1000 / cpu_ms(ended))
        ratios.append(samples[ALL][-1] / samples[NOTHING][-1])
        print(f"round {number + 1}  with {samples[ALL][-1]:.4f} ms/file, without "
              f"{samples[NOTHING][-1]:.4f}, {ratios[-1] - 1:+.1%}", flush=True)
    print(f"\nCPU per file: with {statistics.median(samples[ALL]):.4f} ms, without "
          f"{statistics.median(samples[NOTHING]):.4f} ms, {statistics.median(ratios) - 1:+.1%}")
    return statistics.median(shares)


def measure_instructions(servers, site, share):
    """Of the files alone: what a start and a stop take is taken off."""
    some, per_file = site.entries[:INSTRUCTION_FILES], {}
    for options in (LINES, NOTHING):
        spent = (instructions(servers, site, some, options)
                 - instructions(servers, site, some[:1], options))
        per_file[options] = spent / (len(some) - 1)
    print(f"instructions per file: with {per_file[LINES]:.0f}, without {per_file[NOTHING]:.0f}, "
          f"{per_file[LINES] / per_file[NOTHING] - 1:+.1%} of {share:.0%} of the time: "
          f"{(per_file[LINES] / per_file[NOTHING] - 1) * share:+.1%}")


def run(servers, chosen):
    site = servers.site(chosen.files or FILES)
    print(f"overhead: {len(site.entries)} files, {program()}")
    share = measure_times(servers, site, chosen.rounds)
    if chosen.instructions:
        subprocess.run(["valgrind", "--version"], check=True, capture_output=True)
        measure_instructions(servers, site, share)
    print(f"wanted: {WANTED}")

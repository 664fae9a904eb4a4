"""Full speed for many minutes: speed in each of them, and the most memory and descriptors.

The same small files are announced again and again, each time below another directory (of the
server, a link), so that to sr3sub every one of them is new. Announcements are published ahead, up
to WAITING_MAX, as fast as they are taken. What has been placed is removed when some more rounds of
files have come; in the end as many files as were announced must have been placed, and those that
are left are compared byte by byte. What is remembered lasts a minute, so that Redis does not grow
for ever; the logs are emptied once a minute.
"""
import os
import re
import subprocess
import threading
import time
from dataclasses import replace

from bench import stop_and_compare
from counting import process_cpu_ms
from rig.announcer import Publisher, announce, encode
from rig.metrics import Endpoint
from rig.process import free_port, wait_until
from rig.subscriber import Subscription
from results import tell

FILES = 5000
WAITING_MAX = 20_000
REMEMBERED_SECONDS = 60
PERIOD_SECONDS = 60
LOOK_EVERY = 0.5
KEPT = 4  # rounds of files behind the last one that may still be under way
PATIENCE_SECONDS = 120
PLACED = "settled_total fate=placed"


def directory(number):
    return f"round{number:05}"


def entries_of(site, number):
    """The files of a round."""
    return [replace(entry, rel_path=f"{directory(number)}/{entry.rel_path}")
            for entry in site.entries]


class Announcer(threading.Thread):
    """Keeps the queue filled, and the disk empty, until it is closed."""

    def __init__(self, site, subscription, placed):
        super().__init__(daemon=True)
        self.site, self.subscription, self.placed = site, subscription, placed
        self.size = len(site.entries)
        first = announce(entries_of(site, 0), site.nginx.url)
        # kept in memory by the broker, which has more time for us then
        self.frames = list(encode(subscription.exchange, first, persistent=False))
        self.rounds, self.removed = 0, 0
        self.over, self.error = threading.Event(), None

    def run(self):
        try:
            with Publisher(self.subscription.rabbit) as publisher:
                while not self.over.wait(0.05):
                    if publisher.messages_ready(self.subscription.queue) < WAITING_MAX:
                        self.announce_round(publisher)
                        self.remove_placed()
        except Exception as error:  # close() tells
            self.error = error

    def announce_round(self, publisher):
        first, name = directory(0).encode(), directory(self.rounds)
        os.symlink(".", f"{self.site.root}/{name}")
        publisher.send(self.subscription.exchange,
                       [frames.replace(first, name.encode()) for frames in self.frames])
        self.rounds += 1

    def remove_placed(self):
        while self.removed + KEPT < self.placed() // self.size:
            name = directory(self.removed)
            subprocess.run(["rm", "-rf", f"{self.subscription.directory}/{name}"], check=True)
            os.unlink(f"{self.site.root}/{name}")
            self.removed += 1

    def close(self):
        """Returns how many files were announced."""
        self.over.set()
        self.join()
        if self.error:
            raise RuntimeError(f"the announcer failed: {self.error!r}")
        return self.rounds * self.size


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"^VmRSS:\s+(\d+)", status.read(), re.M)[1]) / 1024


class Soak:
    """One instance at work."""

    def __init__(self, servers, files, durability):
        self.servers, self.site = servers, servers.site(files)
        self.store = servers.store()
        port, folder = free_port(), servers.folder()
        name = os.path.basename(folder)
        self.subscription = Subscription(
            folder, servers.rabbit, name=name, exchange=f"x_{name}", store=self.store,
            options=f"durability {durability}\nnodupe_ttl {REMEMBERED_SECONDS}s\n"
                    f"metricsListen 127.0.0.1:{port}")
        self.endpoint = Endpoint(port)
        self.subscription.declare()
        self.instance = self.subscription.start()
        self.instance.wait_consuming()
        self.announcer = Announcer(self.site, self.subscription, self.placed)
        self.began = self.state()

    def placed(self):
        return int(self.endpoint.samples()[PLACED])

    def state(self):
        return time.monotonic(), self.placed(), process_cpu_ms(self.instance.pid)

    def look(self):
        """At what may grow."""
        pid = self.instance.pid
        return {"memory_mib": resident_mib(pid),
                "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
                "threads": len(os.listdir(f"/proc/{pid}/task"))}

    def minute(self, number, looks):
        """What happened since the last one."""
        before, self.began = self.began, self.state()
        seconds, placed, cpu_ms = (now - then for now, then in zip(self.began, before))
        return {"minute": number, "rate": placed / seconds,
                "cpu_ms": cpu_ms / placed if placed else None,
                **{name: max(look[name] for look in looks) for name in looks[0]},
                "waiting": self.servers.rabbit.messages_ready(self.subscription.queue),
                "redis_mib": self.store.redis.client.info("memory")["used_memory"] / 2**20}

    def empty_logs(self):
        for path in (self.instance.log_path, self.site.nginx.access_log):
            os.truncate(path, 0)

    def minutes(self, count):
        """Yields each when it is over."""
        started = time.monotonic()
        self.announcer.start()
        for number in range(1, count + 1):
            end, looks = started + number * PERIOD_SECONDS, []
            while time.monotonic() < end:
                time.sleep(LOOK_EVERY)
                looks.append(self.look())
            yield self.minute(number, looks)
            self.empty_logs()

    def finish(self):
        """Returns how many files were announced, and placed."""
        announced = self.announcer.close()
        wait_until(lambda: self.placed() >= announced, PATIENCE_SECONDS,
                   lambda: f"{self.placed()} files of {announced}")
        left = [entry for number in range(self.announcer.removed, self.announcer.rounds)
                for entry in entries_of(self.site, number)]
        stop_and_compare(self.subscription, left)
        return announced


def run(servers, chosen):
    durability = chosen.durability[0] if chosen.durability else "group"
    soak, minutes = Soak(servers, chosen.files or FILES, durability), []
    for minute in soak.minutes(chosen.minutes):
        minutes.append(minute)
        tell("soak  " + "  ".join(f"{name} {value:.6g}" for name, value in minute.items()))
    return {"durability": durability, "files": len(soak.site.entries),
            "remembered_seconds": REMEMBERED_SECONDS, "placed": soak.finish(), "minutes": minutes}

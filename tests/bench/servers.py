"""The servers of the benchmark, our own on this machine, each started when it is first needed."""
import os
import random
import sys
from functools import cache, cached_property

from rig.nginx import Nginx
from rig.process import Process, accepts_connections, free_port, wait_until
from rig.rabbit import Rabbit
from rig.redis import Redis
from rig.subscriber import Store
from rig.tls import Certificate
from rig.tree import Plan, make_tree, write

LATE_MS = 40
SEED = 11
LETTERS = bytes(65536)  # what text would be made of
TTL_SECONDS = 7 * 86400
FILL_AT_ONCE = 50000
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


def fill(redis, keys):
    """Seconds for five million: some twenty."""
    script = redis.client.register_script(FILL)
    for first in range(0, keys, FILL_AT_ONCE):
        script(args=[first, min(FILL_AT_ONCE, keys - first), TTL_SECONDS])
    if redis.client.dbsize() != keys:
        raise RuntimeError(f"Redis has {redis.client.dbsize()} keys instead of {keys}")


def equal_files(root, count, size):
    """Files of this size, as (entries)."""
    rng = random.Random(SEED)
    return [write(root, Plan(f"file{number:05}.grib2", size, b"GRIB", b"7777", False), LETTERS, rng)
            for number in range(count)]


class Site:
    """Some files, and the servers that have them."""

    def __init__(self, folder, files, size, certificate):
        self.folder, self.root, self.certificate = folder, f"{folder}/www", certificate
        self.entries = (equal_files(self.root, files, size) if size
                        else make_tree(self.root, files, seed=SEED))
        self.bytes = sum(entry.size for entry in self.entries)
        for entry in self.entries:  # into the page cache
            with open(f"{self.root}/{entry.rel_path}", "rb") as file:
                while file.read(1 << 20):
                    pass

    @cached_property
    def nginx(self):
        return Nginx(f"{self.folder}/nginx", self.root, self.certificate).start()

    @cached_property
    def late(self):
        """(process, URL) of the late server."""
        port = free_port()
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "late_server.py")
        process = Process([sys.executable, script, self.root, LATE_MS, port],
                          f"{self.folder}/late_server.log")
        wait_until(lambda: accepts_connections(port), 10, "the late server answers")
        return process, f"http://127.0.0.1:{port}/"

    def url(self, case):
        if case.late:
            return self.late[1]
        return f"https://localhost:{self.nginx.tls_port}/" if case.tls else self.nginx.url

    def process(self, case):
        """What serves the case."""
        return self.late[0] if case.late else self.nginx.server


class Servers:
    """Everything below `work`."""

    def __init__(self, work):
        self.work = work
        self.runs = 0

    def folder(self):
        """The path of a new one for every run."""
        self.runs += 1
        return f"{self.work}/run{self.runs:03}"

    @cached_property
    def certificate(self):
        return Certificate(f"{self.work}/tls")

    @cached_property
    def rabbit(self):
        return Rabbit(f"{self.work}/rabbit", self.certificate).start()

    @cache
    def site(self, files, size=None):
        return Site(f"{self.work}/site{files}_{size or 'small'}", files, size, self.certificate)

    @cache
    def store(self, kind="redis", remembered=0):
        if kind == "disk":
            return Store()
        redis = Redis(f"{self.work}/redis{remembered}", durable=False).start()
        fill(redis, remembered)
        return Store(redis)

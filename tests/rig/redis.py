"""A Redis of our own: loopback only, with a password, its data in a temporary directory.

It can be killed and started again with its data (every write is in the append-only file before it
is answered, which outlives the process) or without.
"""
import contextlib
import os
import shutil
import signal

import redis

from rig.process import Process, free_port, wait_until

PASSWORD = "Sesame-4711"
CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}/data
save ""
appendonly {appendonly}
appendfsync no
auto-aof-rewrite-percentage 0
"""


class Redis:
    """`folder` is made and used for everything. `durable`: what was written outlives kill()."""

    def __init__(self, folder, durable=True, password=PASSWORD):
        self.folder = os.path.abspath(folder)
        self.password = password
        self.port = free_port()
        self.server = None
        os.makedirs(f"{self.folder}/data", exist_ok=True)
        with open(f"{self.folder}/redis.conf", "w") as file:
            file.write(CONFIGURATION.format(folder=self.folder, port=self.port, password=password,
                                            appendonly="yes" if durable else "no"))
        # no timeout: a test that pauses Redis must not ask it meanwhile
        self.client = redis.Redis("127.0.0.1", self.port, password=password)

    def url(self, password=None):
        return f"redis://:{password or self.password}@127.0.0.1:{self.port}/0"

    def start(self):
        if not self.is_running():
            self.server = Process(["/usr/bin/redis-server", f"{self.folder}/redis.conf"],
                                  f"{self.folder}/output.log", cwd=self.folder)
        wait_until(self._answers, 30, f"Redis answers, see {self.folder}/output.log", every=0.02)
        return self

    def _answers(self):
        if not self.is_running():
            raise RuntimeError(f"Redis ended by itself, see {self.folder}/output.log")
        try:
            return self.client.ping()
        except redis.RedisError:
            return False  # not yet, or it still loads its data

    def is_running(self):
        return bool(self.server) and self.server.is_running()

    def stop(self):
        if self.server:
            self.server.send(signal.SIGCONT)
            self.server.stop()

    close = stop

    def kill(self):
        self.server.kill()

    def forget(self):
        """Removes the data of a server that does not run."""
        shutil.rmtree(f"{self.folder}/data")
        os.makedirs(f"{self.folder}/data")

    @contextlib.contextmanager
    def paused(self):
        """Connections stay open, nothing is answered."""
        self.server.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.server.send(signal.SIGCONT)

    @contextlib.contextmanager
    def read_only(self):
        """A replica of a server that is not there: writes are refused with READONLY."""
        self.client.replicaof("127.0.0.1", "1")
        try:
            yield
        finally:
            self.client.replicaof("NO", "ONE")

    @contextlib.contextmanager
    def out_of_memory(self):
        """Writes are refused with OOM."""
        self.client.config_set("maxmemory", 1)
        try:
            yield
        finally:
            self.client.config_set("maxmemory", 0)

    @contextlib.contextmanager
    def also_allowed(self, password):
        """A second password is right, too."""
        self.client.execute_command("ACL", "SETUSER", "default", f">{password}")
        try:
            yield
        finally:
            self.client.execute_command("ACL", "SETUSER", "default", f"<{password}")

    def hesitate(self, milliseconds):
        """Answers nothing for so long."""
        self.client.execute_command("CLIENT", "PAUSE", milliseconds)

    def clear(self):
        self.client.flushall()

    def clients(self):
        """How many connections there are, ours included."""
        return len(self.client.client_list())

    def cpu_ms(self):
        """User and system time so far."""
        usage = self.client.info("cpu")
        return 1000 * (usage["used_cpu_user"] + usage["used_cpu_sys"])

    def calls(self):
        """How often each command was called since the start: {"evalsha": 12, ...}."""
        return {name.removeprefix("cmdstat_"): row["calls"]
                for name, row in self.client.info("commandstats").items()}

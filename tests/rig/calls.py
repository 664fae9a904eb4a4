"""System calls of a running process, watched or made to fail (strace)."""
import shutil

import pytest

from rig.process import Process, wait_until


class Calls:
    """`names`: the calls; `error`: the name of the errno with which all of them fail, as long as
    this is not closed."""

    def __init__(self, instance, log_path, names, error=None):
        if not shutil.which("strace"):
            pytest.skip("no strace")
        self.log_path = log_path
        fails = ["-e", f"inject={names}:error={error}"] if error else []
        self.strace = Process(["strace", "-f", "-y", "-qqq", "-o", f"{log_path}.calls", "-e",
                               f"trace={names}", *fails, "-p", str(instance.pid)], log_path)
        wait_until(lambda: self._holds(instance.pid), 10, "strace holds the process")

    def _holds(self, pid):
        if not self.strace.is_running():
            with open(self.log_path) as log:
                pytest.skip(f"strace is of no use here: {log.read()[-200:]}")
        with open(f"/proc/{pid}/status") as status:
            return f"TracerPid:\t{self.strace.pid}\n" in status.read()

    def lines(self):
        with open(f"{self.log_path}.calls") as log:
            return log.read().splitlines()

    def close(self):
        self.strace.stop()
        return self.lines()

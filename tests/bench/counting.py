"""Counts what one process does between two moments: system calls, allocations, CPU time."""
import mmap
import os
import shutil
import signal
import struct
from dataclasses import dataclass

from rig.process import Process, wait_until
from rig.subscriber import program

TICKS = os.sysconf("SC_CLK_TCK")
EVENT = "raw_syscalls:sys_enter"


@dataclass
class Counts:
    system_calls: float  # NaN where perf may not count them
    allocations: int
    cpu_ms: float


class SystemCalls:
    """perf, attached to all threads of a process."""

    def __init__(self, path, pid):
        self.path = path
        os.mkfifo(f"{path}.control")
        os.mkfifo(f"{path}.ack")
        self.process = None
        if not shutil.which("perf"):
            return
        self.process = Process(
            ["perf", "stat", "-x", ",", "-e", EVENT, "-o", path, "-D", "-1", "--control",
             f"fifo:{path}.control,{path}.ack", "-p", pid], f"{path}.log")
        control = os.open(f"{path}.control", os.O_RDWR)
        ack = os.open(f"{path}.ack", os.O_RDWR | os.O_NONBLOCK)
        os.write(control, b"enable\n")
        wait_until(lambda: self._is_acked(ack) or not self.process.is_running(), 10, "perf counts")
        os.close(control)
        os.close(ack)

    @staticmethod
    def _is_acked(ack):
        try:
            return os.read(ack, 16)
        except BlockingIOError:
            return False

    def end(self):
        if not self.process or not self.process.is_running():
            return float("nan")
        self.process.send(signal.SIGINT)
        self.process.wait(10)
        with open(self.path) as file:
            for line in file:
                if EVENT in line:
                    return float(line.split(",")[0])
        return float("nan")


class Counter:
    """Start a process with `env`, then begin() and end(). `path`: for files of its own."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as file:
            file.write(bytes(8))
        library = f"{os.path.dirname(program())}/tests/libbench_allocations.so"
        self.env = {"LD_PRELOAD": library, "BENCH_ALLOCATIONS": path}

    def _allocations(self):
        with open(self.path, "rb") as file, \
                mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ) as count:
            return struct.unpack("=Q", count[:])[0]

    def _cpu_ms(self):
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return 1000 * (int(fields[11]) + int(fields[12])) / TICKS

    def begin(self, pid):
        self.pid = pid
        self.system_calls = SystemCalls(f"{self.path}.perf", pid)
        self.start = self._allocations(), self._cpu_ms()

    def end(self):
        allocations, cpu_ms = self.start
        return Counts(self.system_calls.end(), self._allocations() - allocations,
                      self._cpu_ms() - cpu_ms)

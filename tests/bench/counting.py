"""Counts what processes do between two moments: CPU time, system calls, allocations."""
import mmap
import os
import shutil
import signal
import struct
import time
from dataclasses import dataclass

from rig.process import Process, wait_until
from rig.subscriber import program

EVENT = "raw_syscalls:sys_enter"


def tool(name):
    """The path of something that is built beside the program."""
    path = f"{os.path.dirname(program())}/tests/{name}"
    if not os.path.exists(path):
        raise RuntimeError(f"{path} is missing: build it, with -DSR3SUB_TESTS=ON")
    return path


def process_cpu_ms(pid):
    """As clock_getcpuclockid(3): all its threads, those that have ended, too."""
    return 1000 * time.clock_gettime(~int(pid) << 3 | 2)


def session_cpu_ms(pid):
    """CPU time of the living processes of a session, which each rig.process.Process has."""
    total = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.getsid(int(name)) == pid:
                total += process_cpu_ms(name)
        except OSError:
            pass  # it has just ended
    return total


class CpuMeter:
    """CPU time from now on: {name: ms}. `processes`: {name: Process}."""

    def __init__(self, **processes):
        self.pids = {name: process.pid for name, process in processes.items() if process}
        self.start = self._now()

    def _now(self):
        return {name: session_cpu_ms(pid) for name, pid in self.pids.items()}

    def spent(self):
        return {name: ms - self.start[name] for name, ms in self._now().items()}


@dataclass
class Counts:
    system_calls: float  # None where perf may not count them
    allocations: float
    cpu_ms: float

    def each(self, amount):
        """Of one of so many."""
        calls = None if self.system_calls is None else self.system_calls / amount
        return Counts(calls, self.allocations / amount, self.cpu_ms / amount)


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
            return None
        self.process.send(signal.SIGINT)
        self.process.wait(10)
        with open(self.path) as file:
            for line in file:
                if EVENT in line and line[0].isdigit():
                    return float(line.split(",")[0])
        return None


class Counter:
    """Start a process with `env`, then begin() and end(). `path`: for files of its own."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as file:
            file.write(bytes(8))
        self.env = {"LD_PRELOAD": tool("libbench_allocations.so"), "BENCH_ALLOCATIONS": path}

    def _allocations(self):
        with open(self.path, "rb") as file, \
                mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ) as count:
            return struct.unpack("=Q", count[:])[0]

    def begin(self, pid):
        self.pid = pid
        self.system_calls = SystemCalls(f"{self.path}.perf", pid)
        self.start = self._allocations(), process_cpu_ms(pid)

    def end(self):
        allocations, cpu_ms = self.start
        cpu_ms = process_cpu_ms(self.pid) - cpu_ms
        return Counts(self.system_calls.end(), self._allocations() - allocations, cpu_ms)

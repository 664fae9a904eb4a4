"""Processes we start, and nothing else: each is stopped by its pid, however this program ends.

Every process gets a session of its own, so that Ctrl-C reaches only the Python program, which then
stops things in order. Should the Python program be killed outright, the kernel sends SIGTERM to
its children.
"""
import atexit
import ctypes
import os
import random
import signal
import socket
import subprocess
import time

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1

running = []  # oldest first


def wait_until(condition, seconds, what, every=0.05):
    """Polls until `condition()` is true and returns its value. `what` names it, or is a function
    that describes how far things have come."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(every)


def free_port(address="127.0.0.1"):
    """A port nobody listens on. Below the range from which the kernel takes ports for outgoing
    connections, so that it is still free when a stopped server starts again."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
                return port
            except OSError:
                continue


def accepts_connections(port, address="127.0.0.1"):
    """Whether somebody listens on `port`."""
    try:
        socket.create_connection((address, port), timeout=1).close()
        return True
    except OSError:
        return False


def _die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Process:
    """One child process; its output is appended to `log_path`."""

    def __init__(self, args, log_path, env=None, cwd=None):
        self.args = [str(arg) for arg in args]
        self.usage = None  # resource usage, once it has ended
        self.told_to_stop = False
        self.peak_kib = 0  # as last seen, at every signal and when asked
        with open(log_path, "ab") as log:
            self.popen = subprocess.Popen(
                self.args, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env=env, cwd=cwd, start_new_session=True, preexec_fn=_die_with_parent)
        self.pid = self.popen.pid
        running.append(self)

    def exit_code(self):
        """None while it runs; -9 after kill -9."""
        if self.popen.returncode is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.popen.returncode = os.waitstatus_to_exitcode(status)
                self.usage = usage
                running.remove(self)
        return self.popen.returncode

    def is_running(self):
        return self.exit_code() is None

    def send(self, signal_number):
        if self.is_running():
            self.peak_memory_kib()
            os.kill(self.pid, signal_number)
            self.told_to_stop |= signal_number == signal.SIGTERM

    def wait(self, seconds):
        """Waits for its end and returns the exit code."""
        wait_until(lambda: not self.is_running(), seconds, f"end of {self.args[0]}", every=0.01)
        return self.exit_code()

    def stop(self, seconds=15):
        """SIGTERM, once, and SIGKILL to its whole group if that does not help in time."""
        if not self.told_to_stop:
            self.send(signal.SIGTERM)
        try:
            return self.wait(seconds)
        except TimeoutError:
            os.killpg(self.pid, signal.SIGKILL)
            return self.wait(5)

    def kill(self):
        self.send(signal.SIGKILL)
        return self.wait(5)

    def peak_memory_kib(self):
        """Highest resident memory so far; when it has ended, as far as it was seen."""
        try:
            with open(f"/proc/{self.pid}/status") as status:
                for line in status:
                    if line.startswith("VmHWM:"):
                        self.peak_kib = int(line.split()[1])
        except (FileNotFoundError, ProcessLookupError):
            pass
        return self.peak_kib


def stop_all():
    """Stops what is still running, newest first."""
    for process in reversed(list(running)):
        process.stop()


def _interrupt(signal_number, frame):
    raise KeyboardInterrupt


atexit.register(stop_all)
signal.signal(signal.SIGTERM, _interrupt)
signal.signal(signal.SIGHUP, _interrupt)

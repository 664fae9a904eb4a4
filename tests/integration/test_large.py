"""Large files: what has arrived survives broken connections and killed instances."""
import hashlib
import os
import random
import signal
import threading
from email.utils import formatdate

import pytest

from rig.announcer import announce
from rig.badserver import BadServer
from rig.fleet import PEAK_KIB, summaries
from rig.nginx import Nginx
from rig.posts import Post, v03
from rig.process import wait_until
from rig.subscriber import is_sanitized
from rig.tree import MEGABYTE, Entry
from rig.verify import compare

BLOCK = 4 * MEGABYTE  # of numbered copies: quick to make, and no part is like another
MTIME_NS = 1_795_000_000_000_000_000


def make_file(path, size):
    """A file of this size, and the entry that announces it."""
    block = bytearray(random.Random(size).randbytes(BLOCK))
    sha512, md5, left = hashlib.sha512(), hashlib.md5(), size
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        while left > 0:
            block[:8] = left.to_bytes(8, "big")
            piece = memoryview(block)[:min(left, BLOCK)]
            file.write(piece)
            sha512.update(piece)
            md5.update(piece)
            left -= len(piece)
    os.utime(path, ns=(MTIME_NS, MTIME_NS))
    return Entry(os.path.basename(path), size, sha512.digest(), md5.digest(), MTIME_NS)


def bytes_there(subscription):
    """Of all files below its directory, whatever they are called."""
    total = 0
    for folder, _, names in os.walk(subscription.directory):
        for name in names:
            try:
                total += os.stat(f"{folder}/{name}").st_blocks * 512
            except FileNotFoundError:
                pass  # renamed into place
    return total


def fetching(subscription, since):
    """The instance whose process has the inflight file open; None while there is none."""
    if bytes_there(subscription) < since:
        return None
    for instance in subscription.running():
        try:
            for name in os.listdir(f"/proc/{instance.pid}/fd"):
                if os.readlink(f"/proc/{instance.pid}/fd/{name}").startswith(
                        subscription.directory + "/."):
                    return instance
        except FileNotFoundError:
            pass
    return None


def sent_bytes(server, since):
    return sum(int(request.size) for request in server.requests(since))


class Large:
    """One large file on its way to a subscription."""

    def __init__(self, subscription, server, entry, instances):
        self.subscription, self.server, self.entry = subscription, server, entry
        self.kills = 0
        subscription.announce(announce([entry], server.url, wire=subscription.wire))
        for number in range(1, instances + 1):
            subscription.start(number)

    @property
    def target(self):
        return f"{self.subscription.directory}/{self.entry.rel_path}"

    def kill_after(self, more):
        """kill -9 of whoever fetches it, once so many more bytes are on the disk."""
        wanted = bytes_there(self.subscription) + more
        victim = wait_until(lambda: fetching(self.subscription, wanted), 90,
                            lambda: f"{bytes_there(self.subscription)} of {wanted} bytes arrived",
                            every=0.01)
        assert victim.kill() == -signal.SIGKILL
        self.kills += 1
        self.subscription.start(victim.number)

    def finish(self, seconds, most=1.2):
        """Waits for the file and counts what was sent for it."""
        wait_until(lambda: os.path.exists(self.target), seconds,
                   lambda: f"{bytes_there(self.subscription)} of {self.entry.size} bytes there")
        self.subscription.wait_queue_empty()
        assert set(self.subscription.stop()) == {0}
        outcome = compare(self.subscription.directory, [self.entry])
        sent = sent_bytes(self.server, 0) / self.entry.size
        peak = max(instance.peak_kib for instance in self.subscription.instances)
        summaries.append(f"{self.entry.size / 1e6:.0f} MB, {self.kills} kills: {outcome}, "
                         f"sent {sent:.3f} times, peak {peak / 1024:.1f} MiB")
        assert outcome.is_good(), outcome
        assert sent <= most
        assert is_sanitized() or peak < PEAK_KIB


@pytest.mark.release_only
def test_two_gigabytes_killed_five_times(subscribe, serve, tmp_path):
    """Two instances; whoever fetches is killed after 64 MB more. Its claim lapses in 30 s, then the
    other one, or the same again, goes on where it stopped."""
    entry = make_file(f"{tmp_path}/www/large.grib2", 2 * 1024 * MEGABYTE)
    server = serve(tmp_path / "www")
    server.trouble(limit_rate="200m")
    large = Large(subscribe(wire="v03"), server, entry, instances=2)
    for _ in range(5):
        large.kill_after(64 * MEGABYTE)
    server.trouble()
    large.finish(150)


def test_killed_and_broken(subscribe, serve, tmp_path):
    """A smaller one: killed once, then its connection breaks once."""
    entry = make_file(f"{tmp_path}/www/large.grib2", 50 * MEGABYTE)
    server = serve(tmp_path / "www")
    server.trouble(limit_rate="8m")
    large = Large(subscribe(), server, entry, instances=1)
    large.kill_after(16 * MEGABYTE)
    wanted = bytes_there(large.subscription) + 4 * MEGABYTE
    wait_until(lambda: fetching(large.subscription, wanted), 60, "it goes on", every=0.01)
    server.stop()
    server.trouble()
    server.start()
    large.finish(60)


class ChangingFile:
    """One path whose answers break off in the middle, at first. `versions`: (contents,
    Last-Modified or None) of each request, the last one for all that follow."""

    def __init__(self, versions, ranges=True):
        self.versions, self.ranges = versions, ranges
        self.sent = []  # (status, first byte) of each answer
        self.lock = threading.Lock()
        self.server = BadServer({"file.bin": self.answer})
        self.url = self.server.url

    def answer(self, connection, request):
        with self.lock:
            number = len(self.sent)
            body, modified = self.versions[min(number, len(self.versions) - 1)]
            first = self.first_byte(request, modified)
            self.sent.append((206 if first else 200, first))
        lines = [f"HTTP/1.1 {'206 Partial Content' if first else '200 OK'}",
                 f"Content-Length: {len(body) - first}"]
        if modified:
            lines.append(f"Last-Modified: {modified}")
        if first:
            lines.append(f"Content-Range: bytes {first}-{len(body) - 1}/{len(body)}")
        connection.sendall("\r\n".join(lines + ["", ""]).encode())
        broken = number < len(self.versions) - 1
        connection.sendall(body[first:len(body) * 2 // 3] if broken else body[first:])
        return not broken

    def first_byte(self, request, modified):
        """The whole file, unless the part is of the version that is here."""
        wanted = request.headers.get("range")
        if not wanted or not self.ranges or request.headers.get("if-range") != modified:
            return 0
        return int(wanted.removeprefix("bytes=").rstrip("-"))


OLD, NEW = "Mon, 02 Nov 2026 10:00:00 GMT", "Mon, 02 Nov 2026 11:00:00 GMT"


def contents(seed, size=6 * MEGABYTE):
    return random.Random(seed).randbytes(size)


def entry_of(body):
    return Entry("file.bin", len(body), hashlib.sha512(body).digest(), hashlib.md5(body).digest(),
                 MTIME_NS)


@pytest.mark.parametrize("case", ["same", "changed", "no Last-Modified", "no ranges"])
def test_broken_in_the_middle(subscribe, case):
    """Goes on if it is surely the same version; else it starts over, and is right."""
    old, new = contents(1), contents(2)
    versions = {"same": [(new, NEW), (new, NEW)],
                "changed": [(old, OLD), (new, NEW)],
                "no Last-Modified": [(new, None), (new, None)],
                "no ranges": [(new, NEW), (new, NEW)]}[case]
    server = ChangingFile(versions, ranges=case != "no ranges")
    subscription = subscribe()
    subscription.announce(announce([entry_of(new)], server.url))
    instance = subscription.start()
    wait_until(lambda: os.path.exists(f"{subscription.directory}/file.bin"), 30,
               lambda: f"it comes, after {server.sent}")
    subscription.wait_queue_empty()
    outcome = compare(subscription.directory, [entry_of(new)])
    assert outcome.is_good(), outcome
    assert len(server.sent) == 2
    assert (server.sent[1][0] == 206) == (case == "same"), server.sent
    assert "failed" not in instance.log()  # it was tried again at once
    server.server.close()


def test_changed_within_a_second(subscribe):
    """What was changed just now may be changed again without another Last-Modified; where there is
    no checksum nothing would tell."""
    now = formatdate(usegmt=True)
    old, new = contents(1), contents(2)
    server = ChangingFile([(old, now), (new, now)])
    subscription = subscribe()
    subscription.announce([v03(Post("file.bin", size=len(new)), server.url)])
    subscription.start()
    subscription.wait_queue_empty()
    with open(f"{subscription.directory}/file.bin", "rb") as file:
        assert file.read() == new
    server.server.close()


@pytest.mark.parametrize("op", [{}, {"rename": "former"}, {"hlink": "former"}])
def test_nothing_is_left_of_what_is_given_up(subscribe, op):
    """The server always breaks off after so much that it is worth keeping."""
    body = contents(3)
    server = ChangingFile([(body, NEW)] * 100)
    subscription = subscribe(options="retry_ttl 2s\nhousekeeping 1s\nattempts 1")
    post = Post("file.bin", body, op=op)
    subscription.announce([v03(post, server.url)])
    instance = subscription.start()
    wait_until(lambda: bytes_there(subscription) >= MEGABYTE, 30, "some of it is kept")
    instance.wait_for_log("gave up file.bin", 30)
    subscription.wait_queue_empty()
    assert instance.stop() == 0
    assert not os.listdir(subscription.directory)
    server.server.close()

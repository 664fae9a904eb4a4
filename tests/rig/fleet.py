"""Instances of one subscription at work on a number of files, and the count of what went wrong."""
import collections
import random
import signal
import time

from rig.announcer import announce, repeat
from rig.metrics import check_files
from rig.process import wait_until
from rig.subscriber import is_sanitized
from rig.verify import Progress, compare

ACTIVE = 32  # transfersMax: what one instance may have under way when it is killed
PEAK_KIB = 30 * 1024  # of each instance, unless it is built with sanitizers
COPIES = {2: 0.1}  # announced more than once: a tenth of the files, twice

summaries = []  # one line for each run, for whoever wants to print them


class Fleet:
    """Starts `instances`, which find everything announced. Files come at the pace of nginx's slow
    port, so that there is a middle to act in; `url` if they shall come from elsewhere."""

    def __init__(self, subscription, nginx, files, instances=1, copies=None, url=None, name=""):
        self.subscription, self.nginx, self.files = subscription, nginx, files
        self.name = name or f"{len(files)} files, store {subscription.store}"
        self.position = nginx.log_position()
        self.progress = Progress(subscription.directory, files)
        self.kills = 0
        planned = repeat(files, COPIES if copies is None else copies)
        announced = collections.Counter(entry.rel_path for entry in planned)
        self.repeated = {path for path, times in announced.items() if times > 1}
        subscription.announce(announce(planned, url or nginx.slow_url))
        for number in range(1, instances + 1):
            subscription.start(number)

    def is_done(self):
        return self.progress.update() == 0

    def wait_placed(self, share, seconds=120):
        """Waits until this share of the files is there."""
        most_missing = len(self.files) * (1 - share)
        wait_until(lambda: self.progress.update() <= most_missing, seconds,
                   lambda: f"{share:.0%} placed, {len(self.progress.missing)} files missing")

    def kill(self, spare=None):
        """kill -9 of any of them but `spare`, which then starts again."""
        victim = random.choice([instance for instance in self.subscription.running()
                                if instance is not spare])
        assert victim.kill() == -signal.SIGKILL
        self.kills += 1
        self.subscription.start(victim.number)

    def fetched_twice(self):
        """Paths with more than one whole answer in nginx's log."""
        return {path for path, times in self.nginx.fetches(self.position).items() if times > 1}

    def finish(self, seconds=180, fetched_twice=0, also=()):
        """Waits for the rest, stops, and counts. So many files may have been fetched twice, and
        any of `also`."""
        self.progress.wait(seconds)
        self.subscription.wait_queue_empty()
        last = {instance.number for instance in self.subscription.running()}
        assert set(self.subscription.stop()) <= {0}
        check_files(self.subscription.metrics(number) for number in last)
        outcome = compare(self.subscription.directory, self.files)
        again = self.fetched_twice()
        peak = max(instance.peak_kib for instance in self.subscription.instances)
        summaries.append(f"{self.name}: {outcome}, fetched twice {len(again)}, kills {self.kills}, "
                         f"peak {peak / 1024:.1f} MiB")
        assert outcome.is_good(), outcome
        assert not self.progress.partial
        more = again - set(also)
        assert len(more) <= fetched_twice, f"{len(more)} files fetched twice: {sorted(more)[:3]}"
        assert is_sanitized() or peak < PEAK_KIB


class Pace:
    """Lets things happen at a rhythm: pace.wait() returns `seconds` after the last time."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.next = time.monotonic() + seconds

    def is_due(self):
        if time.monotonic() < self.next:
            return False
        self.next = time.monotonic() + self.seconds
        return True

    def wait(self):
        wait_until(self.is_due, self.seconds + 5, "the next turn")

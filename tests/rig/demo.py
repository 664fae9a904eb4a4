"""What ./demo does once sr3sub is built; see there."""
import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from rig.announcer import announce, repeat
from rig.nginx import Nginx
from rig.process import stop_all
from rig.rabbit import Rabbit
from rig.subscriber import Subscription, log_seconds
from rig.tree import make_tree
from rig.verify import Progress, compare

MEGABYTE = 1_000_000
STALLED_SECONDS = 60  # nothing placed for so long: give up


def arguments():
    parser = argparse.ArgumentParser(prog="demo")
    parser.add_argument("--files", type=int, default=3000, metavar="N",
                        help="small files beside the few large ones (3000)")
    parser.add_argument("--huge", type=int, default=100, metavar="MB",
                        help="size of the largest file in megabytes (100)")
    parser.add_argument("--v03", dest="wire", action="store_const", const="v03", default="v02",
                        help="announce in the v03 format (v02)")
    parser.add_argument("--instances", type=int, default=1, metavar="N",
                        help="sr3sub processes on the one queue (1)")
    parser.add_argument("--keep", action="store_true",
                        help="keep the files, logs and metrics, and say where they are")
    chosen = parser.parse_args()
    if chosen.files < 1 or chosen.instances < 1:
        parser.error("at least one file and one instance")
    return chosen


def say(text):
    print(text, flush=True)


class ProgressLine:
    """One line that is redrawn on a terminal, and a line every few seconds elsewhere."""

    def __init__(self, total):
        self.total = total
        self.terminal = sys.stdout.isatty()
        self.started = self.shown = time.monotonic()

    def show(self, placed, placed_bytes, last=False):
        now = time.monotonic()
        if not (last or self.terminal or now - self.shown > 3):
            return
        self.shown = now
        rate = placed / max(now - self.started, 0.001)
        text = (f"placed {placed} of {self.total} files, {placed_bytes / MEGABYTE:.1f} MB, "
                f"{rate:.0f} files/s")
        if self.terminal:
            print(f"\r\033[K{text}", end="\n" if last else "", flush=True)
        else:
            say(text)


def watch(subscription, progress, line):
    """Until all files are there and the queue is empty."""
    total, last_change = line.total, time.monotonic()
    while progress.missing:
        before = len(progress.missing)
        missing = progress.update()
        if missing != before:
            last_change = time.monotonic()
        if time.monotonic() - last_change > STALLED_SECONDS:
            raise TimeoutError(f"{missing} files have not come, none for {STALLED_SECONDS} s")
        if not subscription.running():
            raise RuntimeError("sr3sub ended by itself")
        line.show(total - missing, progress.placed_bytes)
        time.sleep(0.1)
    line.show(total, progress.placed_bytes, last=True)
    subscription.wait_queue_empty()


def lags(subscription, entries, messages_ns):
    """Seconds from the first announcement of each file to its place, sorted."""
    announced = {f"{subscription.directory}/{e.rel_path}": messages_ns[e.rel_path] / 1e9
                 for e in entries}
    return sorted(max(0, log_seconds(moment) - announced[path])
                  for moment, path in subscription.downloaded() if path in announced)


def print_table(rows):
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        say(f"  {name:<{width}}  {value}")


def run(chosen, work):
    say("making the files ...")
    entries = make_tree(f"{work}/www", chosen.files, radar=20, grib=10, huge_mb=chosen.huge)
    say("starting RabbitMQ and nginx ...")
    rabbit = Rabbit(f"{work}/rabbit").start()
    nginx = Nginx(f"{work}/nginx", f"{work}/www").start()

    subscription = Subscription(work + "/sr3sub", rabbit, name="demo", wire=chosen.wire)
    planned = repeat(entries, {2: 0.10, 5: 0.05})
    start_ns = time.time_ns()
    subscription.announce(announce(planned, nginx.url, chosen.wire, start_ns=start_ns))
    first_ns = {entry.rel_path: start_ns + 1000 * i
                for i, entry in reversed(list(enumerate(planned)))}

    progress, line = Progress(subscription.directory, entries), ProgressLine(len(entries))
    started = time.time()
    for number in range(1, chosen.instances + 1):
        subscription.start(number)
    watch(subscription, progress, line)
    exit_codes = subscription.stop()

    outcome = compare(subscription.directory, entries)
    again = [path for path, times in nginx.fetches().items() if times > 1]
    placed = subscription.downloaded()
    seconds = (log_seconds(placed[-1][0]) if placed else time.time()) - started
    lag = lags(subscription, entries, first_ns) or [0]
    say("")
    print_table([
        ("announced", f"{len(planned)} in {chosen.wire}"),
        ("duplicates", len(planned) - len(entries)),
        ("placed", f"{len(entries) - len(outcome.lost)} of {len(entries)}"),
        ("bytes", f"{sum(entry.size for entry in entries) / MEGABYTE:.1f} MB"),
        ("files/s", f"{len(entries) / max(seconds, 0.001):.0f}"),
        ("lag p50/p95/max", f"{statistics.median(lag):.2f} / {lag[int(len(lag) * 0.95)]:.2f} / "
                            f"{lag[-1]:.2f} s (all was announced before sr3sub started)"),
        ("files", subscription.directory),
        ("metrics", f"{subscription.cache}/sr3/metrics"),
    ])
    return faults(outcome, again, exit_codes, progress.partial)


def faults(outcome, again, exit_codes, partial):
    """What is wrong, as sentences; empty if all is well."""
    wrong = []
    if not outcome.is_good():
        wrong.append(f"files differ from what was announced: {outcome}")
    if again:
        wrong.append(f"{len(again)} files were fetched more than once, for example {again[0]}")
    if partial:
        wrong.append(f"{len(partial)} files were visible before they were whole")
    if any(exit_codes):
        wrong.append(f"sr3sub ended with {exit_codes}")
    return wrong


def main():
    chosen = arguments()
    work = tempfile.mkdtemp(prefix="sr3sub-demo-")
    os.chmod(work, 0o755)
    try:
        wrong = run(chosen, work)
    except (TimeoutError, RuntimeError, OSError) as error:
        wrong = [str(error)]
    except KeyboardInterrupt:
        wrong = ["interrupted"]
    finally:
        stop_everything()
    if wrong:
        for text in wrong:
            print(f"demo: {text}", file=sys.stderr)
        show_logs(work)
    else:
        say("\nevery file is there, byte by byte; nothing was fetched twice")
    if chosen.keep:
        say(f"kept: {work}")
    else:
        shutil.rmtree(work, ignore_errors=True)
        say("all of it removed again (--keep keeps it)")
    return 1 if wrong else 0


def show_logs(work):
    """The last lines of each sr3sub log."""
    folder = f"{work}/sr3sub"
    for name in sorted(os.listdir(folder) if os.path.isdir(folder) else []):
        if name.endswith(".log"):
            with open(f"{folder}/{name}", errors="replace") as log:
                print(f"--- {name}\n" + "".join(log.readlines()[-10:]), file=sys.stderr)


def stop_everything():
    """Also when Ctrl-C is pressed a second time."""
    try:
        stop_all()
    except KeyboardInterrupt:
        stop_all()


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""Writes results as Markdown. Files that tests/bench/run wrote with --json, joined:

    tests/bench/report.py rows.json soak.json > docs/performance.md

A row that is in several of them is taken from the last.
"""
import json
import sys

INTRODUCTION = """\
# Performance

Made by `tests/bench/run`; do not edit.

sr3sub fetches files from servers on the same machine, which share its processors; all of them have
been announced before it starts. Its settings are the defaults but for those named, with duplicates
suppressed, the claims in Redis unless the row says otherwise, and logging and metrics on. Each file
is verified against its checksum by sr3sub, and once more when the run is over.

Each figure is the median of {rounds} rounds, in each of which everything in a row is measured once,
in turn. Ratios are medians of the ratios of each round, and say more than rates: what else the
machine does strikes both sides. The lines in italics are the yardsticks, measured in the same
rounds:

- *curl*: the same files with `curl --parallel --parallel-max 50`;
- *disk*: a program that writes and renames the same files with the same flushes, and nothing else;
- *consume*: a program that takes the same messages off a queue with librabbitmq and acks them, and
  nothing else;
- *limit*: `transfersMaxPerHost` files in the time of one answer.

CPU is in milliseconds for a file or announcement, of the process itself (of sr3sub from its start)
and of what serves it meanwhile. Peak is the resident memory, of several instances that of the
largest. System calls and allocations are of one more run, by an instance that has started before;
a realloc counts, a free does not.
"""
REPEAT = """\
## To repeat it

```sh
cmake --preset release && cmake --build --preset release
{commands}
```

Nothing else should be at work on the machine. `tests/bench/run --help` names the rows and what can
be chosen.
"""
HEADINGS = ["", "", "a second", "MB/s", "of yardstick", "CPU ms", "broker", "server", "store",
            "peak MiB", "system calls", "allocations"]
SOAK = [("minute", "minute", 0), ("rate", "files/s", 0), ("cpu_ms", "CPU ms/file", 3),
        ("memory_mib", "memory MiB", 1), ("descriptors", "descriptors", 0),
        ("threads", "threads", 0), ("waiting", "waiting", 0), ("redis_mib", "Redis MiB", 1)]
SOAK_TEXT = """\
## Soak

One instance at full speed, with `durability {durability}` and announcements published ahead as fast
as they are taken: {files:,} small files over and over, each time under new names, and remembered
for {remembered_seconds} s. Of {placed:,} files none was lost. Memory, descriptors and threads are
the most in each minute; files of a group are open at once. From the second minute on:
{ranges[rate]} files/s, memory {ranges[memory_mib]} MiB, descriptors {ranges[descriptors]}.

"""


def number(value, digits):
    return "–" if value is None else f"{value:,.{digits}f}"


def rate(value):
    return number(value, 0 if value is None or value >= 100 else 2)


def table(headings, lines, texts=2):
    """The first so many columns are texts, all others numbers, to the right."""
    rule = ["---" if position < texts else "---:" for position in range(len(headings))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [headings, rule, *lines])


def cells(line):
    style = "*" if line["yardstick"] else ""
    cpu = line["cpu_ms"]
    ratios = ", ".join(f"{ratio:.2f} {name}" for name, ratio in line["ratios"].items()) or "–"
    return ["", f"{style}{line['label']}{style}", rate(line["rate"]),
            number(line["mb_per_s"], 1), ratios,
            *(number(cpu.get(name), 3) for name in ("itself", "broker", "server", "store")),
            number(line["peak_mib"], 1), number(line["system_calls"], 1),
            number(line["allocations"], 1)]


def title(row):
    """A line of its own for each row, then its lines."""
    text = f"{row['files']:,} files {row['what']} ({row['megabytes']:,.1f} MB)"
    if row["announcements"]:
        text += f", {row['announcements']:,} announcements"
    return [f"**{row['name']}**", text, *[""] * (len(HEADINGS) - 2)]


def rows_as_markdown(rows):
    lines = []
    for row in rows:
        lines += [title(row), *map(cells, row["lines"])]
    return "## Rows\n\n" + table(HEADINGS, lines) + "\n"


def machine_as_markdown(machine):
    return "## The machine\n\n" + table(["", ""], machine.items()) + "\n"


def spread(minutes, name, digits):
    values = [minute[name] for minute in minutes if minute[name] is not None]
    if not values:
        return "–"
    return f"{number(min(values), digits)} to {number(max(values), digits)}"


def soak_as_markdown(soak):
    minutes = soak["minutes"]
    lines = [[number(minute[name], digits) for name, _, digits in SOAK] for minute in minutes]
    ranges = {name: spread(minutes[1:], name, digits) for name, _, digits in SOAK}
    return (SOAK_TEXT.format(ranges=ranges, **soak)
            + table([heading for _, heading, _ in SOAK], lines, texts=0) + "\n")


def markdown(results):
    parts = [INTRODUCTION.format(rounds=results["rounds"]), machine_as_markdown(results["machine"]),
             REPEAT.format(commands="\n".join(results["commands"]))]
    if results["rows"]:
        parts.append(rows_as_markdown(results["rows"]))
    if results.get("soak"):
        parts.append(soak_as_markdown(results["soak"]))
    return "\n".join(parts)


def join(several):
    """Results in one: machine and rounds of the last one that has rows."""
    joined, rows = dict(several[0]), {}
    for results in several:
        rows.update((row["name"], row) for row in results["rows"])
        if results["rows"]:
            joined.update(machine=results["machine"], rounds=results["rounds"])
        joined["soak"] = results.get("soak") or joined.get("soak")
    joined["commands"] = list(dict.fromkeys(command for results in several
                                            for command in results["commands"]))
    return dict(joined, rows=list(rows.values()))


def load(path):
    with open(path) as file:
        return json.load(file)


if __name__ == "__main__":
    sys.stdout.write(markdown(join([load(path) for path in sys.argv[1:]])))

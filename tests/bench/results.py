"""Measures rows, and makes of the samples what the table shows, as plain values for JSON.

Rates, CPU times and ratios are medians; a ratio is of two samples of the same round. The peak is
the highest. What was not measured is null.
"""
import statistics
import sys
from dataclasses import dataclass, field

from bench import Bench
from rows import NEW
from yardsticks import Yardsticks, key


@dataclass
class Line:
    """A case or a yardstick, and its samples."""
    label: str
    unit: str
    case: object = None
    samples: list = field(default_factory=list)
    marks: dict = field(default_factory=dict)  # name of a yardstick: its line
    counts: tuple = None  # (Counts of each file or announcement, peak in KiB)


def tell(text):
    print(text, file=sys.stderr, flush=True)


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def ratio(line, other):
    return median(sample.rate / mark.rate for sample, mark in zip(line.samples, other.samples))


def cpu_ms(line):
    """Of a file or an announcement: {name: ms}."""
    if not line.samples and line.counts:
        return {"itself": line.counts[0].cpu_ms}
    names = line.samples[0].cpu_ms if line.samples else []
    return {name: median(sample.cpu_ms[name] / sample.amount for sample in line.samples)
            for name in names}


def summary(line):
    samples, counts = line.samples, line.counts
    peaks = [sample.peak_kib for sample in samples if sample.peak_kib]
    if counts and not peaks:
        peaks = [counts[1]]
    ratios = {name: ratio(line, mark) for name, mark in line.marks.items()} if samples else {}
    return {
        "label": line.label, "unit": line.unit, "yardstick": line.case is None,
        "rate": median(sample.rate for sample in samples),
        "rates": [sample.rate for sample in samples],
        "mb_per_s": median(sample.bytes / sample.seconds / 1e6 for sample in samples
                           if sample.bytes),
        "ratios": ratios,
        "cpu_ms": cpu_ms(line),
        "peak_mib": max(peaks) / 1024 if peaks else None,
        "system_calls": counts and counts[0].system_calls,
        "allocations": counts and counts[0].allocations,
    }


class Table:
    """The lines of one row."""

    def __init__(self, servers, row):
        self.row, self.bench = row, Bench(servers, row)
        self.yardsticks = Yardsticks(self.bench)
        self.marks = {}  # key of a yardstick: its line
        self.lines = [Line(str(case), "files" if case.work == NEW else "announcements", case)
                      for case in row.cases]
        for line in self.lines:
            line.marks = {name: self._mark(name, line) for name in line.case.yardsticks}
            if row.compared:
                self._compare(line)

    def _mark(self, name, line):
        found = key(name, line.case)
        return self.marks.setdefault(found, Line(", ".join(found), line.unit))

    def _compare(self, line):
        first = next(other for other in self.lines if other.case.work == line.case.work)
        if first is not line:
            line.marks[f"“{first.label}”"] = first

    def round(self, number):
        done = set()
        for line in self.lines:
            for name in line.case.yardsticks:
                mark = line.marks[name]
                if id(mark) not in done:
                    done.add(id(mark))
                    self._take(number, mark, lambda: self.yardsticks.measure(name, line.case))
            self._take(number, line, lambda: self.bench.measure(line.case))

    def _take(self, number, line, measure):
        sample = measure()
        line.samples.append(sample)
        tell(f"{self.row.name:<12} round {number + 1}  {line.label:<28} {sample.rate:10.1f} "
             f"{line.unit}/s")

    def count(self):
        for line in self.lines:
            if line.case.instances == 1:
                line.counts = self.bench.count(line.case)
                tell(f"{self.row.name:<12} counted  {line.label}")

    def as_json(self):
        row = self.row
        return {"name": row.name, "what": row.what, "files": row.files,
                "announcements": row.announcements,
                "megabytes": self.bench.site.bytes / 1e6,
                "lines": [summary(line) for line in [*self.marks.values(), *self.lines]]}


def measure_row(servers, row, rounds):
    """The row as it stands in the JSON file; without rounds only what is counted."""
    table = Table(servers, row)
    for number in range(rounds):
        table.round(number)
    table.count()
    return table.as_json()

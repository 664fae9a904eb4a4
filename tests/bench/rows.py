"""The rows of the benchmark: what is fetched, and in which cases.

In each round of a row every case is measured once, in turn, and so is every yardstick it is
compared with.
"""
from dataclasses import dataclass, replace

NEW, DUPLICATES, REJECTED = "new files", "duplicates", "rejected"
CURL, DISK, CONSUME, LIMIT = "curl", "disk", "consume", "limit"
FILES = (CURL, DISK)
RULES = 200


@dataclass(frozen=True)
class Case:
    """One line of the table. `label` may name the other members."""
    label: str
    work: str = NEW
    durability: str = "none"
    store: str = "redis"
    instances: int = 1
    remembered: int = 0  # files known to Redis beforehand
    waiting: int = 0  # announcements behind the measured ones
    tls: bool = False
    late: bool = False
    options: str = ""
    yardsticks: tuple = FILES

    def __str__(self):
        return self.label.format(**vars(self))


@dataclass(frozen=True)
class Row:
    """`compared`: every case with the first one of the same work. `announcements`: where not only
    new files are announced."""
    name: str
    what: str
    files: int
    cases: tuple
    size: int = None  # of each file; None: small ones, half of them below 3 kB
    announcements: int = 0
    compared: bool = False

    def at_most(self, files):
        """The same with fewer files, and with as much less of everything else."""
        if self.files <= files:
            return self
        share = files / self.files
        return replace(self, files=files, announcements=round(self.announcements * share),
                       cases=tuple(replace(case, remembered=round(case.remembered * share),
                                           waiting=round(case.waiting * share))
                                   for case in self.cases))

    def with_durability(self, chosen):
        """Only these cases."""
        return replace(self, cases=tuple(case for case in self.cases if case.durability in chosen))

    def with_remembered(self, count):
        """The same after so many files, where Redis knows no others."""
        return replace(self, cases=tuple(
            replace(case, label=case.label + ", {remembered:,} remembered", remembered=count)
            if case.store == "redis" and not case.remembered else case for case in self.cases))


def by_durability(*durabilities, **settings):
    return tuple(Case("durability {durability}", durability=durability, **settings)
                 for durability in durabilities)


def by_remembered(work, **settings):
    return tuple(Case("{work}, {remembered:,} remembered", work=work, remembered=count, **settings)
                 for count in (0, 1_000_000, 5_000_000))


ALL = [
    Row("small", "with a median of 3 kB", 5000, by_durability("none", "group", "each")),
    Row("small-many", "with a median of 3 kB", 20_000, by_durability("none", "group")),
    Row("medium", "of 500 kB", 200, by_durability("none", "group", "each"), size=500_000),
    Row("big", "of 200 MB", 3, by_durability("none", "group", "each"), size=200_000_000),
    Row("duplicates", "that are there and announced again", 5000, announcements=100_000,
        cases=(Case("all duplicates", DUPLICATES, "group", yardsticks=(CONSUME,)),)),
    Row("rejected", f"among others that {RULES} accept and reject lines refuse", 20_000,
        announcements=100_000,
        cases=(Case("80 % rejected", REJECTED, "group", yardsticks=(CONSUME,)),)),
    Row("late", "from a server that takes 40 ms for each answer", 6000,
        cases=(Case("default settings", durability="group", late=True, yardsticks=(LIMIT,)),)),
    Row("tls", "by https, announced by amqps", 5000, by_durability("none", "group", tls=True)),
    Row("sqlite", "with the store in SQLite", 5000,
        by_durability("none", "group", store="disk")),
    Row("instances", "for several instances of sr3sub", 20_000, compared=True,
        cases=tuple(Case("{instances} at work", durability="group", instances=count)
                    for count in (1, 2, 4))),
    Row("remembered", "while others are remembered in Redis", 5000, announcements=100_000,
        compared=True, cases=by_remembered(NEW, yardsticks=(CURL,))
        + by_remembered(DUPLICATES, yardsticks=(CONSUME,))),
    Row("waiting", "while other announcements wait behind them", 20_000, compared=True,
        cases=tuple(Case("{waiting:,} waiting", durability="group", waiting=count,
                         yardsticks=(CURL,)) for count in (0, 500_000))),
    Row("prefetch", "with more at hand", 20_000, compared=True,
        cases=tuple(Case(label, durability="group", options=options, yardsticks=(CURL,))
                    for label, options in (("prefetch as it is", ""),
                                           ("prefetch 5,000", "prefetch 5000")))),
]
BY_NAME = {row.name: row for row in ALL}

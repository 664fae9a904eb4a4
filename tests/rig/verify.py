"""Counts what went wrong: files lost, corrupt or stray, and files fetched more than once."""
import hashlib
import os
from dataclasses import dataclass, field

from rig.process import wait_until


@dataclass
class Outcome:
    """Relative paths. `attributes`: right contents, but another time or mode than announced."""
    lost: list = field(default_factory=list)
    corrupt: list = field(default_factory=list)
    attributes: list = field(default_factory=list)
    stray: list = field(default_factory=list)

    def is_good(self):
        return not (self.lost or self.corrupt or self.attributes or self.stray)

    def __str__(self):
        parts = []
        for kind in ("lost", "corrupt", "attributes", "stray"):
            paths = getattr(self, kind)
            parts.append(f"{kind} {len(paths)}" + (f" ({paths[0]} ...)" if paths else ""))
        return ", ".join(parts)


def digest_of(path):
    sha512 = hashlib.sha512()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            sha512.update(piece)
    return sha512.digest()


def files_below(directory):
    return {os.path.relpath(os.path.join(folder, name), directory)
            for folder, _, names in os.walk(directory) for name in names}


def same_attributes(path, entry):
    """The time to a microsecond: a double holds no more."""
    status = os.stat(path)
    return (abs(status.st_mtime_ns - entry.mtime_ns) <= 1000
            and status.st_mode & 0o777 == entry.mode)


def compare(directory, entries, local_path=lambda entry: entry.rel_path):
    """Compares what is on disk with what was announced, byte by byte."""
    outcome = Outcome()
    expected = {local_path(entry): entry for entry in entries}
    for path, entry in expected.items():
        full = os.path.join(directory, path)
        if not os.path.isfile(full):
            outcome.lost.append(path)
        elif digest_of(full) != entry.digest:
            outcome.corrupt.append(path)
        elif not same_attributes(full, entry):
            outcome.attributes.append(path)
    outcome.stray = sorted(files_below(directory) - set(expected))
    return outcome


class Progress:
    """Watches files appear. A file is looked at once more only while it is missing."""

    def __init__(self, directory, entries):
        self.directory = directory
        self.missing = {entry.rel_path: entry.size for entry in entries}
        self.placed_bytes = 0
        self.partial = []  # seen under their final names while still short

    def update(self):
        """Returns how many are still missing."""
        for path, size in list(self.missing.items()):
            try:
                found = os.stat(os.path.join(self.directory, path)).st_size
            except FileNotFoundError:
                continue
            if found != size:
                self.partial.append(path)
            self.placed_bytes += found
            del self.missing[path]
        return len(self.missing)

    def wait(self, seconds):
        wait_until(lambda: self.update() == 0, seconds,
                   lambda: f"{len(self.missing)} files still missing, for example "
                           f"{sorted(self.missing)[:1]}", every=0.2)

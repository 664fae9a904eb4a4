"""The benchmark still runs: with few files, and nobody looks at the times."""
import json
import subprocess

import pytest

from rig.subscriber import PROJECT

pytestmark = pytest.mark.release_only

FIGURES = {"label", "unit", "yardstick", "rate", "rates", "mb_per_s", "ratios", "cpu_ms",
           "peak_mib", "system_calls", "allocations"}
SERVERS = {"itself", "broker", "server", "store"}


@pytest.fixture
def bench(tmp_path):
    """bench(words): the results and the Markdown of a run."""
    def run(*words):
        args = [f"{PROJECT}/tests/bench/run", *words, "--folder", tmp_path,
                "--json", tmp_path / "json", "--markdown", tmp_path / "markdown"]
        done = subprocess.run(args, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads((tmp_path / "json").read_text()), (tmp_path / "markdown").read_text()
    return run


def test_rows(bench):
    results, markdown = bench("small", "duplicates", "--files", "50", "--rounds", "1",
                              "--durability", "group")
    assert {"CPU", "cores", "kernel", "RabbitMQ", "libcurl"} <= set(results["machine"])
    assert [row["name"] for row in results["rows"]] == ["small", "duplicates"]
    for row in results["rows"]:
        assert all(set(line) == FIGURES for line in row["lines"])
        line = row["lines"][-1]
        assert line["rate"] > 0 and line["peak_mib"] > 0 and line["allocations"] > 0
        assert set(line["cpu_ms"]) == SERVERS
        assert all(ratio > 0 for ratio in line["ratios"].values())
    small, duplicates = (row["lines"][-1] for row in results["rows"])
    assert small["label"] == "durability group" and set(small["ratios"]) == {"curl", "disk"}
    assert duplicates["unit"] == "announcements" and set(duplicates["ratios"]) == {"consume"}
    for text in ("| **small** |", "durability group", "all duplicates", "tests/bench/run small"):
        assert text in markdown


def test_no_such_row():
    done = subprocess.run([f"{PROJECT}/tests/bench/run", "smal"], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 2 and "no such row: smal" in done.stderr

"""A 32-bit system: no warning, and every unit test. Marked `long`, `./check --long` runs it."""
import pytest

import suite

BASE = "debian:trixie-i386"


@pytest.mark.long
def test_unit_tests_pass(engine, work, capsys):
    engine.base_image(BASE, "trixie", "i386")
    tests, failures = suite.run(engine, BASE, f"{work}/i386")
    with capsys.disabled():
        print(f"\nunit tests with 32 bits: {tests - failures} passed, {failures} failed")
    assert tests > 70 and not failures

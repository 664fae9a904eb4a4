"""Debian 13, whose libraries the image has: no warning, and every unit test."""
import suite


def test_unit_tests_pass(engine, build_image, work, capsys):
    tests, failures = suite.run(engine, build_image, f"{work}/debian13")
    with capsys.disabled():
        print(f"\nunit tests on Debian 13: {tests - failures} passed, {failures} failed")
    assert tests > 70 and not failures

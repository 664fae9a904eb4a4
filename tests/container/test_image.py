"""The image of the program."""
from conftest import BASE


def test_engine_runs(engine):
    engine.base_image(BASE, "trixie")
    assert engine.docker("run", "--rm", BASE, "cat", "/etc/debian_version").startswith("13")

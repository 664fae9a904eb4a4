"""What the container tests share: one engine, and the image of the program built once.

Where no engine can run these tests are skipped, but not when CI is set: there it is a failure.
"""
import os
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from rig.engine import PROJECT, Engine, NoEngine

IMAGE = "sr3sub"
BASE = "debian:trixie-slim"  # what container/Dockerfile builds on


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes, only ./check --long runs it")


@pytest.fixture(scope="session")
def work():
    """On disk: overlayfs and what an engine keeps do not suit a file system in memory."""
    folder = tempfile.mkdtemp(prefix="sr3sub-container-", dir="/var/tmp")
    os.chmod(folder, 0o755)
    yield folder
    if os.environ.get("SR3SUB_KEEP"):
        print(f"\nkept: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def engine(work):
    engine = Engine(f"{work}/engine")
    try:
        engine.start()
    except NoEngine as reason:
        if os.environ.get("CI"):
            pytest.fail(f"no container engine can run here: {reason}", pytrace=False)
        pytest.skip(f"no container engine can run here: {reason}")
    yield engine
    engine.stop()


def build(engine, *options):
    engine.base_image(BASE, "trixie")
    engine.docker("build", "--network", "host", "--file", f"{PROJECT}/container/Dockerfile",
                  *options, PROJECT, seconds=900)


@pytest.fixture(scope="session")
def image(engine):
    """The name of the image of the program, built as the README does."""
    build(engine, "--tag", IMAGE)
    return IMAGE


@pytest.fixture(scope="session")
def build_image(engine, image):
    """That of the stage it is built in, which has the compiler and all libraries."""
    build(engine, "--tag", f"{IMAGE}-build", "--target", "build")  # from the engine's cache
    return f"{IMAGE}-build"

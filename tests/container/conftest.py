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


@pytest.fixture(scope="session")
def image(engine):
    """The name of the image of the program, built as the README does."""
    engine.base_image(BASE, "trixie")
    engine.docker("build", "--network", "host", "--file", f"{PROJECT}/container/Dockerfile",
                  "--tag", IMAGE, PROJECT, seconds=900)
    return IMAGE

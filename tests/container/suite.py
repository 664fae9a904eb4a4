"""The unit tests inside a container of another Debian than ours."""
import os
import pathlib
import shutil
import xml.etree.ElementTree

import pytest

from rig.engine import PROJECT, CommandFailed

LIMIT_S = 1800


def run(engine, image, folder, *options):
    """Builds the project and runs its unit tests; prints what they were and returns how many there
    were. `options` are for `docker run`."""
    folder = pathlib.Path(folder)
    folder.mkdir()
    report = folder / "unit.xml"
    try:
        # the tests of full disks mount small file systems
        engine.docker("run", "--rm", "--init", "--network", "host", "--cap-add", "SYS_ADMIN",
                      "--volume", f"{PROJECT}:/source:ro", "--volume", f"{folder}:/report",
                      *options, image, "sh", "/source/tests/container/suite.sh", "/source",
                      "/report/unit.xml", seconds=LIMIT_S)
    except CommandFailed as error:
        pytest.fail(str(error), pytrace=False)
    if os.environ.get("SR3SUB_REPORTS"):
        shutil.copy(report, os.environ["SR3SUB_REPORTS"] + f"/unit-{folder.name}.xml")
    suite = xml.etree.ElementTree.parse(report).getroot()
    return int(suite.get("tests")), int(suite.get("failures"))

"""The image of the program: what is in it, and what is not."""
import json
import re
import tarfile

import pytest

MIB = 2 ** 20
SHELLS_AND_TOOLS = re.compile(r"(^|/)(\w*sh|busybox|perl|python[\d.]*|g?cc(-\d+)?|c\+\+|ld|as|make|"
                              r"cmake|ninja|apt(-get)?|dpkg|env|cat|ls)$")


@pytest.fixture(scope="module")
def files(engine, image, work):
    """The paths of all files in the image."""
    container = engine.docker("create", image).strip()
    engine.docker("export", "--output", f"{work}/image.tar", container)
    engine.docker("rm", container)
    with tarfile.open(f"{work}/image.tar") as archive:
        return archive.getmembers()


def inspect(engine, image, what):
    return json.loads(engine.docker("image", "inspect", "--format", f"{{{{json {what}}}}}", image))


def test_is_small(engine, image, capsys):
    size = inspect(engine, image, ".Size")
    with capsys.disabled():
        print(f"\nimage: {size / MIB:.1f} MiB")
    assert size < 60 * MIB


def test_holds_the_program_and_no_tools(files):
    programs = [file.name for file in files if file.isfile() and file.size
                and file.mode & 0o111 and ".so" not in file.name]
    assert programs == ["usr/bin/sr3sub"]
    assert not [file.name for file in files if SHELLS_AND_TOOLS.search(file.name)]
    for wanted in ["etc/ssl/certs/ca-certificates.crt", "usr/share/zoneinfo/America/Vancouver"]:
        assert wanted in [file.name for file in files]


def test_gives_no_file_more_rights_than_its_user(files):
    assert not [file.name for file in files if file.mode & 0o6000]


def test_has_no_debug_symbols(files):
    assert not [file.name for file in files if "debug" in file.name]


def test_says_how_it_is_run(engine, image):
    config = inspect(engine, image, ".Config")
    assert config["User"] == "1000:1000"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "/usr/bin/sr3sub", "health"]
    assert config["Labels"]["org.opencontainers.image.title"] == "sr3sub"


@pytest.mark.parametrize("user", [[], ["--user", "4711:4711"], ["--user", "0:0"]])
def test_runs_with_a_root_file_system_that_cannot_be_written(engine, image, user):
    assert engine.docker("run", "--rm", "--read-only", *user, image, "--version").strip()

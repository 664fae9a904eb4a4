"""One container of each, without a swarm: docker compose with the override file.

Compose is the one of Debian 13, which the image of the servers has.
"""
import os

import pytest

from rig.process import wait_until
from rig.swarm import SERVERS, Site, Stack, servers_image
from rig.tree import make_tree

FILES = ["container/docker-compose.yml", "container/docker-compose.override.yml"]
PLUGIN = "/usr/libexec/docker/cli-plugins/docker-compose"


@pytest.fixture(scope="module")
def compose(engine, image, work):
    """A Stack, and a function that runs docker compose."""
    servers_image(engine)
    engine.docker("tag", "servers", "redis:7")
    container = engine.docker("create", "servers").strip()
    plugins = f"{engine.folder}/client/cli-plugins"
    os.makedirs(plugins, exist_ok=True)
    engine.docker("cp", "--follow-link", f"{container}:{PLUGIN}", f"{plugins}/docker-compose")
    engine.docker("rm", container)
    for folder in ("site", "files", "site/data/redis", "site/data/sr3/subscribe/dd_all"):
        os.makedirs(f"{work}/compose/{folder}", exist_ok=True)
    stack = Stack(engine, Site(f"{work}/compose/site"), f"{work}/compose/servers",
                  f"{work}/compose/files")

    def run(*words):
        files = " ".join(f"-f {name}" for name in [*FILES, f"{SERVERS}/stack.yml"])
        return stack.shell(f"docker compose -p one {files} {' '.join(words)}", 300)
    yield stack, run
    run("down --volumes")


def test_one_of_each(compose):
    stack, run = compose
    printed = run("up --detach --no-build")
    stack.prepare()
    entries = make_tree(stack.files, small=100, seed=31)

    def state():
        return run("ps --format '{{.Service}} {{.Health}}'").splitlines()
    wait_until(lambda: "subscribe-dd_all healthy" in state(), 120, lambda: f"{printed}{state()}",
               every=1)
    stack.announce(entries)
    stack.wait_placed(entries, 60)
    assert stack.site.metrics_files() == [1]
    container = run("ps --quiet subscribe-dd_all").split()[-1]  # warnings come first
    options = stack.engine.docker(
        "inspect", "--format", "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} "
        "{{.HostConfig.SecurityOpt}}", container)
    assert options.strip() == "true [ALL] [no-new-privileges:true]"
    run("stop subscribe-dd_all")
    assert stack.site.metrics_files() == []

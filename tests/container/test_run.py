"""The program in its container: environment, secrets, read-only root, users, health, SIGTERM."""
import json

import pytest

from rig.process import wait_until

CONFIGURATION = """\
broker amqp://alice@127.0.0.1:1/
queueName q_alice
subtopic #
directory /tmp
accept .*
"""


@pytest.fixture
def config(tmp_path):
    """A directory of configurations, and a secret, which every user can read."""
    for folder in [tmp_path, *tmp_path.parents[:2]]:
        folder.chmod(0o755)
    folder = tmp_path / "config/subscribe"
    folder.mkdir(parents=True)
    (folder / "t.conf").write_text(CONFIGURATION)
    (tmp_path / "logins").write_text("amqp://alice:Sesame-4711@127.0.0.1:1/\n")
    return tmp_path


def options(config, *more):
    return ["--read-only", "--volume", f"{config}/config:/root/.config/sr3:ro",
            "--volume", f"{config}/logins:/run/secrets/logins:ro",
            "--env", "SR3_CREDENTIALS_FILE=/run/secrets/logins",
            "--env", "SR3_CONFIG=subscribe/t.conf", "--env", "SR3_INSTANCE=3", *more]


def test_environment_is_all_it_takes(engine, image, config):
    shown = json.loads(engine.docker(
        "run", "--rm", *options(config, "--env", "SR3_PREFETCH=7"), image, "show", "--json"))
    assert shown["instance"] == 3
    assert shown["options"]["prefetch"] == {
        "value": 7, "file": "environment variable SR3_PREFETCH", "line": None}
    assert shown["names"]["credentials"] == "/run/secrets/logins"
    assert not [line for line in shown["warnings"] if "credentials" in line or "logins" in line]


@pytest.mark.parametrize("user", [[], ["--user", "4711:4711"], ["--user", "0:0"]])
def test_runs_as_any_user_until_it_is_stopped(engine, image, config, user):
    container = engine.docker("run", "--detach", *options(config, *user), image).strip()

    def log():
        return engine.docker("logs", container)

    wait_until(lambda: "instance: 3" in log(), 30, log)
    engine.docker("stop", "--time", "30", container)
    assert engine.docker("inspect", "--format", "{{.State.ExitCode}}", container).strip() == "0"
    assert "Sesame" not in log()
    engine.docker("rm", "--volumes", container)


def test_health_check_needs_no_shell(engine, image, config):
    """There is no broker, so the instance is not well, and says why."""
    container = engine.docker("run", "--detach", *options(config), "--health-interval", "1s",
                              "--health-retries", "1", "--health-start-period", "1s",
                              image).strip()

    def health():
        return json.loads(engine.docker("inspect", "--format", "{{json .State.Health}}", container))

    wait_until(lambda: any("not connected to the broker" in check["Output"]
                           for check in health()["Log"]), 60, health)
    wait_until(lambda: health()["Status"] == "unhealthy", 60, health)
    engine.docker("rm", "--force", "--volumes", container)

"""The stack of container/docker-compose.yml in a swarm, as somebody new to the project has it.

    site = Site(folder)                    # the project's files, to be deployed from
    stack = Stack(engine, site, servers)   # beside it a RabbitMQ, an nginx and a late file server
    stack.deploy()
    stack.scale(5)

All runs in one engine; ports that the servers publish answer at the engine's address.
"""
import calendar
import collections
import datetime
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import time

import amqp

from rig.announcer import Publisher, announce
from rig.engine import CACHE, PROJECT, CommandFailed, run
from rig.process import wait_until
from rig.verify import files_below

STACK = "sr3"
SUBSCRIBER = f"{STACK}_subscribe-dd_all"
EXCHANGE = "xpublic"
QUEUE = "q_anonymous_subscribe.dd_all.10597298.62348623"
SERVERS = f"{PROJECT}/tests/container/servers"
LOG_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) ")


def servers_image(engine, name="servers"):
    """The image of the servers; made once, it is kept in build/cache."""
    if engine.docker("image", "ls", "--quiet", name).strip():
        return
    with open(f"{SERVERS}/Dockerfile", "rb") as file:
        version = hashlib.sha256(file.read()).hexdigest()[:12]
    path = f"{CACHE}/servers-{version}.tar"
    if os.path.exists(path):
        engine.docker("load", "--quiet", "--input", path, seconds=300)
        return
    engine.docker("build", "--network", "host", "--tag", name, SERVERS, seconds=900)
    engine.docker("save", "--output", f"{path}.{os.getpid()}", name, seconds=300)
    os.rename(f"{path}.{os.getpid()}", path)


def epoch(log_line):
    """When a line of sr3sub's log was written, or None."""
    found = LOG_TIME.search(log_line)
    if not found:
        return None
    moment = datetime.datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S")
    return calendar.timegm(moment.timetuple()) + int(found[2]) / 1000


class Site:
    """A copy of the project's files, whose subscription has the broker of the test."""

    def __init__(self, folder):
        self.folder = folder
        listed = run(["git", "-C", PROJECT, "ls-files", "--cached", "--others",
                      "--exclude-standard"]).splitlines()
        for name in listed:
            if os.path.exists(f"{PROJECT}/{name}"):
                os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
                shutil.copy2(f"{PROJECT}/{name}", f"{folder}/{name}")
        self.configuration = f"{folder}/config/subscribe/dd_all.conf"
        self.data = f"{folder}/data/sr3/subscribe/dd_all"
        self.configure()

    def configure(self, options=""):
        """The shipped file with the address of the broker changed, and these lines added."""
        with open(f"{PROJECT}/config/subscribe/dd_all.conf") as file:
            text = re.sub("^broker .*", "broker amqp://rabbit/", file.read(), flags=re.MULTILINE)
        with open(self.configuration, "w") as file:
            file.write(f"{text}\n{options}\n")

    def metrics_files(self):
        """Numbers of the instances that have one."""
        names = os.listdir(f"{self.folder}/metrics")
        return sorted(int(name[17:19]) for name in names
                      if re.fullmatch(r"subscribe_dd_all_\d\d\.json", name))

    def placed(self):
        """{path: when it was given its name} of what has been downloaded."""
        return {path: os.stat(f"{self.data}/{path}").st_ctime for path in files_below(self.data)
                if not os.path.basename(path).startswith(".")}


class Stack:
    """`folder` is made for what the servers need; `files` are served."""

    def __init__(self, engine, site, folder, files):
        self.engine, self.site, self.folder, self.files = engine, site, folder, files
        self.access_log = f"{folder}/access.log"
        os.makedirs(folder)
        open(self.access_log, "w").close()
        shutil.copy(f"{SERVERS}/rabbitmq.conf", folder)
        self.write_pace(1000)

    # ---- the engine ----

    def environment(self):
        return {**self.engine.environment(), "SERVER": self.folder, "FILES": self.files,
                "LATE_SERVER": f"{PROJECT}/tests/bench/late_server.py",
                "SR3_USER": f"{os.getuid()}:{os.getgid()}"}

    def shell(self, command, seconds=120):
        """What a user types, at the top of the project; TimeoutExpired."""
        done = subprocess.run(["timeout", str(seconds), "bash", "-c", command],
                              cwd=self.site.folder, text=True, env=self.environment(),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode == 124:
            raise subprocess.TimeoutExpired(command, seconds, done.stdout)
        return done.stdout

    def look(self, command):
        """The same for what changes nothing, which is typed again when it hangs: `docker service
        logs` does now and then (https://github.com/docker/cli/issues/4678)."""
        for _ in range(8):
            try:
                return self.shell(command, 15)
            except subprocess.TimeoutExpired as hung:
                last = hung
        raise last

    def containers(self, service=SUBSCRIBER, all_of_them=False):
        return self.engine.docker(
            "ps", *["--all"] * all_of_them, "--quiet", "--no-trunc", "--filter",
            f"label=com.docker.swarm.service.name={service}").split()

    def slots(self):
        """{number: container} of those that run, the newest of a number."""
        found = {}
        for container in reversed(self.containers()):
            try:
                found[self.slot(container)] = container
            except CommandFailed:
                pass  # it has just ended
        return found

    def slot(self, container):
        name = self.engine.docker("inspect", "--format", "{{.Name}}", container)
        return int(name.split(".")[1])

    def log(self, container):
        return self.engine.docker("logs", container)

    def is_healthy(self, service, count):
        states = [self.engine.docker("inspect", "--format", "{{.State.Health.Status}}",
                                     container).strip() for container in self.containers(service)]
        return states == ["healthy"] * count

    def wait_healthy(self, count, service=SUBSCRIBER, seconds=90):
        def healthy():
            try:
                return self.is_healthy(service, count)
            except CommandFailed:
                return False  # one has just ended
        wait_until(healthy, seconds, lambda: f"{count} of {service}:\n{self.tasks(service)}",
                   every=0.3)

    def tasks(self, service=SUBSCRIBER):
        return self.engine.docker("service", "ps", "--no-trunc", service) + "".join(
            self.log(container)[-1500:] for container in self.containers(service)[:2])

    def scale(self, count, service=SUBSCRIBER):
        """Says so to the swarm; returns when that was."""
        began = time.time()
        self.engine.docker("service", "scale", "--detach", f"{service}={count}")
        return began

    def remove(self):
        self.engine.docker("stack", "rm", STACK)
        wait_until(lambda: not self.engine.docker("ps", "--quiet").strip(), 90,
                   "the end of all containers")
        wait_until(lambda: f"{STACK}_" not in self.engine.docker("network", "ls"), 60,
                   "the end of the network")

    # ---- the servers ----

    def write_pace(self, per_second):
        with open(f"{SERVERS}/nginx.conf") as file:
            text = file.read().replace("RATE", str(per_second))
        with open(f"{self.folder}/nginx.conf", "w") as file:
            file.write(text)

    def set_pace(self, per_second):
        """So many files a second come from nginx from now on, to all together."""
        self.write_pace(per_second)
        self.engine.docker("exec", self.containers(f"{STACK}_files")[0],
                           "nginx", "-c", "/server/nginx.conf", "-s", "reload")

    def fetched(self):
        """Counter of the paths that nginx has sent."""
        with open(self.access_log) as log:
            lines = [line.split() for line in log]
        return collections.Counter(path.lstrip("/") for status, method, path in lines
                                   if status == "200" and method == "GET")

    def connect(self, vhost="/"):
        """For a Publisher."""
        connection = amqp.Connection(f"{self.engine.address}:5672", userid="anonymous",
                                     password="anonymous", virtual_host=vhost, connect_timeout=5,
                                     socket_settings={socket.TCP_USER_TIMEOUT: 60_000})
        connection.connect()
        return connection

    def prepare(self):
        """The exchange that announcements come to, which a subscriber never makes."""
        def declared():
            try:
                with Publisher(self) as publisher:
                    publisher.declare_exchange(EXCHANGE)
                return True
            except (OSError, amqp.AMQPError):
                return False
        wait_until(declared, 90, "RabbitMQ answers")

    def announce(self, entries, server="files"):
        """As if they had just been published at http://SERVER/."""
        with Publisher(self) as publisher:
            publisher.publish(EXCHANGE, announce(entries, f"http://{server}/"))

    def waiting(self):
        """Announcements in the queue, those under way included."""
        listed = self.engine.docker(
            "exec", self.containers(f"{STACK}_rabbit")[0], "/usr/lib/rabbitmq/bin/rabbitmqctl",
            "--quiet", "--node", "rabbit@localhost", "list_queues", "--formatter", "json",
            "name", "messages", "consumers")
        return next(row for row in json.loads(listed) if row["name"] == QUEUE)

    def wait_consumers(self, count):
        wait_until(lambda: self.waiting()["consumers"] == count, 60, f"{count} consumers")

    def wait_empty(self, seconds=120):
        wait_until(lambda: self.waiting()["messages"] == 0, seconds,
                   lambda: f"an empty queue: {self.waiting()}", every=0.5)

    def wait_placed(self, entries, seconds):
        """All of them, or so many of them."""
        count = entries if isinstance(entries, int) else len(entries)
        wait_until(lambda: len(self.site.placed()) >= count, seconds,
                   lambda: f"{count} files: {len(self.site.placed())} are there", every=0.2)

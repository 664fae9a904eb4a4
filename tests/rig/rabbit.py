"""A RabbitMQ of our own: loopback only, data in a temporary directory, a private epmd.

It can be stopped and started again with the same port and data, so durable queues survive.
"""
import os
import shutil
import socket
import subprocess

import amqp

from rig.process import Process, accepts_connections, free_port, wait_until

SCRIPTS = "/usr/lib/rabbitmq/bin"  # the scripts in /usr/sbin insist on the user rabbitmq
NODE = "rig@localhost"
CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{port}
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = 1GiB
log.file.level = info
"""
TLS_CONFIGURATION = """\
listeners.ssl.1 = 127.0.0.1:{tls_port}
listeners.ssl.2 = 127.0.0.2:{tls_port}
ssl_options.cacertfile = {tls.ca}
ssl_options.certfile = {tls.certificate}
ssl_options.keyfile = {tls.key}
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
"""


class Rabbit:
    """`folder` is made and used for everything; `tls` is a tls.Certificate."""

    def __init__(self, folder, tls=None):
        self.folder = os.path.abspath(folder)
        self.port = free_port()
        self.tls_port = free_port() if tls else None
        self.epmd = None
        self.server = None
        os.makedirs(self.folder, exist_ok=True)
        self._write("rabbitmq.conf", CONFIGURATION.format(port=self.port)
                    + (TLS_CONFIGURATION.format(tls_port=self.tls_port, tls=tls) if tls else ""))
        self._write("enabled_plugins", "[].\n")
        self._write("rabbitmq-env.conf", "")
        self.env = self._environment()

    def _write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as file:
            file.write(text)

    def _environment(self):
        path = self.folder
        return dict(
            os.environ, HOME=path, ERL_EPMD_PORT=str(free_port()), ERL_EPMD_ADDRESS="127.0.0.1",
            RABBITMQ_NODENAME=NODE, RABBITMQ_DIST_PORT=str(free_port()),
            RABBITMQ_CONFIG_FILE=f"{path}/rabbitmq.conf",
            RABBITMQ_CONF_ENV_FILE=f"{path}/rabbitmq-env.conf",
            RABBITMQ_ENABLED_PLUGINS_FILE=f"{path}/enabled_plugins",
            RABBITMQ_MNESIA_BASE=f"{path}/mnesia", RABBITMQ_LOG_BASE=f"{path}/log",
            RABBITMQ_PID_FILE=f"{path}/pid",
            # few threads that sleep when idle: the machine is needed for what we measure
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+S 2:2 +A 8 +sbwt none +sbwtdcpu none "
            "+sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
            ERL_FLAGS="+S 2:2 +sbwt none")

    def start(self):
        log = f"{self.folder}/output.log"
        if not self.epmd or not self.epmd.is_running():
            epmd_port = self.env["ERL_EPMD_PORT"]
            self.epmd = Process([shutil.which("epmd") or "epmd", "-port", epmd_port],
                                log, env=self.env)
            wait_until(lambda: accepts_connections(int(epmd_port)), 10, "epmd answers")
        if not self.is_running():
            self.server = Process([f"{SCRIPTS}/rabbitmq-server"], log, env=self.env)
        wait_until(self._answers, 90, lambda: f"RabbitMQ answers, see {log}", every=0.1)
        return self

    def _answers(self):
        if not self.is_running():
            raise RuntimeError(f"RabbitMQ ended by itself, see {self.folder}/output.log")
        try:
            self.connect().close()
            return True
        except (OSError, amqp.AMQPError):
            return False

    def is_running(self):
        return bool(self.server) and self.server.is_running()

    def stop(self):
        """Stops the broker; start() brings it back with its queues."""
        if self.server:
            self.server.stop(seconds=30)

    def close(self):
        self.stop()
        if self.epmd:
            self.epmd.stop()

    def connect(self, user="guest", password="guest", vhost="/"):
        # py-amqp gives up after one second of back pressure, which a full queue easily causes
        patience = {socket.TCP_USER_TIMEOUT: 60_000}
        connection = amqp.Connection(f"127.0.0.1:{self.port}", userid=user, password=password,
                                     virtual_host=vhost, connect_timeout=5,
                                     socket_settings=patience)
        connection.connect()
        return connection

    def url(self, user="guest", password="guest", vhost=""):
        return f"amqp://{user}:{password}@127.0.0.1:{self.port}/{vhost}"

    def control(self, *args):
        """rabbitmqctl; returns what it prints."""
        command = [f"{SCRIPTS}/rabbitmqctl", "-q", "-n", NODE, *args]
        done = subprocess.run(command, env=self.env, text=True, capture_output=True, timeout=60)
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {args[0]}: {done.stdout} {done.stderr}")
        return done.stdout

    def close_all_connections(self):
        self.control("close_all_connections", "closed by a test")

    def set_memory_limit(self, limit):
        """For example "1GiB", or "0" to block all publishers."""
        self.control("set_vm_memory_high_watermark", "absolute", limit)

    def add_user(self, user, password, vhost="/", configure=".*", write=".*", read=".*"):
        """Adds a user, or gives an existing one this password and these rights."""
        if user in self.control("list_users").split():
            self.control("change_password", user, password)
        else:
            self.control("add_user", user, password)
        self.control("set_permissions", "-p", vhost, user, configure, write, read)

    def add_vhost(self, vhost):
        self.control("add_vhost", vhost)

    def messages_ready(self, queue):
        """Messages waiting; None if there is no such queue."""
        with self.connect() as connection:
            try:
                return connection.channel().queue_declare(queue, passive=True).message_count
            except amqp.NotFound:
                return None

    def messages(self, queue):
        """(ready, unacknowledged) of a queue; slower, it asks rabbitmqctl."""
        for line in self.control("list_queues", "name", "messages_ready",
                                 "messages_unacknowledged").splitlines():
            name, *counts = line.split("\t")
            if name == queue:
                return int(counts[0]), int(counts[1])
        return None

"""An nginx of our own that serves one directory, at full speed on one port and slowly on another.

The access log has one short line a request; that is how fetches are counted.
"""
import collections
import os
import signal

from rig.process import Process, accepts_connections, free_port, wait_until

CONFIGURATION = """\
daemon off;
worker_processes 1;
{user}
worker_rlimit_nofile 8192;
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    log_format short '$status $request_method $server_protocol $uri $body_bytes_sent $http_range';
    access_log {folder}/access.log short;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type application/octet-stream;
    sendfile on;
    keepalive_requests 1000000;
    keepalive_timeout 60s;
    open_file_cache max=6000 inactive=60s;
    root {root};
    split_clients $request_id $unlucky {{ {unlucky} }}
    limit_req_zone slow zone=slow:32k rate={slow_rate}r/s;
    server {{
        listen 127.0.0.1:{port};
        {tls}
        if ($unlucky) {{ return 503; }}
        {limit_rate}
    }}
    server {{
        listen 127.0.0.1:{slow_port};
        if ($unlucky) {{ return 503; }}
        limit_req zone=slow burst=1000000;
    }}
}}
"""
TLS = """\
listen 127.0.0.1:{tls_port} ssl http2;
        ssl_certificate {tls.certificate};
        ssl_certificate_key {tls.key};"""

Request = collections.namedtuple("Request", "status method protocol path size range")


class Nginx:
    """Serves `root`. `slow_rate`: requests a second on the slow port, all clients together."""

    def __init__(self, folder, root, tls=None, slow_rate=200):
        self.folder = os.path.abspath(folder)
        self.root = os.path.abspath(root)
        self.tls = tls
        self.slow_rate = slow_rate
        self.port, self.slow_port = free_port(), free_port()
        self.tls_port = free_port() if tls else None
        self.server = None
        os.makedirs(self.folder, exist_ok=True)
        open(self.access_log, "a").close()
        self._configure()

    @property
    def access_log(self):
        return f"{self.folder}/access.log"

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    @property
    def slow_url(self):
        return f"http://127.0.0.1:{self.slow_port}/"

    def _configure(self, unlucky_percent=0, limit_rate=None):
        text = CONFIGURATION.format(
            folder=self.folder, root=self.root, port=self.port, slow_port=self.slow_port,
            slow_rate=self.slow_rate,
            user="user root;" if os.geteuid() == 0 else "",
            unlucky=f'{unlucky_percent}% 1; * "";' if unlucky_percent else '* "";',
            limit_rate=f"limit_rate {limit_rate};" if limit_rate else "",
            tls=TLS.format(tls_port=self.tls_port, tls=self.tls) if self.tls else "")
        with open(f"{self.folder}/nginx.conf", "w") as file:
            file.write(text)

    def start(self):
        if not self.is_running():
            self.server = Process(
                ["/usr/sbin/nginx", "-e", f"{self.folder}/error.log", "-p", self.folder,
                 "-c", f"{self.folder}/nginx.conf"], f"{self.folder}/output.log")
        wait_until(self._answers, 10, f"nginx answers, see {self.folder}/error.log", every=0.02)
        return self

    def _answers(self):
        if not self.is_running():
            raise RuntimeError(f"nginx ended by itself, see {self.folder}/error.log")
        return accepts_connections(self.port) and accepts_connections(self.slow_port)

    def is_running(self):
        return bool(self.server) and self.server.is_running()

    def stop(self):
        if self.server:
            self.server.stop()

    close = stop

    def trouble(self, unlucky_percent=0, limit_rate=None):
        """Answers a share of requests with 503, or each on the fast port with so many bytes a
        second ("50k"); without arguments all is well again."""
        self._configure(unlucky_percent, limit_rate)
        if self.is_running():
            workers = self._workers()
            self.server.send(signal.SIGHUP)
            wait_until(lambda: self._workers() and not self._workers() & workers, 10,
                       "nginx's new workers in the place of the old ones", every=0.02)

    def _workers(self):
        """Pids of those that take new connections; old ones say that they are shutting down."""
        found = set()
        with open(f"/proc/{self.server.pid}/task/{self.server.pid}/children") as children:
            for pid in children.read().split():
                try:
                    with open(f"/proc/{pid}/cmdline") as line:
                        if "shutting down" not in line.read():
                            found.add(pid)
                except OSError:
                    pass  # it has just ended
        return found

    def log_position(self):
        """Hand this to requests() to see only what came later."""
        return os.path.getsize(self.access_log)

    def requests(self, since=0):
        with open(self.access_log) as log:
            log.seek(since)
            return [Request(*line.rstrip("\n").split(" ", 5)) for line in log]

    def fetches(self, since=0):
        """How often each path was fetched whole: Counter of relative path."""
        return collections.Counter(
            request.path.lstrip("/") for request in self.requests(since)
            if request.method == "GET" and request.status == "200")

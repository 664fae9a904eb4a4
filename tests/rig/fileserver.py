"""A small HTTP server whose answers a test makes up: for files that change, or are never right."""
import http.server
import threading
import time
from dataclasses import dataclass, field


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict = field(default_factory=dict)


class FileServer:
    """`answers` maps a path to a function that gets the number of the request for this path,
    counted from 1, and returns the contents, an Answer, or None for 404."""

    def __init__(self, answers):
        self.answers = answers
        self.requests = {path: 0 for path in answers}
        self.log = []  # (time as of time.monotonic(), path) of all requests
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _handler(self):
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                answer = owner.answer(self.path.lstrip("/"))
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *unused):
                pass

        return Handler

    def answer(self, path):
        self.log.append((time.monotonic(), path))
        if path not in self.answers:
            return Answer(404)
        self.requests[path] += 1
        found = self.answers[path](self.requests[path])
        if isinstance(found, bytes):
            return Answer(200, found)
        return found or Answer(404)

    def close(self):
        self.server.shutdown()
        self.server.server_close()

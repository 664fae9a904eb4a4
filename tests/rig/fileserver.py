"""A small HTTP server whose answers a test makes up: for files that change, or are never right."""
import http.server
import threading


class FileServer:
    """`answers` maps a path to a function that gets the number of the request for this path,
    counted from 1, and returns the contents, or None for 404."""

    def __init__(self, answers):
        self.answers = answers
        self.requests = {path: 0 for path in answers}
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _handler(self):
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = owner.answer(self.path.lstrip("/"))
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *unused):
                pass

        return Handler

    def answer(self, path):
        if path not in self.answers:
            return None
        self.requests[path] += 1
        return self.answers[path](self.requests[path])

    def close(self):
        self.server.shutdown()
        self.server.server_close()

"""An HTTP server that means harm, or is only slow: each path has its own way.

Written on sockets, because no library would send such things. Requests are kept, with headers.
"""
import gzip
import socket
import threading
import time

BODY = bytes(range(256)) * 40
SECONDS = 120  # how long an endless thing goes on if nobody hangs up


class BadServer:
    """`answers` maps a path to a function that gets the connection and the Request and sends
    whatever it likes. Paths that are not there get the one of the same name below, or 404."""

    def __init__(self, answers=None, address="127.0.0.1"):
        self.answers = answers or {}
        self.requests = []
        self.connections = 0
        self.listener = socket.create_server((address, 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://{address}:{self.port}/"
        self.closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.closing = True
        self.listener.close()

    def _accept(self):
        while not self.closing:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            data = b""
            try:
                while True:
                    while b"\r\n\r\n" not in data:
                        piece = connection.recv(65536)
                        if not piece:
                            return
                        data += piece
                    head, data = data.split(b"\r\n\r\n", 1)
                    request = Request(head.decode("latin-1"))
                    self.requests.append(request)
                    if not self._answer(connection, request):
                        return
            except OSError:
                return

    def _answer(self, connection, request):
        """False: the connection is to be closed."""
        name = request.path.lstrip("/").split("?")[0]
        function = self.answers.get(name) or globals().get(f"answer_{name}") or not_found
        return function(connection, request)

    def headers(self, name):
        """This header of each request, None where it was not sent."""
        return [request.headers.get(name.lower()) for request in self.requests]


class Request:
    def __init__(self, head):
        lines = head.split("\r\n")
        self.method, self.path, _ = lines[0].split(" ", 2)
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()


def respond(connection, status, body=b"", *headers):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    connection.sendall("\r\n".join(lines).encode("latin-1") + body)
    return True


def redirect(to):
    return lambda connection, request: respond(connection, "302 Found", b"", f"Location: {to}")


def not_found(connection, request):
    return respond(connection, "404 Not Found")


def answer_good(connection, request):
    return respond(connection, "200 OK", BODY)


def answer_endless_body(connection, request):
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    return _forever(connection, bytes(65536), 0)


def answer_endless_chunks(connection, request):
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    return _forever(connection, b"8000\r\n" + bytes(0x8000) + b"\r\n", 0)


def answer_endless_headers(connection, request):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    return _forever(connection, b"X-Flood: " + b"a" * 1000 + b"\r\n", 0)


def answer_endless_header_line(connection, request):
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Flood: ")
    return _forever(connection, b"a" * 1000, 0)


def answer_endless_100(connection, request):
    return _forever(connection, b"HTTP/1.1 100 Continue\r\n\r\n" * 20, 0)


def answer_loris_headers(connection, request):
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    return _forever(connection, b"a", 0.5)


def answer_loris_body(connection, request):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    return _forever(connection, b"a", 0.5)


def answer_silence(connection, request):
    return _forever(connection, b"", 0.5)


def answer_stall(connection, request):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(1000))
    return _forever(connection, b"", 0.5)


def answer_bomb_transfer(connection, request):
    """A small body that would become a large one."""
    body = gzip.compress(bytes(50_000_000))
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\r\n"
                       + body)
    return False


def answer_bomb_content(connection, request):
    return respond(connection, "200 OK", gzip.compress(bytes(50_000_000)),
                   "Content-Encoding: gzip")


def answer_huge_length(connection, request):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n" + bytes(100000))
    return _forever(connection, bytes(65536), 0)


def _forever(connection, piece, pause):
    end = time.monotonic() + SECONDS
    connection.settimeout(SECONDS)
    while time.monotonic() < end:
        connection.sendall(piece)
        if not piece:  # notices when the other side hangs up
            connection.settimeout(pause)
            try:
                if not connection.recv(1):
                    return False
            except TimeoutError:
                pass
        elif pause:
            time.sleep(pause)
    return False

"""An HTTP server whose answers are late:

    tests/bench/late_server.py ROOT MILLISECONDS PORT [ADDRESS]

It serves the files below ROOT, each so long after it was asked for, as a server at a distance does.
One process, no thread a client: some thousand answers a second.
"""
import asyncio
import sys
from http import HTTPStatus


class Client(asyncio.Protocol):
    """One connection; requests are answered in order, none before its time."""

    def __init__(self, root, delay_s):
        self.root, self.delay_s = root, delay_s
        self.received = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.received += data
        while b"\r\n\r\n" in self.received:
            head, self.received = self.received.split(b"\r\n\r\n", 1)
            path = head.split(b" ", 2)[1].decode()
            asyncio.get_running_loop().call_later(self.delay_s, self.answer, path)

    def answer(self, path):
        try:
            with open(self.root + path, "rb") as file:
                body, status = file.read(), HTTPStatus.OK
        except OSError:
            body, status = b"", HTTPStatus.NOT_FOUND
        self.transport.write(f"HTTP/1.1 {status.value} {status.phrase}\r\n"
                             f"Content-Length: {len(body)}\r\n\r\n".encode() + body)


async def serve(root, delay_s, port, address="127.0.0.1"):
    server = await asyncio.get_running_loop().create_server(lambda: Client(root, delay_s),
                                                            address, port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]) / 1000, int(sys.argv[3]), *sys.argv[4:]))

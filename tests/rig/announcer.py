"""Announcements of files in both formats, and a fast publisher for them.

spec: v02 is a text line with AMQP headers, v03 a JSON object; the routing key is the topic prefix
and the directories of the path.
"""
import base64
import json
import random
import struct
import time
from dataclasses import dataclass, field

import amqp

from rig.process import wait_until

PREFIXES = {"v02": "v02.post", "v03": "v03"}
HOUR_MS = 3600 * 1000
FRAME_MAX = 131072 - 8  # payload of a frame, as RabbitMQ's default is
CHUNK = 500  # messages in one write to the socket


@dataclass
class Message:
    routing_key: str
    body: bytes
    content_type: str = None
    headers: dict = field(default_factory=dict)


def time_text(time_ns, separator):
    """YYYYMMDD[T]HHMMSS.fraction in UTC."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    text = time.strftime(f"%Y%m%d{separator}%H%M%S", time.gmtime(seconds))
    return f"{text}.{rest:09}".rstrip("0").rstrip(".")


def topic(prefix, rel_path):
    """Routing key: '#' and '*' have a meaning there and are escaped."""
    directories = rel_path.split("/")[:-1]
    return ".".join([prefix, *directories]).replace("#", "%23").replace("*", "%22")


def v02(entry, base_url, pub_time_ns, sha512=False):
    """md5 by default, as dd.weather.gc.ca announces nearly everything."""
    path = entry.rel_path.replace(" ", "%20").replace("#", "%23")
    mtime = time_text(entry.mtime_ns, "")
    return Message(
        topic(PREFIXES["v02"], entry.rel_path),
        f"{time_text(pub_time_ns, '')} {base_url} {path}".encode(), "text/plain",
        {"sum": f"s,{entry.digest.hex()}" if sha512 else f"d,{entry.md5.hex()}",
         "parts": f"1,{entry.size},1,0,0", "mtime": mtime, "atime": mtime,
         "mode": f"{entry.mode:o}", "source": "metpx", "from_cluster": "DDI.CMC",
         "to_clusters": "ALL"})


def v03(entry, base_url, pub_time_ns, sha512=True):
    mtime = time_text(entry.mtime_ns, "T")
    value = base64.b64encode(entry.digest if sha512 else entry.md5).decode()
    body = {"pubTime": time_text(pub_time_ns, "T"), "baseUrl": base_url,
            "relPath": entry.rel_path, "mtime": mtime, "atime": mtime, "mode": f"{entry.mode:o}",
            "size": entry.size, "source": "metpx", "from_cluster": "DDI.CMC",
            "to_clusters": "ALL",
            "identity": {"method": "sha512" if sha512 else "md5", "value": value}}
    return Message(topic(PREFIXES["v03"], entry.rel_path), json.dumps(body).encode(),
                   "application/json")


FORMATS = {"v02": v02, "v03": v03}


def repeat(entries, shares, seed=1):
    """The entries in random order, some of them several times: shares {5: 0.2} repeats a fifth of
    them five times. Copies are spread over the whole list."""
    rng = random.Random(seed)
    entries = list(entries)
    rng.shuffle(entries)
    planned, first = list(entries), 0
    for times, share in shares.items():
        last = first + round(share * len(entries))
        planned += entries[first:last] * (times - 1)
        first = last
    rng.shuffle(planned)
    return planned


def announce(entries, base_url, wire="v02", seed=1, start_ns=None):
    """One message for each entry, published a microsecond apart from now on. One in twenty of the
    v02 messages carries a sha512 instead of an md5, one in twenty of the v03 an md5."""
    rng = random.Random(seed)
    start_ns = start_ns or time.time_ns() - 1000 * len(entries)
    usual = wire == "v03"
    odd = {entry.rel_path for entry in entries if rng.random() < 0.05}
    return [FORMATS[wire](entry, base_url, start_ns + 1000 * i,
                          sha512=usual != (entry.rel_path in odd))
            for i, entry in enumerate(entries)]


# Frames, as in the AMQP 0-9-1 specification. py-amqp makes one write for each message, which is
# too slow when 200,000 are wanted; so it opens the connection and we write the frames.

def short_text(text):
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded


def long_text(encoded):
    return struct.pack(">I", len(encoded)) + encoded


def table(fields):
    return long_text(b"".join(
        short_text(name) + b"S" + long_text(value if isinstance(value, bytes) else value.encode())
        for name, value in fields.items()))


def frame(kind, payload, channel=1):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def publish_frames(exchange, message, persistent):
    """basic.publish, the content header, and the body unless it is empty."""
    flags, properties = 0x2000 | 0x1000, b""
    if message.content_type is not None:
        flags |= 0x8000
        properties += short_text(message.content_type)
    properties += table(message.headers) + bytes([2 if persistent else 1])
    method = (struct.pack(">HHH", 60, 40, 0) + short_text(exchange)
              + short_text(message.routing_key) + b"\0")
    header = struct.pack(">HHQH", 60, 0, len(message.body), flags) + properties
    body = b"".join(frame(3, message.body[start:start + FRAME_MAX])
                    for start in range(0, len(message.body), FRAME_MAX))
    return frame(1, method) + frame(2, header) + body


def encode(exchange, messages, persistent=True):
    """Frames of some hundred messages at a time."""
    for start in range(0, len(messages), CHUNK):
        yield b"".join(publish_frames(exchange, message, persistent)
                       for message in messages[start:start + CHUNK])


class Publisher:
    """A connection that declares and publishes. Use it in a `with` statement."""

    def __init__(self, rabbit, vhost="/"):
        self.connection = rabbit.connect(vhost=vhost)
        self.channel = self.connection.channel(1)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        try:
            self.connection.close()
        except (OSError, amqp.AMQPError):
            pass  # the broker went away, which is what many tests are about

    def declare_exchange(self, exchange):
        self.channel.exchange_declare(exchange, "topic", durable=True, auto_delete=False)

    def declare_queue(self, queue, exchange, binding="#", expire_ms=HOUR_MS):
        """A queue as sr3sub declares it with `expire 1h`, bound to the exchange."""
        self.declare_exchange(exchange)
        self.channel.queue_declare(queue, durable=True, auto_delete=False,
                                   arguments={"x-expires": expire_ms} if expire_ms else {})
        self.channel.queue_bind(queue, exchange, binding)

    def publish(self, exchange, messages, persistent=True):
        """Returns once the broker has read them all."""
        self.send(exchange, encode(exchange, messages, persistent))

    def send(self, exchange, encoded):
        """The same with what encode() made."""
        for frames in encoded:
            self.connection.transport.sock.sendall(frames)
        # the answer to a question comes after all that was published before it
        self.channel.exchange_declare(exchange, "topic", passive=True)

    def fill(self, queue, exchange, messages):
        """Publishes to a queue nobody reads, and returns once all of it waits there."""
        wanted = self.messages_ready(queue) + len(messages)
        self.publish(exchange, messages)
        wait_until(lambda: self.messages_ready(queue) >= wanted, 60,
                   f"{wanted} messages in {queue}")

    def messages_ready(self, queue):
        return self.channel.queue_declare(queue, passive=True).message_count

"""Names and values of the keys in Redis that sr3 and sr3sub share.

H(text) is BLAKE2b of 16 bytes, keyed with the base. The base names the configuration as the process
saw it: sr3.nodupe.subscribe.NAME when it was started as subscribe/NAME, and
sr3.nodupe.subscribe.subscribe/NAME with --config subscribe/NAME.conf.
"""
import base64
import hashlib
import urllib.parse


def key_base(name, container=False):
    config = f"subscribe/{name}" if container else name
    return f"sr3.nodupe.subscribe.{config.replace('.', '_')}"


def hashed(base, text):
    return hashlib.blake2b(text.encode(), key=base.encode(), digest_size=16).hexdigest()


def placed_name(base, keytext, path):
    return f"{base}:{hashed(base, keytext)}.{hashed(base, path)}"


def claim_name(base, keytext, path):
    return f"{base}.claim:{hashed(base, keytext)}.{hashed(base, path)}"


def placed_value(seconds, path):
    """As sr3 writes it: the time, and the path in percent encoding."""
    return f"{seconds!r}|{urllib.parse.quote(path)}"


def identity_key(method, digest):
    """The duplicate key of an announcement with a checksum."""
    return f"{method},{base64.b64encode(digest).decode()}"

"""Announcements made by hand, of anything at all and in both formats, and how each of them ended
according to the log."""
import base64
import hashlib
import json
import os
import re
import time
from collections import Counter
from dataclasses import dataclass, field

from rig.announcer import Message, time_text, topic
from rig.process import wait_until

START_NS = time.time_ns() - 60_000_000_000
ENDINGS = re.compile(
    r"after_work (?P<verb>[a-z ]+) ok: (?P<place>.*?) (?:size: \d+ lag: .* )?$"
    r"|after_accept (?P<path>.*) rejected: (?P<code>\d+) (?P<why>.*) $"
    r"|(?P<malformed>malformed) announcement dropped: (?P<what>.*)"
    r"|do_download gave up (?P<given_up>.*) after \d+ attempts: (?P<reason>.*)")


@dataclass
class Post:
    """A file with these bytes, or what `op` (as fileOp in v03) says. `fields` are further members
    of a v03 message; `headers` further headers of a v02 one."""
    path: str
    data: bytes = None
    op: dict = None
    at: int = 0  # seconds after START_NS at which it was published
    size: int = None
    identity: dict = None
    mode: str = None
    fields: dict = field(default_factory=dict)
    headers: dict = field(default_factory=dict)

    def time_ns(self):
        return START_NS + self.at * 1_000_000_000


class Shelf:
    """Serves contents by their checksums, so that any version of any file can be had."""

    def __init__(self, serve, root):
        self.root = f"{root}/shelf"
        os.makedirs(self.root, mode=0o755)
        self.url = serve(root).url

    def path_of(self, data):
        name = hashlib.sha256(data).hexdigest()
        with open(f"{self.root}/{name}", "wb") as file:
            file.write(data)
        return f"shelf/{name}"

    def render(self, post, wire):
        """The post as a message whose file can be fetched here, if it has one."""
        path = self.path_of(post.data) if post.data is not None else "shelf/missing"
        return {"v02": v02, "v03": v03}[wire](post, self.url, path)


def v03(post, base_url, retrieve_path=None):
    body = {"pubTime": time_text(post.time_ns(), "T"), "baseUrl": base_url, "relPath": post.path}
    if retrieve_path:
        body["retrievePath"] = retrieve_path
    if post.op:
        body["fileOp"] = post.op
    if post.data is not None:
        body["size"] = len(post.data)
        body["identity"] = {"method": "sha512",
                            "value": base64.b64encode(hashlib.sha512(post.data).digest()).decode()}
    for name in ("size", "identity", "mode"):
        if getattr(post, name) is not None:
            body[name] = getattr(post, name)
    body.update(post.fields)
    return Message(topic("v02.post", post.path)[:200], json.dumps(body).encode(),
                   "application/json")


def sum_of(post):
    """What v02 has in the place of fileOp: a letter, and for links and renames more headers."""
    op = post.op or {}
    kept = {"remove", "directory", "link"} & set(op)
    letter = {frozenset(): "s", frozenset({"remove"}): "R", frozenset({"directory"}): "m",
              frozenset({"remove", "directory"}): "r", frozenset({"link"}): "L"}[frozenset(kept)]
    digest = hashlib.sha512(post.data if letter == "s" and post.data else post.path.encode())
    headers = {"sum": f"{letter},{digest.hexdigest()}"}
    if "link" in op:
        headers["link"] = op["link"]
    if "rename" in op:
        headers["oldname"] = op["rename"]
    return headers


def v02(post, base_url, retrieve_path=None):
    headers = sum_of(post)
    if retrieve_path:
        headers["retrievePath"] = retrieve_path
    if post.data is not None:
        headers["parts"] = f"1,{len(post.data)},1,0,0"
    if post.mode is not None:
        headers["mode"] = post.mode
    headers.update(post.headers)
    path = post.path.replace(" ", "%20").replace("#", "%23")
    return Message(topic("v02.post", post.path)[:200],
                   f"{time_text(post.time_ns(), '')} {base_url} {path}".encode(), "text/plain",
                   headers)


@dataclass(frozen=True)
class Ending:
    """How an announcement ended: a verb ("downloaded") and the path below the data directory, or a
    code ("404", "malformed", "gave up"), the announced path if it is known, and why."""
    verdict: str
    path: str
    why: str = ""


def endings(subscription):
    """All that the logs of a subscription tell, in the order of each log."""
    found = []
    for instance in subscription.instances:
        for line in instance.log().splitlines():
            match = ENDINGS.search(line)
            if match:
                found.append(ending_of(match, f"{subscription.directory}/"))
    return found


def ending_of(match, directory):
    if match["verb"]:
        return Ending(match["verb"], match["place"].removeprefix(directory))
    if match["code"]:
        return Ending(match["code"], match["path"], match["why"])
    if match["malformed"]:
        return Ending("malformed", "", match["what"])
    return Ending("gave up", match["given_up"], match["reason"])


def wait_endings(subscription, count, seconds=60):
    """Waits until so many announcements have ended, and returns how."""
    def enough():
        for instance in subscription.instances:
            assert instance.is_running(), f"it ended with {instance.exit_code()}"
        return len(endings(subscription)) >= count
    wait_until(enough, seconds,
               lambda: f"{len(endings(subscription))} of {count} announcements have ended")
    return endings(subscription)


def count_verdicts(found, prefix):
    """How often there was each verdict on a path that begins so."""
    return Counter(ending.verdict for ending in found if ending.path.startswith(prefix))


# ---- trees ----

def plant(root, tree):
    """Makes what `tree` says: bytes are a file, a text the target of a link, None a directory."""
    os.makedirs(root, exist_ok=True)
    for path, what in tree.items():
        full = f"{root}/{path}"
        os.makedirs(full if what is None else os.path.dirname(full), exist_ok=True)
        if isinstance(what, bytes):
            with open(full, "wb") as file:
                file.write(what)
        elif what is not None:
            os.symlink(what, full)


def look(root):
    """The same the other way round. Directories that are not empty are not mentioned."""
    tree = {}
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            full = os.path.join(folder, name)
            path = os.path.relpath(full, root)
            if os.path.islink(full):
                tree[path] = os.readlink(full)
            elif not os.path.isdir(full):
                with open(full, "rb") as file:
                    tree[path] = file.read()
            elif not os.listdir(full):
                tree[path] = None
    return tree

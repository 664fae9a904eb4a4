"""What is there already, what a file gets besides its bytes, where it is while it arrives, and what
is not what was announced. Subscriptions that differ in their options run side by side."""
import base64
import functools
import hashlib
import json
import os
import stat
import threading

import pytest

from rig.announcer import Message, announce, time_text, v02, v03
from rig.badserver import BadServer
from rig.fileserver import FileServer
from rig.process import wait_until
from rig.tree import MEGABYTE, Entry
from rig.verify import compare, files_below

SECOND_NS = 1_000_000_000
MTIME_NS = 1_795_000_000 * SECOND_NS
OLDER_NS, NEWER_NS = MTIME_NS - 60 * SECOND_NS, MTIME_NS + 60 * SECOND_NS


def entry_of(path, body):
    return Entry(path, len(body), hashlib.sha512(body).digest(), hashlib.md5(body).digest(),
                 MTIME_NS)


def write(subscription, path, body, mtime_ns):
    path = f"{subscription.directory}/{path}"
    with open(path, "wb") as file:
        file.write(body)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def read(subscription, path):
    with open(f"{subscription.directory}/{path}", "rb") as file:
        return file.read()


def without(message, *fields, **others):
    """The announcement without some of its fields, or with other values."""
    body = {name: value for name, value in json.loads(message.body).items() if name not in fields}
    return Message(message.routing_key, json.dumps(body | others).encode(), message.content_type)


def mark(subscription, path, body, mtime_ns):
    """The extended attributes that sr3 leaves: the checksum of `body`, and a time."""
    value = base64.b64encode(hashlib.sha512(body).digest()).decode()
    full = f"{subscription.directory}/{path}"
    try:
        os.setxattr(full, "user.sr_mtime", time_text(mtime_ns, "T").encode())
        os.setxattr(full, "user.sr_identity",
                    json.dumps({"method": "sha512", "value": value}).encode())
    except OSError:
        pytest.skip("no extended attributes here")


@pytest.fixture
def server():
    """server({path: contents}): a FileServer that always answers the same."""
    servers = []

    def start(bodies):
        servers.append(FileServer({path: lambda number, body=body: body
                                   for path, body in bodies.items()}))
        return servers[-1]

    yield start
    for each in servers:
        each.close()


NEW, OLD, LONGER = b"new contents", b"old contents", b"longer old contents"
# name: (what is there, its time, the code of the rejection or None)
THERE = {
    "same.older": (NEW, OLDER_NS, 304),
    "same.newer": (NEW, NEWER_NS, 406),
    "same.as.old": (NEW, MTIME_NS, 406),
    "other.older": (OLD, OLDER_NS, None),
    "other.newer": (OLD, NEWER_NS, 406),
    "longer.older": (LONGER, OLDER_NS, None),
    "longer.newer": (LONGER, NEWER_NS, None),
    "none": (None, None, None),
}


def run(subscription, server, messages):
    subscription.announce(messages)
    subscription.start()
    subscription.wait_queue_empty(30)
    assert set(subscription.stop()) == {0}


def codes(subscription, paths):
    """{path: code of its rejection}."""
    log = "".join(instance.log() for instance in subscription.instances)
    found = {}
    for line in log.splitlines():
        for path in paths:
            if f"{path} rejected: " in line:
                found[path] = int(line.split(" rejected: ")[1].split()[0])
    return found


def check(subscription, server, expected):
    """`expected`: {path: (contents, code or None)}. What is rejected is not even fetched."""
    assert codes(subscription, expected) == {path: code for path, (_, code) in expected.items()
                                             if code}
    assert {path: read(subscription, path) for path in expected} == {
        path: body for path, (body, _) in expected.items()}
    fetched = {path for path, times in server.requests.items() if times}
    assert fetched == {path for path, (_, code) in expected.items() if not code}
    assert files_below(subscription.directory) == set(expected)


def populate(subscription, there):
    for path, (body, mtime_ns, _) in there.items():
        if body is not None:
            write(subscription, path, body, mtime_ns)


@pytest.mark.parametrize("sha512", [False, True])
@pytest.mark.parametrize("wire", ["v02", "v03"])
def test_what_is_there(subscribe, server, wire, sha512):
    """Size first, then time, then checksum."""
    files = server(dict.fromkeys(THERE, NEW))
    subscription = subscribe(wire=wire, options="logReject on")
    populate(subscription, THERE)
    render = functools.partial({"v02": v02, "v03": v03}[wire], sha512=sha512)
    run(subscription, files,
        [render(entry_of(path, NEW), files.url, MTIME_NS) for path in THERE])
    check(subscription, files, {path: (body if code else NEW, code)
                                for path, (body, _, code) in THERE.items()})


def test_overwrite_off(subscribe, server):
    """Whatever is there stays."""
    files = server(dict.fromkeys(THERE, NEW))
    subscription = subscribe(options="logReject on\noverwrite off")
    populate(subscription, THERE)
    run(subscription, files, announce([entry_of(path, NEW) for path in THERE], files.url))
    check(subscription, files, {path: (body, 204) if body is not None else (NEW, None)
                                for path, (body, _, _) in THERE.items()})


@pytest.mark.parametrize("overwrite", ["on", "off"])
def test_what_is_there_when_the_contents_are_announced(subscribe, server, overwrite):
    """The same questions, although nothing has to be fetched."""
    content = {"encoding": "utf-8", "value": NEW.decode()}
    subscription = subscribe(wire="v03", options=f"logReject on\noverwrite {overwrite}")
    cases = {**THERE, "no.size": THERE["same.older"], "no.size.longer": THERE["longer.older"]}
    populate(subscription, cases)
    files = server({})
    messages = [v03(entry_of(path, NEW), files.url, MTIME_NS) for path in cases]
    run(subscription, files, [without(message, *(["size"] if b"no.size" in message.body else []),
                                      content=content) for message in messages])
    codes_due = {path: code if overwrite == "on" else 204
                 for path, (body, _, code) in cases.items() if body is not None}
    assert codes(subscription, cases) == {path: code for path, code in codes_due.items() if code}
    assert {path: read(subscription, path) for path in cases} == {
        path: body if codes_due.get(path) else NEW for path, (body, _, _) in cases.items()}
    assert not files.requests


def test_what_is_there_with_little_announced(subscribe, server):
    """Without identity, size or time, and with methods that are no checksum."""
    cases = {  # what is done to the announcement; what is there is other and older, or newer
        "no.identity": (["identity"], {}, OLDER_NS, None),
        "no.identity.newer": (["identity"], {}, NEWER_NS, 406),
        "no.size": (["size"], {}, OLDER_NS, None),
        "no.size.newer": (["size"], {}, NEWER_NS, 406),
        "no.mtime": (["mtime"], {}, NEWER_NS, None),
        "random.newer": ([], {"identity": {"method": "random", "value": "1234"}}, NEWER_NS, None),
        "cod.newer": ([], {"identity": {"method": "cod", "value": "md5"}}, NEWER_NS, None),
    }
    files = server(dict.fromkeys(cases, NEW))
    subscription = subscribe(wire="v03", options="logReject on")
    populate(subscription, {path: (OLD, case[2], None) for path, case in cases.items()})
    run(subscription, files,
        [without(v03(entry_of(path, NEW), files.url, MTIME_NS), *fields, **others)
         for path, (fields, others, _, _) in cases.items()])
    check(subscription, files, {path: (OLD if code else NEW, code)
                                for path, (_, _, _, code) in cases.items()})


def test_extended_attributes(subscribe, server):
    """The checksum that is kept with a file counts if the file was not changed since. With timeCopy
    off so does the time that is kept with it."""
    cases = {"fresh": (NEW, MTIME_NS, 304), "stale": (NEW, OLDER_NS - 60 * SECOND_NS, None),
             "another": (LONGER, MTIME_NS, None)}
    files = server(dict.fromkeys(cases, NEW))
    subscription = subscribe(wire="v03", options="logReject on")
    for path, (body, mtime_ns, _) in cases.items():
        write(subscription, path, OLD, OLDER_NS)
        mark(subscription, path, body, mtime_ns)
    run(subscription, files, announce([entry_of(path, NEW) for path in cases], files.url, "v03"))
    check(subscription, files, {path: (OLD if code else NEW, code)
                                for path, (_, _, code) in cases.items()})

    times = {"kept.newer": (NEWER_NS, 406), "kept.older": (OLDER_NS, None)}
    files = server(dict.fromkeys(times, NEW))
    subscription = subscribe(wire="v03", options="logReject on\ntimeCopy off")
    for path, (mtime_ns, _) in times.items():
        write(subscription, path, OLD, OLDER_NS - 60 * SECOND_NS)
        mark(subscription, path, OLD, mtime_ns)
    run(subscription, files, announce([entry_of(path, NEW) for path in times], files.url, "v03"))
    check(subscription, files, {path: (OLD if code else NEW, code)
                                for path, (_, code) in times.items()})


# ---- times and modes ----

MODES = {  # options: mode of the file, whether it has the announced times
    "": (0o600, True),
    "timeCopy off": (0o600, False),
    "permCopy off": (0o644, True),
    "permCopy off\npermDefault 640": (0o640, True),
    "permDefault 640": (0o600, True)}


def test_times_and_modes(subscribe, server):
    files = server({"dir/file": NEW})
    entry = entry_of("dir/file", NEW)
    entry.mode = 0o600
    subscriptions = {options: subscribe(options=f"{options}\npermDirDefault 750\ninflight tmp/")
                     for options in MODES}
    for subscription in subscriptions.values():
        subscription.announce(announce([entry], files.url))
        subscription.start()
    for options, subscription in subscriptions.items():
        subscription.wait_queue_empty()
        folder = f"{subscription.directory}/dir"
        status = os.stat(f"{folder}/file")
        has_time = status.st_mtime_ns == status.st_atime_ns == MTIME_NS
        assert (oct(stat.S_IMODE(status.st_mode)), has_time) == \
            (oct(MODES[options][0]), MODES[options][1]), options
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o755
        assert stat.S_IMODE(os.stat(f"{folder}/tmp").st_mode) == 0o750


# ---- where it is while it arrives ----

INFLIGHT = {  # option: directory, how the name begins and ends; PARTS is a directory of its own
    "": ("DATA/dir", ".file.", ".tmp"),
    "inflight .tmp": ("DATA/dir", "file.", ".tmp"),
    "inflight .": ("DATA/dir", ".file.", ""),
    "inflight part/": ("DATA/dir/part", "file.", ""),
    "inflight PARTS/": ("PARTS", "file.", "")}


def test_inflight(subscribe, tmp_path):
    """Under such a name in that directory, and nowhere else, as long as it is not complete."""
    body, go_on = bytes(MEGABYTE), threading.Event()

    def answer(connection, request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        connection.sendall(body[:-1000])
        go_on.wait(60)
        connection.sendall(body[-1000:])
        return True

    def parts(subscription, folder, start, end):
        folder = folder.replace("DATA", subscription.directory).replace("PARTS", f"{tmp_path}/p")
        return os.path.isdir(folder) and [name for name in os.listdir(folder)
                                          if name.startswith(start) and name.endswith(end)]

    bad = BadServer({"dir/file": answer})
    entry = entry_of("dir/file", body)
    subscriptions = {option: subscribe(options=option.replace("PARTS", f"{tmp_path}/p"))
                     for option in INFLIGHT}
    for subscription in subscriptions.values():
        subscription.announce(announce([entry], bad.url))
        subscription.start()
    for option, subscription in subscriptions.items():
        wait_until(lambda: parts(subscription, *INFLIGHT[option]), 20, f"a part of '{option}'")
        assert len(parts(subscription, *INFLIGHT[option])) == 1
        assert len(files_below(subscription.directory)) <= 1
        assert not os.path.exists(f"{subscription.directory}/dir/file")
    go_on.set()
    for option, subscription in subscriptions.items():
        subscription.wait_queue_empty()
        outcome = compare(subscription.directory, [entry])
        assert outcome.is_good() and not parts(subscription, *INFLIGHT[option]), outcome
    bad.close()


# ---- not what was announced ----

def announced(path, size):
    """Right in size or not, but never the bytes that come."""
    return Entry(path, size, hashlib.sha512(b"?").digest(), hashlib.md5(b"?").digest(), MTIME_NS)


def test_identity_mismatch(subscribe, server):
    """Another checksum, and another size: fetched once more, then as the option says."""
    bodies = {"checksum": NEW, "size": NEW}
    runs = {choice: (server(bodies), subscribe(options=f"identityMismatch {choice}"))
            for choice in ("place", "retry", "reject")}
    for files, subscription in runs.values():
        subscription.announce(announce([announced("checksum", len(NEW)), announced("size", 99)],
                                       files.url))
        subscription.start()
    for choice, (files, subscription) in runs.items():
        if choice == "retry":
            wait_until(lambda: min(files.requests.values()) >= 3, 40, lambda: f"{files.requests}")
        else:
            subscription.wait_queue_empty(40)
            assert set(files.requests.values()) == {2}
        assert files_below(subscription.directory) == (set(bodies) if choice == "place" else set())
    assert read(runs["place"][1], "checksum") == read(runs["place"][1], "size") == NEW


def test_accept_wrong_size(subscribe, server):
    files = server({"size": NEW})
    subscription = subscribe(options="acceptSizeWrong on")
    run(subscription, files, announce([announced("size", 99)], files.url))
    assert read(subscription, "size") == NEW
    assert files.requests == {"size": 1}


def test_announced_before_it_is_complete(subscribe):
    """Other bytes at first, then the announced ones: those are placed, at the second try."""
    files = FileServer({"file": lambda number: OLD if number == 1 else NEW})
    subscription = subscribe(options="identityMismatch reject")
    run(subscription, files, announce([entry_of("file", NEW)], files.url))
    assert read(subscription, "file") == NEW
    assert files.requests == {"file": 2}
    files.close()

"""Announcements nobody should have sent: acked, counted, and without effect outside the directory;
and contents that are not what was announced."""
import json
import os
from dataclasses import replace

from rig.announcer import Message, announce, topic, v02, v03
from rig.fileserver import FileServer
from rig.tree import make_tree
from rig.verify import Progress, compare, files_below

TIME_V02 = "20251120040312.75"
TIME_V03 = "20251120T040312.75"
TEXT, JSON, GEO = "text/plain", "application/json", "application/geo+json"


def line(text, **headers):
    body = text if isinstance(text, bytes) else text.encode()
    return Message("v02.post.bad", body, TEXT, headers)


def document(base_url, **fields):
    """A v03 message; a field given as None is left out."""
    body = {"pubTime": TIME_V03, "baseUrl": base_url, "relPath": "bad/file.txt", "size": 3}
    body.update(fields)
    body = {name: value for name, value in body.items() if value is not None}
    return Message("v02.post.bad", json.dumps(body).encode(), JSON)


def malformed(url):
    """Messages that must lead to no file at all."""
    return {
        "empty body": line(""),
        "one blank": line(" "),
        "two fields": line(f"{TIME_V02} {url}"),
        "time of letters": line(f"abcdefghijklmn {url} bad/a"),
        "time too short": line(f"20251120 {url} bad/b"),
        "month 13": line(f"20251320040312 {url} bad/c"),
        "not UTF-8": line(b"20251120040312.75 " + url.encode() + b" bad/\xff\xfe\xc3"),
        "empty base url": line(f"{TIME_V02}  bad/d"),
        "no scheme": line(f"{TIME_V02} example bad/e"),
        "unknown scheme": line(f"{TIME_V02} gopher://127.0.0.1/ bad/f"),
        "local file": line(f"{TIME_V02} file:/// etc/passwd"),
        "climbs out": line(f"{TIME_V02} {url} ../../escaped.txt"),
        "climbs out inside": line(f"{TIME_V02} {url} a/../../../escaped.txt"),
        "only dots": line(f"{TIME_V02} {url} a/.."),
        "a directory": line(f"{TIME_V02} {url} bad/directory/"),
        "JSON as text": line('{"pubTime": 1}'),
        "not JSON": Message("v02.post.bad", b"{pubTime: yes", JSON),
        "truncated JSON": Message("v02.post.bad", b'{"pubTime": "2025', JSON),
        "JSON list": Message("v02.post.bad", b"[1, 2]", JSON),
        "JSON text": Message("v02.post.bad", b'"hello"', JSON),
        "empty JSON": Message("v02.post.bad", b"", JSON),
        "deep JSON": Message("v02.post.bad", b"[" * 100000, JSON),
        "no time": document(url, pubTime=None),
        "time is a number": document(url, pubTime=20251120),
        "no base url": document(None),
        "no path": document(url, relPath=None),
        "empty path": document(url, relPath=""),
        "path is a list": document(url, relPath=["a"]),
        "NUL in path": document(url, relPath="bad/nul\0.txt"),
        "climbs out v03": document(url, relPath="../escaped.txt"),
        "rename climbs out": document(url, rename="../../escaped.txt"),
        "size of letters": document(url, size="many"),
        "negative size": document(url, size=-3),
        "enormous size": document(url, size=1e300),
        "blocks": document(url, blocks={"method": "inplace", "size": 1, "number": 0}),
        "link climbs out": document(url, relPath="bad/link", size=None,
                                    fileOp={"link": "/etc/passwd"}),
        "unknown type": Message("v02.post.bad", b"{}", "application/x-unknown"),
        "geo": Message("v02.post.bad", b'{"type": "Feature"}', GEO),
        "no type": Message("v02.post.bad", b"\0\1\2"),
    }


def test_malformed_announcements(subscribe, nginx, files):
    """Among good ones, in both formats, on one queue."""
    good = files[:60]
    subscription = subscribe(places="directory {directory}/deep/down\nmirror on")
    bad = list(malformed(nginx.url).values())
    fine = (announce(good[:30], nginx.url, "v02")
            + [replace(message, routing_key="v02.post.good")
               for message in announce(good[30:], nginx.url, "v03")])
    subscription.announce([message for pair in zip(bad, fine) for message in pair]
                          + fine[len(bad):])
    instance = subscription.start()
    subscription.wait_queue_empty()
    assert instance.is_running()
    assert instance.stop() == 0

    outcome = compare(f"{subscription.directory}/deep/down", good)
    assert outcome.is_good(), outcome
    assert files_below(subscription.directory) == {f"deep/down/{e.rel_path}" for e in good}


def test_harmless_faults(subscribe, nginx, files):
    """What can be left aside is: the file comes nevertheless, and below the directory."""
    some = files[:6]
    subscription = subscribe()
    messages = announce(some, nginx.url)
    messages[0].headers.update(sum="d,xyz")
    messages[1].headers.update(mtime="yesterday", mode="rw-r--r--")
    messages[2].headers.update(parts="1,0,1,0,0")
    messages[3].headers.update(parts="p,1,2,0,1")
    messages[4].body += b" and more \n"
    messages[5].body = messages[5].body.replace(b" 2025", b" /2025")  # an absolute path
    for message in messages:
        message.headers["unknown"] = "something"
    subscription.announce(messages)
    subscription.start()
    subscription.wait_queue_empty()
    outcome = compare(subscription.directory, some)
    assert not outcome.lost and not outcome.corrupt and not outcome.stray, outcome


def test_wrong_content_at_first(subscribe, tmp_path):
    """The server is behind its own announcements; the second fetch has the right bytes."""
    entries = make_tree(tmp_path, small=20)
    right = {entry.rel_path: (tmp_path / entry.rel_path).read_bytes() for entry in entries}
    server = FileServer({
        path: lambda count, body=body: body if count > 1 else body[::-1]
        for path, body in right.items()})
    subscription = subscribe()
    subscription.announce(announce(entries, server.url))
    subscription.start()
    Progress(subscription.directory, entries).wait(90)
    subscription.wait_queue_empty()
    server.close()
    outcome = compare(subscription.directory, entries)
    assert outcome.is_good(), outcome
    assert set(server.requests.values()) == {2}


def test_content_changed_since_announced(subscribe, tmp_path):
    """The same other bytes twice: the file has changed, so it is placed, with a line in the log."""
    entries = make_tree(tmp_path, small=2)
    changed = {entries[0].rel_path: b"x" * entries[0].size,
               entries[1].rel_path: b"y" * (entries[1].size + 100)}
    server = FileServer({path: lambda count, body=body: body for path, body in changed.items()})
    subscription = subscribe()
    subscription.announce([v02(entries[0], server.url, 1_795_000_000_000_000_000),
                           replace(v03(entries[1], server.url, 1_795_000_000_000_000_000),
                                   routing_key=topic("v02.post", entries[1].rel_path))])
    instance = subscription.start()
    subscription.wait_queue_empty(90)
    server.close()
    for path, body in changed.items():
        with open(f"{subscription.directory}/{path}", "rb") as file:
            assert file.read() == body
        assert [text for text in instance.log().splitlines()
                if os.path.basename(path) in text and ("WARNING" in text or "changed" in text)]
    assert set(server.requests.values()) == {2}

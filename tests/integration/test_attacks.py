"""Announcements and servers that mean harm: each has the verdict it is due, nothing beside the data
directory changes, and the good files announced in between all arrive."""
import base64
import gzip
import os
import re
import threading
from dataclasses import dataclass

import pytest

from rig.announcer import Message
from rig.badserver import BODY, BadServer, redirect, respond
from rig.posts import Post, Shelf, endings, look, plant, v02, v03, wait_endings
from rig.process import wait_until

PLACES = "directory {directory}/tree\nmirror on\nlogReject on\nhousekeeping 1s\nattempts 1"
DATA = b"nine of it"
WAITS = "waits"
MARK = re.compile(r"a\d{3}z")
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \[[A-Z]+\] ")
SECRET = "s3cr3t-of-a-stranger"


@pytest.fixture
def shelf(serve, tmp_path):
    return Shelf(serve, tmp_path)


class Canary:
    """A directory beside the one that files go to: whatever is done to it shows."""

    def __init__(self, subscription):
        self.above = subscription.directory
        self.folder = f"{self.above}/canary"
        plant(self.folder, {"victim": b"untouched", "empty": None, "in/side": b"too", "l": "in"})
        os.makedirs(f"{self.above}/tree")
        self.before = self.state()

    def state(self):
        """Names, contents, modes, times and counts of links."""
        found = {self.above: sorted(os.listdir(self.above))}
        for folder, folders, names in os.walk(self.folder):
            for name in [".", *folders, *names]:
                path = os.path.join(folder, name)
                status = os.lstat(path)
                found[path] = (status.st_ino, status.st_mode, status.st_nlink, status.st_size,
                               status.st_mtime_ns, status.st_ctime_ns)
        return found, look(self.folder)

    def check(self):
        assert self.state() == self.before


@dataclass
class Attack:
    """`verdict`: as in the log (rig.posts.Ending), or WAITS for another try. `place`: where below
    the directory something is then, None for nothing at all. `mark` is in everything the log says
    about it."""
    mark: str
    message: Message
    verdict: str
    place: str = None


def attack(base_url, retrieve_path, mark, verdict, place=None, path=None, wire="v03", at=0,
           base=None, data=DATA, **more):
    """A post of a file that could be fetched if it were let through; `path` has a `%` where the
    mark goes."""
    path = (path or "%").replace("%", mark)
    post = Post(path, None if "op" in more else data, at=at, **more)
    render = {"v02": v02, "v03": v03}[wire]
    message = render(post, base_url if base is None else base, retrieve_path)
    message.routing_key = f"v02.post.{mark}"
    return Attack(mark, message, verdict, place and place.replace("%", mark))


def table(url, retrieve, directory):
    """[Attack]"""
    found = []

    def add(verdict, place=None, path=None, **more):
        found.append(attack(url, retrieve, f"a{len(found):03}z", verdict, place, path, **more))

    def member(verdict, place=None, **fields):
        add(verdict, place, fields=fields)

    def raw(verdict, body, kind="application/json", **headers):
        mark = f"a{len(found):03}z"
        found.append(Attack(mark, Message(f"v02.post.{mark}", body, kind, headers), verdict))

    paths(add)
    names(add)
    events(add, directory)
    urls(add, url)
    retrieve_paths(add, member, url)
    fields_of_wrong_types(member)
    sizes(member)
    contents(member)
    texts(raw, url)
    return found


def paths(add):
    for wire in ("v02", "v03"):
        add("422", path="../%", wire=wire)
        add("422", path="../../../../../../../../tmp/%", wire=wire)
        add("422", path="x/../../%", wire=wire)
        add("422", path="x/../%", wire=wire)
        add("422", path="%/..", wire=wire)
        add("422", path="%/", wire=wire)
        add("422", path="./%", wire=wire)
        add("422", path="%/.", wire=wire)
        add("downloaded", "etc/%", path="/etc/%", wire=wire)
        add("downloaded", "etc/%", path="//etc//%", wire=wire)
        add("malformed", path="%\0.txt", wire=wire)
        add("malformed", path="%\nx", wire=wire)
        add("malformed", path="%\x1b[2J", wire=wire)
        add("malformed", path="%\x7f", wire=wire)


def names(add):
    add("downloaded", "%" + "n" * 250, path="%" + "n" * 250)
    add("422", path="%" + "n" * 251)
    add("downloaded", "%" + "é" * 125, path="%" + "é" * 125)
    add("422", path="%" + "é" * 126)
    add("downloaded", "deep/" * 300 + "%", path="deep/" * 300 + "%")
    add("422", path="%/" + "deep/" * 800 + "x")
    add("422", path="%" + "n" * 200_000)
    for path in ("..%2f..%2fZ", "%2e%2e/Z", "%2e%2e%2fZ", "..%5cZ", "%252e%252e/Z", "%00Z"):
        add("downloaded", path.replace("Z", "%"), path=path.replace("Z", "%"))
    for path in ("..\\..\\%", "\uff0e\uff0e/%", "..\u2215%", ".../%", " ../%", ".. /%", "~/%",
                 "-rf %", "%\u202egnp.exe", "e\u0301%", "%|id", "`id`%", "$(id)%", "%;id"):
        add("downloaded", path, path=path)
    add("downloaded", "HOME/%", path="${HOME}/%".replace("{", "").replace("}", ""))
    add("downloaded", "{HOME}/%", path="${HOME}/%")


def events(add, directory):
    for wire in ("v02", "v03"):
        for path in ("../%", "%/..", "%/.", "../canary/%", "%/"):
            add("422", path=path, op={"remove": ""}, wire=wire)
            add("422", path=path, op={"remove": "", "directory": ""}, wire=wire)
        add("422", path="../canary/%", op={"directory": ""}, wire=wire)
        for target in ("/etc/passwd", "../canary", "..", "../../..", "x/../..", "x/../../canary",
                       "./../canary", f"{directory}/canary", f"{directory}/tree/../canary",
                       f"{directory}/tree-not", "", "x/.."):
            add("422", op={"link": target}, wire=wire)
        add("422", path="../canary/%", op={"link": "victim"}, wire=wire)
        for old in ("../canary/victim", "x/../../canary/victim", "..", ".", "", "/", "x/."):
            add("422", op={"rename": old}, wire=wire)
        add("422", path="../canary/%", op={"rename": "x"}, wire=wire)
        # what is absolute is taken for a path below the directory, where it is not
        add("linked", "%", op={"rename": "/etc/passwd", "link": "x"}, wire=wire)
        add("linked", "%", op={"rename": f"{directory}/canary/victim", "link": "x"}, wire=wire)
    for old in ("../canary/victim", "..", "", "/", "x/../.."):
        add("422", op={"hlink": old})
    add("422", path="../canary/%", op={"hlink": "x"})
    add("downloaded", "%", fields={"fileOp": {"hlink": "/etc/passwd"}})
    add("downloaded", "%", fields={"fileOp": {"hlink": f"{directory}/canary/victim"}})
    add("downloaded", "%", fields={"fileOp": {"rename": f"{directory}/tree"}})
    add("422", op={"link": "x" * 5000})
    add("malformed", op={"link": "x\0/etc"})
    add("malformed", op={"rename": "x\0/etc"})
    add("202", headers={"newname": "../canary/victim"}, wire="v02")


def urls(add, url):
    rest = url[len("http://"):]
    for base in ("gopher://127.0.0.1/", "dict://127.0.0.1/", "ldap://127.0.0.1/",
                 "smb://127.0.0.1/", "telnet://127.0.0.1/", "scp://127.0.0.1/", "http:///",
                 "http://a\\b/", "http://127.0.0.1 /x", "http://:80/",
                 "file://elsewhere/etc/", "amqp://127.0.0.1/", "ws://127.0.0.1/"):
        add("422", base=base)
    for base in ("javascript:alert(1)", "/etc/passwd", "", "C:\\x", "127.0.0.1", "//127.0.0.1/",
                 "http:/127.0.0.1/", f"{url}\r\nX-Y: z", f"{url}\0"):
        add("malformed", base=base)
    for base in ("file:///etc/", "file:/etc/", "file://localhost/etc/", "http://[/",
                 f"http://{'h' * 70000}/"):
        add("gave up", base=base)
    add("downloaded", "%", base=f"http://stranger:{SECRET}@{rest}")
    add("422", base=f"file://stranger:{SECRET}@elsewhere/")
    add("422", base=f"http://stranger:{SECRET}@/x")
    add("422", base=f"gopher://stranger:{SECRET}@{rest}")
    add("422", base=f"http://stranger:{SECRET}@{rest}", path="../%")
    add("malformed", base=f"http://stranger:{SECRET}@{rest}", fields={"size": -1})
    add("downloaded", "%", base=f"http://127.0.0.9\\@{rest}")  # the host is behind the last '@'
    add("downloaded", "%", base=f"HTTP://{rest}")


def retrieve_paths(add, member, url):
    for path in ("x\r\nHost: y", "a b", "x\ty", "\x1b"):
        member("422", retrievePath=path)
    for path in ("../../../etc/passwd", "..%2f..%2fetc/passwd", "http://127.0.0.1:9/x",
                 "@127.0.0.1:9/x", "//127.0.0.1:9/x", "missing?x", "missing#x"):
        member("gave up", retrievePath=path)
    for path in ("", "?x", "#x"):  # which nginx forbids, until somebody permits it
        member(WAITS, retrievePath=path)
    for base in ("gopher://127.0.0.1/", "http:///"):
        add("422", base=base, fields={"retrievePath": f"{url}/x"})


def fields_of_wrong_types(member):
    for name in ("pubTime", "baseUrl", "relPath", "retrievePath", "rename"):
        for value in (12, ["x"], {"x": 1}, True):
            member("malformed", **{name: value})
    for value in ("remove", ["remove"], 12, {"link": 12}, {"rename": ["x"]}, {"hlink": {}}):
        member("malformed", fileOp=value)
    for value in (None, "", "yesterday", "20251320T000000", "20251120T250000"):
        member("malformed", pubTime=value)
    for name, value in (("identity", ["x"]), ("identity", {"method": 1, "value": 2}),
                        ("identity", {"method": "../../x", "value": "../../y"}), ("mode", 12),
                        ("mode", "99999999999"), ("mode", "rwx"), ("mtime", [1]),
                        ("mtime", "99999999T999999"), ("atime", {}), ("source", "../../x"),
                        ("sundew_extension", "../../x"), ("to_clusters", {"x": [[[]]]}),
                        ("content", "x"), ("content", {"encoding": ["x"], "value": {}}),
                        ("_deleteOnPost", 12), ("new_dir", "/tmp"), ("new_file", "../x"),
                        ("local_offset", -5)):
        member("downloaded", "%", **{name: value})
    member("downloaded", "%", mode="7777")
    member("415", blocks={"method": "inplace", "size": 1, "number": 0})
    member("422", rename="../%")
    member("422", rename="x/")
    member("malformed", rename="x\n")


def sizes(member):
    for value in (-1, -2**63, 2**53 + 1, 2**63 - 1, 2**64, 1e300, 1.5, "12x", "", [1], True,
                  "99999999999999999999"):
        member("malformed", size=value)
    member("malformed", parts="1,-5,1,0,0")
    member("malformed", parts="1,2,3")
    member(WAITS, size=2**53)  # for a disk that can hold it
    member("downloaded", "%", identity={"method": "md5", "value": "x" * 100_000})


def contents(member):
    bomb = base64.b64encode(gzip.compress(bytes(100_000_000))).decode()
    twice = base64.b64encode(gzip.compress(gzip.compress(bytes(100_000_000)))).decode()
    for encoding, value in (("gzip", bomb), ("gzip", twice), ("base64", bomb), ("utf-7", "+AAA"),
                            ("../../x", "x"), ("utf-16", "x" * 1000), ("gzip", "H4sI"),
                            ("base64", "=" * 1000), ("", "x")):
        member("downloaded", "%", content={"encoding": encoding, "value": value})


def texts(raw, url):
    """Bodies that are no announcement."""
    for body in (b"", b"{", b"null", b"[]", b'"x"', b"12", b"{}", b"[" * 100_000,
                 b'{"a":' * 50_000, b'{"pubTime": "\\ud800"}', b"\xff\xfe{}", b"{}" + bytes(10),
                 b"{" + b'"a": 1,' * 100_000 + b'"b": 2}', b'{"size": ' + b"9" * 5000 + b"}",
                 b'"' + b"x" * (1 << 20) + b'"'):
        raw("malformed", body)
    line = b"20251120040312.75 " + url.encode() + b" "
    for body in (b"", b" ", b"  ", b"\0", b"x" * 1000, line[:-1], line + b"\xc0\xae\xc0\xae/x",
                 line + b"\xed\xa0\x80", line + b"x\0y", b"99999999999999 http://h/ x"):
        raw("malformed", body, "text/plain")
    raw("malformed", b"\n2026-01-01 00:00:00,000 [INFO] 1 x downloaded ok: /etc/x \n", "text/plain")
    raw("malformed", line + b"x", "text/plain", size="-3")
    raw("malformed", line + b"x", "text/plain", rename="a\nb")
    raw("malformed", line + b"x", "text/plain", link=b"\xff")
    raw("malformed", b'{"type": "Feature", "links": []}', "application/geo+json")


# ---- announcements ----

def by_mark(found, attacks):
    """{mark: its verdicts}"""
    verdicts = {attack.mark: [] for attack in attacks}
    for ending in found:
        for mark in MARK.findall(f"{ending.path} {ending.why}")[:1]:
            verdicts[mark].append(ending.verdict)
    return verdicts


def carry_out(subscription, attacks, shelf):
    """Runs the attacks with as many good files in between. Everything but the attacks' own verdicts
    is checked here; those that are wrong are returned."""
    good = [Post(f"good/{i:03}", b"good %d" % i) for i in range(len(attacks))]
    subscription.announce([message for post, attack in zip(good, attacks)
                           for message in (attack.message, shelf.render(post, "v03"))])
    instance = subscription.start()
    ends = sum(attack.verdict != WAITS for attack in attacks) + len(good)
    try:
        wait_endings(subscription, ends, 40)
    except TimeoutError:
        pass  # the verdicts say which is missing
    assert instance.stop() == 0
    placed = look(f"{subscription.directory}/tree")
    for post in good:
        assert placed.pop(post.path, None) == post.data
    assert set(placed) == {attack.place for attack in attacks if attack.place}
    verdicts = by_mark(endings(subscription), attacks)
    return [(attack.verdict, verdicts[attack.mark], attack.message.body[:160],
             str(attack.message.headers)[:100]) for attack in attacks
            if verdicts[attack.mark] != [attack.verdict] * (attack.verdict != WAITS)]


def test_hostile_announcements(subscribe, shelf):
    subscription = subscribe(places=PLACES)
    canary = Canary(subscription)
    attacks = table(shelf.url, shelf.path_of(DATA), subscription.directory)
    assert len(attacks) >= 200
    wrong = carry_out(subscription, attacks, shelf)
    assert not wrong, "\n".join(map(str, wrong))
    canary.check()
    modes = [os.stat(f"{subscription.directory}/tree/{attack.place}", follow_symlinks=False).st_mode
             for attack in attacks if attack.place]
    assert not any(mode & 0o7000 for mode in modes)
    log = subscription.instances[0].log()
    assert SECRET not in log
    assert not [line for line in log.splitlines() if not LINE.match(line)], "a line was made up"


@pytest.mark.parametrize("source, place", [
    ("../../canary", None), ("..", None), ("/canary", "canary/f"), ("a/../../b", None),
    ("${HOME}", "{HOME}/f"), ("plain", "plain/f")])
def test_hostile_sources(subscribe, shelf, source, place):
    """What an announcement says of its source can be part of a directory."""
    subscription = subscribe(places="directory {directory}/tree/${SOURCE}\nsourceFromMessage on\n"
                                    "logReject on")
    canary = Canary(subscription)
    subscription.announce([shelf.render(Post("f", DATA, fields={"source": source}), "v03")])
    subscription.start()
    found = wait_endings(subscription, 1)
    assert [ending.verdict for ending in found] == ["downloaded" if place else "422"]
    assert look(f"{subscription.directory}/tree") == ({place: DATA} if place else {})
    canary.check()


# ---- links made a moment before ----

LINKS = {"up": "..", "side": "../canary", "far/side": "../../canary", "abs": "%/canary",
         "etc": "/etc", "root": "/", "tricky": "./../canary"}


def below_links():
    """Posts below the links, and whence and whereto these lead; what they come to where the links
    were refused, and where they were made."""
    for i, name in enumerate(LINKS):
        for post, plain, linked in (
                (Post(f"{name}/new", DATA), "downloaded", "gave up"),
                (Post(f"{name}/victim", DATA), "downloaded", "gave up"),
                (Post(f"{name}/in/side", op={"remove": ""}), "removed", "422"),
                (Post(f"{name}/empty", op={"remove": "", "directory": ""}), "removed", "422"),
                (Post(f"{name}/d", op={"directory": ""}), "directory", "422"),
                (Post(f"{name}/l", op={"link": "x"}), "linked", "422"),
                (Post(f"{name}/n", DATA, op={"rename": f"old{i}"}), "renamed", "422"),
                (Post(f"o{i}", DATA, op={"rename": f"{name}/in/side"}), "downloaded", "422"),
                (Post(f"p{i}", DATA, op={"rename": f"{name}/in"}), "downloaded", "422"),
                (Post(f"h{i}", DATA, op={"hlink": f"{name}/other"}), "downloaded", "422")):
            yield post, plain, linked


@pytest.mark.parametrize("link_outside", ["off", "on"])
def test_files_below_links_that_lead_out(subscribe, shelf, link_outside):
    subscription = subscribe(places=PLACES, options=f"linkOutside {link_outside}")
    canary = Canary(subscription)
    made = link_outside == "on"
    plant(f"{subscription.directory}/tree", {f"old{i}": DATA for i in range(len(LINKS))})
    subscription.start_all(1)
    rounds = [
        [(Post(name, op={"link": target.replace("%", subscription.directory)}),
          "linked" if made else "422") for name, target in LINKS.items()],
        [(post, linked if made else plain) for post, plain, linked in below_links()]]
    for posts in rounds:
        before = len(endings(subscription))
        subscription.publish([shelf.render(post, "v03") for post, _ in posts])
        found = wait_endings(subscription, before + len(posts))[before:]
        verdicts = {ending.path.removeprefix("tree/"): ending.verdict for ending in found}
        assert verdicts == {post.path: verdict for post, verdict in posts}
    assert subscription.stop() == [0]
    canary.check()


def test_links_that_are_moved(subscribe, shelf):
    """A link that is good where it is made, and is to be moved to where it leads out."""
    subscription = subscribe(places=PLACES)
    canary = Canary(subscription)
    subscription.start_all(1)
    rounds = [
        [(Post("a/b/l", op={"link": "../.."}), "linked"), (Post("c/d/m", op={"link": "../.."}),
                                                           "linked")],
        [(Post("n", DATA, op={"rename": "a/b/l"}), "422"),
         (Post("o", op={"rename": "c/d", "directory": ""}), "422"),
         (Post("a/b/l/canary/victim", DATA), "downloaded"),  # the link leads to the top of the tree
         (Post("a/b/l/../canary/x", DATA), "422"),
         (Post("x", op={"link": "a/b/l/../canary"}), "422")]]
    for posts in rounds:
        before = len(endings(subscription))
        subscription.publish([shelf.render(post, "v03") for post, _ in posts])
        found = wait_endings(subscription, before + len(posts))[before:]
        verdicts = {ending.path.removeprefix("tree/"): ending.verdict for ending in found}
        assert verdicts == {post.path: verdict for post, verdict in posts}
    assert look(f"{subscription.directory}/tree") == {
        "a/b/l": "../..", "c/d/m": "../..", "canary/victim": DATA}
    canary.check()


# ---- inflight names, which can be guessed ----

class Halting:
    """Serves BODY 20 times, in two answers: the first breaks off and the second begins late, or the
    first is late in its middle. `reached` is set where it waits for `go_on`."""

    def __init__(self, breaks):
        self.breaks = breaks
        self.broken, self.reached, self.go_on = (threading.Event() for _ in range(3))
        self.server = BadServer({"f": self.answer})

    def wait(self):
        self.reached.set()
        self.go_on.wait(60)

    def answer(self, connection, request):
        first = len(self.server.requests) == 1
        if self.breaks and not first:
            self.wait()
        connection.sendall(head(f"Content-Length: {20 * len(BODY)}") + BODY * 15)
        if self.breaks and first:
            self.broken.wait(60)
            return False
        if first:
            self.wait()
        connection.sendall(BODY * 5)
        return True


@pytest.mark.parametrize("breaks, op", [(False, None), (True, {"link": "x"})])
def test_inflight_names_are_taken(subscribe, shelf, breaks, op):
    """Another file takes the inflight name of one that is under way; a link does before that is
    tried again. Neither becomes the file, and the file comes."""
    halting = Halting(breaks)
    subscription = subscribe(places=PLACES)
    os.makedirs(f"{subscription.directory}/tree")
    subscription.start_all(1)
    subscription.publish([v03(Post("f", BODY * 20), halting.server.url, "f")])
    inflight = wait_until(lambda: os.listdir(f"{subscription.directory}/tree"), 20, "it is begun")
    halting.broken.set()
    assert halting.reached.wait(30)
    subscription.publish([shelf.render(Post(inflight[0], None if op else DATA, op=op), "v03")])
    wait_endings(subscription, 1)
    halting.go_on.set()
    found = wait_endings(subscription, 2)
    assert [(ending.verdict, ending.path) for ending in found] == [
        ("linked" if op else "downloaded", f"tree/{inflight[0]}"), ("downloaded", "tree/f")]
    placed = look(f"{subscription.directory}/tree")
    assert placed.pop("f") == BODY * 20
    assert placed in ({}, {inflight[0]: DATA})
    halting.server.close()


# ---- servers ----

def send(*pieces, stay=False):
    """A server that sends just that, and hangs up."""
    def answer(connection, request):
        for piece in pieces:
            connection.sendall(piece)
        return stay
    return answer


def head(*lines):
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode("latin-1")


def reply(status, *headers, body=b""):
    return lambda connection, request: respond(connection, status, body, *headers)


LENGTH = f"Content-Length: {len(BODY)}"
LOST, FINE = "gave up", "downloaded"
SERVERS = {  # those without an answer are badserver's
    "good": (FINE, None),
    "endless_body": (LOST, None), "endless_chunks": (LOST, None), "endless_headers": (LOST, None),
    "endless_header_line": (LOST, None), "endless_100": (LOST, None), "loris_headers": (LOST, None),
    "silence": (LOST, None), "stall": (LOST, None), "huge_length": (LOST, None),
    "bomb_transfer": (LOST, None), "bomb_content": (LOST, None),
    "hangs_up": (LOST, send()),
    "nonsense": (LOST, send(b"\0\1\2 what?\r\n\r\n")),
    "http_0_9": (LOST, send(BODY)),
    "status_999": (LOST, reply("999 Strange", body=BODY)),
    "no_content": (LOST, reply("204 No Content")),
    "not_modified": (LOST, reply("304 Not Modified")),
    "forbidden": (LOST, reply("403 Forbidden")),
    "login": (LOST, reply("401 No", f'WWW-Authenticate: Basic realm="{"x" * 60000}"')),
    "retry_in_years": (WAITS, reply("503 Later", "Retry-After: 9223372036854775807")),
    "empty": (LOST, reply("200 OK")),
    "half": (LOST, send(head(LENGTH), BODY[:5000])),
    "half_of_its_own": (LOST, reply("200 OK", body=BODY[:5000])),
    "more": (LOST, reply("200 OK", body=BODY + b"x")),
    "much_more": (LOST, reply("200 OK", body=BODY * 150)),
    "other_bytes": (LOST, reply("200 OK", body=BODY[::-1])),
    "negative_length": (LOST, send(head("Content-Length: -1"), BODY)),
    "two_lengths": (FINE, send(head("Content-Length: 3", LENGTH), BODY)),
    "chunk_of_letters": (LOST, send(head("Transfer-Encoding: chunked"), b"zz\r\n" + BODY)),
    "chunk_of_2_to_64": (LOST, send(head("Transfer-Encoding: chunked"),
                                    b"ffffffffffffffffff\r\n" + BODY)),
    "part_unasked": (LOST, reply("206 Partial", "Content-Range: bytes 5-9/10240", body=BODY[5:])),
    "nowhere": (LOST, reply("302 Found")),
    "round": (LOST, redirect("round")),
    "to_file": (LOST, redirect("file:///etc/passwd")),
    "to_gopher": (LOST, redirect("gopher://127.0.0.1/x")),
    "to_ftp": (LOST, redirect("ftp://127.0.0.1/x")),
    "to_nonsense": (LOST, redirect("http://[")),
    "name_of_its_own": (FINE, reply("200 OK", 'Content-Disposition: attachment; filename="../x"',
                                    body=BODY)),
    "times_of_its_own": (FINE, reply("200 OK", "Last-Modified: Thu, 99 Foo 99999 99:99:99 GMT",
                                     "Date: x", body=BODY)),
    "cookies": (FINE, reply("200 OK", *[f"Set-Cookie: a{i}=b; Domain=.com" for i in range(100)],
                            body=BODY)),
}


def test_hostile_servers(subscribe, shelf):
    """Each is given up in the end, with nothing placed. Each has a port of its own: one that is in
    trouble is left alone for a while, with all of its files."""
    subscription = subscribe(places=PLACES, options="timeout 1s\nfileSizeMax 1M\nretry_ttl 3s\n"
                                                    "identityMismatch reject")
    canary = Canary(subscription)
    servers = {name: BadServer({name: answer} if answer else {})
               for name, (_, answer) in SERVERS.items()}
    good = [Post(f"good/{i:03}", b"good %d" % i) for i in range(100)]
    bad = [Post(f"bad/{name}", BODY) for name in SERVERS]
    subscription.announce([v03(post, servers[name].url, name) for name, post in zip(SERVERS, bad)]
                          + [shelf.render(post, "v03") for post in good])
    instance = subscription.start()
    ends = sum(verdict != WAITS for verdict, _ in SERVERS.values()) + len(good)
    try:
        wait_endings(subscription, ends, 30)
    except TimeoutError:
        pass  # the verdicts say which is missing
    assert instance.stop() == 0
    for server in servers.values():
        server.close()
    verdicts = {name: WAITS for name in SERVERS}
    verdicts.update({os.path.basename(ending.path): ending.verdict
                     for ending in endings(subscription) if "bad/" in ending.path})
    assert verdicts == {name: verdict for name, (verdict, _) in SERVERS.items()}
    waits_s = [float(seconds) for seconds in re.findall(r"again in ([0-9.]+) s", instance.log())]
    assert max(waits_s) <= 3600
    fine = [Post(f"bad/{name}", BODY) for name, (verdict, _) in SERVERS.items() if verdict == FINE]
    assert look(f"{subscription.directory}/tree") == {post.path: post.data for post in good + fine}
    canary.check()

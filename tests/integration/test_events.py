"""What announcements ask for apart from a file: links, removals, renames, directories, each in both
formats and from the queue to the disk; and contents that come with their announcement."""
import base64
import dataclasses
import gzip
import os
import re
import stat
from collections import Counter
from dataclasses import dataclass, field

import pytest

from rig.posts import Post, Shelf, count_verdicts, endings, look, plant, v03, wait_endings

PLACES = "directory {directory}\nmirror on\nlogReject on\nhousekeeping 1s"
ONE, TWO, LONG = b"the first", b"another..", b"a longer one"


@pytest.fixture
def shelf(serve, tmp_path):
    return Shelf(serve, tmp_path)


@dataclass
class Case:
    """`before` and `after` are trees (rig.posts.plant) below a directory of its own, to which all
    paths are relative; `verdicts` say how the posts end, in any order."""
    name: str
    before: dict
    posts: list
    after: dict
    verdicts: list
    wires: tuple = ("v02", "v03")
    settings: dict = field(default_factory=dict)

    def folder(self, wire):
        return f"{wire}/{re.sub('[^a-z0-9]+', '-', self.name.lower())}"

    def posts_below(self, folder):
        """The posts with the folder before all paths."""
        for post in self.posts:
            op = {name: f"{folder}/{value}" if name in ("rename", "hlink") else value
                  for name, value in (post.op or {}).items()}
            yield dataclasses.replace(post, path=f"{folder}/{post.path}", op=op)


def remove(path, **more):
    return Post(path, op={"remove": ""}, **more)


def mkdir(path, **more):
    return Post(path, op={"directory": ""}, **more)


def rmdir(path, **more):
    return Post(path, op={"remove": "", "directory": ""}, **more)


def link(path, target, **more):
    return Post(path, op={"link": target}, **more)


def hlink(path, existing, data=ONE, at=0, **more):
    return Post(path, data, op={"hlink": existing, **more}, at=at)


def rename(path, old, data=ONE, at=0, **more):
    return Post(path, data, op={"rename": old, **more}, at=at)


CASES = [
    Case("link", {"f": ONE}, [link("l", "f")], {"f": ONE, "l": "f"}, ["linked"]),
    Case("link below new directories", {}, [link("a/b/l", "../f")], {"a/b/l": "../f"},
         ["linked"]),
    Case("link in the place of a file", {"l": ONE}, [link("l", "f")], {"l": "f"}, ["linked"]),
    Case("link in the place of a link", {"l": "g"}, [link("l", "f")], {"l": "f"}, ["linked"]),
    Case("link that is there", {"l": "f"}, [link("l", "f")], {"l": "f"}, ["linked"]),
    Case("link out of the tree", {}, [link("l", "../../../f")], {}, ["422"]),
    Case("link to an absolute path", {}, [link("l", "/etc/passwd")], {}, ["422"]),
    Case("link in the place of a directory", {"l/f": ONE}, [link("l", "f")], {"l/f": ONE},
         ["500"]),
    Case("hard link", {"f": ONE}, [hlink("h", "f")], {"f": ONE, "h": ONE}, ["linked"], ("v03",)),
    Case("hard link and link", {"f": ONE}, [hlink("h", "f", link="f")], {"f": ONE, "h": ONE},
         ["linked"], ("v03",)),
    Case("hard link in the place of a file", {"f": ONE, "h": TWO}, [hlink("h", "f")],
         {"f": ONE, "h": ONE}, ["linked"], ("v03",)),
    Case("hard link to what is not here", {}, [hlink("h", "f")], {"h": ONE}, ["downloaded"],
         ("v03",)),
    Case("hard link to a directory", {"f": None}, [hlink("h", "f")], {"f": None}, ["422"],
         ("v03",)),

    Case("remove a file", {"f": ONE, "g": ONE}, [remove("f")], {"g": ONE}, ["removed"]),
    Case("remove a link", {"l": "f", "f": ONE}, [remove("l")], {"f": ONE}, ["removed"]),
    Case("remove what is not here", {"g": ONE}, [remove("f")], {"g": ONE}, ["removed"]),
    Case("remove where no directory is", {"g": ONE}, [remove("a/b/f")], {"g": ONE}, ["removed"]),
    Case("remove an empty directory", {"d": None, "g": ONE}, [remove("d")], {"g": ONE},
         ["removed"]),
    Case("remove a full directory", {"d/f": ONE}, [remove("d")], {"d/f": ONE}, ["500"]),

    Case("mkdir", {}, [mkdir("a/d")], {"a/d": None}, ["directory"]),
    Case("mkdir of what is there", {"d/f": ONE}, [mkdir("d")], {"d/f": ONE}, ["directory"]),
    Case("mkdir where a link leads", {"d": "e", "e": None}, [mkdir("d")], {"d": "e", "e": None},
         ["directory"]),
    Case("mkdir in the place of a file", {"d": ONE}, [mkdir("d")], {"d": ONE}, ["500"]),
    Case("rmdir", {"d": None, "g": ONE}, [rmdir("d")], {"g": ONE}, ["removed"]),
    Case("rmdir of what is not here", {"g": ONE}, [rmdir("d")], {"g": ONE}, ["removed"]),
    Case("rmdir of a link", {"d": "e", "e/f": ONE}, [rmdir("d")], {"e/f": ONE}, ["removed"]),
    Case("rmdir of a full directory", {"d/f": ONE}, [rmdir("d")], {"d/f": ONE}, ["500"]),
    Case("rmdir before what is in it is removed", {"d/f": ONE, "g": ONE},
         [rmdir("d", at=2), remove("d/f", at=1)], {"g": ONE}, ["removed", "removed"]),
    Case("rmdir as it was once", {"d": None, "g": ONE}, [Post("d", op={"rmdir": ""})], {"g": ONE},
         ["removed"], ("v03",)),

    Case("rename", {"o": ONE}, [rename("n", "o")], {"n": ONE}, ["renamed"]),
    Case("rename to new directories", {"o": ONE}, [rename("a/b/n", "o")], {"a/b/n": ONE},
         ["renamed"]),
    Case("rename over a file", {"o": ONE, "n": TWO}, [rename("n", "o")], {"n": ONE}, ["renamed"]),
    Case("rename over an empty directory", {"o": ONE, "n": None}, [rename("n", "o")], {"n": ONE},
         ["renamed"]),
    Case("rename over a full directory", {"o": ONE, "n/f": TWO}, [rename("n", "o")],
         {"o": ONE, "n/f": TWO}, ["500"]),
    Case("rename of a link", {"o": "f"}, [rename("n", "o", None, link="f")], {"n": "f"},
         ["renamed"]),
    Case("rename of a directory", {"o/a/f": ONE, "o/g": TWO},
         [rename("n", "o", None, directory="")], {"n/a/f": ONE, "n/g": TWO}, ["renamed"]),
    Case("rename onto itself", {"o": ONE}, [rename("o", "o")], {"o": ONE}, ["renamed"]),
    Case("rename of what is not here", {}, [rename("n", "o")], {"n": ONE}, ["downloaded"]),
    Case("rename of a link that is not here", {}, [rename("n", "o", None, link="f")], {"n": "f"},
         ["linked"]),
    Case("rename of a directory that is not here", {}, [rename("n", "o", None, directory="")],
         {"n": None}, ["directory"]),
    Case("rename of a file of another size", {"o": LONG}, [rename("n", "o")], {"n": ONE},
         ["downloaded"]),
    Case("two renames of one file", {"a": ONE}, [rename("b", "a", at=1), rename("c", "b", at=2)],
         {"c": ONE}, ["renamed", "renamed"]),
    Case("double post", {"o": ONE},
         [Post("o", headers={"newname": "n", "sum": "R,00"}), rename("n", "o", at=1)],
         {"n": ONE}, ["202", "renamed"], ("v02",)),
]


def below(found, folder):
    return count_verdicts(found, f"{folder}/")


def run_cases(subscription, shelf, cases, seconds=60):
    """All cases at once; returns what is wrong, as (case, what came of it)."""
    runs = [(case, wire, case.folder(wire)) for case in cases for wire in case.wires]
    messages = []
    for case, wire, folder in runs:
        plant(f"{subscription.directory}/{folder}", case.before)
        messages += [shelf.render(post, wire) for post in case.posts_below(folder)]
    subscription.announce(messages)
    instance = subscription.start()
    found = wait_endings(subscription, len(messages), seconds)
    assert instance.stop() == 0
    wrong = []
    for case, wire, folder in runs:
        tree = look(f"{subscription.directory}/{folder}")
        verdicts = below(found, folder)
        if tree != case.after or verdicts != Counter(case.verdicts):
            wrong.append((f"{case.name}, {wire}", tree, dict(verdicts)))
    return wrong


def test_events(subscribe, shelf):
    subscription = subscribe(places=PLACES, options="logRepeatMax 0")
    wrong = run_cases(subscription, shelf, CASES)
    assert not wrong, "\n".join(map(str, wrong))
    tried = [line for line in subscription.instances[0].log().splitlines()
             if "failed: remove " in line and "/v02/rmdir-of-a-full-directory/" in line]
    assert len(tried) == 5, tried  # and then once more, which is a rejection
    linked = f"{subscription.directory}/v03/hard-link"
    assert os.path.samefile(f"{linked}/h", f"{linked}/f")


@pytest.mark.parametrize("wanted, verbs", [
    ("create,modify", []), ("link", ["linked"]), ("delete", ["removed"]),
    ("mkdir", ["directory"]), ("rmdir", ["removed"])])
def test_gates(subscribe, shelf, wanted, verbs):
    """What fileEvents does not name is left alone; renames are always carried out."""
    before = {"f": ONE, "g": ONE, "o": ONE, "d": None}
    events = {"link": [link("l", "f")], "delete": [remove("g")], "mkdir": [mkdir("m")],
              "rmdir": [rmdir("d")]}
    after = {**before, "n": ONE, "h": ONE}
    del after["o"]
    if wanted == "delete":
        del after["g"]
    elif wanted == "rmdir":
        del after["d"]
    elif wanted == "mkdir":
        after["m"] = None
    elif wanted == "link":
        after["l"] = "f"
    case = Case("gates", before, [*(post for posts in events.values() for post in posts),
                                  rename("n", "o"), Post("h", ONE)],
                after, [*verbs, *["202"] * (4 - len(verbs)), "renamed", "downloaded"])
    wrong = run_cases(subscribe(places=PLACES, options=f"fileEvents {wanted}"), shelf, [case])
    assert not wrong, wrong


@pytest.mark.parametrize("unmatched", ["on", "off"])
def test_renamed_to_what_is_not_wanted(subscribe, shelf, unmatched):
    """What had a wanted name and has one that is not is removed, and not fetched."""
    rules = "reject .*bad.*\naccept .*good.*" + ("\naccept .*" if unmatched == "on" else "")
    subscription = subscribe(places=f"{PLACES}\nacceptUnmatched {unmatched}\n{rules}")
    cases = [
        Case("rejected", {"good": ONE, "x": TWO}, [rename("bad", "good")], {"x": TWO},
             ["removed"]),
        Case("nothing there", {"x": TWO}, [rename("bad", "good")], {"x": TWO}, ["removed"]),
        Case("neither wanted", {"bad1": ONE}, [rename("bad2", "bad1")], {"bad1": ONE}, ["404"]),
        Case("wanted now", {"bad": ONE}, [rename("good", "bad")], {"bad": ONE, "good": ONE},
             ["downloaded"]),
    ]
    if unmatched == "off":
        cases.append(Case("unmatched", {"good": ONE, "x": TWO}, [rename("other", "good")],
                          {"x": TWO}, ["removed"]))
    wrong = run_cases(subscription, shelf, cases)
    assert not wrong, "\n".join(map(str, wrong))


def test_permissions_of_directories(subscribe, shelf):
    subscription = subscribe(places=PLACES, options="permDirDefault 0750")
    subscription.announce([shelf.render(post, wire) for wire in ("v02", "v03")
                           for post in (mkdir(f"{wire}/d"), mkdir(f"{wire}/e", mode="700"),
                                        mkdir(f"{wire}/s", mode="7777"))])
    subscription.start()
    wait_endings(subscription, 6)
    for wire in ("v02", "v03"):
        modes = {name: stat.S_IMODE(os.stat(f"{subscription.directory}/{wire}/{name}").st_mode)
                 for name in "des"}
        assert modes == {"d": 0o750, "e": 0o700, "s": 0o777}


# ---- order ----

@pytest.mark.parametrize("count", [1, 2])
def test_events_of_the_same_name(subscribe, shelf, store, count):
    """The newest announcement has the last word, whatever else is under way with the name."""
    subscription = subscribe(places=PLACES, store=store)
    names = [f"{wire}/{i:02}" for wire in ("v02", "v03") for i in range(15)]
    messages = []
    for name in names:
        posts = [Post(f"{name}/f", ONE, at=1), remove(f"{name}/f", at=2),
                 Post(f"{name}/f", TWO, at=3),
                 Post(f"{name}/g", ONE, at=1), remove(f"{name}/g", at=2),
                 link(f"{name}/l", "f", at=1), Post(f"{name}/l", ONE, at=2)]
        messages += [shelf.render(post, name[:3]) for post in posts]
    subscription.start_all(count)
    subscription.publish(messages)
    found = wait_endings(subscription, len(messages))
    assert set(subscription.stop()) == {0}
    for name in names:
        tree = look(f"{subscription.directory}/{name}")
        assert tree == {"f": TWO, "l": ONE}, (name, tree, below(found, name))
    assert {ending.verdict for ending in found} <= {"downloaded", "removed", "linked", "406"}


def test_older_events_come_too_late(subscribe, shelf):
    subscription = subscribe(places=PLACES)
    subscription.start_all(1)
    steps = [
        ([Post("a", TWO, at=3), Post("o", TWO, at=3), remove("gone", at=3)],
         ["downloaded", "downloaded", "removed"]),
        ([remove("a", at=2), link("a", "o", at=2), mkdir("a", at=2), rename("a", "b", at=2),
          Post("gone", ONE, at=2)], ["406"] * 5),
        ([rename("n", "o", TWO, at=5)], ["renamed"]),
        ([Post("o", ONE, at=4)], ["406"]),  # it had gone by then
        ([Post("o", ONE, at=6)], ["downloaded"]),
        ([rename("p", "o", TWO, at=2)], ["downloaded"]),  # the former o; this one stays
    ]
    for posts, verdicts in steps:
        before = len(endings(subscription))
        subscription.publish([shelf.render(post, "v03") for post in posts])
        found = wait_endings(subscription, before + len(posts))[before:]
        assert sorted(ending.verdict for ending in found) == sorted(verdicts), (posts, found)
    assert look(subscription.directory) == {"a": TWO, "n": TWO, "o": ONE, "p": TWO}


def test_events_repeated(subscribe, shelf, store):
    """Two instances; each event is announced three times at the same time, and at three times."""
    posts = [Post("f", ONE), link("l", "f"), mkdir("d"), remove("r"), rmdir("e"),
             rename("n", "o"), rename("dn", "do", None, directory="")]
    before = {"r": ONE, "e": None, "o": ONE, "do/x": TWO}
    subscription = subscribe(places=PLACES, store=store)
    messages = []
    for wire in ("v02", "v03"):
        for i in range(6):
            plant(f"{subscription.directory}/{wire}/{i}", before)
            case = Case("", {}, posts, {}, [])
            for at in range(3):
                again = [dataclasses.replace(post, at=at if i % 2 else 0)
                         for post in case.posts_below(f"{wire}/{i}")]
                messages += [shelf.render(post, wire) for post in again]
    subscription.start_all(2)
    subscription.publish(messages)
    wait_endings(subscription, len(messages))
    assert set(subscription.stop()) == {0}
    for wire in ("v02", "v03"):
        for i in range(6):
            assert look(f"{subscription.directory}/{wire}/{i}") == {
                "f": ONE, "l": "f", "d": None, "n": ONE, "dn/x": TWO}, (wire, i)


# ---- nothing left behind, nothing done ----

def test_delete_destination(subscribe, shelf):
    """Each file goes once it was placed; what was there for another reason stays."""
    subscription = subscribe(places=PLACES, options="delete_destination on\noverwrite off")
    plant(subscription.directory, {"kept": TWO})
    posts = [Post(f"d/{i}", ONE) for i in range(10)] + [Post("kept", ONE), link("l", "kept")]
    subscription.announce([shelf.render(post, "v03") for post in posts])
    subscription.start()
    found = wait_endings(subscription, len(posts))
    subscription.wait_queue_empty()
    assert Counter(ending.verdict for ending in found) == {"downloaded": 10, "204": 1, "linked": 1}
    assert look(subscription.directory) == {"kept": TWO, "l": "kept", "d": None}


def test_download_off(subscribe, shelf):
    """Everything that is wanted counts as done, and nothing is."""
    before = {"f": ONE, "o": ONE, "d": None}
    subscription = subscribe(places=PLACES, options="download off")
    plant(subscription.directory, before)
    posts = [Post("x", ONE), remove("f"), rename("n", "o"), rmdir("d"), mkdir("m"), link("l", "f")]
    subscription.announce([shelf.render(post, wire) for post in posts for wire in ("v02", "v03")])
    instance = subscription.start()
    subscription.wait_queue_empty()
    assert instance.stop() == 0
    assert look(subscription.directory) == before
    assert not endings(subscription) or {e.verdict for e in endings(subscription)} == {"304"}


# ---- contents that come with the announcement ----

TEXT = "Größe: 12 °C\n"


def content(encoding, value, data, **more):
    """A post whose content says `value`; `data` is what the server has."""
    return {"data": data, "fields": {"content": {"encoding": encoding, "value": value}, **more}}


def packed(data):
    return base64.b64encode(gzip.compress(data)).decode()


def inline_cases():
    """name: (post, verdict, what is placed). Where the server has something else than the content,
    what is placed tells where it came from."""
    utf8, latin = TEXT.encode(), TEXT.encode("latin-1")
    plain = base64.b64encode(ONE).decode()
    wrapped = "\n".join(base64.b64encode(bytes(range(200))).decode()[i:i + 60]
                        for i in range(0, 268, 60))
    unsaid = {"identity": None, "size": None}
    written, fetched = "written from message", "downloaded"
    return {
        "base64": (content("base64", plain, ONE), written, ONE),
        "wrapped": (content("base64", wrapped, bytes(range(200))), written, bytes(range(200))),
        "utf8": (content("utf-8", TEXT, utf8), written, utf8),
        "latin1": (content("iso-8859-1", TEXT, latin), written, latin),
        "gzip": (content("gzip", packed(LONG), LONG), written, LONG),
        "capitals": (content("BASE64", plain, ONE), written, ONE),
        "nothing-said": (content("utf-8", "as it is", TWO, **unsaid), written, b"as it is"),
        "no-identity": (content("utf-8", "123456789", TWO, identity=None), written, b"123456789"),
        "short": (content("utf-8", "short", ONE), fetched, ONE),
        "long": (content("utf-8", "far too long for that", ONE), fetched, ONE),
        "other-bytes": (content("utf-8", "THE FIRST", ONE), fetched, ONE),
        "not-base64": (content("base64", "!!!!", ONE), fetched, ONE),
        "cut-off": (content("base64", plain[:-2], ONE), fetched, ONE),
        "not-gzip": (content("gzip", plain, ONE), fetched, ONE),
        "cut-gzip": (content("gzip", base64.b64encode(gzip.compress(ONE)[:-5]).decode(), ONE),
                     fetched, ONE),
        "not-latin1": (content("iso-8859-1", "Ω", ONE), fetched, ONE),
        "unknown": (content("rot13", "x", ONE), fetched, ONE),
        "bomb": (content("gzip", packed(bytes(50_000_000)), ONE), fetched, ONE),
        "bomb-of-no-size": (content("gzip", packed(bytes(50_000_000)), ONE, **unsaid), fetched,
                            ONE),
        "no-value": ({"data": ONE, "fields": {"content": {"encoding": "utf-8"}}}, fetched, ONE),
        "a-number": (content("utf-8", 12, ONE), fetched, ONE),
        "a-list": ({"data": ONE, "fields": {"content": [1]}}, fetched, ONE),
    }


def test_inline_content(subscribe, shelf):
    """What can be read and is what was announced is placed; for anything else there is the
    server."""
    cases = inline_cases()
    subscription = subscribe(places=PLACES)
    subscription.announce([shelf.render(Post(f"in/{name}", mode="640", **case), "v03")
                           for name, (case, _, _) in cases.items()])
    instance = subscription.start()
    found = wait_endings(subscription, len(cases))
    assert instance.stop() == 0
    assert {ending.path: ending.verdict for ending in found} == {
        f"in/{name}": verdict for name, (_, verdict, _) in cases.items()}
    assert look(f"{subscription.directory}/in") == {
        name: placed for name, (_, _, placed) in cases.items()}
    for name in cases:
        assert stat.S_IMODE(os.stat(f"{subscription.directory}/in/{name}").st_mode) == 0o640


def test_inline_content_where_no_server_is(subscribe):
    """Good content needs none; for bad content it is asked again and again, with retries."""
    subscription = subscribe(places=PLACES)
    dead = "http://127.0.0.1:9/"
    subscription.announce([v03(Post("good", **content("utf-8", ONE.decode(), ONE)), dead),
                           v03(Post("bad", **content("base64", "?", ONE)), dead)])
    instance = subscription.start()
    instance.wait_for_log("written from message ok: .*/good ")
    instance.wait_for_log("attempt 2 failed: .*/bad")
    assert look(subscription.directory) == {"good": ONE}
    assert instance.stop() == 0

"""sr3 and sr3sub side by side: each sees in Redis what the other has placed."""
import hashlib
import json
import time
from dataclasses import dataclass, field

import pytest

from rig.announcer import Message, announce, v02
from rig.fileserver import FileServer
from rig.keys import identity_key, key_base, placed_name, placed_value
from rig.process import wait_until
from rig.subscriber import Store
from rig.verify import Progress, files_below

TTL_SECONDS = 3600  # the subscriptions of the rig have nodupe_ttl 1h
STATION = b"Station CYUL 2025-01-02T04:00Z\n"
STATION_MD5 = "md5,c1/E3fVQHpcBSOQu+aSMOg=="
STATION_SHA512 = ("sha512,xCLSJPkRrzKrpM9oBxUB3aH8xOIqhwFolyH1P+hnp0SDKKDGilGdFQqjkko/UNBhicFQsKUr"
                  "5uSQ8637DLILdw==")
SWOB = "observations/swob-ml/20250102/CYUL/2025-01-02-0400-CYUL-AUTO-swob.xml"
BULLETIN = "bulletins/alphanumeric/20250102/SA/CWAO/04/SACN31_CWAO_020400___12345"
RADAR = "radar/CAPPI/GIF/XAM/202501020400_XAM_CAPPI.gif"
CITY = "citypage_weather/xml/QC/s0000635 e.xml"


@pytest.fixture(params=[False, True], ids=["by name", "by --config"])
def container(request):
    """How the instances are started; the names of the keys follow from it."""
    return request.param


def start(subscription, container):
    return subscription.start_container() if container else subscription.start()


@dataclass
class Example:
    """An announcement, and the text of its duplicate key."""
    rel_path: str
    keytext: str
    content: bytes
    fields: dict = field(default_factory=dict)

    def message(self, base_url):
        body = {"pubTime": "20250102T040312.75", "baseUrl": base_url, "relPath": self.rel_path,
                **self.fields}
        return Message("v03.post.example", json.dumps(body).encode(), "application/json")

    @property
    def path(self):
        return self.rel_path.lstrip("/")


def identity(keytext):
    method, value = keytext.split(",")
    return {"identity": {"method": method, "value": value}, "size": len(STATION)}


MTIME = {"mtime": "20250102T040310"}
EXAMPLES = [
    Example(SWOB, STATION_MD5, STATION, identity(STATION_MD5)),
    Example(BULLETIN, STATION_SHA512, STATION, identity(STATION_SHA512)),
    Example(RADAR, f"{RADAR},20250102T040310,10240", b"G" * 10240, {**MTIME, "size": 10240}),
    Example(f"/{CITY}", f"/{CITY},20250102T040312.75", b"<siteData/>\n"),
    Example("a/b", "a/b,20250102T040310,3", b"abc",
            {**MTIME, "size": 3, "identity": {"method": "cod", "value": "md5"}}),
]
# with the base of --config and the name dd_all
NAMES = {
    SWOB: "daa538a430b7969077fb024ee94686b1.068cca85d5b69cf9cade94b11bd7725a",
    BULLETIN: "d841abd4777f1de79738593920084ae8.0358d8e59b953018fc2d293b69c471da",
    RADAR: "3a184c59b49f08825e79997d60505821.fa01f1b761a93e537db35df6267d45b3",
    CITY: "e6f2d0be7316f67ffbb37396bdb634f3.b542ae8989c58a32c903d48dfb40e2e9",
    "a/b": "32f376b40d7abe0698b451a99c00fd35.487c54998c8b514afed749cbdc2e3e53",
}


def test_names_of_keys():
    """The names we expect of the program are those that sr3 makes."""
    base = key_base("dd_all", container=True)
    assert {example.path: placed_name(base, example.keytext, example.path)
            for example in EXAMPLES} == {path: f"{base}:{name}" for path, name in NAMES.items()}
    assert STATION_MD5 == identity_key("md5", hashlib.md5(STATION).digest())
    assert placed_value(1735790592.751, CITY) \
        == "1735790592.751|citypage_weather/xml/QC/s0000635%20e.xml"


def placed(redis, base):
    """{name: (value, seconds to live)} of the placed keys. The server is small: KEYS does."""
    names = [name.decode() for name in redis.client.keys(f"{base}:*")]
    return {name: (redis.client.get(name).decode(), redis.client.ttl(name)) for name in names}


def test_what_sr3_will_find(subscribe, redis, container):
    """Names, values and lives of the keys are as sr3 writes them."""
    server = FileServer({example.path.replace(" ", "%20"): lambda count, body=example.content: body
                         for example in EXAMPLES})
    subscription = subscribe(name="dd_all", wire="v03", store=Store(redis))
    subscription.announce([example.message(server.url) for example in EXAMPLES])
    before = time.time()
    start(subscription, container)
    wait_until(lambda: len(files_below(subscription.directory)) == len(EXAMPLES), 60,
               lambda: f"{files_below(subscription.directory)}")
    subscription.wait_queue_empty()
    after = time.time()
    server.close()

    base = key_base("dd_all", container)
    found = placed(redis, base)
    assert set(found) == {placed_name(base, example.keytext, example.path)
                          for example in EXAMPLES}
    for example in EXAMPLES:
        value, ttl = found[placed_name(base, example.keytext, example.path)]
        seconds = float(value.split("|")[0])
        assert before <= seconds <= after
        assert value.split("|")[1] == placed_value(seconds, example.path).split("|")[1]
        assert TTL_SECONDS - 120 < ttl <= TTL_SECONDS


def test_what_sr3_has_placed(subscribe, redis, nginx, files, container):
    """Files whose keys are there are not fetched, and their keys live on."""
    theirs, ours = files[:40], files[40:80]
    base = key_base("test", container)
    names = {entry.rel_path: placed_name(base, identity_key("md5", entry.md5), entry.rel_path)
             for entry in theirs + ours}
    for entry in theirs:
        redis.client.set(names[entry.rel_path], placed_value(time.time() - 60, entry.rel_path),
                         ex=100)
    subscription = subscribe(store=Store(redis))
    position = nginx.log_position()
    subscription.announce([v02(entry, nginx.url, time.time_ns()) for entry in theirs + ours])
    start(subscription, container)
    Progress(subscription.directory, ours).wait(60)
    subscription.wait_queue_empty()
    assert nginx.fetches(position) == {entry.rel_path: 1 for entry in ours}
    assert files_below(subscription.directory) == {entry.rel_path for entry in ours}
    for name in names.values():
        assert redis.client.ttl(name) > TTL_SECONDS - 120


def test_base_of_the_keys_is_given(subscribe, redis, nginx, files):
    """nodupe_redis_keybase, and one that is too long is refused with a line that says so."""
    some = files[:20]
    subscription = subscribe(store=Store(redis), options="nodupe_redis_keybase our.fleet")
    subscription.announce(announce(some, nginx.url))
    subscription.start()
    Progress(subscription.directory, some).wait(60)
    subscription.wait_queue_empty()
    assert len(placed(redis, "our.fleet")) == len(some)

    wrong = subscribe(store=Store(redis), options=f"nodupe_redis_keybase {'x' * 65}")
    instance = wrong.start()
    assert instance.wait(30) == 1
    assert "nodupe_redis_keybase" in instance.log()

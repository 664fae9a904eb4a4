"""telegraf/telegraf.conf does with real metrics files what it says: its patterns, names and rules
are carried out here as Telegraf documents them."""
import fnmatch
import glob
import json
import os
import re
import time
import tomllib
import types

import pytest

from rig.announcer import announce
from rig.subscriber import PROJECT
from rig.verify import Progress

SAMPLES = f"{PROJECT}/tests/data/metrics"


@pytest.fixture(scope="module")
def telegraf():
    with open(f"{PROJECT}/telegraf/telegraf.conf", "rb") as file:
        return tomllib.load(file)


def flatten(value, name=""):
    """Fields as the json format makes them: numbers only, the keys joined with '_'."""
    if isinstance(value, dict):
        return {key: number for part, inner in value.items()
                for key, number in flatten(inner, f"{name}_{part}" if name else part).items()}
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {name: float(value)} if is_number else {}


def is_any(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def tag(telegraf, filename):
    """The tags that the processors make of the name of a file."""
    tags = {"filename": filename}
    for rule in telegraf["processors"]["regex"][0]["tags"]:
        pattern = re.compile(rule["pattern"])
        if pattern.search(tags[rule["key"]]):
            template = re.sub(r"\$\{(\d+)\}", r"\\\1", rule["replacement"])
            tags[rule["result_key"]] = pattern.sub(template, tags[rule["key"]])
    for rule in telegraf["processors"]["strings"][0]["trim_left"]:
        if rule["tag"] in tags:
            tags[rule["tag"]] = tags[rule["tag"]].lstrip(rule["cutset"])
    return tags


def read(telegraf, path):
    """The fields that come out at the other end; None: the file is left out."""
    with open(path) as file:
        fields = flatten(json.load(file))
    dropped = telegraf["inputs"]["file"][0]["fielddrop"]
    fields = {name: value for name, value in fields.items() if not is_any(name, dropped)}
    integers = telegraf["processors"]["converter"][0]["fields"]["integer"]
    fields = {name: int(value) if is_any(name, integers) else value
              for name, value in fields.items()}
    script = re.sub(r"(?m)^load\(.*\)$", "", telegraf["processors"]["starlark"][0]["source"])
    now = types.SimpleNamespace(unix=int(time.time()))
    names = {"time": types.SimpleNamespace(now=lambda: now)}
    exec(script, names)  # Starlark is Python here
    metric = names["apply"](types.SimpleNamespace(fields=fields))
    return metric and metric.fields


@pytest.mark.parametrize("filename, component, config, instance", [
    ("subscribe_dd_all_01.json", "subscribe", "dd_all", "1"),
    ("subscribe_dd_all_10.json", "subscribe", "dd_all", "10"),
    ("subscribe_x_100.json", "subscribe", "x", "100"),
    ("subscribe_a_b_c_07.json", "subscribe", "a_b_c", "7"),
    ("sarra_feed_02.json", "sarra", "feed", "2"),
    ("subscribe_x_1.json", None, None, None),
    (".subscribe_x_01.json.17.tmp", None, None, None),
    ("subscribe_x_01.json.20250102", None, None, None)])
def test_tags(telegraf, filename, component, config, instance):
    tags = tag(telegraf, filename)
    assert (tags.get("component"), tags.get("config"), tags.get("instance")) \
        == (component, config, instance)


@pytest.mark.parametrize("path", sorted(glob.glob(f"{SAMPLES}/*.json")), ids=os.path.basename)
def test_files_of_sr3(telegraf, path):
    fields = read(telegraf, path)
    assert {"flow_transferRxFiles", "gather.message_rxGoodCount", "log_lagMax",
            "retry_msgs_in_download_retry"} <= set(fields)
    assert isinstance(fields["log_lagMax"], int)
    assert not {"flow_last_housekeeping", "gather.message_connected", "flow_transferRxLast"} \
        & set(fields)


def test_our_files(telegraf, subscribe, nginx, files):
    """Ours have the fields of sr3's, and more; once they are stale they are left out."""
    some = files[:50]
    subscription = subscribe(options="metrics_writeInterval 0.1")
    subscription.announce(announce(some, nginx.url))
    instance = subscription.start()
    Progress(subscription.directory, some).wait(60)
    subscription.wait_queue_empty()
    assert instance.stop() == 0
    path = subscription.metrics()
    assert tag(telegraf, os.path.basename(path))["config"] == subscription.name
    fields = read(telegraf, path)
    theirs = read(telegraf, f"{SAMPLES}/transfers.json")
    assert {name: type(value) for name, value in theirs.items()}.items() \
        <= {name: type(value) for name, value in fields.items()}.items()
    assert fields["sr3sub_placed"] == fields["flow_transferRxFiles"] == len(some)

    sample = json.load(open(path))
    sample["sr3sub"]["written"] -= 60
    stale = f"{subscription.folder}/stale.json"
    with open(stale, "w") as file:
        json.dump(sample, file)
    assert read(telegraf, stale) is None


def test_input_and_outputs(telegraf):
    source, = telegraf["inputs"]["file"]
    assert source["files"] == ["/metrics/*.json"] and source["name_override"] == "sr3metrics"
    assert telegraf["outputs"]["file"][0]["files"] == ["stdout"]

"""Subscriptions as people write them: sr3 files and YAML, with rules that say where files go."""
import os

import pytest

from rig.announcer import announce
from rig.process import wait_until

SR3 = """\
broker {broker}
exchange {exchange}
topicPrefix v02.post
queueName {queue}
subtopic #
mirror on
directory {directory}/observations
strip 2
accept .*/(observations)/.*
strip 0
directory {directory}/${{1}}/${{%Y}}
flatten -
accept .*/bulletins/alphanumeric/\\d+/([A-Z]+)/.*
reject .*
"""
YAML = """\
broker: {broker}
exchange: {exchange}
topicPrefix: v02.post
queueName: {queue}
subtopic: "#"
mirror: on
rules:
  - accept: .*/(observations)/.*
    directory: {directory}/observations
    strip: 2
  - accept: .*/bulletins/alphanumeric/\\d+/([A-Z]+)/.*
    directory: {directory}/${{1}}/${{%Y}}
    flatten: "-"
  - reject: .*
"""


def expected(entry, year):
    """Where the rules above put a file; None: nowhere."""
    parts = entry.rel_path.split("/")
    if "observations" in parts:
        return "/".join(["observations", *parts[2:]])
    if "bulletins" in parts:
        folders = "/".join(parts[:-1])
        return f"{parts[5]}/{year}/{folders}/{'-'.join(parts)}"
    return None


@pytest.mark.parametrize("suffix, text", [("conf", SR3), ("yaml", YAML)])
def test_rules_say_where_files_go(subscribe, nginx, files, suffix, text):
    some = files[:400]
    subscription = subscribe()
    os.remove(subscription.configuration)
    with open(subscription.configuration.replace(".conf", "." + suffix), "w") as file:
        file.write(text.format(broker=subscription.rabbit.url(), exchange=subscription.exchange,
                               queue=subscription.queue, directory=subscription.directory))
    subscription.declare()
    instance = subscription.start()
    instance.wait_consuming()
    year = instance.log()[:4]
    subscription.publish(announce(some, nginx.url))
    wanted = {expected(entry, year) for entry in some} - {None}
    assert 100 < len(wanted) < len(some)

    def missing():
        return [path for path in wanted if not os.path.exists(f"{subscription.directory}/{path}")]

    wait_until(lambda: not missing(), 60, lambda: f"missing: {missing()[:3]}")
    subscription.wait_queue_empty()
    placed = {os.path.relpath(os.path.join(folder, name), subscription.directory)
              for folder, _, names in os.walk(subscription.directory) for name in names}
    assert placed == wanted

"""A server that is slow or says nothing holds up the files of no other."""
import socket

import pytest

from rig.announcer import announce
from rig.verify import Progress

SILENT = 300
IN_HASTE = "stopGrace 1s"  # no long good-bye to transfers that will never end


@pytest.fixture
def silent():
    """Accepts connections, and never answers: the kernel accepts them for us."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    listener.close()


@pytest.mark.parametrize("prefetch", [25, pytest.param(256, marks=pytest.mark.release_only)])
def test_silent_server(subscribe, nginx, silent, files, prefetch):
    """More files of a server that never answers than may be open, and those of a good one announced
    after them."""
    lost, some = files[:SILENT], files[SILENT:2 * SILENT]
    subscription = subscribe(options=f"prefetch {prefetch}\n{IN_HASTE}")
    subscription.announce(announce(lost, silent) + announce(some, nginx.url))
    instance = subscription.start()
    Progress(subscription.directory, some).wait(60)
    assert len(instance.downloaded()) == len(some)
    assert set(subscription.stop()) == {0}


@pytest.mark.release_only
def test_slow_server(subscribe, nginx, serve, files):
    """The same with one that answers three times a second: its files come in the end."""
    slow, some = files[:40], files[40:200]
    server = serve(nginx.root, slow_rate=3)
    subscription = subscribe(options="prefetch 25")
    subscription.announce(announce(slow, server.slow_url) + announce(some, nginx.url))
    subscription.start()
    Progress(subscription.directory, some).wait(60)
    Progress(subscription.directory, slow).wait(120)
    subscription.wait_queue_empty()

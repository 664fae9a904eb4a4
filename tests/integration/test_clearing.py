"""delete and delete_source: what was fetched and placed goes where it came from, and nothing else."""
import os
import socket
import socketserver
import threading

import pytest

from rig.ftp import Ftp
from rig.metrics import read
from rig.posts import Post, look, plant, v03, wait_endings
from rig.sftp import Sftp

DATA = b"some bytes"
NAMES = ["d/plain", "d/with space", "d/percent%41", 'd/quote"\'\\', "d/below/x#1", "d/größe"]
PLACES = "directory {directory}\nmirror on\nlogReject on"
WRITABLE = "write_enable=YES\nanon_upload_enable=YES\nanon_other_write_enable=YES"


@pytest.fixture
def source(tmp_path):
    """A tree that anybody may remove files from; what stays must be what a test says."""
    root = tmp_path / "www"
    plant(root, {name: DATA for name in NAMES + ["d/other"]})
    for folder in (tmp_path, root):
        os.chmod(folder, 0o755)
    for folder in ("d", "d/below"):
        os.chmod(root / folder, 0o777)
    return root


@pytest.fixture
def ftp(source, tmp_path):
    server = Ftp(tmp_path / "ftp", source, more=WRITABLE)
    yield server
    server.close()


def credentials(subscription, line):
    path = f"{os.path.dirname(os.path.dirname(subscription.configuration))}/credentials.conf"
    with open(path, "a") as file:
        file.write(f"{line}\n")
    os.chmod(path, 0o600)


def login(subscription, server):
    credentials(subscription,
                f"ftp://{server.user}:{server.password}@127.0.0.1:{server.port}/")


def run(subscription, base_url, names=NAMES, verdict="downloaded"):
    """All are placed, and nothing is left unacknowledged."""
    posts = [Post(name, DATA) for name in names]
    subscription.announce([v03(post, base_url) for post in posts])
    subscription.start()
    assert {ending.verdict for ending in wait_endings(subscription, len(posts))} == {verdict}
    subscription.wait_queue_empty()
    assert set(subscription.stop()) == {0}


def counts(subscription):
    metrics = read(subscription.metrics())["sr3sub"]
    return metrics["sourcesRemoved"], metrics["sourcesLeft"]


@pytest.mark.parametrize("absolute", [False, True])
def test_ftp(subscribe, ftp, source, absolute):
    subscription = subscribe(places=PLACES, options="delete on")
    login(subscription, ftp)
    run(subscription, ftp.url if absolute else ftp.url.rstrip("/"))
    assert look(source) == {"d/other": DATA, "d/below": None}
    assert look(subscription.directory) == {name: DATA for name in NAMES}
    assert counts(subscription) == (len(NAMES), 0)


@pytest.mark.parametrize("absolute", [False, True])
def test_sftp(subscribe, source, tmp_path, absolute):
    server = Sftp(tmp_path / "sftp", source)
    subscription = subscribe(places=PLACES,
                             options=f"delete on\nsshKnownHosts {server.known_hosts}")
    base = f"sftp://{server.user}@127.0.0.1:{server.port}"
    credentials(subscription, f"{base}/ ssh_keyfile={server.key}")
    run(subscription, f"{base}{source}/" if absolute else base)
    assert look(source) == {"d/other": DATA, "d/below": None}
    assert counts(subscription) == (len(NAMES), 0)
    server.close()


@pytest.mark.parametrize("option", ["delete", "delete_source"])
def test_local_files(subscribe, source, option):
    subscription = subscribe(places=PLACES, options=f"{option} on\nfileAllow {source}/d")
    run(subscription, f"file:{source}/")
    assert look(source) == {"d/other": DATA, "d/below": None}


def test_only_local_files(subscribe, ftp, source):
    subscription = subscribe(places=PLACES, options="delete_source on")
    login(subscription, ftp)
    run(subscription, ftp.url)
    assert len(look(source)) == len(NAMES) + 1


def test_both_ends(subscribe, source):
    """Files that pass through leave nothing behind."""
    subscription = subscribe(places=PLACES,
                             options=f"delete on\ndelete_destination on\nfileAllow {source}")
    run(subscription, f"file:{source}/")
    assert set(look(source)) == {"d/other", "d/below"}
    assert set(look(subscription.directory)) == {"d/below"}


def test_http_servers_keep_their_files(subscribe, source, serve):
    subscription = subscribe(places=PLACES, options="delete on")
    run(subscription, serve(source).url, ["d/plain", "d/other"])
    assert len(look(source)) == len(NAMES) + 1


def test_what_cannot_be_removed_stays(subscribe, source, tmp_path):
    """The server does not allow it: the file is placed all the same, and it is said once."""
    server = Ftp(tmp_path / "ftp", source)
    subscription = subscribe(places=PLACES, options="delete on")
    login(subscription, server)
    run(subscription, server.url)
    assert len(look(source)) == len(NAMES) + 1
    assert counts(subscription) == (0, len(NAMES))
    log = subscription.instances[0].log()
    assert log.count("stays at its source: remove 'ftp://") == len(NAMES)
    assert server.password not in log
    server.close()


def test_what_was_not_fetched_stays(subscribe, source):
    """It was here already, or is rejected: that is no reason to remove it there."""
    subscription = subscribe(places=f"{PLACES}\nreject .*other\naccept .*",
                             options=f"delete on\noverwrite off\nfileAllow {source}")
    plant(subscription.directory, {"d/plain": b"mine"})
    subscription.announce([v03(Post(name, DATA), f"file:{source}/")
                           for name in ("d/plain", "d/other", "d/with space")])
    subscription.start()
    wait_endings(subscription, 3)
    subscription.wait_queue_empty()
    assert {"d/plain", "d/other"} <= set(look(source))
    assert "d/with space" not in look(source)


def test_links_do_not_lead_out(subscribe, source, tmp_path):
    """A link is not what was announced, and a directory behind one is not below fileAllow."""
    plant(tmp_path / "outside", {"f": DATA})
    os.symlink(tmp_path / "outside", source / "d/away")
    os.symlink("plain", source / "d/inside")
    subscription = subscribe(places=PLACES, options=f"delete_source on\nfileAllow {source}")
    subscription.announce([v03(Post(name, DATA), f"file:{source}/")
                           for name in ("d/away/f", "d/inside", "../outside/f")])
    instance = subscription.start()
    instance.wait_for_log("d/inside' stays at its source.*not a regular file")
    wait_endings(subscription, 3)
    subscription.wait_queue_empty()
    assert look(tmp_path / "outside") == {"f": DATA}
    assert look(source)["d/inside"] == "plain"


def test_inline_contents(subscribe, source):
    """Nothing was fetched, so nothing is removed, unless it is said that the source has to go."""
    content = {"content": {"encoding": "utf-8", "value": DATA.decode()}}
    for option, stays in (("delete", True), ("delete_source", False)):
        subscription = subscribe(places=PLACES, options=f"{option} on\nfileAllow {source}")
        subscription.announce([v03(Post("d/plain", DATA, fields=content), f"file:{source}/")])
        subscription.start()
        wait_endings(subscription, 1)
        subscription.wait_queue_empty()
        assert ("d/plain" in look(source)) == stays


class MoodyFtp(socketserver.ThreadingTCPServer):
    """Has one file, and answers removals one after the other with `moods`."""
    daemon_threads = True

    def __init__(self, moods):
        super().__init__(("127.0.0.1", 0), MoodyFtpSession)
        self.moods, self.removals = moods, 0
        self.url = f"ftp://127.0.0.1:{self.server_address[1]}/"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class MoodyFtpSession(socketserver.StreamRequestHandler):
    ANSWERS = {"USER": "331 And?", "PASS": "230 Hello", "PWD": '257 "/"', "CWD": "250 Done",
               "TYPE": "200 Done", "SIZE": f"213 {len(DATA)}", "MDTM": "213 20240101000000",
               "REST": "350 Done", "QUIT": "221 Goodbye"}

    def say(self, line):
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self):
        self.say("220 Hello")
        for line in self.rfile:
            verb = line.split()[0].decode().upper()
            if verb == "EPSV":
                listener = socket.create_server(("127.0.0.1", 0))
                self.say(f"229 There (|||{listener.getsockname()[1]}|)")
            elif verb == "RETR":
                self.say("150 It comes")
                with listener, listener.accept()[0] as data:
                    data.sendall(DATA)
                self.say("226 Done")
            elif verb == "DELE":
                self.server.removals += 1
                self.say(self.server.moods[self.server.removals - 1])
            else:
                self.say(self.ANSWERS.get(verb, "502 No"))


@pytest.mark.parametrize("moods, removed", [(["450 Busy", "250 Done"], 1), (["450 Busy"] * 9, 0)])
def test_a_few_tries(subscribe, moods, removed):
    """What fails for now is tried again, but not for ever; the file is fetched once."""
    server = MoodyFtp(moods)
    subscription = subscribe(places=PLACES, options="delete on")
    run(subscription, server.url, ["f"])
    assert look(subscription.directory) == {"f": DATA}
    assert counts(subscription) == (removed, 1 - removed)
    assert server.removals == (2 if removed else 3)
    server.close()

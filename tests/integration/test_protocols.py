"""The protocols files come by, and servers that mean harm: the download stage by itself, against
real servers (download_probe), and the whole program where its options count."""
import dataclasses
import hashlib
import json
import os
import socket
import subprocess
import time

import pytest

from rig.announcer import announce
from rig.badserver import BODY, BadServer, redirect, respond
from rig.ftp import Ftp
from rig.metrics import Endpoint
from rig.nginx import Nginx
from rig.process import free_port, wait_until
from rig.sftp import Sftp
from rig.subscriber import program
from rig.tree import make_tree
from rig.verify import Progress, compare

SECRETS = ["right-ftp-secret", "wrong-secret", "secret-token"]
SIZE = 3_000_000


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Tree:
    """Some files, and what the servers say about them."""

    def __init__(self, root):
        self.root = str(root)
        self.data = os.urandom(SIZE)
        os.makedirs(f"{root}/below/with space")
        for name in ("large.bin", "below/with space/x#1.bin"):
            with open(f"{root}/{name}", "wb") as file:
                file.write(self.data)
        with open(f"{root}/empty", "wb"):
            pass
        for folder, _, names in os.walk(root):
            os.chmod(folder, 0o755)
            for name in names:
                os.chmod(f"{folder}/{name}", 0o644)
                os.utime(f"{folder}/{name}", (1700000000, 1700000000))
        self.modified = 1700000000


@pytest.fixture(scope="module")
def tree(work):
    os.makedirs(f"{work}/protocols/www", exist_ok=True)
    return Tree(f"{work}/protocols/www")


@pytest.fixture(scope="module")
def web(work, tree, certificate):
    server = Nginx(f"{work}/protocols/nginx", tree.root, certificate).start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def ftp(work, tree):
    server = Ftp(f"{work}/protocols/ftp", tree.root)
    yield server
    server.close()


@pytest.fixture(scope="module")
def sftp(work, tree):
    server = Sftp(f"{work}/protocols/sftp", tree.root)
    yield server
    server.close()


@pytest.fixture
def bad():
    server = BadServer()
    yield server
    server.close()


def probe_program():
    return os.path.join(os.path.dirname(program()), "tests", "download_probe")


def probe(*urls, seconds=60, **settings):
    """One result for each URL, in their order. A list gives a setting several values."""
    arguments = [f"{name}={value}" for name, values in settings.items()
                 for value in (values if isinstance(values, list) else [values])]
    done = subprocess.run([probe_program(), *arguments, *urls], capture_output=True, text=True,
                          timeout=seconds)
    assert done.returncode == 0, done.stderr
    for secret in SECRETS:
        assert secret not in done.stdout + done.stderr
    results = {}
    for line in done.stdout.splitlines():
        result = json.loads(line)
        results[result["url"]] = result
    return [results[url] for url in urls] if len(urls) > 1 else results[urls[0]]


def assert_fetched(result, data, from_byte=0):
    assert result["fetched"], result["text"]
    assert result["from_byte"] == from_byte and result["answers"] == 1, result
    assert result["sha256"] == digest(data[from_byte:]), result


def assert_failed(result, kind, text, gone=False):
    assert not result["fetched"]
    assert (result["kind"], result["gone"]) == (kind, gone), result
    assert text in result["text"], result


# ---- each protocol ----

def login(server):
    return {"user": server.user, "password": server.password}


def keys(sftp):
    return {"user": sftp.user, "ssh_key_file": sftp.key, "known_hosts": sftp.known_hosts}


def test_http_and_https(web, tree, certificate):
    for url, more, protocol in (
            (web.url, {}, "HTTP/1.1"), (f"https://localhost:{web.tls_port}/", {}, "HTTP/1.1"),
            (f"https://127.0.0.1:{web.tls_port}/", {"http2": 1}, "HTTP/2.0")):
        for path, data in (("large.bin", tree.data), ("empty", b""),
                           ("below/with%20space/x%231.bin", tree.data)):
            position = web.log_position()
            result = probe(url + path, ca_file=certificate.ca, **more)
            assert_fetched(result, data)
            assert result["last_modified_s"] == tree.modified and result["status"] == 200
            requests = wait_until(lambda: web.requests(position), 10, "it is in nginx's log")
            assert [request.protocol for request in requests] == [protocol]


def test_paths_are_sent_as_they_are(bad):
    """libcurl would make "b" of "a/../b", which is another file where a path is no directory."""
    for path in ("a/../good", "./good", "a%2F..%2fgood", "good?x=/../y&z=%41", "a;b=c/~d'!()*"):
        probe(bad.url + path)
        assert bad.requests[-1].path == "/" + path


def test_ftp(ftp, tree):
    for more in ({}, {"active": 1}):
        results = probe(*(ftp.url + path for path in (
            "large.bin", "%2Flarge.bin", "below/with%20space/x%231.bin", "empty")),
            **login(ftp), **more)
        for result, data in zip(results, (tree.data, tree.data, tree.data, b"")):
            assert_fetched(result, data)
            assert result["last_modified_s"] == tree.modified
    for path in ("missing", "missing/x", "below"):
        assert_failed(probe(ftp.url + path, **login(ftp)), "permanent", path, gone=True)
    assert_failed(probe(ftp.url + "large.bin", user="anonymous", password="wrong-secret"),
                  "operator", "credentials.conf")
    assert "TYPE I" in ftp.protocol() and "EPRT" in ftp.protocol()


def test_ftp_connections_are_kept(ftp, tree):
    logins = ftp.protocol().count("230 Login")
    urls = [ftp.url + "empty" + "?" * n for n in range(20)]  # a query is cut off: the same file
    results = probe(*urls, transfers_max=2, **login(ftp))
    assert all(result["fetched"] for result in results)
    assert ftp.protocol().count("230 Login") - logins <= 2


def test_ftps(tmp_path, tree, certificate):
    trusted = {"ca_file": certificate.ca}
    for name, implicit, data, settings in (
            ("explicit", False, True, {"tls": 1, "prot_p": 1}),
            ("control", False, False, {"tls": 1}),
            ("implicit", True, True, {"implicit": 1})):
        server = Ftp(tmp_path / name, tree.root, certificate, implicit, data)
        url = server.url + "large.bin"
        assert_fetched(probe(url, **settings, **trusted, **login(server)), tree.data)
        assert_failed(probe(url, **settings, **login(server)), "operator", "certificate refused")
        if not implicit:
            assert_failed(probe(url, **login(server)), "operator", "530")
        server.close()


def test_ftps_that_is_not_there(ftp, certificate):
    assert_failed(probe(ftp.url + "empty", tls=1, **login(ftp)), "operator", "asks for TLS")


def test_sftp(sftp, tree):
    results = probe(sftp.url + "~/large.bin", sftp.url[:-1] + tree.root + "/large.bin",
                    sftp.url + "~/below/with%20space/x%231.bin", sftp.url + "~/empty",
                    **keys(sftp))
    for result, data in zip(results, (tree.data, tree.data, tree.data, b"")):
        assert_fetched(result, data)
        assert result["last_modified_s"] == tree.modified
    assert_failed(probe(sftp.url + "~/missing", **keys(sftp)), "permanent", "No such file",
                  gone=True)


def test_sftp_hosts_and_logins_are_checked(sftp, tree):
    url = sftp.url + "~/empty"
    key = {"user": sftp.user, "ssh_key_file": sftp.key}
    assert_failed(probe(url, **key), "operator", "ssh-keyscan")
    assert_failed(probe(url, known_hosts="/nonexistent", **key), "operator", "ssh-keyscan")
    assert_failed(probe(url, known_hosts=sftp.wrong_hosts, **key), "operator", "in its place")
    assert_failed(probe(url, known_hosts=sftp.wrong_hosts, user=sftp.user,
                        password="wrong-secret"), "operator", "in its place")
    assert_fetched(probe(url, tls_lax=1, **key), b"")
    assert_failed(probe(url, known_hosts=sftp.known_hosts, user=sftp.user,
                        password="wrong-secret"), "operator", "credentials.conf")


@pytest.mark.skipif(subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL)
                    .returncode != 0, reason="mounting is not permitted here")
def test_sftp_by_password(subscribe, some, tmp_path):
    server = Sftp(tmp_path / "sftp", tmp_path / "www", password=SECRETS[0])
    url, known = server.url + "~/" + some[0].rel_path, {"known_hosts": server.known_hosts}
    result = probe(url, user=server.user, password=SECRETS[0], **known)
    assert result["fetched"] and result["size"] == some[0].size, result
    assert_failed(probe(url, user=server.user, password="wrong-secret", **known), "operator",
                  "credentials.conf")
    subscription = subscribe(options=f"sshKnownHosts {server.known_hosts}")
    base = f"sftp://{server.user}@127.0.0.1:{server.port}"
    credentials(subscription, base.replace("@", f":{SECRETS[0]}@") + "/")
    arrive(subscription, some, base)
    server.close()


def test_local_files(tmp_path, tree):
    outside = tmp_path / "outside"
    outside.mkdir()
    os.mkfifo(outside / "pipe")
    os.symlink("/etc/passwd", outside / "leads-out")
    os.symlink(tree.root, outside / "directory")
    allow = [tree.root, str(outside)]
    assert_fetched(probe(f"file://{tree.root}/large.bin", file_allow=allow), tree.data)
    assert_fetched(probe(f"file:{tree.root}/below/with%20space/x%231.bin", file_allow=allow),
                   tree.data)
    assert_failed(probe(f"file://{tree.root}/missing", file_allow=allow), "permanent", "No such",
                  gone=True)
    for path in ("/etc/passwd", f"{outside}/leads-out", f"{outside}/directory/empty",
                 f"{tree.root}/../../../../../etc/passwd", f"{tree.root}%2F..%2F..%2Fetc/passwd",
                 f"{tree.root}-other/x", f"{outside}/pipe", f"{outside}", "/dev/zero"):
        assert_failed(probe("file://" + path, file_allow=allow), "permanent", "get 'file://")
    assert_failed(probe(f"file://{tree.root}/empty"), "permanent", "fileAllow")


# ---- the rest of a file ----

def resumable(web, ftp, sftp, tree, certificate):
    return (
        (web.url + "large.bin", {}),
        (f"https://localhost:{web.tls_port}/large.bin", {"http2": 1, "ca_file": certificate.ca}),
        (ftp.url + "large.bin", login(ftp)),
        (sftp.url + "~/large.bin", keys(sftp)),
        (f"file://{tree.root}/large.bin", {"file_allow": tree.root}))


def test_the_rest_of_a_file(web, ftp, sftp, tree, certificate):
    for url, settings in resumable(web, ftp, sftp, tree, certificate):
        for validator, from_byte, wanted in (
                (tree.modified, 1_000_000, 1_000_000), (tree.modified, SIZE - 1, SIZE - 1),
                (tree.modified - 1, 1_000_000, 0), (-1, 1_000_000, 0),
                (tree.modified, SIZE + 1, 0)):
            if from_byte > SIZE and url.startswith("sftp:"):
                continue  # libssh2 forgets some bytes of memory then
            result = probe(url, from_byte=from_byte, validator_s=validator, **settings)
            assert_fetched(result, tree.data, wanted)


def ranges(answer):
    """A server whose answer to a request for a part is made up."""
    def function(connection, request):
        if "range" not in request.headers:
            return respond(connection, "200 OK", BODY)
        return answer(connection)
    return BadServer({"file": function})


@pytest.mark.parametrize("status, body, headers", [
    ("206 Partial", BODY[200:], [f"Content-Range: bytes 200-{len(BODY) - 1}/{len(BODY)}"]),
    ("206 Partial", BODY[100:200], [f"Content-Range: bytes 100-199/{len(BODY)}"]),
    ("206 Partial", BODY[100:], []),
    ("206 Partial", BODY[100:], ["Content-Range: bytes nonsense"]),
    ("206 Partial", BODY[100:], ["Content-Range: bytes 99999999999999999999-1/2"]),
    ("206 Partial", BODY[100:], [f"Content-Range: bytes 100-{len(BODY) - 1}/{len(BODY)}",
                                 "Last-Modified: Wed, 15 Nov 2023 22:13:20 GMT"]),
    ("206 Partial", b"", ["Content-Range: bytes 0-0/1"]),
    ("416 Range Not Satisfiable", b"no", [f"Content-Range: bytes */{len(BODY)}"]),
])
def test_wrong_parts_are_not_taken(status, body, headers):
    server = ranges(lambda connection: respond(connection, status, body, *headers))
    result = probe(server.url + "file", from_byte=100, validator_s=1700000000)
    assert_fetched(result, BODY)
    assert server.headers("Range") == ["bytes=100-", None]
    assert server.headers("If-Range")[0] == "Tue, 14 Nov 2023 22:13:20 GMT"
    server.close()


def test_a_part_without_total(bad):
    server = ranges(lambda connection: respond(
        connection, "206 Partial", BODY[100:], f"Content-Range: bytes 100-{len(BODY) - 1}/*"))
    assert_fetched(probe(server.url + "file", from_byte=100, validator_s=1700000000), BODY, 100)
    server.close()


def test_starting_over_is_done_once():
    server = BadServer({"file": lambda connection, request: respond(connection, "416 No")})
    result = probe(server.url + "file", from_byte=100, validator_s=1700000000)
    assert_failed(result, "permanent", "416")
    assert len(server.requests) == 2
    server.close()


# ---- removing ----

def test_removal(tmp_path):
    """A file goes only if it is as old as it was when it was fetched."""
    root = tmp_path / "removal"
    os.makedirs(root / "d")
    os.chmod(tmp_path, 0o755)
    os.chmod(root / "d", 0o777)
    ftp = Ftp(tmp_path / "ftp", root, more="write_enable=YES\nanon_other_write_enable=YES")
    sftp = Sftp(tmp_path / "sftp", root)
    for url, settings in ((f"{ftp.url}d/f", login(ftp)), (f"{sftp.url}~/d/f", keys(sftp)),
                          (f"file:{root}/d/f", {"file_allow": root})):
        (root / "d/f").write_bytes(BODY)
        os.utime(root / "d/f", (1700000000, 1700000000))
        result = probe(url, remove=1, validator_s=1600000000, **settings)
        assert_failed(result, "permanent", "changed after it was fetched")
        assert (root / "d/f").read_bytes() == BODY
        result = probe(url, remove=1, validator_s=1700000000, **settings)
        assert result["fetched"] and not result["answers"], result
        assert not (root / "d/f").exists()
        assert_failed(probe(url, remove=1, **settings), "permanent", "remove '", gone=True)
    assert_failed(probe(f"file:{root}/d", remove=1, file_allow=root), "permanent", "not a regular")
    assert_failed(probe(f"file:{root}/d/f", remove=1, file_allow=root / "d/f"), "permanent",
                  "fileAllow")
    ftp.close()
    sftp.close()


# ---- limits ----

def test_size_limit(web, ftp, sftp, tree, certificate, bad):
    for url, settings in resumable(web, ftp, sftp, tree, certificate):
        assert_fetched(probe(url, size_max_bytes=SIZE, **settings), tree.data)
        result = probe(url, size_max_bytes=SIZE - 1, **settings)
        assert_failed(result, "permanent", "larger than fileSizeMax")
        assert result["received"] == 0
        result = probe(url, size_max_bytes=SIZE - 1, from_byte=100, validator_s=tree.modified,
                       **settings)
        assert_failed(result, "permanent", "larger than fileSizeMax")
    for path in ("endless_body", "endless_chunks", "huge_length"):
        result = probe(bad.url + path, size_max_bytes=1_000_000)
        assert_failed(result, "permanent", "larger than fileSizeMax")
        assert result["received"] <= 1_000_000


def test_byte_rate(web, ftp, tree, certificate):
    """All together keep the rate; none of them waits for the others to end."""
    urls = [web.url + "large.bin?" + str(n) for n in range(3)]
    urls += [ftp.url + "large.bin"]
    rate = 4_000_000
    began = time.monotonic()
    results = probe(*urls, byte_rate_max=rate, **login(ftp))
    seconds = time.monotonic() - began
    for result in results:
        assert_fetched(result, tree.data)
    assert seconds >= 4 * SIZE / rate * 0.9, "faster than it may"
    ends = [result["duration_ms"] for result in results]
    assert min(ends) > max(ends) / 2, f"not fair: {ends}"


# ---- logins ----

def challenge(connection, request):
    given = request.headers.get("authorization")
    if given == "Basic YWxpY2U6d3Jvbmctc2VjcmV0":  # alice:wrong-secret
        return respond(connection, "200 OK", BODY)
    return respond(connection, "401 No", b"", 'WWW-Authenticate: Basic realm="x"')


def test_http_logins():
    server = BadServer({"file": challenge, "open": lambda c, r: respond(c, "200 OK", BODY)})
    assert_fetched(probe(server.url + "file", user="alice", password="wrong-secret"), BODY)
    assert server.headers("Authorization") == [None, "Basic YWxpY2U6d3Jvbmctc2VjcmV0"]
    assert_fetched(probe(server.url + "open", user="alice", password="wrong-secret"), BODY)
    assert server.headers("Authorization")[2:] == [None]
    assert_failed(probe(server.url + "file", user="bob", password="wrong-secret"), "operator",
                  "not permitted")
    assert_fetched(probe(server.url + "open", bearer_token="secret-token"), BODY)
    assert server.headers("Authorization")[-1] == "Bearer secret-token"
    assert server.headers("Accept-Encoding") == [None] * len(server.requests)
    server.close()


def test_logins_stay_with_their_host():
    other = BadServer({"there": challenge})
    first = BadServer({"file": redirect(other.url + "there")})
    for settings in ({"user": "alice", "password": "wrong-secret"},
                     {"bearer_token": "secret-token"}):
        assert_failed(probe(first.url + "file", **settings), "operator", "401")
    assert other.headers("Authorization") == [None, None]
    first.close()
    other.close()


# ---- excluded hosts ----

ELSEWHERE = "127.0.0.2"


def test_excluded_hosts(web, ftp, sftp, tree):
    inside = BadServer(address=ELSEWHERE)
    leads = BadServer({"in": redirect(inside.url + "good"),
                       "name": redirect(f"http://localhost:{web.port}/empty"),
                       "same": lambda c, r: redirect(f"http://localhost:{leads.port}/good")(c, r)})
    assert_fetched(probe(leads.url + "in"), BODY)
    reached = inside.connections
    for deny in ("127.0.0.2", "127.0.0.2/32", "127.0.0.3/31", "::ffff:127.0.0.2", "*.0.0.2"):
        assert_failed(probe(leads.url + "in", url_deny=deny), "permanent", "urlDeny")
        assert inside.connections == reached, "it was connected to"
    assert_fetched(probe(leads.url + "in", url_deny=["127.0.0.4/30", "::/64", "*.0.0.3"]), BODY)
    assert_failed(probe(leads.url + "in", url_allow="127.0.0.1"), "permanent", "urlAllow")
    assert_fetched(probe(leads.url + "in", url_allow=["127.0.0.1", "127.0.0.2"]), BODY)
    assert_fetched(probe(leads.url + "name", url_allow="127.0.0.0/8"), b"")
    assert_failed(probe(leads.url + "name", url_deny="LOCALHOST"), "permanent", "urlDeny")
    assert_failed(probe(leads.url + "name", url_deny=["local*"]), "permanent", "urlDeny")
    assert_failed(probe(leads.url + "same", url_deny="localhost"), "permanent", "urlDeny")
    for host in ("2130706433", "0x7f.1", "127.1", "LOCALHOST", "%6cocalhost"):
        result = probe(f"http://{host}:{web.port}/empty", url_deny=["127.0.0.0/8", "::1"])
        assert_failed(result, "permanent", "urlDeny")
    assert_failed(probe(ftp.url + "empty", url_deny="127.0.0.0/8", **login(ftp)), "permanent",
                  "urlDeny")
    assert_failed(probe(sftp.url + "~/empty", url_deny="127.*", **keys(sftp)), "permanent",
                  "urlDeny")
    assert_fetched(probe(ftp.url + "empty", active=1, url_allow="127.0.0.1", **login(ftp)), b"")
    inside.close()
    leads.close()


def test_lists_that_make_no_sense():
    for deny in ("10.0.0.0/33", "10.0.0.0/", "http://h/", "a b", ""):
        done = subprocess.run([probe_program(), f"url_deny={deny}", "http://127.0.0.1/"],
                              capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and "urlDeny" in done.stderr, (deny, done.stderr)


def test_redirects_to_other_protocols(ftp, tree):
    for to in (f"file://{tree.root}/empty", ftp.url + "empty", "gopher://127.0.0.1/",
               f"sftp://127.0.0.1{tree.root}/empty"):
        server = BadServer({"file": redirect(to)})
        result = probe(server.url + "file", file_allow=tree.root)
        assert_failed(result, "permanent", "rotocol")
        assert result["received"] == 0
        server.close()


# ---- harm ----

def test_floods(bad):
    for path in ("endless_headers", "endless_100"):
        assert_failed(probe(bad.url + path), "temporary", "bytes of headers")
    assert_failed(probe(bad.url + "endless_header_line"), "temporary", bad.url)


def test_encodings_nobody_asked_for(bad):
    result = probe(bad.url + "bomb_transfer")
    assert_failed(result, "temporary", "encoding")
    assert result["received"] == 0
    result = probe(bad.url + "bomb_content")  # as it is, not unpacked
    assert result["fetched"] and result["received"] < 100_000


def test_servers_that_do_not_go_on(bad):
    """Each is given up in time; the others have long been served."""
    slow = [bad.url + path for path in ("silence", "stall", "loris_headers")]
    good = BadServer()
    results = probe(*slow, good.url + "good", stall_timeout_ms=2000)
    assert_fetched(results[-1], BODY)
    for result in results[:-1]:
        assert_failed(result, "temporary", "")
        assert result["duration_ms"] > results[-1]["duration_ms"]
    assert_failed(probe(bad.url + "loris_body", total_timeout_ms=2000), "temporary", "timed out")
    good.close()


def test_a_dead_login_server_holds_up_nobody(tree, web):
    """A server that takes connections and says nothing, by each protocol at once."""
    dead = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = dead.getsockname()[1]
    urls = [f"{scheme}://127.0.0.1:{port}/x" for scheme in ("ftp", "ftps", "sftp", "http")]
    results = probe(*urls, web.url + "large.bin", connect_timeout_ms=2000, stall_timeout_ms=2000)
    assert_fetched(results[-1], tree.data)
    for result in results[:-1]:
        assert_failed(result, "temporary", result["url"])
        assert result["duration_ms"] > results[-1]["duration_ms"]
    dead.close()


def test_wrong_certificates(web, tmp_path):
    url = f"https://localhost:{web.tls_port}/empty"
    assert_failed(probe(url), "operator", "caFile")
    assert_failed(probe(url, ca_file="/nonexistent"), "operator", "caFile")
    assert_fetched(probe(url, tls_lax=1), b"")


def test_a_certificate_for_another_name(web, certificate):
    server = Nginx(f"{web.folder}-name", web.root, web.tls)
    text = open(f"{server.folder}/nginx.conf").read()
    with open(f"{server.folder}/nginx.conf", "w") as file:
        file.write(text.replace(f"listen 127.0.0.1:{server.tls_port}",
                                f"listen 127.0.0.2:{server.tls_port}"))
    server.start()
    url = f"https://127.0.0.2:{server.tls_port}/empty"
    assert_failed(probe(url, ca_file=certificate.ca), "operator", "certificate refused")
    server.close()


# ---- the whole program ----

def credentials(subscription, *lines):
    path = f"{os.path.dirname(os.path.dirname(subscription.configuration))}/credentials.conf"
    with open(path, "a") as file:
        file.write("\n".join(lines) + "\n")
    os.chmod(path, 0o600)


@pytest.fixture
def some(tmp_path):
    entries = make_tree(tmp_path / "www", small=100, radar=5, seed=3)
    for folder, _, names in os.walk(tmp_path / "www"):
        os.chmod(folder, 0o755)
    os.chmod(tmp_path, 0o755)
    return entries


def arrive(subscription, entries, base_url):
    subscription.announce(announce(entries, base_url, subscription.wire))
    subscription.start()
    Progress(subscription.directory, entries).wait(60)
    subscription.wait_queue_empty()
    outcome = compare(subscription.directory, entries)
    assert outcome.is_good(), outcome
    assert set(subscription.stop()) == {0}
    assert not [secret for instance in subscription.instances for secret in SECRETS
                if secret in instance.log()]


@pytest.mark.parametrize("wire", ["v02", "v03"])
def test_subscription_by_ftp(subscribe, some, tmp_path, wire):
    server = Ftp(tmp_path / "ftp", tmp_path / "www")
    subscription = subscribe(wire=wire)
    credentials(subscription, f"ftp://{server.user}:{server.password}@127.0.0.1:{server.port}/")
    arrive(subscription, some, server.url)
    server.close()


def test_subscription_by_ftps(subscribe, some, tmp_path, certificate):
    server = Ftp(tmp_path / "ftp", tmp_path / "www", certificate)
    subscription = subscribe(options=f"caFile {certificate.ca}")
    credentials(subscription, f"ftp://{server.user}:{server.password}@127.0.0.1:{server.port}/ "
                              "passive,binary,tls,prot_p")
    arrive(subscription, some, server.url)
    server.close()


@pytest.mark.parametrize("absolute", [True, False])
def test_subscription_by_sftp(subscribe, some, tmp_path, absolute):
    server = Sftp(tmp_path / "sftp", tmp_path / "www")
    subscription = subscribe(options=f"sshKnownHosts {server.known_hosts}")
    base = f"sftp://{server.user}@127.0.0.1:{server.port}"
    credentials(subscription, f"{base}/ ssh_keyfile={server.key}")
    arrive(subscription, some, f"{base}{tmp_path}/www/" if absolute else base)
    server.close()


def test_subscription_by_file(subscribe, some, tmp_path):
    arrive(subscribe(options=f"fileAllow {tmp_path}/www"), some, f"file:{tmp_path}/www/")


@pytest.mark.parametrize("option, protocol", [("on", "HTTP/2.0"), ("off", "HTTP/1.1")])
def test_subscription_by_http2(subscribe, some, tmp_path, certificate, option, protocol):
    server = Nginx(tmp_path / "nginx", tmp_path / "www", certificate).start()
    arrive(subscribe(options=f"http2 {option}\ncaFile {certificate.ca}"), some,
           f"https://localhost:{server.tls_port}/")
    assert {request.protocol for request in server.requests()} == {protocol}
    server.close()


@pytest.mark.parametrize("url, details, header", [
    ("http://127.0.0.1:{}/", " bearer_token=secret-token", "Bearer secret-token"),
    ("http://alice:wrong-secret@127.0.0.1:{}/", "", "Basic YWxpY2U6d3Jvbmctc2VjcmV0")])
def test_subscription_with_a_login(subscribe, some, tmp_path, url, details, header):
    def answer(connection, request):
        if request.headers.get("authorization") != header:
            return respond(connection, "401 No", b"", 'WWW-Authenticate: Basic realm="x"')
        return respond(connection, "200 OK", (tmp_path / f"www{request.path}").read_bytes())

    server = BadServer({entry.rel_path: answer for entry in some[:20]})
    subscription = subscribe()
    credentials(subscription, url.format(server.port) + details)
    arrive(subscription, some[:20], server.url)
    server.close()


@pytest.mark.parametrize("rigour", ["lax", "normal", "strict"])
def test_subscription_by_https(subscribe, some, tmp_path, certificate, rigour):
    """With an authority that nobody knows, and then with caFile, unless nobody cares."""
    server = Nginx(tmp_path / "nginx", tmp_path / "www", certificate).start()
    url, ca_file = f"https://localhost:{server.tls_port}/", ""
    if rigour != "lax":
        ca_file = f"caFile {certificate.ca}"
        subscription = subscribe(options=f"tlsRigour {rigour}")
        subscription.announce(announce(some[:1], url))
        subscription.start().wait_for_log("certificate refused")
        assert set(subscription.stop()) == {0} and not os.listdir(subscription.directory)
    arrive(subscribe(options=f"tlsRigour {rigour}\n{ca_file}"), some, url)
    server.close()


def test_refusals_are_logged(subscribe, some, serve, tmp_path):
    """What is excluded is given up at once, and the log says why."""
    server = serve(tmp_path / "www")
    subscription = subscribe(options="urlDeny 127.0.0.0/8")
    subscription.announce(announce(some[:3], server.url) + announce(some[3:4], "file:///etc/"))
    instance = subscription.start()
    instance.wait_for_log("excluded by urlAllow or urlDeny")
    instance.wait_for_log("fileAllow")
    subscription.wait_queue_empty()
    assert not os.listdir(subscription.directory)


def test_dead_ftp_server_does_not_stop_the_rest(subscribe, some, serve, tmp_path):
    dead = socket.create_server(("127.0.0.1", 0), backlog=64)
    server = serve(tmp_path / "www")
    subscription = subscribe(options="nodupe_ttl 0")
    lost = announce(some[:10], f"ftp://127.0.0.1:{dead.getsockname()[1]}/")
    subscription.announce(lost + announce(some[10:], server.url))
    subscription.start()
    Progress(subscription.directory, some[10:]).wait(60)
    assert set(subscription.stop()) == {0}
    dead.close()


def test_failures_are_counted_by_reason(subscribe, some, tmp_path):
    """Of protocols without a status as of http."""
    server, port, dead = Ftp(tmp_path / "ftp", tmp_path / "www"), free_port(), free_port()
    silent = socket.create_server(("127.0.0.1", 0), backlog=64)
    subscription = subscribe(options=f"metricsListen 127.0.0.1:{port}\ntimeout 2")
    host = f"127.0.0.1:{server.port}"
    credentials(subscription, f"ftp://{server.user}:{server.password}@{host}/")
    missing = [dataclasses.replace(some[0], rel_path="is/not/there")]
    subscription.announce(
        [*announce(missing, server.url), *announce(some[1:2], f"ftp://nobody@{host}/"),
         *announce(some[2:3], f"ftp://127.0.0.1:{dead}/"),
         *announce(some[3:4], f"ftp://127.0.0.1:{silent.getsockname()[1]}/")])
    subscription.start()
    endpoint = Endpoint(port)
    wait_until(lambda: endpoint.get("/metrics")[0] == 200, 30, "the endpoint answers")

    def seen():
        samples = endpoint.samples()
        return {reason for reason in ("not_found", "refused", "connect", "timeout", "other")
                if samples[f"attempts_failed_total reason={reason}"]}
    wait_until(lambda: seen() >= {"not_found", "refused", "connect", "timeout"}, 60,
               lambda: f"{seen()}")
    assert "other" not in seen()
    assert set(subscription.stop()) == {0}
    silent.close()
    server.close()

"""A Docker engine of our own, and base images for it.

    engine = Engine(folder).start()
    engine.base_image("debian:trixie-slim", "trixie")
    print(engine.docker("run", "--rm", "debian:trixie-slim", "id"))
    engine.stop()

The engine runs in namespaces of its own for network, mounts and processes. Whatever it leaves there
(containers, bridges, firewall rules, mounts) ends with its first process, however that ends, and
an engine of the host or of another run never meets it. A link of two addresses leads out: the
engine's end is `engine.address`, where published ports answer; ours is `engine.host_address`.

Nothing is pulled: a base image is made with debootstrap from the mirror that apt has here, and is
given apt's proxy and the like. Made once, it is kept in build/cache.
"""
import os
import random
import re
import shutil
import subprocess
import time

from rig.process import Process, wait_until

DOCKER = "/usr/bin/docker"
TOOLS = ["/usr/sbin/dockerd", DOCKER, "/usr/bin/setpriv", "/usr/bin/unshare", "/usr/sbin/ip",
         "/usr/sbin/iptables", "/usr/sbin/debootstrap"]
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = f"{PROJECT}/build/cache"
# The first process of the namespaces. A resolver on the loopback address would not be reached.
INSIDE = """\
link=$1 address=$2 gateway=$3
shift 3
mount -t tmpfs tmpfs /run/docker 2>/dev/null
if [ -f /run/systemd/resolve/resolv.conf ]; then
    mount --bind /run/systemd/resolve/resolv.conf /etc/resolv.conf
fi
until ip link show "$link" >/dev/null 2>&1; do sleep 0.05; done
ip link set lo up && ip address add "$address/30" dev "$link" && ip link set "$link" up &&
    ip route add default via "$gateway" && "$@"
"""
# What apt was told here and needs in a container as well.
APT_SETTINGS = re.compile(r"^Acquire::(http|https|ftp|Check|Retries|ForceIPv|Languages)", re.IGNORECASE)


class NoEngine(Exception):
    """No engine can run here; the text says why."""


class CommandFailed(RuntimeError):
    """The text is the command and what it printed."""


def run(args, seconds=60, env=None, text=None):
    """Runs a command and returns what it prints, both streams."""
    args = [str(arg) for arg in args]
    done = subprocess.run(args, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", timeout=seconds, env=env)
    if done.returncode:
        raise CommandFailed(f"{' '.join(args)}: status {done.returncode}\n{done.stdout[-6000:]}")
    return done.stdout


class Engine:
    """`folder` is made and used for everything; it has to be on a disk that overlayfs can use."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        self.socket = f"{self.folder}/socket"
        self.log_path = f"{self.folder}/dockerd.log"
        self.link = f"sr3sub{random.randrange(16 ** 6):06x}"
        # of the block meant for measurements (RFC 2544), which swarms and bridges leave alone
        network = f"198.18.{random.randrange(256)}.{4 * random.randrange(64)}"
        first, last = network.rsplit(".", 1)
        self.network = f"{network}/30"
        self.host_address = f"{first}.{int(last) + 1}"
        self.address = f"{first}.{int(last) + 2}"
        self.process = None

    def start(self):
        """Raises NoEngine where that is not possible or not permitted."""
        missing = [tool for tool in TOOLS if not os.access(tool, os.X_OK)]
        if missing:
            raise NoEngine(f"missing: {', '.join(missing)}")
        if os.getuid():
            raise NoEngine("it takes root to start one")
        os.makedirs(f"{self.folder}/client")
        with open(f"{self.folder}/daemon.json", "w") as file:
            file.write("{}\n")
        try:
            self._start_process()
            self._connect()
            wait_until(self._answers, 60, "the engine answers")
        except (CommandFailed, TimeoutError, RuntimeError) as error:
            self.stop()
            raise NoEngine(f"{error}\n{self.log_tail()}") from error
        return self

    def _start_process(self):
        os.makedirs("/run/docker", exist_ok=True)
        self.process = Process(
            # unshare takes no notice of SIGTERM, which we leave behind if we are killed
            ["/usr/bin/setpriv", "--pdeathsig", "KILL",
             "/usr/bin/unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=SIGKILL",
             "--mount-proc", "/bin/sh", "-c", INSIDE, "engine",
             f"{self.link}i", self.address, self.host_address,
             "/usr/sbin/dockerd", "--config-file", f"{self.folder}/daemon.json",
             "--data-root", f"{self.folder}/data", "--exec-root", f"{self.folder}/exec",
             "--pidfile", f"{self.folder}/pid", "--host", f"unix://{self.socket}",
             "--cgroup-parent", f"/{self.link}", "--storage-driver", "overlay2"],
            self.log_path, cwd=self.folder)

    def _connect(self):
        """The link between our network and that of the engine, and the way from there outside."""
        def separated():
            if not self.process.is_running():
                raise RuntimeError("namespaces are not permitted")
            return os.readlink(f"/proc/{self.process.pid}/ns/net") != ours

        ours = os.readlink("/proc/self/ns/net")
        wait_until(separated, 10, "a network of the engine's own")
        run(["ip", "link", "add", self.link, "type", "veth", "peer", "name", f"{self.link}i",
             "netns", self.process.pid])
        run(["ip", "address", "add", f"{self.host_address}/30", "dev", self.link])
        run(["ip", "link", "set", self.link, "up"])
        with open("/proc/sys/net/ipv4/ip_forward", "w") as file:
            file.write("1\n")
        for rule in self._rules():
            run(["iptables", "--wait", *rule[:2], "-I", *rule[2:]])

    def _rules(self):
        return [("-t", "nat", "POSTROUTING", "-s", self.network, "-j", "MASQUERADE"),
                ("-t", "filter", "FORWARD", "-i", self.link, "-j", "ACCEPT"),
                ("-t", "filter", "FORWARD", "-o", self.link, "-j", "ACCEPT")]

    def _answers(self):
        if not self.process.is_running():
            raise RuntimeError("the engine ended by itself")
        try:
            self.docker("info", seconds=10)
            return True
        except (CommandFailed, subprocess.TimeoutExpired):
            return False

    def stop(self):
        """Removes the containers, so that the kernel forgets their groups, and ends all the rest."""
        if not self.process:
            return
        try:
            for container in self.docker("ps", "--all", "--quiet").split():
                self.docker("rm", "--force", "--volumes", container)
        except (CommandFailed, subprocess.TimeoutExpired):
            pass
        if self.process.is_running():
            self.process.kill()
        self.process = None
        for rule in self._rules():
            subprocess.run(["iptables", "--wait", *rule[:2], "-D", *rule[2:]],
                           stderr=subprocess.DEVNULL)
        # the kernel removes the link with the other network, a moment later
        wait_until(lambda: not os.path.exists(f"/sys/class/net/{self.link}"), 20, "end of the link")
        self._remove_groups()

    def _remove_groups(self):
        """The control groups of our containers, empty by now; innermost first."""
        for top, _, _ in os.walk("/sys/fs/cgroup"):
            if top.count("/") > 5:
                continue
            own = f"{top}/{self.link}"
            if os.path.isdir(own):
                for folder, _, _ in os.walk(own, topdown=False):
                    try:
                        os.rmdir(folder)
                    except OSError:
                        pass

    def log_tail(self):
        try:
            with open(self.log_path, errors="replace") as log:
                return log.read()[-3000:]
        except FileNotFoundError:
            return ""

    def docker(self, *args, seconds=60, text=None):
        """Runs `docker args...` and returns what it prints; CommandFailed if it fails. `text` is
        its input."""
        return run([DOCKER, "--host", f"unix://{self.socket}", *args], seconds, self.environment(),
                   text)

    def environment(self):
        """For a client that is started in another way."""
        return {**os.environ, "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_BUILDKIT": "0",
                "DOCKER_CONFIG": f"{self.folder}/client"}

    def base_image(self, name, suite, architecture=None):
        """Makes the image `name`, a minimal Debian `suite`, unless the engine has it."""
        if self.docker("image", "ls", "--quiet", name).strip():
            return
        options = ["--platform", "linux/386"] if architecture == "i386" else []
        self.docker("import", *options, "--change", 'CMD ["/bin/sh"]',
                    base_archive(suite, architecture or host_architecture()), name, seconds=300)


def host_architecture():
    return run(["dpkg", "--print-architecture"]).strip()


def base_archive(suite, architecture):
    """Path of a tar file with a minimal Debian, made if need be."""
    path = f"{CACHE}/{suite}-{architecture}.tar"
    if os.path.exists(path):
        return path
    os.makedirs(CACHE, exist_ok=True)
    folder = f"{path}.{os.getpid()}"
    try:
        settings = apt_settings()
        started = time.monotonic()
        run(["/usr/sbin/debootstrap", "--variant=minbase", f"--arch={architecture}", suite, folder,
             apt_mirror()], seconds=900, env={**os.environ, **proxies(settings)})
        with open(f"{folder}/etc/apt/apt.conf.d/90host", "w") as file:
            file.write("".join(f"{line}\n" for line in settings))
        shutil.rmtree(f"{folder}/var/cache/apt/archives", ignore_errors=True)
        run(["tar", "--create", "--file", f"{folder}.tar", "--one-file-system",
             "--exclude=./dev/*", "--directory", folder, "."], seconds=300)
        os.rename(f"{folder}.tar", path)
        print(f"{suite} for {architecture}: made in {time.monotonic() - started:.0f} s")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return path


def apt_mirror():
    """Where apt gets the packages of this host from, the first source that has `main`."""
    rows = run(["apt-get", "indextargets", "--format", "$(COMPONENT) $(REPO_URI)",
                "Created-By: Packages"]).splitlines()
    return next(row.split()[1] for row in rows if row.startswith("main "))


def apt_settings():
    return [line for line in run(["apt-config", "dump"]).splitlines() if APT_SETTINGS.match(line)]


def proxies(settings):
    """apt's proxies as debootstrap wants them."""
    found = re.findall(r'^Acquire::(https?)::Proxy "([^"]+)";', "\n".join(settings),
                       re.IGNORECASE | re.MULTILINE)
    return {f"{scheme.lower()}_proxy": url for scheme, url in found}

"""An OpenSSH sshd of our own that serves files to the user who runs the tests."""
import getpass
import os
import subprocess

from rig.process import Process, accepts_connections, free_port, wait_until

CONFIGURATION = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile {folder}/pid
StrictModes no
UsePAM no
PasswordAuthentication {passwords}
PermitRootLogin yes
LogLevel VERBOSE
Subsystem sftp internal-sftp -d {home}
"""


# The host's passwords are not touched: the server sees a file of its own in the place of theirs.
OWN_SHADOW = 'mount --bind "$0/shadow" /etc/shadow && exec "$@"'


class Sftp:
    """`root` is where a login leads to; paths from "/" are those of the host. `password`: one may
    log in with it, too; needs the right to mount."""

    def __init__(self, folder, root, password=None):
        self.folder = os.path.abspath(folder)
        self.port = free_port()
        self.user = getpass.getuser()
        os.makedirs(self.folder, mode=0o700)
        self.key = self._make_key("user_key")
        self._make_key("host_key")
        os.rename(f"{self.folder}/user_key.pub", f"{self.folder}/authorized_keys")
        with open(f"{self.folder}/sshd_config", "w") as file:
            file.write(CONFIGURATION.format(folder=self.folder, port=self.port,
                                            home=os.path.abspath(root),
                                            passwords="yes" if password else "no"))
        self._write_known_hosts()
        os.makedirs("/run/sshd", exist_ok=True)
        command = ["/usr/sbin/sshd", "-D", "-e", "-f", f"{self.folder}/sshd_config"]
        if password:
            self._write_shadow(password)
            command = ["unshare", "--mount", "sh", "-c", OWN_SHADOW, self.folder, *command]
        self.server = Process(command, f"{self.folder}/output.log")
        wait_until(self._answers, 10, f"sshd answers, see {self.folder}/output.log", every=0.02)

    def _make_key(self, name):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                        f"{self.folder}/{name}"], check=True)
        return f"{self.folder}/{name}"

    def _write_shadow(self, password):
        done = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=password, text=True,
                              stdout=subprocess.PIPE, check=True)
        with open(f"{self.folder}/shadow", "w") as file:
            file.write(f"{self.user}:{done.stdout.strip()}:19000:0:99999:7:::\n")

    def _write_known_hosts(self):
        with open(f"{self.folder}/host_key.pub") as key:
            line = f"[127.0.0.1]:{self.port} {key.read()}"
        with open(self.known_hosts, "w") as file:
            file.write(line)
        with open(f"{self.folder}/wrong_hosts", "w") as file:  # another key for the same host
            other = self._make_key("other_key")
            with open(f"{other}.pub") as key:
                file.write(f"[127.0.0.1]:{self.port} {key.read()}")

    @property
    def known_hosts(self):
        return f"{self.folder}/known_hosts"

    @property
    def wrong_hosts(self):
        return f"{self.folder}/wrong_hosts"

    @property
    def url(self):
        return f"sftp://127.0.0.1:{self.port}/"

    def _answers(self):
        if not self.server.is_running():
            with open(f"{self.folder}/output.log") as log:
                raise RuntimeError(f"sshd ended by itself: {log.read()[-500:]}")
        return accepts_connections(self.port)

    def log(self):
        with open(f"{self.folder}/output.log", errors="replace") as log:
            return log.read()

    def close(self):
        self.server.stop()

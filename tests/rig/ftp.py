"""A vsftpd of our own. Its only user is anonymous, who needs one of the passwords in a file, so that
no account of this host is touched."""
import os

from rig.process import Process, accepts_connections, free_port, wait_until

CONFIGURATION = """\
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=YES
anon_root={root}
no_anon_password=NO
secure_email_list_enable=YES
email_password_file={folder}/passwords
local_enable=NO
ftp_username={user}
nopriv_user={user}
secure_chroot_dir={folder}/empty
xferlog_enable=YES
xferlog_file={folder}/transfers.log
log_ftp_protocol=YES
dual_log_enable=YES
vsftpd_log_file={folder}/protocol.log
pasv_enable=YES
pasv_min_port={pasv_min}
pasv_max_port={pasv_max}
port_enable=YES
connect_from_port_20=NO
ascii_download_enable=YES
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
mdtm_write=NO
use_localtime=NO
max_clients={max_clients}
{more}
"""
TLS = """\
ssl_enable=YES
allow_anon_ssl=YES
force_anon_logins_ssl=YES
force_anon_data_ssl={data}
ssl_tlsv1=YES
rsa_cert_file={tls.certificate}
rsa_private_key_file={tls.key}
require_ssl_reuse=NO
ssl_ciphers=HIGH
implicit_ssl={implicit}
"""


class Ftp:
    """Serves `root`. `tls`: a certificate, and no login goes without it; `data`: nor does a file."""

    user, password = "anonymous", "right-ftp-secret"

    def __init__(self, folder, root, tls=None, implicit=False, data=True, max_clients=50, more=""):
        self.folder = os.path.abspath(folder)
        self.port = free_port()
        os.makedirs(f"{self.folder}/empty")
        first = free_port()
        with open(f"{self.folder}/passwords", "w") as file:
            file.write(f"{self.password}\n")
        if tls:
            more += TLS.format(tls=tls, implicit="YES" if implicit else "NO",
                               data="YES" if data else "NO")
        with open(f"{self.folder}/vsftpd.conf", "w") as file:
            file.write(CONFIGURATION.format(
                folder=self.folder, root=os.path.abspath(root), port=self.port, user="daemon",
                pasv_min=first, pasv_max=first + 500, max_clients=max_clients, more=more))
        self.server = Process(["/usr/sbin/vsftpd", f"{self.folder}/vsftpd.conf"],
                              f"{self.folder}/output.log")
        wait_until(self._answers, 10, f"vsftpd answers, see {self.folder}/output.log", every=0.02)

    @property
    def url(self):
        return f"ftp://127.0.0.1:{self.port}/"

    def _answers(self):
        if not self.server.is_running():
            with open(f"{self.folder}/output.log") as log:
                raise RuntimeError(f"vsftpd ended by itself: {log.read()[-500:]}")
        return accepts_connections(self.port)

    def protocol(self):
        """What was said: commands and replies."""
        with open(f"{self.folder}/protocol.log", errors="replace") as log:
            return log.read()

    def close(self):
        self.server.stop()

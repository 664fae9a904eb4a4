"""A certificate authority for the tests, and a server certificate for localhost and 127.0.0.1."""
import os
import subprocess

EXTENSIONS = """\
subjectAltName = DNS:localhost, IP:127.0.0.1
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth
"""


class Certificate:
    """Paths of the PEM files made in `folder`: `ca`, `certificate`, `key`."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.ca = f"{self.folder}/ca.pem"
        self.certificate = f"{self.folder}/server.pem"
        self.key = f"{self.folder}/server.key"
        with open(f"{self.folder}/extensions", "w") as file:
            file.write(EXTENSIONS)
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
                      "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")
        self._openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost",
                      "-keyout", "server.key", "-out", "server.csr")
        self._openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                      "-CAcreateserial", "-days", "30", "-extfile", "extensions",
                      "-out", "server.pem")

    def _openssl(self, *args):
        subprocess.run(["openssl", *args], cwd=self.folder, check=True, capture_output=True)

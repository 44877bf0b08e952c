# tests/e2e/authority.py
#
# Certificates for the end-to-end tests, made by the openssl command as the tests run: no key lies in the tree.
import os
import ssl
import subprocess

from gateway import PATIENCE


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *arguments], capture_output=True, check=True, timeout=PATIENCE, **options)


class Authority:
    """A folder with ca.pem, and the certificates that it issues beside it."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name = folder, name
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=" + name,
                "-keyout", self.path(name + ".key"), "-out", self.path(name + ".pem"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def issue(self, name, *names, rsa=False, days=30):
        kind = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        openssl("req", "-newkey", *kind, "-nodes", "-subj", "/CN=" + name, "-keyout", self.path(name + ".key.new"), "-out",
                self.path(name + ".csr"))
        with open(self.path(name + ".ext"), "w", encoding="ascii") as file:
            file.write("subjectAltName=" + ",".join(each if ":" in each else "DNS:" + each for each in names or (name,)) + "\n")
        openssl("x509", "-req", "-in", self.path(name + ".csr"), "-CA", self.path(self.name + ".pem"), "-CAkey",
                self.path(self.name + ".key"), "-days", str(days), "-extfile", self.path(name + ".ext"), "-out", self.path(name + ".pem.new"))
        os.replace(self.path(name + ".pem.new"), self.path(name + ".pem"))
        os.replace(self.path(name + ".key.new"), self.path(name + ".key"))

    def context(self, certificate=None):
        context = ssl.create_default_context(cafile=self.path(self.name + ".pem"))
        if certificate:
            context.load_cert_chain(self.path(certificate + ".pem"), self.path(certificate + ".key"))
        return context

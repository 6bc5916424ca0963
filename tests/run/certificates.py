"""Certificates for tests, made by the openssl command: an authority, and what it signs."""

import ssl
import subprocess
import tempfile
from pathlib import Path

from harness import TIMEOUT_S

CONFIG = """
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical,CA:TRUE
[server]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost,IP:127.0.0.1
[elsewhere]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:elsewhere.example,DNS:*.elsewhere.example
[client]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = clientAuth
"""
KEYS = {"ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "rsa": ["-newkey", "rsa:2048"]}


def openssl(*args, check=True, **options):
    """The CompletedProcess of an openssl command, with texts."""
    options.setdefault("timeout", TIMEOUT_S)
    return subprocess.run(["openssl", *map(str, args)], text=True, check=check,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, errors="replace",
                          **options)


class Certificates:
    """An authority in a folder of its own. A pair is NAME.crt and NAME.key."""

    def __init__(self):
        self.holder = tempfile.TemporaryDirectory(prefix="sysrt-certificates-")
        self.folder = Path(self.holder.name)
        (self.folder / "config").write_text(CONFIG)
        self.make("ca", "ca", "sysrt test")
        self.ca = self.cert("ca")

    def close(self):
        self.holder.cleanup()

    def cert(self, name):
        return self.folder / f"{name}.crt"

    def key(self, name):
        return self.folder / f"{name}.key"

    def make(self, name, use="server", common_name="localhost", kind="ec", signer="ca"):
        """use: ca, server, elsewhere (a server of another name) or client."""
        signed = [] if use == "ca" else ["-CA", self.cert(signer), "-CAkey", self.key(signer)]
        openssl("req", "-x509", *KEYS[kind], "-nodes", "-days", "2",
                "-config", self.folder / "config", "-extensions", use, *signed,
                "-subj", f"/CN={common_name}", "-keyout", self.key(name), "-out", self.cert(name))
        return name

    def make_expired(self, name):
        """Of a server; its time was over a day ago."""
        request = self.folder / f"{name}.csr"
        openssl("req", "-new", *KEYS["ec"], "-nodes", "-config", self.folder / "config",
                "-subj", "/CN=localhost", "-keyout", self.key(name), "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.cert("ca"), "-CAkey", self.key("ca"),
                "-days", "-1", "-extfile", self.folder / "config", "-extensions", "server",
                "-out", self.cert(name))
        return name

    def server(self, name="server"):
        """A context for a server with that pair."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert(name), self.key(name))
        return context

    def options(self, name="server", more=""):
        """The section [tls] with that pair."""
        return (f'[tls]\ncert = "{self.cert(name)}"\nkey = "{self.key(name)}"\n{more}\n')

    def client(self, certificate=None, version=None):
        """A context that trusts the authority and nobody else; it may show a certificate."""
        context = ssl.create_default_context(cafile=self.ca)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if certificate is not None:
            context.load_cert_chain(self.cert(certificate), self.key(certificate))
        return context

"""TLS on the listener: what is spoken and what is refused, clients that are not ours, a certificate
that is changed under live sessions, certificates of clients, handshakes that never end.

builds: asan; in check-long: release
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import textwrap
import unittest

from certificates import Certificates, openssl
from hellos import ONLY_1_3, ask, extension, hello, words
from follow import Follower, View, stored_records
from harness import (BINARY, BUILD, LONG, TEXT, TIMEOUT_S, Closed, Daemon, RpcError, connect_websockets,
                     daemon_for, encode_frame, http_get, source, sysrtctl, wait_for)

KIB = 1024
MIB = KIB * KIB
SESSIONS = 1000 if LONG else 100
MANY = 1000  # as many as there may be (tls.max_handshakes)
PATIENT = '[websocket]\nheader_timeout = "10m"\n'
UNAUTHENTICATED = 4101

certificates = None


def setUpModule():
    global certificates
    certificates = Certificates()
    unittest.addModuleCleanup(certificates.close)
    certificates.make("server")
    certificates.make("rsa", kind="rsa")


def start(test, name="server", more="", tls_more="", **options):
    """A daemon that speaks TLS, and whose clients trust it."""
    config = certificates.options(name, tls_more) + more
    return daemon_for(test, config=config, tls=certificates.client(), **options)


def session_of(daemon, ws):
    """What session.list says of the session that was opened last."""
    ws.call("ping")
    with daemon.control() as control:
        return [s for s in control.call("session.list")["items"] if s["door"] == "websocket"][-1]


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def s_client(port, *args, said="", **options):
    """What openssl s_client prints in all when it was told this."""
    done = openssl("s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", certificates.ca, *args,
                   check=False, input=said, **options)
    return done.stdout + done.stderr


ALERT_HANDSHAKE, ALERT_PROTOCOL, ALERT_FALLBACK = 40, 70, 86
SCSVS = (0x00ff, 0x5600)


class Spoken(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemons = {name: Daemon(config=certificates.options(name), tls=certificates.client())
                       for name in ("server", "rsa")}
        for daemon in cls.daemons.values():
            cls.addClassCleanup(daemon.close)
        cls.daemon = cls.daemons["server"]
        cls.port = cls.daemon.port

    def scan(self, port, more=b""):
        """All of the 65,536 numbers that are accepted."""
        accepted = set()
        for first in range(0, 65536, 4096):
            left = [n for n in range(first, first + 4096) if n not in SCSVS]
            while (answer := ask(port, hello(left, more=more)))[0] == "hello":
                accepted.add(answer[1]["suite"])
                left.remove(answer[1]["suite"])
            self.assertEqual(answer, ("alert", ALERT_HANDSHAKE))
        return accepted

    def test_cipher_suites(self):
        """Forward secrecy and authenticated encryption, and nothing else."""
        good = {"server": {0xc02b, 0xc02c, 0xcca9}, "rsa": {0xc02f, 0xc030, 0xcca8}}
        for name, daemon in self.daemons.items():
            self.assertEqual(self.scan(daemon.port), good[name])
            self.assertEqual(self.scan(daemon.port, ONLY_1_3), {0x1301, 0x1302, 0x1303})

    def test_versions(self):
        suites = [0xc02b, 0xc009, 0xc013, 0x002f, 0x0035, 0x000a]
        for old in (0x0200, 0x0300, 0x0301, 0x0302):
            kind, code = ask(self.port, hello(suites, old))
            self.assertEqual(kind, "alert")
            self.assertIn(code, (ALERT_PROTOCOL, ALERT_HANDSHAKE))
        kind, answer = ask(self.port, hello(suites))
        self.assertEqual((kind, answer["version"]), ("hello", 0x0303))
        self.assertEqual(ask(self.port, hello([*suites, 0x5600])), ("alert", ALERT_FALLBACK))
        # SSL 2's hello is not even looked at.
        self.assertEqual(ask(self.port, b"\x80\x2e\x01\x00\x02" + bytes(43))[0], "end")

    def test_no_compression_no_tickets(self):
        kind, answer = ask(self.port, hello([0xc02b], compressions=b"\x01\x00",
                                            more=extension(35, b"") + extension(15, b"\x01")))
        self.assertEqual((kind, answer["compression"]), ("hello", 0))
        for number in (35, 15):  # session ticket, heartbeat
            self.assertNotIn(struct.pack(">HH", number, 0), answer["extensions"])
            self.assertNotIn(struct.pack(">HH", number, 1), answer["extensions"])
        for option in ("-tls1_2", "-tls1_3"):
            out = s_client(self.port, option)
            self.assertIn("Verify return code: 0 (ok)", out)
            self.assertIn("Compression: NONE", out)
            self.assertNotIn("TLS session ticket", out)

    def test_weak_signatures(self):
        for weak in ((0x0203,), (0x0201,), (0x0101, 0x0303)):
            self.assertEqual(ask(self.port, hello([0xc02b], signatures=weak))[0], "alert")

    def test_openssl_of_each_version(self):
        for option, version in (("-tls1", None), ("-tls1_1", None), ("-tls1_2", "TLSv1.2"),
                                ("-tls1_3", "TLSv1.3")):
            out = s_client(self.port, option, "-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0")
            if version is None:
                self.assertIn("alert protocol version", out)
                self.assertIn("Cipher is (NONE)", out)
            else:
                self.assertIn("Verify return code: 0 (ok)", out)
                self.assertIn(f"{version}, Cipher is ", out)

    def test_every_cipher_that_openssl_has(self):
        """By its own list and its own hand, for version 1.2."""
        names = openssl("ciphers", "ALL:COMPLEMENTOFALL:@SECLEVEL=0").stdout.strip().split(":")
        self.assertGreater(len(names), 50)
        accepted = set()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        for name in names:
            if name.startswith("TLS_"):
                continue
            context.set_ciphers(f"{name}:@SECLEVEL=0")
            for daemon in self.daemons.values():
                with socket.create_connection(("127.0.0.1", daemon.port), TIMEOUT_S) as sock:
                    with contextlib.suppress(ssl.SSLError, ConnectionResetError):
                        with context.wrap_socket(sock) as tls:
                            accepted.add(tls.cipher()[0])
        self.assertEqual(accepted, {
            f"ECDHE-{kind}-{cipher}" for kind in ("ECDSA", "RSA")
            for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")})

    def test_renegotiation_is_refused(self):
        out = s_client(self.port, "-tls1_2", said="R\n")
        self.assertIn("RENEGOTIATING", out)
        self.assertIn("no renegotiation", out)
        self.assertIn("Secure Renegotiation IS supported", out)

    def test_application_protocols(self):
        self.assertIn("ALPN protocol: http/1.1", s_client(self.port, "-alpn", "h2,http/1.1"))
        self.assertIn("no application protocol", s_client(self.port, "-alpn", "h2"))
        self.assertIn("No ALPN negotiated", s_client(self.port))

    def test_https(self):
        status, headers, body = http_get(self.port, "/livez", tls=self.daemon.tls)
        self.assertEqual((status, body), (200, b"ok\n"))

    def test_plain_http_is_told(self):
        for request in (b"GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n", b"G"):
            with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S) as sock:
                sock.sendall(request)
                answer = b""
                while piece := sock.recv(65536):
                    answer += piece
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)
            self.assertIn(b"https:// and wss://", answer)

    def test_garbage(self):
        whole = hello([0xc02b, 0x1301])
        for data in (b"\0" * 100, b"\x16\x03\x01\xff\xff" + bytes(70000), os.urandom(5000),
                     whole[:-1] + b"\0", whole[:3] + b"\0\x04\x01\0\0\0", whole + os.urandom(500),
                     b"\x16\x03\x01\0\0" * 1000, b"\x17" + whole[1:], b"\x15\x03\x01\0\x02\x02\x00",
                     b"\x16\x03\x01\x00\x09\x01\xff\xff\xff" + bytes(5)):
            with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S) as sock:
                with contextlib.suppress(OSError):
                    sock.sendall(data)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(65536):
                        pass
        with self.daemon.control() as control:
            wait_for(lambda: control.call("status")["websocket"]["connections"] == 0)
            self.assertEqual(control.call("system.stats")["sysrt_tls_handshakes"], 0)
        self.daemon.ws().close()

    def test_what_is_told_of_it(self):
        with self.daemon.control() as control:
            tls = control.call("status")["websocket"]["tls"]
            self.assertEqual((tls["subject"], tls["issuer"]), ("CN=localhost", "CN=sysrt test"))
            for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
                                  (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
                with self.daemon.ws(tls=certificates.client(version=version)) as ws:
                    told = session_of(self.daemon, ws)["tls"]
                    self.assertEqual(told, {"version": name, "cipher": ws.sock.cipher()[0]})
        self.assertIn("CN=localhost", sysrtctl(self.daemon, "status").stdout)


NODE = r"""
const WebSocket = require("ws"), fs = require("fs"), crypto = require("crypto");
const [url, ca, size] = [process.argv[1], process.argv[2], Number(process.argv[3])];
const fail = (what) => { console.log("wrong:", what); process.exit(1); };
const open = (path, more) => new Promise((resolve, reject) => {
    const ws = new WebSocket(url + path, {ca: more ? undefined : fs.readFileSync(ca)});
    ws.on("open", () => resolve(ws));
    ws.on("error", reject);
});
const next = (ws, event) => new Promise((resolve) => ws.once(event, (...args) => resolve(args)));
(async () => {
    let refused = "";
    await open("/echo", true).catch((e) => { refused = e.code; });
    if (!/UNABLE_TO_VERIFY|SELF_SIGNED/.test(refused)) fail("an unknown authority: " + refused);
    for (const n of [0, 1, 125, 126, 16383, 16384, 16385, 65536, size]) {
        const ws = await open("/echo"), data = crypto.randomBytes(n), back = next(ws, "message");
        ws.send(data);
        if (!(await back)[0].equals(data)) fail("echo of " + n);
        const end = next(ws, "close");
        ws.close(1000, "done");
        if ((await end)[0] !== 1000) fail("close");
    }
    console.log("good");
})().catch((e) => fail(e));
"""


class Clients(unittest.TestCase):
    """What is said is what arrives."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(config=certificates.options() + "[websocket]\necho = true\n",
                            tls=certificates.client())
        cls.addClassCleanup(cls.daemon.close)

    def open(self, **options):
        ws = self.daemon.ws(path="/echo", subprotocol=None, **options)
        self.addCleanup(ws.close)
        return ws

    def test_node(self):
        out = subprocess.run(
            ["node", "-e", NODE, f"wss://127.0.0.1:{self.daemon.port}", str(certificates.ca),
             str(4 * MIB - 100)], env={**os.environ, "NODE_PATH": "/usr/share/nodejs"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S * 4,
            check=False)
        self.assertEqual(out.stdout, "good\n")

    def test_python(self):
        async def run():
            async with connect_websockets(self.daemon, path="/echo", subprotocols=None) as ws:
                for n in (0, 1, 16384, 100_000, 4 * MIB - 100):
                    message = os.urandom(n)
                    await ws.send(message)
                    self.assertEqual(await asyncio.wait_for(ws.recv(), TIMEOUT_S), message)
        asyncio.run(run())

    def test_many_small_ones(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            ws = self.open(tls=certificates.client(version=version))
            frames = [encode_frame(BINARY, str(i).encode()) for i in range(3000)]
            ws.send_raw(b"".join(frames[:1500]))  # in large records
            for frame in frames[1500:]:           # and each in one of its own
                ws.send_raw(frame)
            for i in range(3000):
                self.assertEqual(ws.recv_frame().payload, str(i).encode())

    def test_few_records_and_writes_for_many_answers(self):
        with self.daemon.control() as control:
            def written():
                stats = control.call("system.stats")
                return (stats["sysrt_net_writes_total"], stats["sysrt_net_written_bytes_total"])
            ws = self.open()
            before = written()
            ws.send_raw(b"".join(encode_frame(BINARY, b"x" * 20) for _ in range(700)))
            for _ in range(700):
                ws.recv_frame()
            writes, nbytes = (now - then for now, then in zip(written(), before))
        self.assertLess(writes, 100)
        self.assertLess(nbytes, 700 * (20 + 2) + 100 * 22 + 4 * KIB)

    def test_the_end_is_said(self):
        """close_notify, so that nobody can cut an answer off unnoticed."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = certificates.client(version=version)
            with context.wrap_socket(
                    socket.create_connection(("127.0.0.1", self.daemon.port), TIMEOUT_S),
                    server_hostname="localhost", suppress_ragged_eofs=False) as tls:
                tls.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = b""
                while piece := tls.recv(65536):  # SSLEOFError if it was not said
                    answer += piece
                self.assertIn(b"ok\n", answer)
                tls.unwrap().close()

    def test_a_client_that_says_the_end(self):
        ws = self.open()
        ws.send_frame(TEXT, b"last")
        self.assertEqual(ws.recv_frame().payload, b"last")
        with contextlib.suppress(OSError):
            ws.sock.unwrap()
        with self.daemon.control() as control:
            wait_for(lambda: control.call("status")["websocket"]["sessions"] == 0)

    def test_pages(self):
        """The page's origin is https, as the port is."""
        port = self.daemon.port
        for host in ("127.0.0.1", "localhost"):
            for origin, status in ((f"https://{host}:{port}", 101), (f"http://{host}:{port}", 403),
                                   (f"https://{host}", 403)):
                with self.daemon.ws(headers={"Origin": origin}, host=f"{host}:{port}",
                                    accept_any=True) as ws:
                    self.assertEqual(ws.status, status, origin)


class Slow(unittest.TestCase):
    def test_a_slow_reader_converges(self):
        daemon = start(self, more='[websocket]\nsend_queue = "16KiB"\n[store]\n'
                                  'durability = "normal"\n[hub]\nrecent = 16\n')
        slow = Follower(View("slow", categories="*"), daemon.ws(receive_buffer=4096))
        while slow.view.synced_to < 0:
            slow.view.take(slow.client.notification())
        with daemon.control() as control:
            for turn in range(40):
                control.call("record.put_many", records=[
                    {"id": f"r{i}", "data": {"turn": turn, "text": "x" * 2000}}
                    for i in range(turn, turn + 50)])
                control.call("record.delete", id=f"r{turn + 3}")
            self.assertGreater(control.call("status")["hub"]["lagged"], 0)
            unsent, = (s["unsent"] for s in control.call("session.list")["items"]
                       if s["door"] == "websocket")
            print(f"unsent: {unsent} bytes", flush=True)
            self.assertLess(unsent, (16 + 64 + 16) * KIB)
        slow.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
        slow.start()
        records, seq = stored_records(daemon)
        wait_for(lambda: slow.fault or slow.view.has_reached(seq))
        self.assertEqual(slow.view.records, records)
        self.assertGreater(slow.view.lags, 0)
        slow.hang_up()
        slow.finish()


def serial_of(ws):
    return ws.sock.getpeercert()["serialNumber"]


class Changing(unittest.TestCase):
    """certbot puts another certificate in the place of one, and reloads."""

    def setUp(self):
        certificates.make("first")
        certificates.make("second")
        self.use("first")
        self.daemon = start(self, "live", more="[websocket]\nmax_in_flight = 4\n")

    def use(self, name):
        for old, new in ((certificates.cert(name), certificates.cert("live")),
                         (certificates.key(name), certificates.key("live"))):
            shutil.copy(old, new)  # with its mode

    def serial(self):
        with self.daemon.ws() as ws:
            return serial_of(ws)

    def test_under_live_sessions(self):
        sessions = [self.daemon.ws() for _ in range(SESSIONS)]
        for ws in sessions:
            self.addCleanup(ws.close)
            ws.call("subscribe", categories=["news"])
        first = serial_of(sessions[0])
        self.use("second")
        self.daemon.signal(signal.SIGHUP)
        wait_for(lambda: self.daemon.log().count("configuration read again") == 1)
        with self.daemon.control() as control:
            control.call("record.put", category="news", id="after", data=1)
            self.assertEqual(control.call("status")["websocket"]["sessions"], SESSIONS)
        for ws in sessions:
            self.assertEqual(ws.notification("change")["id"], "after")
            ws.send("ping")
        self.assertNotEqual(self.serial(), first)
        for ws in sessions:
            self.assertEqual(serial_of(ws), first)
            self.assertIn("time", ws.answer(2))

    def test_a_bad_pair_is_not_taken(self):
        first = self.serial()
        with self.daemon.control() as control:
            for spoil, text in (
                    (lambda: shutil.copy(certificates.key("second"), certificates.key("live")),
                     "does not belong to the certificate"),
                    (lambda: certificates.cert("live").write_text("nothing"), "tls.cert"),
                    (lambda: certificates.cert("live").unlink(), "No such file"),
                    (lambda: certificates.key("live").chmod(0o644), "chmod 0640")):
                self.use("first")
                certificates.key("live").chmod(0o640)
                spoil()
                answer = sysrtctl(self.daemon, "reload", check=False)
                self.assertEqual(answer.returncode, 1)
                self.assertIn(text, answer.stderr)
                self.assertIn("the old certificate stays", answer.stderr)
                self.assertEqual(self.serial(), first)
            certificates.key("live").chmod(0o640)
            self.use("second")
            control.call("system.reload")
            self.assertNotEqual(self.serial(), first)

    def test_the_hook_of_the_readme(self):
        hook = re.search(r"^    #!/bin/sh\n(?:    .*\n)+", source("README.md"), re.MULTILINE)[0]
        renewed = certificates.folder / "renewed"
        renewed.mkdir()
        shutil.copy(certificates.cert("second"), renewed / "fullchain.pem")
        shutil.copy(certificates.key("second"), renewed / "privkey.pem")
        to = certificates.folder / "installed"
        hook = (textwrap.dedent(hook).replace("/etc/sysrt/tls", str(to))
                .replace("-g sysrt", f"-g {os.getgid()}").replace("-o root", f"-o {os.getuid()}")
                .replace("sysrtctl", str(BUILD / "sysrtctl")))
        first = self.serial()
        to.mkdir()
        for name, new in ((certificates.cert("first"), "cert.pem"),
                          (certificates.key("first"), "key.pem")):
            shutil.copy(name, to / new)
        self.daemon.configure(f'[tls]\ncert = "{to}/cert.pem"\nkey = "{to}/key.pem"\n')
        self.assertEqual(self.serial(), first)
        subprocess.run(["sh", "-c", hook], check=True, timeout=TIMEOUT_S, stdout=subprocess.DEVNULL,
                       env={**os.environ, "RENEWED_LINEAGE": str(renewed),
                            "SYSRT_SOCKET": str(self.daemon.socket)})
        self.assertNotEqual(self.serial(), first)
        self.assertEqual((to / "key.pem").stat().st_mode & 0o777, 0o640)

    def test_on_and_off(self):
        """On at any time, off with a restart only: a line that is lost is no wish to speak plainly."""
        with self.daemon.ws() as encrypted:
            with self.assertRaises(RpcError) as caught:
                self.daemon.configure("")
            self.assertEqual(caught.exception.code, "CONFIG_ERROR")
            self.assertIn("at a restart only", caught.exception.message)
            self.assertIn("time", encrypted.call("ping"))
            self.daemon.ws().close()
        self.daemon.restart()
        with self.daemon.ws(tls=None) as plain:
            self.assertIn("time", plain.call("ping"))
            self.daemon.configure(certificates.options())
            self.assertIn("time", plain.call("ping"))
            self.daemon.ws().close()


class Starting(unittest.TestCase):
    def refuse(self, config, *words):
        daemon = daemon_for(self, config=config, start=False)
        daemon.launch()
        self.assertEqual(daemon.wait_exit(), 78)
        for word in words:
            self.assertIn(word, daemon.log())

    def test_refused(self):
        certificates.make("open")
        certificates.key("open").chmod(0o644)
        self.refuse(certificates.options("open"), "chmod 0640", "tls.key")
        self.refuse(certificates.options("missing"), "missing.crt", "No such file")
        cert, key = certificates.cert("server"), certificates.key("server")
        self.refuse(f'[tls]\ncert = "{cert}"\n', "tls.cert is set, and tls.key is not")
        self.refuse(f'[tls]\nkey = "{key}"\n', "tls.key is set, and tls.cert is not")
        self.refuse(f'[tls]\nclient_ca = "{cert}"\n', "tls.client_ca is set, and tls.cert is not")
        self.refuse(f'[tls]\ncert = "{cert}"\nkey = "{certificates.key("rsa")}"\n',
                    "does not belong to the certificate")

    def test_warnings(self):
        warning = "not on loopback and not encrypted"
        listen = '[websocket]\nlisten = "0.0.0.0:0"\n'
        for config, is_warned in ((listen, True), (listen + certificates.options(), False)):
            daemon = daemon_for(self, config=config, start=False)
            daemon.args = ["--listen", "0.0.0.0:0"]
            daemon.start()
            wait_for(lambda: "msg=\"ready\"" in daemon.log())
            self.assertEqual(warning in daemon.log(), is_warned)


class ClientCertificates(unittest.TestCase):
    def setUp(self):
        self.daemon = start(self, tls_more=f'client_ca = "{certificates.ca}"', more=(
            '[websocket]\nauth = "required"\ntrusted_proxies = []\n'))
        if not certificates.cert("alice").exists():
            certificates.make("alice", "client", "alice")
            certificates.make("carol", "client", "carol")
            certificates.make("stranger-ca", "ca", "a stranger")
            certificates.make("forged", "client", "alice", signer="stranger-ca")
            certificates.make("serving", "server", "alice")
        with self.daemon.control() as control:
            self.tokens = {name: control.call("token.create", name=name, scopes=[scope])["token"]
                           for name, scope in (("alice", "read:a"), ("bob", "read:b"))}

    def open(self, certificate=None, **options):
        ws = self.daemon.ws(tls=certificates.client(certificate), **options)
        self.addCleanup(ws.close)
        return ws

    def expect_closed(self, ws, *texts):
        with self.assertRaises(Closed) as caught:
            ws.notification("none")
        self.assertEqual(caught.exception.code, UNAUTHENTICATED)
        for text in texts:
            self.assertIn(text, caught.exception.reason)

    def test_it_stands_for_the_token_of_its_name(self):
        ws = self.open("alice")
        self.assertEqual(ws.notification("hello")["token"], "alice")
        told = session_of(self.daemon, ws)
        self.assertEqual((told["token"], told["tls"]["client"]), ("alice", "alice"))
        with self.daemon.control() as control:
            self.assertIn("used_at", control.call("token.list")["items"][0])

    def test_a_token_that_is_shown_counts(self):
        ws = self.open("alice", headers=bearer(self.tokens["bob"]))
        self.assertEqual(ws.notification("hello")["token"], "bob")

    def test_without_one_a_token_is_needed(self):
        self.assertEqual(self.open(headers=bearer(self.tokens["bob"])).notification("hello")
                         ["token"], "bob")
        waiting = self.open()
        waiting.call("auth", token=self.tokens["alice"])
        self.assertEqual(session_of(self.daemon, waiting)["token"], "alice")

    def test_revoked_with_its_token(self):
        ws = self.open("alice")
        ws.notification("hello")
        with self.daemon.control() as control:
            control.call("token.revoke", name="alice")
        with self.assertRaises(Closed) as caught:
            while True:
                ws.recv_text()
        self.assertEqual(caught.exception.code, UNAUTHENTICATED)
        self.expect_closed(self.open("alice"), "alice", "no token of that name")

    def test_of_no_token(self):
        self.expect_closed(self.open("carol"), '"carol"', "no token of that name")

    def test_that_are_no_good(self):
        """Of another authority, and of a server: the handshake fails."""
        for name in ("forged", "serving"):
            with self.assertRaises((ssl.SSLError, ConnectionResetError, Closed)):
                self.open(name).call("ping")

    def test_a_proxy_speaks_for_others(self):
        forwarded = {"X-Forwarded-For": "192.0.2.7"}
        with self.open("alice", headers=forwarded, accept_any=True) as ws:
            self.assertEqual(ws.status, 403)
        self.daemon.configure(self.daemon.config_path.read_text().replace(
            "trusted_proxies = []", 'trusted_proxies = ["127.0.0.1"]'))
        ws = self.open("alice", headers=forwarded)
        ws.call("auth", token=self.tokens["bob"])
        self.assertEqual(session_of(self.daemon, ws)["token"], "bob")


class Proxies(unittest.TestCase):
    def setUp(self):
        self.daemon = start(self, more='[websocket]\ntrusted_proxies = ["127.0.0.1"]\n'
                                       'proxy_protocol = true\n')

    def test_the_proxy_protocol_comes_first(self):
        v2 = (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + socket.inet_aton("127.0.0.9") +
              socket.inet_aton("127.0.0.1") + words(5, 7117))
        v1 = b"PROXY TCP4 127.0.0.9 127.0.0.1 5 7117\r\n"
        for preface in (v1, v2):
            for slowly in (False, True):
                with self.daemon.ws(preface=preface, slowly=slowly) as ws:
                    self.assertEqual(session_of(self.daemon, ws)["client"], "127.0.0.9")

    def test_in_one_piece_with_the_hello(self):
        context = certificates.client()
        for cut in (0, 1, 50, None):
            said, heard = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(heard, said, server_hostname="localhost")
            with self.assertRaises(ssl.SSLWantReadError):
                tls.do_handshake()
            first = said.read()
            with socket.create_connection(("127.0.0.1", self.daemon.port), TIMEOUT_S) as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.sendall(b"PROXY TCP4 127.0.0.9 127.0.0.1 5 7117\r\n" + first[:cut])
                if cut is not None:
                    sock.sendall(first[cut:])
                while True:
                    heard.write(sock.recv(65536))
                    with contextlib.suppress(ssl.SSLWantReadError):
                        tls.do_handshake()
                        break
                self.assertEqual(tls.version(), "TLSv1.3")

    def test_plain_http_behind_it(self):
        with socket.create_connection(("127.0.0.1", self.daemon.port), TIMEOUT_S) as sock:
            sock.sendall(b"PROXY TCP4 127.0.0.9 127.0.0.1 5 7117\r\nGET / HTTP/1.1\r\n\r\n")
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := sock.recv(65536):
                    answer += piece
        self.assertIn(b"https:// and wss://", answer)


class Unfinished(unittest.TestCase):
    """Handshakes that never end."""

    def open(self, data):
        sock = socket.create_connection(("127.0.0.1", self.daemon.port), TIMEOUT_S)
        self.addCleanup(sock.close)
        sock.sendall(data)
        return sock

    def expect_end(self, sock):
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(65536):
                pass
        sock.close()

    def is_told(self):
        """Whoever has shaken hands in time, and says nothing then, hears why it ends."""
        try:
            with certificates.client().wrap_socket(
                    self.open(b""), server_hostname="localhost") as sock:
                return b" 408 " in sock.recv(65536)
        except OSError:  # it was too late for that too
            return False

    def test_are_closed_in_time(self):
        self.daemon = start(self, more='[websocket]\nheader_timeout = "300ms"\n')
        whole = hello([0xc02b, 0x1301])
        socks = [self.open(data) for data in (
            b"", b"\x16", whole[:4], whole[:60], whole, whole + whole[:60],
            hello([0x1301, 0xc02b], more=ONLY_1_3))]
        for sock in socks:
            self.expect_end(sock)
        wait_for(self.is_told)
        with self.daemon.control() as control:
            wait_for(lambda: control.call("status")["websocket"]["connections"] == 0)
            self.assertEqual(control.call("system.stats")["sysrt_tls_handshakes"], 0)

    def test_others_are_served_between_them(self):
        """A thousand hellos lie there before somebody asks who has no part in that."""
        self.daemon = start(self, "rsa", more=PATIENT)
        data = hello([0xc02f, 0x1301])
        with self.daemon.control() as control:
            socks = [self.open(b"") for _ in range(MANY)]
            wait_for(lambda: control.call("status")["websocket"]["connections"] == MANY)
            self.daemon.signal(signal.SIGSTOP)
            try:
                for sock in socks:
                    sock.sendall(data)
                request = control.send("system.stats")
            finally:
                self.daemon.signal(signal.SIGCONT)
            before = control.answer(request)["sysrt_tls_handshakes"]
            print(f"{before} of {MANY} handshakes came first", flush=True)
            self.assertLess(before, MANY / 2)
            wait_for(lambda: control.call("system.stats")["sysrt_tls_handshakes"] == MANY)

    def test_the_oldest_is_cut(self):
        self.daemon = start(self, tls_more="max_handshakes = 8", more=PATIENT)
        data = hello([0xc02b, 0x1301])
        first = self.open(data)
        with self.daemon.control() as control:
            def stat(name):
                return control.call("system.stats")[f"sysrt_tls_handshakes{name}"]
            wait_for(lambda: stat("") == 1)
            others = [self.open(data) for _ in range(20)]
            self.expect_end(first)
            wait_for(lambda: stat("_cut_total") == 13)
            self.assertEqual(stat(""), 8)
            self.daemon.ws().close()
            for sock in others:
                sock.close()
            wait_for(lambda: stat("") == 0)


if __name__ == "__main__":
    unittest.main()

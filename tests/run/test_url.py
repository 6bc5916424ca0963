"""sysrtctl --url: what goes over the socket goes over WebSockets too, plain, with TLS and behind
nginx; tokens and who may read them, refusals with their reasons, connections that end and come back.

builds: release asan
"""

import json
import os
import signal
import socket
import subprocess
import threading
import time
import unittest

from certificates import Certificates
from harness import BUILD, ENV, TIMEOUT_S, daemon_for, sysrtctl, wait_for
from nginx import PASS, nginx_for

CTL = str(BUILD / "sysrtctl")
SCOPES = ("admin", "read", "write", "publish")


def setUpModule():
    global certificates
    certificates = Certificates()
    unittest.addModuleCleanup(certificates.close)
    certificates.make("server")


class UrlTest(unittest.TestCase):
    maxDiff = None

    def start(self, config="", tls=False):
        self.daemon = daemon_for(
            self, config=config + (certificates.options() if tls else ""),
            tls=certificates.client() if tls else None)
        self.url = f"{'wss' if tls else 'ws'}://127.0.0.1:{self.daemon.port}"
        self.token_file = self.token("all", *SCOPES)

    def token(self, name, *scopes):
        """A file with a new token."""
        made = sysrtctl(self.daemon, "token", "create", name,
                        *(f"--scope={scope}" for scope in scopes))
        path = self.daemon.folder / f"{name}.token"
        path.write_text(json.loads(made.stdout)["token"] + "\n")
        path.chmod(0o600)
        return path

    def options(self, url=None, token=None, ca=True):
        """Those that come first on the command line."""
        token = self.token_file if token is None else token
        return ["--url", url or self.url, *(["--token-file", token] if token else []),
                *(["--ca", certificates.ca] if ca else [])]

    def run_ctl(self, *args, env=None, timeout=TIMEOUT_S * 2, **options):
        return subprocess.run([CTL, *map(str, args)], text=True, timeout=timeout, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env={**ENV, **(env or {})}, **options)

    def ctl(self, *args, **options):
        """The output of a command that has to succeed."""
        done = self.run_ctl(*self.options(), *args, **options)
        self.assertEqual((done.returncode, done.stderr), (0, ""), args)
        return done.stdout

    def refuse(self, status, text, *args, **options):
        """A command that has to fail, and says why."""
        done = self.run_ctl(*args, **options)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertIn(text, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertEqual(done.stdout, "")


class Commands(UrlTest):
    def use_all(self):
        """Nearly every command, beside the same over the socket."""
        self.assertEqual(json.loads(self.ctl("put", "w", "a", '{"n":12345678901234567890}'))["rev"], 1)
        self.assertEqual(json.loads(self.ctl("put", "w", "b", "-", input="[1]"))["created"], True)
        self.assertIn("12345678901234567890", self.ctl("get", "w", "a"))
        self.ctl("patch", "w", "a", '{"m":"ü"}')
        for words in (["get", "w", "a"], ["ls"], ["count"], ["category", "list"], ["history", "w", "a"],
                      ["changes"], ["methods"], ["token", "list"], ["search", "b"], ["export"]):
            self.assertEqual(self.ctl("-q", *words), sysrtctl(self.daemon, *words).stdout, words)
        self.assertEqual(json.loads(self.ctl("publish", "news", "1"))["receivers"], 0)
        self.assertEqual(json.loads(self.ctl("del", "w", "b"))["deleted"], True)
        self.assertTrue(json.loads(self.ctl("check"))["ok"])
        self.assertEqual(json.loads(self.ctl("session", "list"))["door"], "websocket")
        self.assertIn("sysrtd", json.loads(self.ctl("version")))
        self.refuse(4, "there is no record w/none", *self.options(), "get", "w", "none")
        self.refuse(7, "seq", *self.options(), "put", "--if-seq=99", "w", "a", "1")

    def test_plain(self):
        self.start()
        self.use_all()

    def test_tls(self):
        self.start(tls=True)
        self.use_all()

    def test_much_goes_in_and_comes_out(self):
        self.start(tls=True)
        records = "".join(json.dumps({"category": f"c.{i % 7}", "id": f"{i}", "data": "x" * (i % 300)})
                          + "\n" for i in range(20000))
        self.assertEqual(json.loads(self.ctl("import", "-", input=records))["written"], 20000)
        self.assertEqual(self.ctl("export"), sysrtctl(self.daemon, "export").stdout)
        large = json.dumps("y" * 900000)
        self.ctl("put", "large", "1", "-", input=large)
        self.assertEqual(self.ctl("get", "--data", "large", "1"), large + "\n")

    def test_shutdown(self):
        self.start()
        self.ctl("shutdown")
        self.assertEqual(self.daemon.wait_exit(), 0)
        self.refuse(3, "no connection to 127.0.0.1", *self.options(), "ping")

    def test_what_is_of_this_machine(self):
        self.start()
        self.refuse(1, "over its Unix socket only", *self.options(), "backup",
                    self.daemon.folder / "copy")
        self.assertFalse((self.daemon.folder / "copy").exists())
        self.assertEqual([p.name for p in self.daemon.folder.iterdir() if "copy" in p.name], [])
        for words in (["restore", "x"], ["migrate"], ["check", "--repair"]):
            self.refuse(1, "on the files of the daemon's machine", *self.options(), *words)

    def test_no_paths_of_the_daemons_files(self):
        self.start()
        for method, more in (("feed.add", {"name": "f"}), ("feed.test", {})):
            params = {"definition": {"url": "wss://127.0.0.1:1", "topic": "t", "ca": "/etc/passwd"},
                      **more}
            self.refuse(6, "ca names a file of the daemon's machine", *self.options(), "call", method,
                        json.dumps(params))
            params["definition"]["ca"] = ""
            self.ctl("call", method, json.dumps(params))


class Tokens(UrlTest):
    def test_scopes(self):
        self.start()
        reader = self.options(token=self.token("reader", "read"))
        self.assertEqual(self.run_ctl(*reader, "count").returncode, 0)
        self.refuse(6, "write", *reader, "put", "w", "a", "1")
        self.refuse(6, "admin", *reader, "session", "list")

    def test_one_that_is_void(self):
        self.start()
        token = self.token("gone", "read")
        sysrtctl(self.daemon, "token", "revoke", "gone")
        self.refuse(6, "token", *self.options(token=token), "count")

    def test_none(self):
        self.start(config='[websocket]\nauth = "required"\n')
        self.refuse(6, "token", *self.options(token=""), "count")
        self.assertEqual(self.ctl("count"), "0\n")

    def test_files(self):
        self.start()
        path = self.daemon.folder / "t"
        self.refuse(1, f"opening {path}: No such file", *self.options(token=path), "ping")
        text = self.token_file.read_text().strip()
        path.write_text(text)
        for mode in (0o640, 0o604, 0o620, 0o666):
            path.chmod(mode)
            self.refuse(1, f"mode {mode:04o}): chmod 600", *self.options(token=path), "ping")
        path.chmod(0o400)
        self.assertEqual(self.run_ctl(*self.options(token=path), "ping").returncode, 0)
        path.chmod(0o600)
        for content in ("", "\n", "one two", "one\ntwo\n", "x" * 5000, "a\0b"):
            path.write_text(content)
            self.refuse(1, "a token is one word in one line", *self.options(token=path), "ping")
        path.write_text("b\x01d")
        self.refuse(1, "control character", *self.options(token=path), "ping")
        path.write_text(" \t" + text + "\r\n\n")
        self.refuse(1, "one word", *self.options(token=path), "ping")

    def test_from_a_pipe(self):
        self.start()
        done = subprocess.run(
            ["bash", "-c", f'"{CTL}" --url {self.url} --token-file <(cat {self.token_file}) ping'],
            env=ENV, stdout=subprocess.PIPE, timeout=TIMEOUT_S, check=False)
        self.assertEqual(done.returncode, 0)

    def test_it_is_not_on_the_command_line_nor_in_messages(self):
        self.start(config='[log]\nfilter = "debug"\n')
        text = self.token_file.read_text().strip()
        done = self.run_ctl(*self.options(url=self.url + "/echo"), "ping")
        self.assertEqual(done.returncode, 1)
        self.assertNotIn(text, done.stderr + self.daemon.log())


class Settings(UrlTest):
    def test_environment(self):
        self.start(tls=True)
        env = {"SYSRT_URL": self.url, "SYSRT_TOKEN_FILE": str(self.token_file),
               "SYSRT_CA": str(certificates.ca)}
        self.assertEqual(json.loads(self.run_ctl("session", "list", env=env).stdout)["door"],
                         "websocket")
        socket = ["--socket", self.daemon.socket]
        self.assertEqual(json.loads(self.run_ctl(*socket, "session", "list", env=env).stdout)["door"],
                         "control")
        env["SYSRT_URL"] = "ws://127.0.0.1:1"
        self.assertEqual(self.run_ctl(*self.options(), "ping", env=env).returncode, 0)
        self.refuse(3, "127.0.0.1:1", "ping", env=env)
        self.refuse(2, "do not go together", "--url", self.url, *socket, "ping")

    def test_a_name_that_looks_like_this_machine(self):
        self.start()
        done = self.run_ctl("--url", "ws://127.example.invalid", "--token-file", self.token_file, "ping")
        self.assertEqual(done.returncode, 3)
        self.assertIn("the token goes over the network unencrypted", done.stderr)

    def test_urls(self):
        self.start()
        self.assertEqual(self.run_ctl(*self.options(url=self.url + "/ws"), "ping").returncode, 0)
        self.assertEqual(self.run_ctl(*self.options(url=self.url + "/"), "ping").returncode, 0)
        for url, status, text in (
                ("http://localhost", 1, "must begin with ws:// or wss://"),
                ("ws://me:secret@localhost", 1, "no user and no password"),
                (self.url + "/nowhere", 1, "404"),
                (self.url + "/livez", 1, "answers"),
                ("ws://no-such-host.invalid", 3, "no connection to no-such-host.invalid"),
                (self.url.replace("ws://", "wss://"), 3, "no connection to")):
            self.refuse(status, text, "--url", url, "--timeout=20s", "ping")

    def test_who_the_server_is(self):
        self.start(tls=True)
        self.refuse(3, "signed by an authority that is not trusted here: CN=sysrt test",
                    *self.options(ca=False), "ping", env={"SSL_CERT_DIR": "/nonexistent",
                                                          "SSL_CERT_FILE": "/nonexistent"})
        self.assertEqual(self.run_ctl(*self.options(ca=False), "ping",
                                      env={"SSL_CERT_FILE": str(certificates.ca)}).returncode, 0)
        self.refuse(1, "ca: opening /none: No such file", "--url", self.url, "--ca", "/none", "ping")
        self.refuse(1, "speaks TLS", "--url", self.url.replace("wss://", "ws://"), "ping")

    def test_another_server(self):
        certificates.make("other", "elsewhere")
        self.daemon = daemon_for(self, config=certificates.options("other"))
        self.refuse(3, "the server's certificate is not for 127.0.0.1, but for elsewhere.example, "
                       "*.elsewhere.example", "--url", f"wss://127.0.0.1:{self.daemon.port}",
                    "--ca", certificates.ca, "ping")

    def test_somebody_who_does_not_answer(self):
        self.start()
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(8)
            url = f"127.0.0.1:{silent.getsockname()[1]}"
            self.refuse(5, "does not answer", "--url", "ws://" + url, "--timeout=200ms", "ping")
            self.refuse(5, "does not answer", "--url", "wss://" + url, "--timeout=200ms", "ping")


class Relay:
    """A port that stays the same and leads to the daemon, whatever port that has now. limit: so many
    bytes come from there, and no more."""

    def __init__(self, daemon, limit=None):
        self.daemon = daemon
        self.limit = limit
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            self.sockets.append(near)
            try:
                far = socket.create_connection(("127.0.0.1", self.daemon.port))
            except OSError:
                near.close()
                continue
            self.sockets.append(far)
            for pair in ((near, far, None), (far, near, self.limit)):
                threading.Thread(target=self.pass_on, args=pair, daemon=True).start()

    @staticmethod
    def pass_on(a, b, limit):
        try:
            while data := a.recv(65536):
                b.sendall(data if limit is None else data[:limit])
                if limit is not None:
                    limit = max(0, limit - len(data))
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        for s in (self.listener, *self.sockets):
            s.close()


class Staying(UrlTest):
    """Connections that are there for long."""

    def watch(self, *args):
        out = self.daemon.folder / "watch.out"
        err = self.daemon.folder / "watch.err"
        with open(out, "wb") as o, open(err, "wb") as e:
            process = subprocess.Popen([CTL, *map(str, self.options()), "watch", *args],
                                       stdin=subprocess.DEVNULL, stdout=o, stderr=e, env=ENV)
        self.addCleanup(lambda: process.poll() is None and (process.kill(), process.wait()))

        def seqs():
            return [json.loads(line)["seq"] for line in out.read_bytes().split(b"\n")[:-1]]
        return process, seqs, err

    def put_some(self, n):
        with self.daemon.control() as control:
            last = control.call("record.count")["seq"]
            return [r["seq"] for r in control.call(
                "record.put_many", results=True, records=[
                    {"id": f"{last}-{i}", "data": i} for i in range(n)])["results"]]

    def follow(self, tls):
        self.start(tls=tls)
        relay = Relay(self.daemon)
        self.addCleanup(relay.close)
        self.url = f"{'wss' if tls else 'ws'}://127.0.0.1:{relay.port}"
        seqs = self.put_some(300)
        process, told, err = self.watch("--since", "0")
        wait_for(lambda: told()[-1:] == seqs[-1:])
        for how in ("kill", "stop"):
            getattr(self.daemon, how)()
            self.daemon.start()
            seqs += self.put_some(50)
            wait_for(lambda: told()[-1:] == seqs[-1:])
        self.assertEqual(told(), seqs)
        self.assertEqual(err.read_text().count("connecting again"), 2)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(TIMEOUT_S), 130)

    def test_watch_connects_again_and_misses_nothing(self):
        self.follow(tls=False)

    def test_watch_with_tls(self):
        self.follow(tls=True)

    def age_of_session(self):
        """Milliseconds since the newest WebSocket session was opened; 0 when there is none."""
        with self.daemon.control() as control:
            opened = [s["opened_at"] for s in control.call("session.list")["items"]
                      if s["door"] == "websocket"]
            return control.call("ping")["time"] - opened[-1] if opened else 0

    def test_half_a_record(self):
        """The time limit holds while the rest of a record does not come, and nothing is burnt."""
        self.start(tls=True)
        self.ctl("put", "large", "1", "-", input=json.dumps("z" * 500000))
        relay = Relay(self.daemon, limit=50000)
        self.addCleanup(relay.close)
        self.url = f"wss://127.0.0.1:{relay.port}"
        before = os.times()
        self.refuse(5, "no answer in time", *self.options(), "--timeout=2s", "get", "large", "1")
        after = os.times()
        used_s = (after.children_user - before.children_user
                  + after.children_system - before.children_system)
        self.assertLess(used_s, 1)

    def test_the_heartbeat_is_answered_by_who_waits(self):
        self.start(config='[websocket]\nheartbeat = "200ms"\n', tls=True)
        process, told, err = self.watch()
        wait_for(lambda: self.age_of_session() > 1500)  # more than three of them
        seqs = self.put_some(1)
        wait_for(lambda: told() == seqs)
        self.assertEqual(err.read_text(), "")
        self.assertIsNone(process.poll())

    def test_the_heartbeat_is_answered_while_an_import_waits_for_its_input(self):
        self.start(config='[websocket]\nheartbeat = "200ms"\n')
        with subprocess.Popen([CTL, *map(str, self.options()), "import", "-"], env=ENV,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            process.stdin.write(b'{"id":"1","data":1}\n')
            process.stdin.flush()
            wait_for(lambda: self.age_of_session() > 1500)
            out, err = process.communicate(b'{"id":"2","data":2}\n', timeout=TIMEOUT_S)
        self.assertEqual((process.returncode, err), (0, b""))
        self.assertEqual(json.loads(out)["written"], 2)

    def test_the_heartbeat_is_answered_while_a_replay_waits(self):
        """For its turn, and for its input."""
        self.start(config='[websocket]\nheartbeat = "200ms"\n[feed.f]\nurl = "ws://127.0.0.1:1/"\n'
                          'enabled = false\ncategory = "c"\nid = "{/id}"\n')
        lines = [json.dumps({"at": at, "text": json.dumps({"id": f"{at}"})}) + "\n" for at in (0, 1500)]
        path = self.daemon.folder / "f.ndjson"
        path.write_text("".join(lines))
        self.assertIn('"records":2', self.ctl("feed", "replay", path, "--speed", "1x"))
        with subprocess.Popen([CTL, *map(str, self.options()), "feed", "replay", "-", "--feed", "f"], env=ENV,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            wait_for(lambda: self.age_of_session() > 1500)
            out, err = process.communicate("".join(lines).encode(), timeout=TIMEOUT_S)
        self.assertEqual((process.returncode, err), (0, b""))
        self.assertEqual(json.loads(out)["records"], 2)

    def test_who_is_asked_may_take_long(self):
        self.start(config='[websocket]\nheartbeat = "200ms"\n[vault]\nargon2_memory = "1MiB"\nargon2_passes = 1\n')
        with subprocess.Popen([CTL, *map(str, self.options()), "vault", "unlock"], env=ENV, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            time.sleep(1.5)
            out, err = process.communicate(b"correct horse\n", timeout=TIMEOUT_S)
        self.assertEqual(process.returncode, 0, err)
        self.assertEqual(json.loads(out)["state"], "open")


class BehindNginx(UrlTest):
    def front(self, tls):
        self.start(config='[websocket]\nhosts = ["localhost"]\n')
        pair = (certificates.cert("server"), certificates.key("server")) if tls else None
        self.nginx = nginx_for(
            self, PASS.format(path="/ws", to=f"http://127.0.0.1:{self.daemon.port}")
            + "        location / { return 307 /elsewhere; }\n", certificate=pair)
        self.url = f"{'wss' if tls else 'ws'}://localhost:{self.nginx.port}"

    def test_it_passes_all_on(self):
        for tls in (False, True):
            with self.subTest(tls=tls):
                self.front(tls)
                self.ctl("put", "w", "a", '{"n":1}')
                self.assertEqual(self.ctl("export"), sysrtctl(self.daemon, "export").stdout)
                records = "".join(f'{{"id":"{i}","data":{i}}}\n' for i in range(3000))
                self.assertEqual(json.loads(self.ctl("import", "-", input=records))["written"], 3000)
                self.assertEqual(self.ctl("count"), "3001\n")

    def test_its_refusals(self):
        self.front(True)
        self.refuse(1, "redirects to", *self.options(url=self.url + "/x"), "ping")
        self.daemon.stop()
        self.refuse(8, "502", *self.options(), "ping")
        self.daemon.start()


if __name__ == "__main__":
    unittest.main()

"""Where the secrets that feeds send are not: in no log, no answer, no recording and no metric, also when
the upstream says them back, in whatever place and writing; and in no memory but what is locked.

builds: release
"""

import base64
import hashlib
import hmac
import json
import os
import unittest

from feeds import PRICES, FeedTest, price, section
from harness import BINARY, CLOSE, TEXT, daemon_for, http_get, sysrtctl, wait_for
from test_vault_memory import dumpable
from upstream import Upstream, close_payload, upstream_for

TOO_MUCH = 2048
SAID_ALONE = ("long", "wide", "json", "wide-reason", "long-protocol", "long-close")
FAST = 'argon2_memory = "1MiB"\nargon2_passes = 1\n'


def forms(part):
    """How a text may be written."""
    yield part
    yield "".join(f"\\u00{b:02x}" for b in part).encode()
    for shift in range(3):  # in base64, whatever stands before it
        yield base64.b64encode(b"\0" * shift + part)[4 if shift else 0:-4]


class Echo(Upstream):
    """Says back all that it was told, wherever something can be said."""

    def __init__(self):
        self.heard = []
        self.signatures = []
        super().__init__(self.echo)

    def echo(self, peer):
        peer.read_head()
        told = " ".join(value for name, value in peer.headers.items() if name.startswith("x-"))
        self.signatures.append(peer.headers.get("x-sign"))
        target = peer.target.partition("?")[0]
        if target == "/refuse":
            peer.answer("403 No", f"X-Echo: {told}", f"Set-Cookie: {told}", body=told.encode())
        elif target.startswith("/cut"):  # so that a reason which is shortened ends in a secret
            peer.answer("403 No", body=b"x" * int(target[4:]) + 5 * (b" " + told.encode()))
        elif target in ("/long", "/wide"):  # alone, and more than is shown of a refusal
            peer.answer("403 No", body=b"no: " + 5 * (peer.headers[f"z{target}".replace("/", "-")]
                                                      + " ").encode())
        elif target == "/json":  # cut in the middle, wherever that is
            peer.answer("403 No", body=json.dumps({"no": peer.headers["z-long"]}).encode())
        elif target == "/wide-reason":
            peer.answer(f"403 {peer.headers['z-wide'][:60]}")
        elif target == "/long-protocol":
            peer.switch(f"Sec-WebSocket-Protocol: {peer.headers['z-long']}")
        elif target == "/long-close":
            peer.switch()
            peer.send_frame(CLOSE, close_payload(4000, peer.headers["z-long"][:123].encode()))
            peer.linger()
        elif target == "/wait":
            peer.answer(f"503 {told}", f"X-Echo: {told}", body=told.encode())
        elif target == "/reason":
            peer.answer(f"503 {'x' * 20} {told}")
        elif target == "/move":
            peer.answer("302 There", f"Location: /there?{told.replace(' ', '+')}")
        elif target == "/loop":
            peer.answer("302 There", f"Location: /loop?{told.replace(' ', '+')}")
        elif target == "/protocol":
            peer.switch(f"Sec-WebSocket-Protocol: {told}", f"X-Echo: {told}")
        elif target == "/garbage":
            peer.send_raw(f"{told}\r\n\r\n".encode("latin-1"))
        else:
            peer.switch(f"X-Echo: {told}", f"Set-Cookie: session={told}", f"Server: {told}")
            self.talk(peer, told, ends=target == "/close")

    def talk(self, peer, told, ends):
        login = peer.recv_text()
        self.heard.append((told, login))
        for text in (told, login):
            for echo in (text, json.dumps(text), json.dumps({"type": "echo", "of": [text, {text: 1}]}),
                         "\\u00" + "\\u00".join(f"{b:02x}" for b in text.encode()),
                         '{"type":"price","market":%s,"id":"1","data":1}' % json.dumps(text),
                         '{"type":"price","market":"m","id":{"x":%s},"data":1}' % json.dumps(text),
                         price("m", json.dumps(text[:400])[1:-1], f'"{"x" * TOO_MUCH}"')):
                peer.send_text(echo)
                peer.send_frame(BINARY, echo.encode())
                data = echo.encode()
                peer.send_frame(TEXT, data[:len(data) // 2], fin=False)
                peer.send_frame(0, data[len(data) // 2:])
        peer.send_text(price("done", peer.number, "1"))
        peer.settle()
        if ends:
            peer.send_frame(CLOSE, close_payload(4000, told.encode()))
        peer.linger()


class Secrets(FeedTest):
    def setUp(self):
        self.planted = {}
        self.values = {"plain": self.plant("a token"),
                       "odd": 'a"b\\c/\t' + self.plant("one with escapes") + "ü",
                       "key": self.plant("a key that signs"),
                       "long": self.plant("a long one", 200),
                       "wide": self.plant("one with blanks", 10) + "  " +
                       self.plant("one with blanks, its end")}
        self.echo = Echo()
        self.addCleanup(self.echo.close)

    def plant(self, what, size=20):
        text = os.urandom(size).hex()
        self.planted[what] = text
        return text

    def begin(self, *feeds, **keys):
        keys = {"headers": ["X-Token: Bearer ${secret:plain}", "X-Sign: ${signature}",
                            "Z-Long: ${secret:long}", "Z-Wide: ${secret:wide}"],
                "on_connect": ['{"login":"${secret:odd}","sign":"${signature}","at":${now_ms}}'],
                "sign_text": "GET/${now_ms}${secret:plain}", "sign_secret": "key",
                "drop_unmapped": False, **PRICES, **keys}
        self.definition = {"url": self.echo.url("/ok"), **keys}
        sections = [section(name, url=self.echo.url(f"/{name}"), record=f"{name}.rec", **keys)
                    for name in feeds]
        self.daemon = daemon_for(self, start=False)
        key_file = self.daemon.folder.parent / (self.daemon.folder.name + ".key")
        key_file.write_bytes(os.urandom(32))
        key_file.chmod(0o400)
        self.addCleanup(key_file.unlink)
        self.daemon.config_path.write_text(
            f'[vault]\nkey_file = "{key_file}"\n{FAST}[log]\nfilter = "trace"\n'
            f'audit = "{self.daemon.folder / "audit"}"\n[store]\nmax_record = "1KiB"\n'
            + "".join(sections))
        self.daemon.start()
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        for name, value in self.values.items():
            self.control.call("secret.set", name=name, value=value)
        for name in feeds:
            self.control.call("feed.start", name=name)

    def note_signatures(self):
        for n, signature in enumerate(filter(None, self.echo.signatures)):
            self.planted[f"signature {n}"] = signature
        for told, login in self.echo.heard:
            message = json.loads(login)
            self.assertEqual(message["login"], self.values["odd"])
            signed = f"GET/{message['at']}{self.values['plain']}"
            signature = hmac.digest(self.values["key"].encode(), signed.encode(), hashlib.sha256).hex()
            self.assertEqual(message["sign"], signature)
            self.assertIn(signature, told)

    def expect_nowhere(self, text, where):
        """No whole one, nor the half that a text which was cut could have."""
        text = text if isinstance(text, bytes) else text.encode()
        for what, planted in self.planted.items():
            for form in forms(planted[:min(20, len(planted) // 2)].encode()):
                if form in text:
                    at = text.index(form)
                    self.fail(f"{what} is in {where}: {text[max(0, at - 200):at + 60]!r}")

    def all_answers(self, names):
        calls = [("feed.list", {}), ("status", {}), ("system.stats", {}), ("system.config", {}),
                 ("session.list", {}), ("secret.list", {})]
        for name in names:
            calls += [("feed.show", {"name": name}), ("feed.logs", {"name": name, "limit": 1000})]
        for method, params in calls:
            yield f"{method} {params}", json.dumps(self.control.call(method, **params),
                                                   ensure_ascii=False)
        yield "/metrics", http_get(self.daemon.port, "/metrics")[2]
        for args in (["ls"], *(["show", name] for name in names), *(["logs", name] for name in names)):
            done = sysrtctl(self.daemon, "feed", *args, check=False)
            yield f"sysrtctl feed {args}", done.stdout + done.stderr

    def check_files(self):
        for path in self.daemon.folder.rglob("*"):
            if path.is_file() and not path.name.startswith("sysrt.db"):
                self.expect_nowhere(path.read_bytes(), path.name)

    def test_what_comes_back(self):
        cuts = [f"cut{n}" for n in range(0, 200, 7)]
        names = ["ok", "refuse", "wait", "move", "loop", "protocol", "garbage", "close", "reason",
                 *SAID_ALONE, *cuts]
        self.begin(*names)
        for name in ("ok", "move", "close"):
            wait_for(lambda n=name: (self.daemon.folder / "recordings" / f"{n}.rec.ndjson").exists()
                     and b'"done' in (self.daemon.folder / "recordings" / f"{n}.rec.ndjson")
                     .read_bytes().replace(b"\\", b""), what=f"the recording of {name}")
        for name in ("refuse", "wait", "loop", "protocol", "garbage", "close", "reason", *SAID_ALONE,
                     *cuts):
            wait_for(lambda n=name: self.show(n).get("why"), what=f"{name} to say why")
        self.note_signatures()
        for where, text in self.all_answers(names):
            self.expect_nowhere(text, where)
        self.check_files()
        recorded = (self.daemon.folder / "recordings" / "ok.rec.ndjson").read_text()
        self.assertIn("***", recorded)
        self.assertIn("level=debug", self.daemon.log())

    def test_feed_test(self):
        """It shows what came, but not that."""
        self.begin()
        answers = [self.control.call("feed.test", name="try", definition=self.definition, messages=40,
                                     timeout_ms=5000)]
        self.assertGreater(len(answers[0]["messages"]), 10)
        for target in ("refuse", "protocol", "garbage", "loop", "wait"):
            answers.append(self.control.call(
                "feed.test", name="try", messages=1, timeout_ms=5000,
                definition={**self.definition, "url": self.echo.url(f"/{target}")}))
            self.assertFalse(answers[-1]["ok"])
        done = sysrtctl(self.daemon, "feed", "add", "kept", json.dumps(self.definition))
        tested = sysrtctl(self.daemon, "feed", "test", "kept", "--messages", "20", check=False)
        self.note_signatures()
        self.expect_nowhere(json.dumps(answers, ensure_ascii=False), "feed.test")
        self.expect_nowhere(done.stdout + done.stderr + tested.stdout + tested.stderr, "sysrtctl")
        self.check_files()

    def test_a_locked_vault(self):
        """The feed is paused and says so, whatever it had; then it goes on."""
        self.begin("ok")
        self.wait_state("ok", "live")
        self.control.call("vault.lock")
        self.echo.hang_up()
        self.assertIn("vault", self.wait_state("ok", "paused")["why"])
        self.control.call("vault.unlock")
        self.wait_state("ok", "live")

    def test_memory(self):
        """While one is live whose upstream does not say them back."""
        def serve(peer):
            peer.shake_hands()
            seen.append(peer.recv_text())
            peer.send_text(price("m", 0, "1"))
            peer.linger()

        seen = []
        upstream = upstream_for(self, serve)
        self.echo.url = upstream.url
        self.begin("quiet")
        wait_for(lambda: len(self.stored()) == 1, what="a record")
        for _ in range(2):
            self.control.call("ping")
        pieces = dumpable(self.daemon.pid)
        self.assertTrue(any(b"${secret:plain}" in piece for piece in pieces))
        for piece in pieces:
            for what, planted in self.planted.items():
                self.assertFalse(planted.encode() in piece, f"{what} is in the memory")


if __name__ == "__main__":
    unittest.main()

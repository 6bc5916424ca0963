"""Tokens: making, showing, revoking and losing them, on a real daemon.

builds: asan; in check-long: release
"""

import base64
import os
import re
import sqlite3
import subprocess
import time
import unittest
import zlib

from harness import BUILD, Closed, Daemon, RpcError, Ws, daemon_for, http_get, sysrtctl

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKEN = re.compile(r"sysrt_[0-9A-Za-z]{49}")
REQUIRED = '[websocket]\nauth = "required"\n'
UNAUTHENTICATED = 4101


def checksum(text):
    value, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        digits = DIGITS[value % 62] + digits
        value //= 62
    return digits


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def subprotocol(token):
    encoded = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    return f"sysrt.v1, base64url.bearer.authorization.{encoded}"


def create(daemon, name="t", scopes=("read:a",), **params):
    with daemon.control() as control:
        return control.call("token.create", name=name, scopes=list(scopes), **params)["token"]


class TokenTest(unittest.TestCase):
    def refuse(self, peer, code, method, /, **params):
        with self.assertRaises(RpcError) as caught:
            peer.call(method, **params)
        self.assertEqual(caught.exception.code, code, caught.exception.message)
        return caught.exception.message

    def expect_closed(self, ws, *words):
        with self.assertRaises(Closed) as caught:
            while True:
                ws.recv_text()
        self.assertEqual(caught.exception.code, UNAUTHENTICATED)
        for word in words:
            self.assertIn(word, caught.exception.reason)
        ws.close()


class Shared(TokenTest):
    """One daemon for all tests of a class, without tokens at the beginning of each."""

    CONFIG = ""

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon()
        cls.addClassCleanup(cls.daemon.close)

    def setUp(self):
        self.daemon.configure(self.CONFIG)
        with self.daemon.control() as control:
            for token in control.call("token.list")["items"]:
                control.call("token.revoke", name=token["name"])


class Making(Shared):
    def setUp(self):
        super().setUp()
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)

    def test_what_it_looks_like(self):
        made = [self.control.call("token.create", name=f"t{i}", scopes="read") for i in range(20)]
        tokens = {m["token"] for m in made}
        self.assertEqual(len(tokens), 20)
        for token in tokens:
            self.assertTrue(TOKEN.fullmatch(token), token)
            self.assertEqual(token[-6:], checksum(token[:-6]))

    def test_what_is_told_and_kept(self):
        before = time.time_ns() // 1_000_000
        made = self.control.call("token.create", name="ci", ttl="90d",
                                 scopes=["publish:alerts", "read:ticker,sensor.*"])
        self.assertEqual(made["scopes"], ["read:ticker,sensor.*", "publish:alerts"])
        self.assertGreaterEqual(made["expires_at"], before + 90 * 86_400_000)
        items = self.control.call("token.list")["items"]
        self.assertEqual(items, [{key: made[key] for key in
                                  ("name", "scopes", "created_at", "expires_at")}])
        self.daemon.stop()
        for path in self.daemon.folder.iterdir():
            if path.is_file():
                self.assertNotIn(made["token"].encode(), path.read_bytes(), path)
        db = sqlite3.connect(self.daemon.store)
        self.addCleanup(db.close)
        (name, hash_), = db.execute("SELECT name, hash FROM tokens WHERE name <> '$key'")
        self.assertEqual((name, len(hash_)), ("ci", 64))
        self.daemon.start()
        with self.daemon.control() as control:
            self.assertEqual(control.call("token.list")["items"], items)
        with self.daemon.ws(headers=bearer(made["token"])) as ws:
            self.assertEqual(ws.notification("hello")["token"], "ci")

    def test_refusals(self):
        self.control.call("token.create", name="t", scopes="read")
        for code, words, params in (
                ("CONFLICT", "already", {"name": "t", "scopes": "write"}),
                ("INVALID_ARGUMENT", "scopes: \"reed\" is none of", {"name": "x", "scopes": "reed"}),
                ("INVALID_ARGUMENT", "scopes must not be empty", {"name": "x", "scopes": []}),
                ("INVALID_ARGUMENT", "scopes must be a string", {"name": "x", "scopes": [1]}),
                ("INVALID_ARGUMENT", "no names follow", {"name": "x", "scopes": "admin:a"}),
                ("INVALID_ARGUMENT", "reserved", {"name": "$key", "scopes": "read"}),
                ("INVALID_ARGUMENT", "not both",
                 {"name": "x", "scopes": "read", "ttl": "1d", "expires_at": "2099-01-01T00:00:00Z"}),
                ("INVALID_ARGUMENT", "past",
                 {"name": "x", "scopes": "read", "expires_at": "2001-01-01T00:00:00Z"})):
            self.assertIn(words, self.refuse(self.control, code, "token.create", **params))
        self.refuse(self.control, "NOT_FOUND", "token.revoke", name="x")
        self.refuse(self.control, "INVALID_ARGUMENT", "token.revoke", name="$key")
        self.assertEqual([t["name"] for t in self.control.call("token.list")["items"]], ["t"])

    def test_nobody_grants_more_than_what_is_theirs(self):
        token = create(self.daemon, scopes=("admin", "read:a*"))
        with self.daemon.ws(headers=bearer(token)) as ws:
            self.assertIn("needs write:a, ", self.refuse(ws, "PERMISSION_DENIED", "token.create",
                                                         name="x", scopes=["read:ab", "write:a"]))
            self.assertIn("needs read, ", self.refuse(ws, "PERMISSION_DENIED", "token.create",
                                                      name="x", scopes="read"))
            ws.call("token.create", name="x", scopes=["admin", "read:ab"])
            self.assertEqual(len(ws.call("token.list")["items"]), 2)

    def test_last_use_is_kept_without_a_write_for_each(self):
        token = create(self.daemon)
        writes = self.control.call("status")["store"]["writes"]
        self.assertNotIn("used_at", self.control.call("token.list")["items"][0])
        with self.daemon.ws(headers=bearer(token)) as ws:
            for _ in range(20):
                ws.call("ping")
        used = self.control.call("token.list")["items"][0]["used_at"]
        self.assertAlmostEqual(used, time.time_ns() // 1_000_000, delta=60_000)
        self.assertEqual(self.control.call("status")["store"]["writes"], writes)
        self.daemon.restart()
        with self.daemon.control() as control:
            self.assertEqual(control.call("token.list")["items"][0]["used_at"], used)
        checked = subprocess.run([BUILD / "sysrtd", "--store", self.daemon.store, "store", "check"],
                                 capture_output=True, text=True, check=False)
        self.assertNotIn("token", checked.stdout)

    def test_backup_and_compact_have_them(self):
        token = create(self.daemon)
        copy = self.daemon.folder / "copy.db"
        sysrtctl(self.daemon, "backup", str(copy), "--verify")
        other = daemon_for(self, store=copy)
        with other.ws(headers=bearer(token)) as ws:
            self.assertEqual(ws.notification("hello")["token"], "t")
        self.daemon.stop()
        subprocess.run([BUILD / "sysrtd", "store", "compact", self.daemon.store], check=True,
                       stdout=subprocess.DEVNULL)
        self.daemon.start()
        with self.daemon.ws(headers=bearer(token)) as ws:
            ws.call("record.count", category="a")


class Damage(TokenTest):
    """What somebody else did to the rows."""

    def setUp(self):
        self.daemon = daemon_for(self)
        self.tokens = {name: create(self.daemon, name) for name in ("kept", "changed")}
        with self.daemon.control() as control:
            control.call("record.put", data=1)
        self.daemon.stop()

    def sql(self, text):
        db = sqlite3.connect(self.daemon.store, isolation_level=None)
        db.execute(text)
        db.close()

    def store(self, verb):
        return subprocess.run([BUILD / "sysrtd", "store", verb, self.daemon.store],
                              capture_output=True, text=True, check=False, env=self.daemon.env)

    def test_a_row_that_does_not_prove_itself_is_void(self):
        self.sql("UPDATE tokens SET scopes = 'admin' WHERE name = 'changed'")
        self.assertIn("tokens changed", self.store("check").stdout)
        self.daemon.start()
        with self.daemon.ws(headers=bearer(self.tokens["changed"])) as ws:
            self.expect_closed(ws, "not known")
        with self.daemon.ws(headers=bearer(self.tokens["kept"])) as ws:
            ws.call("ping")
        self.daemon.stop()
        repaired = self.store("repair")
        self.assertEqual(repaired.returncode, 0, repaired.stderr)
        self.assertNotIn("tokens changed", self.store("check").stdout)
        self.daemon.start()
        with self.daemon.control() as control:
            self.assertEqual([t["name"] for t in control.call("token.list")["items"]], ["kept"])
        with self.daemon.ws(headers=bearer(self.tokens["kept"])) as ws:
            ws.call("ping")

    def test_without_the_key_none_is_good(self):
        self.sql("UPDATE tokens SET hash = 'x' WHERE name = '$key'")
        self.daemon.start()
        with self.daemon.ws(headers=bearer(self.tokens["kept"])) as ws:
            self.expect_closed(ws, "not known")
        with self.daemon.control() as control:
            self.assertIn("repair", self.refuse(control, "UNAVAILABLE", "token.create", name="n",
                                                scopes="read"))
        self.daemon.stop()
        self.assertEqual(self.store("repair").returncode, 0)
        self.daemon.start()
        with self.daemon.ws(headers=bearer(create(self.daemon, "new"))) as ws:
            ws.call("ping")


class Showing(Shared):
    CONFIG = REQUIRED

    def setUp(self):
        super().setUp()
        self.token = create(self.daemon)

    def test_all_three_ways(self):
        for how in ({"headers": bearer(self.token)}, {"subprotocol": subprotocol(self.token)}):
            with self.daemon.ws(**how) as ws:
                self.assertNotIn("token", ws.headers.get("sec-websocket-protocol", ""))
                hello = ws.notification("hello")
                self.assertEqual((hello["token"], hello["scopes"]), ("t", ["read:a"]))
                self.assertEqual(ws.call("record.count", category="a")["count"], 0)
                self.assertIn("needs read:b, ", self.refuse(ws, "PERMISSION_DENIED", "record.get",
                                                            category="b", id="x"))
        with self.daemon.ws() as ws:
            self.refuse(ws, "UNAUTHENTICATED", "ping")
            self.refuse(ws, "UNAUTHENTICATED", "no.such.method")
            self.assertFalse(ws.notifications)
            answer = ws.send("auth", token=self.token)
            self.assertEqual(ws.recv()["method"], "hello")
            self.assertEqual(ws.answer(answer), {"name": "t", "scopes": ["read:a"]})
            ws.call("ping")

    def test_one_with_very_many_names(self):
        names = [f"{i:03}{'n' * 125}" for i in range(256)]
        token = create(self.daemon, name="many", scopes=(f"read:{','.join(names)}",))
        with self.daemon.ws(headers=bearer(token)) as ws:
            self.assertEqual(ws.notification("hello")["scopes"], [f"read:{','.join(names)}"])

    def test_the_answer_never_has_the_token(self):
        with self.daemon.ws(subprotocol=subprotocol(self.token)) as ws:
            self.assertEqual(ws.headers["sec-websocket-protocol"], "sysrt.v1")

    def test_a_bad_one_closes(self):
        wrong = self.token[:-1] + ("a" if self.token[-1] != "a" else "b")
        unknown = "sysrt_" + "x" * 43
        for token, word in ((wrong, "checksum"), (unknown + checksum(unknown), "not known"),
                            ("", "no token"), ("x" * 2000, "no token")):
            for how in ({"headers": bearer(token)}, {"subprotocol": subprotocol(token)}):
                ws = self.daemon.ws(**how)
                self.assertEqual(ws.status, 101)
                self.expect_closed(ws, word)
        with self.daemon.ws() as ws:
            self.assertIn("checksum", self.refuse(ws, "UNAUTHENTICATED", "auth", token=wrong))
            ws.call("auth", token=self.token)

    def test_never_in_the_url(self):
        for query in (f"?token={self.token}", f"?x={self.token}", "?access_token=secret"):
            with self.daemon.ws(path="/ws" + query, accept_any=True) as ws:
                self.assertEqual(ws.status, 400)
        _, _, body = http_get(self.daemon.port, f"/ws?token={self.token}", headers={
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode()})
        self.assertIn(b"does not belong in a URL", body)
        self.assertNotIn(self.token, self.daemon.log())
        self.assertNotIn("secret", self.daemon.log())

    def test_two_are_too_many(self):
        with Ws(self.daemon.port, headers=bearer(self.token), subprotocol=subprotocol(self.token),
                accept_any=True) as ws:
            self.assertEqual(ws.status, 400)

    def test_no_token_is_ever_logged(self):
        self.daemon.configure(REQUIRED + '[log]\nfilter = "trace"\n')
        with self.daemon.ws(headers=bearer(self.token)) as ws:
            ws.call("auth", token=self.token)
        with self.daemon.ws() as ws:
            ws.call("auth", token=self.token)
            self.refuse(ws, "UNAUTHENTICATED", "auth", token=self.token + "x")
        self.assertNotIn(self.token, self.daemon.log())

    def test_who_shows_none_in_time_is_closed(self):
        self.daemon.configure(REQUIRED + 'auth_timeout = "100ms"\n')
        with self.daemon.ws() as ws:
            self.expect_closed(ws, "auth_timeout")

    def test_not_in_a_batch(self):
        with self.daemon.ws() as ws:
            ws.send_text('[{"jsonrpc":"2.0","id":1,"method":"auth","params":{"token":"x"}}]')
            self.assertEqual(ws.recv()[0]["error"]["data"]["code"], "INVALID_REQUEST")

    def test_strangers_take_nobodys_place(self):
        self.daemon.configure(REQUIRED + "max_sessions = 2\n")
        with self.daemon.control() as control:
            strangers = [self.daemon.ws() for _ in range(5)]
            for ws in strangers:
                self.addCleanup(ws.close)
            self.assertEqual(control.call("status")["websocket"]["sessions"], 0)
            strangers[0].call("auth", token=self.token)
            strangers[1].call("auth", token=self.token)
            self.refuse(strangers[2], "LIMIT_EXCEEDED", "auth", token=self.token)
            self.refuse(strangers[2], "UNAUTHENTICATED", "ping")
            self.assertEqual(control.call("status")["websocket"]["sessions"], 2)

    def test_the_echo_too(self):
        self.daemon.configure(REQUIRED + "echo = true\n")
        self.expect_closed(self.daemon.ws(path="/echo"), "token")
        with self.daemon.ws(path="/echo", headers=bearer(self.token)) as ws:
            ws.send_text("x")
            self.assertEqual(ws.recv_text(), "x")

    def test_not_on_the_control_socket(self):
        with self.daemon.control() as control:
            self.refuse(control, "INVALID_REQUEST", "auth", token=self.token)


class Losing(Shared):
    def setUp(self):
        super().setUp()
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)

    def test_revoking_closes_the_sessions_that_use_it(self):
        tokens = {name: create(self.daemon, name) for name in ("a", "b")}
        using = [self.daemon.ws(headers=bearer(tokens["a"])) for _ in range(3)]
        with self.daemon.ws(headers=bearer(tokens["b"])) as other, self.daemon.ws() as anonymous:
            for ws in using:
                ws.call("subscribe", categories="a")
            self.control.call("token.revoke", name="a")
            for ws in using:
                closing = ws.notification("closing")
                self.assertIn("revoked", closing["reason"])
                self.assertNotIn("retry_after_ms", closing)
                self.expect_closed(ws, "revoked")
            self.expect_closed(self.daemon.ws(headers=bearer(tokens["a"])), "not known")
            other.call("ping")
            anonymous.call("ping")
        self.daemon.restart()
        self.expect_closed(self.daemon.ws(headers=bearer(tokens["a"])), "not known")

    def test_one_that_the_store_has_not(self):
        token = create(self.daemon)
        with self.daemon.ws(headers=bearer(token)) as ws:
            db = sqlite3.connect(self.daemon.store, isolation_level=None)
            db.execute("DELETE FROM tokens WHERE name = 't'")
            db.close()
            self.refuse(self.control, "NOT_FOUND", "token.revoke", name="t")
            self.expect_closed(ws, "revoked")
        self.expect_closed(self.daemon.ws(headers=bearer(token)), "not known")

    def test_revoking_ones_own(self):
        token = create(self.daemon, scopes=("admin",))
        with self.daemon.ws(headers=bearer(token)) as ws:
            self.assertEqual(ws.call("token.revoke", name="t"), {})
            self.expect_closed(ws, "revoked")

    def test_a_name_is_free_again(self):
        first = create(self.daemon)
        self.control.call("token.revoke", name="t")
        self.assertNotEqual(create(self.daemon), first)

    def test_expiry_closes(self):
        token = create(self.daemon, ttl="1500ms")
        with self.daemon.ws(headers=bearer(token)) as ws, self.daemon.ws() as late:
            late.call("auth", token=token)
            self.expect_closed(ws, "expired")
            self.expect_closed(late, "expired")
        self.expect_closed(self.daemon.ws(headers=bearer(token)), "expired")
        self.assertIn("expires_at", self.control.call("token.list")["items"][0])
        with self.daemon.ws(headers=bearer(create(self.daemon))) as ws:  # its name is free
            ws.call("ping")
        self.expect_closed(self.daemon.ws(headers=bearer(token)), "not known")

    def test_auth_renews(self):
        """Another token takes the place of the first, which may then go."""
        old, new = create(self.daemon, "old", ["read"]), create(self.daemon, "new", ["read:a"])
        with self.daemon.ws(headers=bearer(old)) as ws:
            kept = ws.call("subscribe", categories="a")["subscription"]
            lost = ws.call("subscribe", categories="*")["subscription"]
            self.assertEqual(ws.call("auth", token=new)["name"], "new")
            self.assertEqual(ws.notification("unsubscribed")["subscription"], lost)
            self.control.call("token.revoke", name="old")
            self.control.call("record.put", category="a", id="x", data=1)
            self.assertEqual(ws.notification("change")["subscription"], kept)
            self.refuse(ws, "UNAUTHENTICATED", "auth", token=old)
            self.assertEqual(ws.call("record.get", category="a", id="x")["record"]["data"], 1)
            sessions = self.control.call("session.list")["items"]
            self.assertEqual([s.get("token") for s in sessions if s["door"] == "websocket"], ["new"])

    def test_requiring_them_closes_those_without(self):
        token = create(self.daemon)
        with self.daemon.ws() as without, self.daemon.ws(headers=bearer(token)) as ws:
            without.call("ping")
            self.daemon.configure(REQUIRED)
            self.expect_closed(without, "needed from now on")
            ws.call("ping")


class Addresses(TokenTest):
    """Which listener asks for tokens. No address but loopback's is bound here."""

    def test_loopback_is_easy_and_a_proxy_is_not_loopback(self):
        daemon = daemon_for(self)
        token = create(daemon)
        with daemon.ws() as ws:
            ws.call("record.put", data=1)
        for name in ("Forwarded", "X-Forwarded-For", "x-forwarded-proto", "X-Real-IP", "Via"):
            with daemon.ws(headers={name: "1.2.3.4"}, accept_any=True) as ws:
                self.assertEqual(ws.status, 403, name)
            with daemon.ws(headers={name: "1.2.3.4", **bearer(token)}) as ws:
                ws.call("ping")
        _, _, body = http_get(daemon.port, "/ws", headers={
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Via": "1.1 x", "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode()})
        self.assertIn(b"websocket.auth", body)
        for auth in ("required", "none"):
            daemon.configure(f'[websocket]\nauth = "{auth}"\n')
            with daemon.ws(headers={"Via": "1.1 x"}) as ws:
                self.assertEqual(ws.status, 101)

    def test_an_address_of_the_network_asks_for_tokens(self):
        """It is judged by what the socket is bound to, not by where the client is."""
        daemon = daemon_for(self, args=["--listen", "0.0.0.0:0"])
        self.assertIn("nobody can come in without a token", daemon.log())
        self.assertIn("not encrypted", daemon.log())
        token = create(daemon)
        with daemon.control() as control:
            address, = (a for a in control.call("status")["websocket"]["listen"]
                        if a.startswith("0.0.0.0:"))
        port = int(address.rpartition(":")[2])
        with Ws(port) as ws:
            self.refuse(ws, "UNAUTHENTICATED", "ping")
            ws.call("auth", token=token)
        daemon.configure('[websocket]\nauth = "none"\n')
        with Ws(port) as ws:
            ws.call("ping")
        daemon.restart()
        self.assertIn("websocket.auth is", daemon.log())

    def status_of(self, daemon, **options):
        with daemon.ws(accept_any=True, **options) as ws:
            return ws.status

    def client_of(self, daemon, ws):
        ws.call("ping")
        with daemon.control() as control:
            return [s["client"] for s in control.call("session.list")["items"]
                    if s["door"] == "websocket"][-1]

    def test_a_trusted_proxy_is_believed(self):
        daemon = daemon_for(self, config='[websocket]\ntrusted_proxies = ["127.0.0.1"]\n')
        token = create(daemon)
        far = {"X-Forwarded-For": "203.0.113.9, 192.0.2.7, 127.0.0.1"}
        with daemon.ws(headers=far) as ws:
            self.refuse(ws, "UNAUTHENTICATED", "ping")
            ws.call("auth", token=token)
            self.assertEqual(self.client_of(daemon, ws), "192.0.2.7")
        with daemon.ws(headers={"X-Forwarded-For": "::1"}) as near:
            self.assertEqual(self.client_of(daemon, near), "::1")
        self.assertEqual(self.status_of(daemon, headers={"X-Forwarded-For": "a"}), 400)
        self.assertEqual(self.status_of(daemon, headers={"Via": "1.1 x"}), 403)
        page = {"Origin": "https://127.0.0.1", **far}
        self.assertEqual(self.status_of(daemon, host="127.0.0.1", headers=page), 403)
        page["X-Forwarded-Proto"] = "https"
        self.assertEqual(self.status_of(daemon, host="127.0.0.1", headers=page), 101)
        page["Origin"] = "https://other.example.org"
        self.assertEqual(self.status_of(daemon, host="127.0.0.1", headers=page), 403)
        daemon.configure("")
        self.assertEqual(self.status_of(daemon, headers=far), 403)

    def test_the_proxy_protocol(self):
        daemon = daemon_for(self, config='[websocket]\ntrusted_proxies = ["127.0.0.1"]\n'
                                         "proxy_protocol = true\n")
        v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([192, 0, 2, 7, 192, 0, 2, 1, 0, 1, 0, 2])
        near = b"PROXY TCP4 127.0.0.1 127.0.0.1 5 7117\r\n"
        for preface, client in ((b"PROXY TCP4 192.0.2.7 192.0.2.1 5 7117\r\n", "192.0.2.7"),
                                (v2, "192.0.2.7"), (near, "127.0.0.1")):
            with daemon.ws(preface=preface) as ws:
                if client == "127.0.0.1":
                    ws.call("ping")
                else:
                    self.refuse(ws, "UNAUTHENTICATED", "ping")
                    self.refuse(ws, "UNAUTHENTICATED", "auth", token="x")
                with daemon.control() as control:
                    sessions = control.call("session.list")["items"]
                self.assertIn(client, [s.get("client") for s in sessions])
        # Who is named by nobody may be anybody.
        for preface in (b"PROXY UNKNOWN\r\n", v2[:12] + b"\x20\0\0\0", v2[:12] + b"\x21\0\0\0",
                        v2[:12] + b"\x21\x31\0\xd8" + bytes(216)):
            with daemon.ws(preface=preface) as ws:
                self.refuse(ws, "UNAUTHENTICATED", "ping")
            self.assertEqual(self.status_of(daemon, preface=preface, path="/readyz"), 200)
        # The head is the client's: it is not believed.
        lie = {"X-Forwarded-For": "127.0.0.1"}
        with daemon.ws(preface=v2, headers=lie) as ws:
            self.refuse(ws, "UNAUTHENTICATED", "ping")
        for bad in (b"", b"PROXY\r\n", b"PROXY TCP9 a b c d\r\n"):
            self.assertEqual(self.status_of(daemon, preface=bad), 400, bad)
        # A byte at a time.
        self.assertEqual(self.status_of(daemon, preface=near, slowly=True), 101)

    def test_status_says_what_is_asked_for(self):
        daemon = daemon_for(self, config=REQUIRED)
        create(daemon)
        with daemon.control() as control:
            told = control.call("status")["websocket"]
        self.assertEqual((told["auth"], told["tokens"]), ("required", 1))


class CommandLine(Shared):
    def test_create_list_revoke(self):
        made = sysrtctl(self.daemon, "token", "create", "ci", "--scope", "read:ticker,sensor.*",
                        "--scope", "publish:alerts", "--expires", "90d", "-o", "json")
        self.assertIn("only now", made.stderr)
        token = TOKEN.search(made.stdout)[0]
        with self.daemon.ws(headers=bearer(token)) as ws:
            self.assertEqual(ws.notification("hello")["scopes"],
                             ["read:ticker,sensor.*", "publish:alerts"])
        sysrtctl(self.daemon, "token", "create", "other", "--scope", "admin read", "--expires",
                 "2099-01-01T00:00:00Z", "-q")
        listed = sysrtctl(self.daemon, "token", "list", "-o", "table").stdout
        self.assertRegex(listed, r"name +scopes +rate +created_at +used_at +expires_at\n"
                                 r"ci .*read:ticker,sensor\.\*.*\nother .*2099-01-01")
        self.assertNotIn(token, listed)
        sysrtctl(self.daemon, "token", "revoke", "ci")
        gone = sysrtctl(self.daemon, "token", "revoke", "ci", check=False)
        self.assertEqual(gone.returncode, 4)

    def test_what_is_wrong(self):
        for words, status, text in ((("create", "x"), 2, "--scope"),
                                    (("create", "x", "--scope", "reed"), 1, "none of"),
                                    (("create", "x", "--scope", "read", "--expires", "soon"), 1,
                                     "expires_at"),
                                    (("create", "x", "--scope", ""), 1, "scope is missing")):
            done = sysrtctl(self.daemon, "token", *words, check=False)
            self.assertEqual(done.returncode, status, done.stderr)
            self.assertIn(text, done.stderr)


if __name__ == "__main__":
    unittest.main()

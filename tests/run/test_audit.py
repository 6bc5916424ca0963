"""The audit log: who did what, and what was refused to whom.

builds: asan; in check-long: release
"""

import json
import os
import unittest

from harness import RpcError, daemon_for, wait_for


class Audit(unittest.TestCase):
    def setUp(self):
        self.daemon = daemon_for(self)
        self.path = self.daemon.folder / "audit.log"
        self.daemon.configure(self.config())

    def config(self, name="audit.log", more=""):
        return f'[log]\naudit = "{self.daemon.folder / name}"\n{more}'

    def entries(self, what=None):
        lines = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [line for line in lines if what in (None, line["what"])]

    def entry(self, what):
        found = self.entries(what)
        self.assertEqual(len(found), 1, found)
        self.assertIn(f"what={what}", self.daemon.log())
        return found[0]

    def test_what_administrators_do(self):
        with self.daemon.control() as control:
            control.call("token.create", name="ci", scopes="read")
            with self.assertRaises(RpcError):
                control.call("token.create", name="ci", scopes="read")
            control.call("token.revoke", name="ci")
            control.call("ping")
            control.call("token.list")
            control.call("record.put", data=1)
        made, again = self.entries("token.create")
        self.assertEqual((made["name"], made["result"]), ("ci", "OK"))
        self.assertRegex(made["who"], rf"^uid {os.geteuid()} pid {os.getpid()}$")
        self.assertRegex(made["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual((again["result"], again["name"]), ("CONFLICT", "ci"))
        self.assertIn("already", again["error"])
        self.assertEqual(self.entry("token.revoke")["result"], "OK")
        self.assertEqual({e["what"] for e in self.entries()} - {"system.reload"},
                         {"token.create", "token.revoke"})

    def test_what_is_refused(self):
        with self.daemon.control() as control:
            token = control.call("token.create", name="t", scopes="read:a")["token"]
        with self.daemon.ws(headers={"Authorization": f"Bearer {token}"}) as ws:
            with self.assertRaises(RpcError):
                ws.call("record.get", category="b", id="x")
        denied = self.entry("record.get")
        self.assertEqual((denied["result"], denied["name"]), ("PERMISSION_DENIED", "b"))
        self.assertRegex(denied["who"], r"^127\.0\.0\.1:\d+ token t$")
        self.assertIn("needs read:b", denied["error"])
        with self.daemon.ws(headers={"Authorization": "Bearer secret"}) as ws:
            self.assertEqual(ws.close_code(), 4101)
        self.assertEqual(self.entry("connect")["result"], "UNAUTHENTICATED")
        with self.daemon.ws() as ws, self.assertRaises(RpcError):
            ws.call("auth", token="secret")
        self.assertEqual(self.entry("auth")["result"], "UNAUTHENTICATED")
        self.assertNotIn("secret", self.path.read_text())
        self.assertNotIn(token, self.path.read_text())

    def test_a_name_that_is_none(self):
        with self.daemon.ws() as ws:
            for name in ("x" * 5000, "\x01" * 900, "a secret"):
                with self.assertRaises(RpcError) as caught:
                    ws.call("token.revoke", name=name)
                self.assertEqual(caught.exception.code, "PERMISSION_DENIED")
        with self.daemon.control() as control:
            control.call("token.create", name="ci", scopes="read")
        refused = self.entries("token.revoke")
        self.assertEqual([e["result"] for e in refused], ["PERMISSION_DENIED"] * 3)
        self.assertFalse([e for e in refused if "name" in e])
        self.assertEqual(self.entry("token.create")["name"], "ci")
        self.assertNotIn("a secret", self.path.read_text())

    def test_a_flood_is_counted(self):
        def refuse():
            with self.assertRaises(RpcError):
                ws.call("system.stats")
        with self.daemon.ws() as ws:
            for _ in range(300):
                refuse()

            def is_told():
                refuse()
                return any("left_out" in e for e in self.entries("system.stats"))
            wait_for(is_told)
        told = self.entries("system.stats")
        with self.daemon.control() as control:
            stats = control.call("system.stats")
        self.assertEqual(stats["sysrt_audit_suppressed_total"] > 0, True)
        self.assertLess(len(told), 300)
        self.assertLessEqual(sum(e.get("left_out", 0) for e in told),
                             stats["sysrt_audit_suppressed_total"])

    def test_rotation(self):
        with self.daemon.control() as control:
            control.call("system.log_level", filter="info")
            self.path.rename(self.daemon.folder / "audit.log.1")
            control.call("system.reload")
            control.call("system.log_level", filter="debug")
        self.assertEqual(len(self.entries("system.log_level")), 1)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o640)

    def test_a_file_that_cannot_be_opened(self):
        with self.assertRaises(RpcError) as caught:
            self.daemon.configure(self.config("no/such/folder", 'filter = "debug"\n'))
        self.assertIn("log.audit", caught.exception.message)
        with self.daemon.control() as control:
            self.assertEqual(control.call("system.log_level")["filter"], "info")
            control.call("system.log_level", filter="info")
        self.assertEqual([e["result"] for e in self.entries("system.log_level")], ["OK", "OK"])


if __name__ == "__main__":
    unittest.main()

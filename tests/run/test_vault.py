"""Secrets on a real daemon: setting, reading back, keys and passphrases, what is locked, what other
programs seal, and what was done to the store behind the daemon's back.

builds: asan; in check-long: release
"""

import base64
import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import unittest
from pathlib import Path

from harness import BUILD, TIMEOUT_S, Daemon, RpcError, check_store, daemon_for, run_store, sysrtctl, wait_for
from terminal import Terminal

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
CHEAP = 'argon2_memory = "1MiB"\nargon2_passes = 1\n'
ROUNDS = 600000


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


class VaultTest(unittest.TestCase):
    def start(self, *options, key=KEY, env=None):
        """A daemon with a key file, unless key is None; options are those of [vault]."""
        self.daemon = daemon_for(self, start=False, env=env)
        self.key_file = self.daemon.folder / "key"
        lines = "".join(line + "\n" for line in options)
        if key is not None:
            self.put_key(key)
            lines += f'key_file = "{self.key_file}"\n'
        self.daemon.config_path.write_text(f"[vault]\n{CHEAP}{lines}")
        self.daemon.start()
        return self.daemon

    def put_key(self, key, mode=0o400):
        with contextlib.suppress(FileNotFoundError):
            self.key_file.unlink()
        self.key_file.write_bytes(key)
        self.key_file.chmod(mode)

    def call(self, method, /, **params):
        with self.daemon.control() as control:
            return control.call(method, **params)

    def refuse(self, code, method, /, *words, **params):
        with self.assertRaises(RpcError) as caught:
            self.call(method, **params)
        self.assertEqual(caught.exception.code, code, caught.exception.message)
        for word in words:
            self.assertIn(word, caught.exception.message)
        return caught.exception.message

    def set(self, **values):
        for name, value in values.items():
            self.call("secret.set", name=name, value=value)

    def expect(self, **values):
        for name, value in values.items():
            self.assertEqual(self.call("secret.show", name=name)["value"], value)

    def sql(self, text, *params):
        """By another program; the rows that it answers."""
        with contextlib.closing(sqlite3.connect(self.daemon.store)) as db:
            rows = db.execute(text, params).fetchall()
            db.commit()
        return rows


class Values(VaultTest):
    def test_set_list_show_remove(self):
        self.start("allow_read = true")
        self.assertEqual(self.call("secret.set", name="feeds/one", value="sesame"),
                         {"name": "feeds/one", "version": 1})
        self.assertEqual(self.call("secret.set", name="feeds/one", value='öü "\n'),
                         {"name": "feeds/one", "version": 2})
        self.call("secret.set", name="bytes", value=base64.b64encode(b"\0\xff").decode(),
                  encoding="base64")
        self.assertEqual(self.call("secret.show", name="feeds/one"),
                         {"name": "feeds/one", "version": 2, "encoding": "text", "value": 'öü "\n'})
        self.assertEqual(self.call("secret.show", name="bytes"),
                         {"name": "bytes", "version": 1, "encoding": "base64", "value": "AP8="})
        items = self.call("secret.list")["items"]
        self.assertEqual([(i["name"], i["version"], i["cipher"]) for i in items],
                         [("bytes", 1, "xchacha20poly1305"), ("feeds/one", 2, "xchacha20poly1305")])
        self.daemon.restart()
        self.expect(**{"feeds/one": 'öü "\n'})
        self.assertEqual(self.call("secret.remove", name="bytes"), {})
        self.refuse("NOT_FOUND", "secret.show", "no secret of the name bytes", name="bytes")
        self.refuse("NOT_FOUND", "secret.remove", name="bytes")
        self.assertEqual(self.call("secret.test")["items"],
                         [{"name": "feeds/one", "version": 2, "ok": True}])
        self.refuse("NOT_FOUND", "secret.test", name="bytes")
        self.assertEqual(self.call("status")["vault"], {"state": "open", "secrets": 1, "faults": 0})
        stats = self.call("system.stats")
        self.assertEqual([stats[f"sysrt_vault_{name}"] for name in ("open", "secrets", "faults")],
                         [1, 1, 0])

    def test_values_of_all_sizes(self):
        self.start("allow_read = true")
        values = {f"n{n}": "x" * n for n in (1, 1000, 65535, 65536)}
        self.set(**values)
        self.daemon.restart()
        self.expect(**values)
        self.refuse("INVALID_ARGUMENT", "secret.set", "1 to 65536 bytes", name="n", value="x" * 65537)
        with self.daemon.control() as control, self.assertRaises(RpcError) as caught:
            for n in range(100):
                control.call("secret.set", name=f"full{n}", value="x" * 65536)
        self.assertEqual(caught.exception.code, "LIMIT_EXCEEDED")
        self.assertEqual(self.call("secret.rotate")["count"], n + len(values))
        self.expect(full0="x" * 65536)

    def test_reading_back_is_off(self):
        self.start()
        self.set(a="sesame")
        for method in ("secret.show", "secret.export"):
            more = {"format": "aes256gcm-pbkdf2", "passphrase": "p"} if "export" in method else {}
            self.refuse("PERMISSION_DENIED", method, "vault.allow_read", name="a", **more)
        self.daemon.configure(self.daemon.config_path.read_text() + "allow_read = true\n")
        self.expect(a="sesame")

    def test_reading_back_needs_its_own_scope(self):
        self.start("allow_read = true")
        self.set(a="sesame", b="other")
        tokens = {scope: self.call("token.create", name=f"t{n}", scopes=scope)["token"]
                  for n, scope in enumerate(("admin", "secrets:a", "secrets", "read write publish"))}
        for scope, allowed in (("admin", ""), ("secrets:a", "a"), ("secrets", "ab"),
                               ("read write publish", "")):
            with self.daemon.ws(headers=bearer(tokens[scope])) as ws:
                for name in "ab":
                    if name in allowed:
                        self.assertEqual(len(ws.call("secret.show", name=name)), 4)
                        continue
                    with self.assertRaises(RpcError) as caught:
                        ws.call("secret.show", name=name)
                    self.assertIn(f"secret.show needs secrets:{name}, ", caught.exception.message)

    def test_rotate_seals_anew(self):
        self.start("allow_read = true")
        self.set(a="sesame", b="other")
        before = dict(self.sql("SELECT name, value FROM secrets"))
        self.assertEqual(self.call("secret.rotate", name="a"), {"count": 1})
        after = dict(self.sql("SELECT name, value FROM secrets"))
        self.assertNotEqual(before["a"], after["a"])
        self.assertEqual(before["b"], after["b"])
        self.assertEqual(self.call("secret.rotate"), {"count": 2})
        self.daemon.restart()
        self.expect(a="sesame", b="other")
        self.assertEqual([i["version"] for i in self.call("secret.list")["items"]], [3, 2])

    def test_by_the_other_cipher(self):
        self.start("allow_read = true", 'cipher = "aes256gcm"')
        self.set(a="sesame")
        cipher = self.call("secret.list")["items"][0]["cipher"]
        if {"aes", "pclmulqdq"} <= set(Path("/proc/cpuinfo").read_text().split()):
            self.assertEqual(cipher, "aes256gcm")
        else:
            self.assertIn("no instructions", self.daemon.log())
        self.daemon.restart()
        self.expect(a="sesame")

    def test_who_did_it_is_noted(self):
        self.start()
        self.set(a="sesame")
        self.refuse("NOT_FOUND", "secret.remove", name="b")
        noted = [line for line in self.daemon.log().splitlines() if "part=audit" in line]
        self.assertRegex(noted[0], r"what=secret.set .*name=a result=OK")
        self.assertRegex(noted[1], r"what=secret.remove .*name=b result=NOT_FOUND")

    def test_many_at_once(self):
        self.start("allow_read = true")
        with self.daemon.control() as control:
            answers = control.call_all([("secret.set", {"name": f"s{n % 7}", "value": f"v{n}"})
                                        for n in range(50)])
            self.assertEqual([a["version"] for a in answers], [n // 7 + 1 for n in range(50)])
        self.daemon.restart()
        self.expect(s0="v49", s6="v48")

    def test_too_many_at_once(self):
        self.start()
        with self.daemon.control() as control:
            answers = control.call_all([("secret.set", {"name": "s", "value": "v"})] * 200)
        refused = [a for a in answers if isinstance(a, RpcError)]
        self.assertEqual({a.code for a in refused}, {"UNAVAILABLE"} if refused else set())
        self.assertEqual(self.call("secret.list")["items"][0]["version"], 200 - len(refused))


class Keys(VaultTest):
    def test_without_a_key_all_else_runs(self):
        self.start(key=None)
        for method, params in (("secret.set", {"name": "a", "value": "x"}),
                               ("secret.test", {}), ("secret.rotate", {}), ("vault.rekey", {})):
            self.refuse("VAULT_LOCKED", method, "there is no vault yet", "vault unlock", **params)
        self.assertEqual(self.call("secret.list"), {"items": []})
        self.assertEqual(self.call("vault.status")["state"], "none")
        self.call("record.put", id="x", data=1)
        self.assertEqual(self.call("status")["vault"], {"state": "none", "secrets": 0})

    def test_a_key_that_is_gone(self):
        self.start()
        self.set(a="sesame")
        self.daemon.stop()
        self.key_file.unlink()
        self.daemon.start()
        self.refuse("VAULT_LOCKED", "secret.rotate", "there is no file", "vault unlock")
        self.assertEqual([i["name"] for i in self.call("secret.list")["items"]], ["a"])
        self.assertEqual(self.call("vault.status")["state"], "locked")
        self.refuse("CONFIG_ERROR", "vault.unlock", "there is no file")
        self.put_key(OTHER_KEY)
        self.refuse("PERMISSION_DENIED", "vault.unlock", "not that of this vault")
        self.put_key(KEY)
        self.assertEqual(self.call("vault.unlock")["state"], "open")
        self.assertTrue(self.call("secret.test")["items"][0]["ok"])

    def test_a_key_that_others_may_read(self):
        self.start()
        self.set(a="sesame")
        self.daemon.stop()
        self.key_file.chmod(0o644)
        self.daemon.start()
        self.refuse("VAULT_LOCKED", "secret.rotate", "0644", "chmod 0400")
        self.key_file.chmod(0o400)
        self.daemon.configure(self.daemon.config_path.read_text())
        self.assertEqual(self.call("vault.status")["state"], "open")

    def test_a_credential_goes_first(self):
        folder = daemon_for(self, start=False).folder
        (folder / "sysrt.key").write_text(KEY.hex() + "\n")
        self.start(key=OTHER_KEY, env={"CREDENTIALS_DIRECTORY": str(folder)})
        self.set(a="sesame")
        self.assertEqual(self.call("vault.status")["source"], "credential")
        self.daemon.env.pop("CREDENTIALS_DIRECTORY")
        self.daemon.restart()
        self.refuse("VAULT_LOCKED", "secret.rotate", "not that of this vault")
        self.assertEqual(self.call("vault.unlock", key=KEY.hex())["state"], "open")

    def test_a_passphrase(self):
        self.start("allow_read = true", key=None)
        self.refuse("NOT_FOUND", "vault.unlock", "no vault yet", passphrase="correct horse")
        made = self.call("vault.unlock", passphrase="correct horse", create=True)
        self.assertEqual((made["state"], made["opened_by"], made["argon2_memory"],
                          made["argon2_passes"]), ("open", "passphrase", 1 << 20, 1))
        self.refuse("CONFLICT", "vault.unlock", passphrase="another", create=True)
        self.set(a="sesame")
        self.daemon.restart()
        self.refuse("VAULT_LOCKED", "secret.show", "sysrtctl vault unlock", name="a")
        self.refuse("PERMISSION_DENIED", "vault.unlock", "passphrase is not", passphrase="correct")
        self.refuse("INVALID_ARGUMENT", "vault.unlock", "by a passphrase", key=KEY.hex())
        self.call("vault.unlock", passphrase="correct horse")
        self.expect(a="sesame")
        self.call("vault.lock")
        self.refuse("VAULT_LOCKED", "secret.show", "locked by an administrator", name="a")
        self.call("vault.unlock", passphrase="correct horse")
        self.expect(a="sesame")

    def ticks(self):
        """{thread: time that it used of a processor}; the loop's is the first."""
        used = {}
        for task in sorted(Path(f"/proc/{self.daemon.pid}/task").iterdir(), key=lambda t: int(t.name)):
            name, _, fields = (task / "stat").read_text().partition("(")[2].rpartition(")")
            used.setdefault(name, sum(map(int, fields.split()[11:13])))
        return used

    def test_a_passphrase_is_not_tried_on_the_loop(self):
        self.start("", key=None)
        self.daemon.configure('[vault]\nargon2_memory = "64MiB"\nargon2_passes = 3\n')
        before = self.ticks()
        for n in range(3):
            self.call("vault.unlock" if n == 0 else "vault.rekey", passphrase="correct horse",
                      **({"create": True} if n == 0 else {}))
        used = {name: ticks - before[name] for name, ticks in self.ticks().items()}
        self.assertGreater(used["offload"], 5)
        self.assertLess(used["sysrtd"], used["offload"])

    def test_a_lock_goes_first(self):
        self.start(key=None)
        self.call("vault.unlock", passphrase="correct horse", create=True)
        with self.daemon.control() as control:
            results = control.call_all([("vault.rekey", {"passphrase": f"horse {n}"})
                                        for n in range(5)] + [("vault.lock", {})])
        self.assertEqual(results[-1], {})
        self.assertEqual(getattr(results[4], "code", "it was done"), "VAULT_LOCKED")

    def test_another_key(self):
        self.start("allow_read = true")
        self.set(a="sesame", b="other")
        values = self.sql("SELECT name, value FROM secrets WHERE name <> '$vault' ORDER BY 1")
        keys = self.sql("SELECT name, key FROM secrets WHERE name <> '$vault' ORDER BY 1")
        self.refuse("CONFLICT", "vault.rekey", "is the one that the vault has")
        self.put_key(OTHER_KEY)
        self.assertEqual(self.call("vault.rekey"), {"count": 2})
        self.assertEqual(
            self.sql("SELECT name, value FROM secrets WHERE name <> '$vault' ORDER BY 1"), values)
        self.assertNotEqual(
            self.sql("SELECT name, key FROM secrets WHERE name <> '$vault' ORDER BY 1"), keys)
        self.daemon.restart()
        self.expect(a="sesame", b="other")
        self.assertEqual(self.call("vault.rekey", passphrase="correct horse"), {"count": 2})
        self.daemon.restart()
        self.refuse("VAULT_LOCKED", "secret.show", name="a")
        self.call("vault.unlock", passphrase="correct horse")
        self.expect(a="sesame", b="other")
        self.assertEqual(self.call("vault.rekey"), {"count": 2})
        self.daemon.restart()
        self.expect(a="sesame", b="other")

    def test_what_stops_in_the_middle(self):
        """A stop waits for a passphrase that is tried, and answers."""
        self.start(key=None)
        with self.daemon.control() as control:
            unlock = control.send("vault.unlock", passphrase="correct horse", create=True)
            control.call("system.shutdown")
            try:
                self.assertEqual(control.answer(unlock)["state"], "open")
            except RpcError as error:
                self.assertEqual(error.code, "UNAVAILABLE")
        self.assertEqual(self.daemon.wait_exit(), 0)


class Tampering(VaultTest):
    """The daemon is stopped, another program writes to its store, and it starts again."""

    def setUp(self):
        self.start("allow_read = true")
        self.set(a="the value of a", b="the value of b", c="the value of c")
        self.old = self.sql("SELECT * FROM secrets WHERE name IN ('a', '$vault') ORDER BY name")
        self.set(a="the newer value of a")

    def tamper(self, text, *params):
        self.daemon.stop()
        self.sql(text, *params)
        self.daemon.start()

    def expect_refused(self, name, *words):
        message = self.refuse("DATABASE_ERROR", "secret.show", *words, name=name)
        items = {i["name"]: i for i in self.call("secret.list")["items"]}
        self.assertEqual(items[name]["error"], message)
        test = self.call("secret.test", name=name)["items"]
        self.assertEqual((test[0]["ok"], test[0]["error"]), (False, message))
        self.assertNotIn("the value", message)
        self.assertIn("a secret is damaged, or was written by another program" if "sum" in words
                      else "faults=", self.daemon.log())

    def put_back(self, row):
        self.tamper("REPLACE INTO secrets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", *row)

    def test_a_bit(self):
        for column in ("key", "value"):
            (text,), = self.sql(f"SELECT {column} FROM secrets WHERE name = 'b'")
            other = text[:40] + ("A" if text[40] != "A" else "B") + text[41:]
            self.tamper(f"UPDATE secrets SET {column} = ? WHERE name = 'b'", other)
            self.expect_refused("b", "was changed by another program, or is damaged")
            self.expect(a="the newer value of a", c="the value of c")
            self.assertIn("a secret is damaged", self.daemon.log())
            self.daemon.stop()
            self.assertFalse(check_store(self.daemon.store)["ok"])
            self.daemon.start()
            self.tamper(f"UPDATE secrets SET {column} = ? WHERE name = 'b'", text)
            self.expect(b="the value of b")

    def test_a_row_in_the_place_of_another(self):
        self.tamper("UPDATE secrets SET (key, value) = (SELECT key, value FROM secrets WHERE "
                    "name = 'c') WHERE name = 'b'")
        self.expect_refused("b", "was changed by another program")
        self.tamper("UPDATE secrets SET name = CASE name WHEN 'a' THEN 'c' WHEN 'c' THEN 'a' "
                    "ELSE name END WHERE 0")
        self.expect(c="the value of c")

    def test_names_that_are_swapped(self):
        self.daemon.stop()
        with contextlib.closing(sqlite3.connect(self.daemon.store)) as db:
            for before, after in (("b", "x"), ("c", "b"), ("x", "c")):
                db.execute("UPDATE secrets SET name = ? WHERE name = ?", (after, before))
            db.commit()
        self.daemon.start()
        self.expect_refused("b", "was changed by another program")
        self.expect_refused("c", "was changed by another program")
        self.expect(a="the newer value of a")

    def test_an_older_version(self):
        _, row = self.old
        self.put_back(row)
        self.expect_refused("a", "an older version, 1, was put back", "version 2")
        self.expect(b="the value of b")
        self.refuse("DATABASE_ERROR", "secret.rotate", "the secret a")
        self.refuse("DATABASE_ERROR", "vault.rekey", "the secret a", passphrase="x")
        self.assertEqual(self.call("secret.set", name="a", value="set anew")["version"], 3)
        self.expect(a="set anew", b="the value of b")
        self.assertEqual(self.call("status")["vault"]["faults"], 0)

    def test_an_older_list(self):
        row, _ = self.old
        self.put_back(row)
        self.expect_refused("a", "an older list was put back")
        self.expect(b="the value of b")

    def test_a_row_that_is_gone(self):
        self.tamper("DELETE FROM secrets WHERE name = 'b'")
        self.expect_refused("b", "is gone from the store")
        self.assertEqual(self.call("secret.remove", name="b"), {})
        self.assertEqual(self.call("status")["vault"]["faults"], 0)

    def test_a_row_of_somebody_else(self):
        self.tamper("INSERT INTO secrets SELECT id + 100, 'd', key, value, version, created_at, "
                    "updated_at, sealed_at, sum FROM secrets WHERE name = 'b'")
        self.expect_refused("d", "was put into the store by another program")
        self.assertEqual(self.call("secret.remove", name="d"), {})

    def test_the_list(self):
        for column in ("key", "value"):
            (text,), = self.sql(f"SELECT {column} FROM secrets WHERE name = '$vault'")
            other = text[:60] + ("A" if text[60] != "A" else "B") + text[61:]
            self.tamper(f"UPDATE secrets SET {column} = ? WHERE name = '$vault'", other)
            self.refuse("VAULT_LOCKED", "secret.show", name="a")
            self.assertRegex(self.call("vault.status")["reason"],
                             "not that of this vault|changed by another program, or is damaged")
            self.tamper(f"UPDATE secrets SET {column} = ? WHERE name = '$vault'", text)
            self.expect(b="the value of b")
        self.tamper("DELETE FROM secrets WHERE name = '$vault'")
        self.expect_refused("a", "by another program")
        self.refuse("DATABASE_ERROR", "secret.set", "is gone from the store", name="d", value="x")

    def test_a_vault_of_a_passphrase_whose_row_is_gone(self):
        self.daemon.stop()
        self.start(key=None)
        self.call("vault.unlock", passphrase="correct horse", create=True)
        self.set(a="the value of a")
        self.tamper("DELETE FROM secrets WHERE name = '$vault'")
        for method, params in (("vault.unlock", {"passphrase": "correct horse"}),
                               ("secret.set", {"name": "b", "value": "x"})):
            self.refuse("DATABASE_ERROR", method, "row of the vault is gone", "backup", **params)
        made = self.call("vault.unlock", passphrase="correct horse", create=True)
        self.assertEqual(made["state"], "open")
        self.set(a="again")
        self.daemon.restart()
        self.call("vault.unlock", passphrase="correct horse")

    def test_a_vault_that_a_key_is_there_for(self):
        self.daemon.stop()
        self.start()
        self.refuse("CONFLICT", "vault.unlock", "take the key away", passphrase="x", create=True)

    def test_what_is_no_row_of_ours(self):
        self.tamper("INSERT INTO secrets VALUES (900, ?, x'00ff', x'ff', 'x', 1, 1, 1, NULL)", "x" * 900)
        self.tamper("UPDATE secrets SET key = x'00', value = '' WHERE name = 'b'")
        self.expect_refused("b", "was changed by another program")
        self.expect(a="the newer value of a")

    def test_under_a_daemon_that_runs(self):
        """It goes on with what it knows; a test tells."""
        _, row = self.old
        self.sql("REPLACE INTO secrets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", *row)
        self.expect(a="the newer value of a")
        test = {t["name"]: t for t in self.call("secret.test")["items"]}
        self.assertFalse(test["a"]["ok"])
        self.assertTrue(test["b"]["ok"])
        head, _ = self.old
        self.sql("REPLACE INTO secrets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", *head)
        self.refuse("DATABASE_ERROR", "secret.test", "not the one that the daemon works with")
        self.refuse("CONFLICT", "secret.set", "another program", name="b", value="x")


class Files(VaultTest):
    """What else is done with a store knows secrets too."""

    def setUp(self):
        self.start("allow_read = true")
        self.set(a="the value of a", b="the value of b")

    def test_backup_and_restore(self):
        copy = self.daemon.folder / "copy.db"
        sysrtctl(self.daemon, "backup", str(copy), "--verify", "-q")
        self.set(a="newer")
        self.daemon.stop()
        self.assertTrue(check_store(copy)["ok"])
        run_store("restore", copy, "--store", self.daemon.store)
        self.daemon.start()
        self.expect(a="the value of a", b="the value of b")

    def test_compacting(self):
        self.daemon.stop()
        self.assertEqual(run_store("compact", self.daemon.store).returncode, 0)
        self.assertTrue(check_store(self.daemon.store)["ok"])
        self.daemon.start()
        self.expect(a="the value of a")

    def test_salvage(self):
        """The tables' trees are gone: the rows are found."""
        self.call("record.put", id="x", data=1)
        self.daemon.stop()
        with open(self.daemon.store, "r+b") as store:
            store.write(b"\0" * 4096)
        done = run_store("repair", "-o", "json", self.daemon.store)
        told = json.loads(done.stdout)
        self.assertEqual((told["how"], told["secrets"]), ("salvaged", 2), told)
        self.daemon.start()
        self.expect(a="the value of a", b="the value of b")

    def test_a_plain_export_has_none(self):
        self.call("record.put", id="x", data=1)
        self.daemon.stop()
        plain = self.daemon.folder / "plain.db"
        self.assertEqual(run_store("export", plain, "--store", self.daemon.store).returncode, 0)
        with contextlib.closing(sqlite3.connect(plain)) as db:
            tables = {name for name, in db.execute("SELECT name FROM sqlite_schema")}
        self.assertNotIn("secrets", tables)


NODE = """
const crypto = require("crypto");
const {how, passphrase, salt, rounds, text} = JSON.parse(require("fs").readFileSync(0));
const key = crypto.pbkdf2Sync(passphrase, Buffer.from(salt, "base64"), rounds, 32, "sha256");
if (how === "seal") {
    const nonce = crypto.randomBytes(12);
    const c = crypto.createCipheriv("aes-256-gcm", key, nonce);
    const sealed = Buffer.concat([c.update(Buffer.from(text, "base64")), c.final()]);
    process.stdout.write(Buffer.concat([nonce, sealed, c.getAuthTag()]).toString("base64"));
} else {
    const blob = Buffer.from(text, "base64");
    const d = crypto.createDecipheriv("aes-256-gcm", key, blob.subarray(0, 12));
    d.setAuthTag(blob.subarray(blob.length - 16));
    const plain = Buffer.concat([d.update(blob.subarray(12, blob.length - 16)), d.final()]);
    process.stdout.write(plain.toString("base64"));
}
"""


def node(**params):
    done = subprocess.run(["node", "-e", NODE], input=json.dumps(params), text=True, check=True,
                          stdout=subprocess.PIPE, timeout=TIMEOUT_S)
    return done.stdout


class Foreign(VaultTest):
    """Sealed by Node's crypto; what OpenSSL seals is tested with the unit."""

    SALT = base64.b64encode(b"sixteen bytes...").decode()

    def setUp(self):
        self.start("allow_read = true")

    def seal(self, value, rounds=ROUNDS):
        return node(how="seal", passphrase="pass wörd", salt=self.SALT, rounds=rounds,
                    text=base64.b64encode(value).decode())

    def import_(self, blob, **params):
        params = {"passphrase": "pass wörd", "salt": self.SALT, **params}
        return self.call("secret.import", name="a", format="aes256gcm-pbkdf2", blob=blob, **params)

    def test_import(self):
        blob = self.seal("geheim".encode())
        self.assertEqual(self.import_(blob), {"name": "a", "version": 1})
        self.expect(a="geheim")
        for wrong in ({"passphrase": "pass word"}, {"salt": base64.b64encode(b"x" * 16).decode()},
                      {"rounds": ROUNDS + 1}):
            with self.assertRaises(RpcError) as caught:
                self.import_(blob, **wrong)
            self.assertEqual(caught.exception.code, "INVALID_ARGUMENT")
            self.assertIn("does not open", caught.exception.message)
        self.expect(a="geheim")

    def test_export(self):
        value = os.urandom(5000)
        self.call("secret.set", name="a", value=base64.b64encode(value).decode(), encoding="base64")
        told = self.call("secret.export", name="a", format="aes256gcm-pbkdf2", passphrase="pass wörd")
        self.assertEqual((told["rounds"], len(base64.b64decode(told["salt"]))), (ROUNDS, 16))
        plain = node(how="open", passphrase="pass wörd", salt=told["salt"], rounds=told["rounds"],
                     text=told["blob"])
        self.assertEqual(base64.b64decode(plain), value)

    def test_by_the_command_line(self):
        blob = self.daemon.folder / "blob"
        for content in (self.seal(b"one", 1000).encode() + b"\n",
                        base64.b64decode(self.seal(b"one", 1000))):
            blob.write_bytes(content)
            sysrtctl(self.daemon, "secret", "import", "b", str(blob), "--format",
                     "aes256gcm-pbkdf2", "--salt", self.SALT, "--rounds", "1000",
                     input="pass wörd\n")
            self.expect(b="one")
        done = sysrtctl(self.daemon, "secret", "export", "b", "--format", "aes256gcm-pbkdf2",
                        "--salt", self.SALT, "--rounds", "1000", "-o", "json", input="pass wörd")
        told = json.loads(done.stdout)
        self.assertEqual(told["salt"], self.SALT)
        self.assertEqual(base64.b64decode(node(how="open", passphrase="pass wörd", rounds=1000,
                                               salt=self.SALT, text=told["blob"])), b"one")


class CommandLine(VaultTest):
    def ctl(self, *words, **options):
        return sysrtctl(self.daemon, *words, **options)

    def test_secrets(self):
        self.start("allow_read = true")
        self.ctl("secret", "set", "a", input="sesame\n")
        self.expect(a="sesame")
        path = self.daemon.folder / "value"
        path.write_bytes(b"line\n")
        self.ctl("secret", "set", "b", "--file", str(path))
        self.expect(b="line\n")
        path.write_bytes(b"\0\xff")
        self.ctl("secret", "set", "c", "--file", str(path))
        self.expect(c="AP8=")
        listed = self.ctl("secret", "list", "-o", "table").stdout
        self.assertRegex(listed, r"name +version +cipher +created_at +updated_at +sealed_at")
        self.assertNotIn("sesame", listed)
        self.assertEqual(json.loads(self.ctl("secret", "show", "a", "-o", "json").stdout)["value"],
                         "sesame")
        self.ctl("secret", "rotate")
        self.assertRegex(self.ctl("secret", "test", "-o", "table").stdout, r"a +2 +true")
        self.ctl("secret", "remove", "a")
        gone = self.ctl("secret", "remove", "a", check=False)
        self.assertEqual(gone.returncode, 4)
        for words, given in ((("secret", "set", "x"), ""), (("secret", "set", "x"), "y" * 70000)):
            self.assertEqual(self.ctl(*words, input=given, check=False).returncode, 2)
        # Never on the command line.
        self.assertEqual(self.ctl("secret", "set", "x", "value", check=False).returncode, 2)

    def test_a_vault_with_a_passphrase(self):
        self.start(key=None)
        self.ctl("vault", "unlock", input="correct horse\n")
        self.ctl("secret", "set", "a", input="sesame")
        self.ctl("vault", "lock")
        self.assertEqual(self.ctl("secret", "rotate", check=False).returncode, 1)
        wrong = self.ctl("vault", "unlock", input="wrong", check=False)
        self.assertEqual((wrong.returncode, wrong.stderr),
                         (6, "sysrtctl: the passphrase is not that of this vault\n"))
        self.ctl("vault", "unlock", input="correct horse")
        self.ctl("vault", "rekey", "--passphrase", input="another")
        status = json.loads(self.ctl("vault", "status", "-o", "json").stdout)
        self.assertEqual((status["state"], status["opened_by"]), ("open", "passphrase"))

    def test_a_key_from_elsewhere(self):
        self.start()
        self.set(a="sesame")
        kept = self.daemon.folder / "kept"
        kept.write_bytes(KEY)
        self.put_key(OTHER_KEY)
        self.daemon.restart()
        self.refuse("VAULT_LOCKED", "secret.rotate")
        self.ctl("vault", "unlock", "--key-file", str(kept))
        self.ctl("vault", "rekey")
        self.daemon.restart()
        self.assertTrue(self.call("secret.test")["items"][0]["ok"])

    def type(self, argv, *pairs):
        """Runs it on a terminal and answers what it asks for; (exit status, what was shown)."""
        terminal = Terminal([BUILD / "sysrtctl", "--socket", str(self.daemon.socket), *argv], echo=True)
        self.addCleanup(terminal.close)
        for prompt, keys in pairs:
            terminal.read_until(re.escape(prompt) + b"$")
            wait_for(lambda: not terminal.has_echo())
            terminal.press(keys)
        status = terminal.wait()
        self.assertTrue(terminal.has_echo(), "what is typed is shown again")
        return status, terminal.output

    def test_on_a_terminal(self):
        self.start("allow_read = true", key=None)
        status, shown = self.type(("vault", "unlock"), (b"New passphrase: ", b"correct horse\n"),
                                  (b"Again: ", b"correct horse\n"))
        self.assertEqual(status, 0)
        self.assertNotIn(b"horse", shown)
        status, shown = self.type(("secret", "set", "a"), (b"Value: ", b"sesame\n"),
                                  (b"Again: ", b"sesame\n"))
        self.assertEqual(status, 0)
        self.assertNotIn(b"sesame", shown)
        self.expect(a="sesame")
        status, shown = self.type(("secret", "set", "a"), (b"Value: ", b"one\n"), (b"Again: ", b"two\n"))
        self.assertEqual(status, 2)
        self.assertIn(b"not the same", shown)
        status, _ = self.type(("secret", "set", "a"), (b"Value: ", b"one\x03"))
        self.assertEqual(status, 130)
        self.expect(a="sesame")


if __name__ == "__main__":
    unittest.main()

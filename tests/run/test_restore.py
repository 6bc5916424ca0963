"""A store out of a backup: what it holds, what clients hear of it, what is kept of the old one; and
its records as a plain file.

builds: release; in check-long: asan
"""

import json
import shutil
import sqlite3
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from faults import SmallDisk
from harness import BUILD, NEWEST, TOP, RpcError, daemon_for, sysrtctl


class Restores(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sysrt-restore-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.store = self.folder / "store" / "sysrt.db"
        self.store.parent.mkdir()
        self.daemon = daemon_for(self, store=self.store)
        self.backup = self.folder / "backup.db"

    def put(self, *ids, data=1):
        with self.daemon.control() as control:
            return [control.call("record.put", id=key, data=data)["seq"] for key in ids]

    def back_up(self):
        sysrtctl(self.daemon, "backup", str(self.backup))

    def sysrtd(self, *words, store=None, wrap=()):
        env = {**self.daemon.env, **({"ASAN_OPTIONS": "detect_leaks=0"} if wrap else {})}
        return subprocess.run([*wrap, BUILD / "sysrtd", "--config", self.daemon.config_path, "--store",
                               store or self.store, "store", *words], text=True,
                              env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def damage_what_is_newer(self):
        """Than the backup, which has a. The log, too."""
        self.put("a")
        self.back_up()
        self.put("b")
        self.daemon.kill()
        for path in (self.store, Path(f"{self.store}-wal")):
            path.write_bytes(b"This is no store any more. " * 1000)

    def restore(self):
        done = self.sysrtd("restore", self.backup)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def names(self):
        """Of the files beside the store, but for the search index, which follows it."""
        return {p.name for p in self.store.parent.iterdir()
                if not p.name.startswith("sysrt.db.search")}

    def aside(self):
        """The old stores, by the names that they were given."""
        return sorted(p for p in self.store.parent.glob("sysrt.db.replaced-*")
                      if not p.name.endswith("-wal"))

    @staticmethod
    def ids_in(path):
        db = sqlite3.connect(path)
        try:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return {key for key, in db.execute("SELECT id FROM records")}
        finally:
            db.close()

    def position(self):
        with self.daemon.control() as control:
            store = control.call("status")["store"]
        return {"epoch": store["epoch"], "since": store["seq"]}


class Restoring(Restores):
    def test_positions(self):
        """What the backup has not seen is no history any more, however far that goes on."""
        self.put("a", "b")
        first_epoch = self.position()
        self.daemon.restart()
        self.put("c")
        at_backup = self.position()
        self.back_up()
        self.put("d", "e", "f")
        behind = self.position()
        self.daemon.restart()
        self.put("g")
        other_epoch = self.position()
        self.daemon.stop()
        self.assertRegex(self.restore(), rf"^restored {self.store} from {self.backup}: "
                         rf"epoch={at_backup['epoch']} seq=3 .*records=3 .*\n"
                         rf"the store that was there is {self.aside()[0]}\n$")
        self.daemon.start()
        for ids in ((), ("x", "y", "z", "é", "€", "𝄞", "1", "2")):
            self.put(*ids)
            with self.daemon.ws() as ws:
                for position in (first_epoch, at_backup):
                    ws.call("subscribe", categories="*", **position)
                for position in (behind, other_epoch):
                    with self.assertRaises(RpcError) as caught:
                        ws.call("subscribe", categories="*", **position)
                    self.assertEqual(caught.exception.code, "RESYNC_REQUIRED")
        self.assertNotIn(self.position()["epoch"],
                         {p["epoch"] for p in (first_epoch, at_backup, behind, other_epoch)})
        with self.daemon.control() as control:
            self.assertEqual({r["id"] for r in control.list_all()},
                             set("abcxyz12") | {"é", "€", "𝄞"})

    def test_a_client_that_comes_back(self):
        """It ends with what the store has, whatever it has seen before."""
        self.put("a", "b")
        self.back_up()
        self.put("b", "c", data=2)
        state = self.folder / "state"
        watch = subprocess.Popen([BUILD / "sysrtctl", "--socket", self.daemon.socket, "watch",
                                  "--since", "0", "--state", state], text=True,
                                 stdout=subprocess.PIPE)
        self.addCleanup(watch.stdout.close)
        self.addCleanup(watch.wait)
        self.addCleanup(watch.kill)
        told = {}

        def read_until(wanted):
            while told != wanted:
                change = json.loads(watch.stdout.readline())
                if change.get("op") == "resync":
                    told.clear()
                elif change.get("op") == "put":
                    told[change["id"]] = change["data"]
        read_until({"a": 1, "b": 2, "c": 2})
        self.daemon.stop()
        self.restore()
        self.daemon.start()
        self.put("d", data=3)
        read_until({"a": 1, "b": 1, "d": 3})

    def test_the_old_store_is_kept_with_its_log(self):
        self.put("a")
        self.back_up()
        self.put("b")
        self.daemon.kill()
        self.assertGreater(Path(f"{self.store}-wal").stat().st_size, 0)
        self.restore()
        aside, = self.aside()
        self.assertEqual(self.ids_in(aside), {"a", "b"})
        self.assertEqual(self.ids_in(self.store), {"a"})
        self.assertEqual(self.names(), {"sysrt.db", "sysrt.db.lock", aside.name})

    def test_an_old_store_that_is_damaged(self):
        """Then its log stays with it."""
        self.damage_what_is_newer()
        self.restore()
        aside, = self.aside()
        self.assertEqual(aside.read_bytes()[:7], b"This is")
        self.assertEqual(Path(f"{aside}-wal").read_bytes(), aside.read_bytes())
        self.assertEqual(self.ids_in(self.store), {"a"})
        self.daemon.start()
        self.put("c")

    def test_where_there_is_none(self):
        self.put("a")
        self.back_up()
        self.daemon.stop()
        shutil.rmtree(self.store.parent)
        self.store.parent.mkdir()
        self.assertNotIn("the store that was there", self.restore())
        self.assertEqual(self.ids_in(self.store), {"a"})
        self.daemon.start()

    def test_a_log_that_its_store_has_left_behind(self):
        """It is not the restored one's."""
        self.put("a")
        self.back_up()
        self.put("b")
        self.daemon.kill()
        self.store.rename(self.folder / "bad.db")
        log = Path(f"{self.store}-wal").read_bytes()
        self.assertGreater(len(log), 0)
        said = self.restore()
        self.assertEqual(self.ids_in(self.store), {"a"})
        kept, = self.store.parent.glob("sysrt.db.replaced-*")
        self.assertTrue(said.endswith(f"the log that was there, of a store that was gone, is {kept}\n"))
        self.assertTrue(kept.name.endswith("-wal"))
        self.assertEqual(kept.read_bytes(), log)
        self.daemon.start()
        self.put("c")

    def test_the_last_step_fails(self):
        """Then the old store is there twice, and with its log where it is said to be."""
        self.damage_what_is_newer()
        done = self.sysrtd("restore", self.backup, wrap=[
            "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=rename",
            "-e", "inject=rename:error=EIO"])
        self.assertEqual((done.returncode, done.stdout), (69, ""))
        aside, = self.aside()
        self.assertIn(f"what was there is kept as {aside}: renaming {self.store}.restore",
                      done.stderr)
        self.assertEqual(aside.read_bytes(), self.store.read_bytes())
        self.assertEqual(Path(f"{aside}-wal").read_bytes(), aside.read_bytes())

    def test_what_is_refused_leaves_the_store_as_it_is(self):
        self.put("a")
        self.back_up()
        self.put("b")
        done = self.sysrtd("restore", self.backup)
        self.assertEqual(done.returncode, 69)
        self.assertIn(f"another sysrtd (process {self.daemon.pid}) has this store open", done.stderr)
        done = sysrtctl(self.daemon, "restore", str(self.backup), check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("the daemon is running: stop it first", done.stderr)
        self.daemon.stop()
        before = self.store.read_bytes()
        damaged = bytearray(self.backup.read_bytes())
        damaged[len(damaged) // 2:] = bytes(len(damaged) - len(damaged) // 2)
        (self.folder / "damaged").write_bytes(damaged)
        (self.folder / "letter").write_text("dear aunt, " * 1000)
        db = sqlite3.connect(self.folder / "theirs")
        db.execute("CREATE TABLE theirs (x)")
        db.close()
        for name, says in (("damaged", "damaged|malformed"), ("letter", "not a database"),
                           ("theirs", "of another program"), ("none", "No such file"),
                           (self.store, "is the store itself")):
            done = self.sysrtd("restore", self.folder / name)
            self.assertEqual((done.returncode, done.stdout), (69, ""))
            self.assertRegex(done.stderr, says)
            self.assertEqual(self.store.read_bytes(), before)
            self.assertEqual(self.names() - {"sysrt.db-wal", "sysrt.db-shm"},
                             {"sysrt.db", "sysrt.db.lock"})

    def test_a_row_that_its_sum_does_not_prove_is_told(self):
        """SQLite sees nothing wrong: it may be damage or another program's work. It is kept."""
        self.put("a", data="the very text")
        self.put("b")
        self.back_up()
        self.daemon.stop()
        self.assertNotIn("doubtful", self.restore())
        self.backup.write_bytes(self.backup.read_bytes().replace(b"the very text", b"the vary text"))
        self.assertRegex(self.restore(), r"records=2 .* doubtful=1\n")
        self.daemon.start()
        with self.daemon.control() as control:
            self.assertEqual(control.call("record.get", id="a")["record"]["data"], "the vary text")
        done = json.loads(sysrtctl(self.daemon, "backup", str(self.backup), "--verify").stdout)
        self.assertEqual((done["verified"], done["doubtful"]), (True, 1))
        done = sysrtctl(self.daemon, "check", check=False)
        self.assertIn("general/a", done.stdout)

    def test_tokens_are_as_of_the_backup(self):
        """One that was revoked since is good again, unless they are left out."""
        with self.daemon.control() as control:
            kept = control.call("token.create", name="t", scopes="read")["token"]
        self.back_up()
        with self.daemon.control() as control:
            control.call("token.revoke", name="t")
        self.daemon.stop()
        done = self.sysrtd("restore", self.backup)
        self.assertEqual(done.returncode, 0)
        self.assertIn(" tokens=1 ", done.stdout)
        self.assertRegex(done.stderr, r"^sysrtd: .* revoked .* --drop-tokens .*\n$")
        self.daemon.start()
        with self.daemon.ws(headers={"Authorization": f"Bearer {kept}"}) as ws:
            self.assertEqual(ws.notification("hello")["token"], "t")
        self.daemon.stop()
        done = self.sysrtd("restore", "--drop-tokens", self.backup)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("tokens of the backup were left out", done.stdout)
        self.assertEqual(self.sysrtd("check").returncode, 0)
        self.daemon.start()
        with self.daemon.control() as control:
            self.assertEqual(control.call("token.list")["items"], [])
            control.call("token.create", name="t", scopes="read")
        with self.daemon.ws(headers={"Authorization": f"Bearer {kept}"}) as ws:
            self.assertEqual(ws.close_code(), 4101)

    def test_backups_from_before_there_were_tokens(self):
        for version in range(1, NEWEST + 1):
            path = TOP / "tests" / "stores" / f"v{version}.db"
            store = self.folder / f"old{version}.db"
            done = self.sysrtd("restore", "--drop-tokens", path, store=store)
            self.assertEqual((done.returncode, done.stderr), (0, ""), path)

    def test_it_is_killed(self):
        """There is a whole store at every moment: the old one or the new one."""
        with self.daemon.control() as control:
            for first in range(0, 4000, 1000):
                control.call("record.put_many", records=[
                    {"id": f"{n}", "data": "x" * 2000} for n in range(first, first + 1000)])
        self.back_up()
        self.put("new")
        self.daemon.stop()
        start = time.monotonic()
        self.sysrtd("restore", self.backup, store=self.folder / "other.db")
        takes = time.monotonic() - start
        for part in range(1, 9):  # there is nothing to wait for: it is to be anywhere
            before = self.ids_in(self.store)
            process = subprocess.Popen([BUILD / "sysrtd", "--config", self.daemon.config_path,
                                        "--store", self.store, "store", "restore", self.backup],
                                       stdout=subprocess.DEVNULL)
            time.sleep(takes * part / 8)
            process.kill()
            process.wait()
            after = self.ids_in(self.store)
            self.assertIn(len(after), (len(before), 4000))
            Path(f"{self.store}.restore-journal").touch()
            self.daemon.start()
            self.assertEqual(list(self.store.parent.glob("*.restore*")), [])
            self.daemon.stop()
        self.restore()
        self.assertEqual(len(self.ids_in(self.store)), 4000)
        self.assertEqual(list(self.store.parent.glob("*.restore*")), [])


class Commands(Restores):
    def test_sysrtctl(self):
        self.put("a")
        self.back_up()
        self.put("b")
        self.daemon.stop()
        done = sysrtctl(self.daemon, "restore", "--drop-tokens", "--store", str(self.store),
                        str(self.backup))
        self.assertIn(f"restored {self.store}", done.stdout)
        self.assertEqual(self.ids_in(self.store), {"a"})

    def test_usage(self):
        for words, says in ((("restore",), "store restore needs a file"),
                            (("export",), "store export needs a file"),
                            (("restore", "a", "b"), 'unexpected argument "b"'),
                            (("mend",), 'unexpected argument "store"'),
                            (("--to", "1", "export", "a"), "go with store migrate"),
                            (("--drop-tokens", "export", "a"), "goes with store restore"),
                            (("--check", "export", "a"), "do not go with store")):
            done = self.sysrtd(*words)
            self.assertEqual(done.returncode, 64, done)
            self.assertIn(says, done.stderr)


class Exporting(Restores):
    def rows_of(self, path):
        db = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
        try:
            self.assertEqual(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            tables = [name for name, in db.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
            return {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
        finally:
            db.close()

    def check_export(self, store, records):
        plain = self.folder / "plain.db"
        done = self.sysrtd("export", plain, store=store)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, f"exported {store} to {plain}\n")
        rows = self.rows_of(plain)
        self.assertEqual(sorted(rows), ["epochs", "meta", "records", "tombstones"])
        self.assertEqual([row[:6] for row in rows["records"]], records)
        self.assertEqual([row[:3] for row in rows["tombstones"]], [(4, "general", "gone")])
        self.assertEqual(rows["epochs"], [(self.epoch, 1)])
        self.assertEqual(sorted(rows["meta"]), [("last_seq", 0), ("pruned_to", 0)])
        self.assertEqual(plain.read_bytes()[18:20], b"\1\1")
        done = self.sysrtd("export", plain, store=store)
        self.assertEqual(done.returncode, 69)
        self.assertIn("is there already", done.stderr)
        done = self.sysrtd("restore", plain, store=self.folder / "other.db")
        self.assertIn("of another program", done.stderr)
        plain.unlink()

    def test_of_a_store_and_of_a_backup(self):
        self.put("a", "gone")
        with self.daemon.control() as control:
            control.call("record.put", category="c", id="é", name="N", data={"x": 1.50})
            control.call("record.delete", id="gone")
            self.epoch = control.call("status")["store"]["epoch"]
        self.back_up()
        done = self.sysrtd("export", self.folder / "plain.db")
        self.assertEqual(done.returncode, 69)
        self.assertIn("has this store open", done.stderr)
        self.daemon.kill()
        records = [(1, "general", "a", "a", "1", 1), (3, "c", "é", "N", '{"x":1.5}', 1)]
        self.check_export(self.store, records)
        self.check_export(self.backup, records)
        self.daemon.start()

    def test_of_a_backup_that_cannot_be_written_beside(self):
        self.put("a")
        self.back_up()
        with SmallDisk("8m") as disk:
            backup = shutil.copy(self.backup, disk.path)
            subprocess.run(["mount", "-o", "remount,ro", disk.path], check=True)
            done = self.sysrtd("export", self.folder / "plain.db", store=backup)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.ids_in(self.folder / "plain.db"), {"a"})


if __name__ == "__main__":
    unittest.main()

"""The versions of the schema on stores that the program of each version made (tests/stores): up to
the newest and down again with every row as it was.

The long form kills a migration at every system call, the short one at some.
"""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import BUILD, ENV, LONG, NEWEST, TIMEOUT_S, TOP, Daemon, run_store

STORES = TOP / "tests" / "stores"


def tables_of(path):
    """{table: (columns, rows)} of a store, without what the migrations note about themselves."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        db.text_factory = bytes
        names = [name.decode() for name, in db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'migrations'")]
        tables = {}
        for name in names:
            cursor = db.execute(f"SELECT * FROM {name} ORDER BY 1, 2")
            tables[name] = ([c[0] for c in cursor.description], cursor.fetchall())
        return tables


KEPT = {"records", "tombstones", "epochs"}  # by each version


def common_part(first, second, names=None):
    """Of each table that both have, the columns that both have, of each; of meta the keys."""
    both = [], []
    for name in sorted(names or set(first) & set(second)):
        if name == "meta":
            keys = {r[0] for r in first[name][1]} & {r[0] for r in second[name][1]}
            for side, tables in zip(both, (first, second)):
                side.append((name, [row[:2] for row in tables[name][1] if row[0] in keys]))
            continue
        columns = [c for c in first[name][0] if c in second[name][0]]
        for side, tables in zip(both, (first, second)):
            at = [tables[name][0].index(c) for c in columns]
            side.append((name, columns, [tuple(row[i] for i in at) for row in tables[name][1]]))
    return both


class Stores(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sysrt-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def copy(self, version):
        path = self.folder / "sysrt.db"
        for old in self.folder.glob("sysrt.db*"):
            old.unlink()
        shutil.copyfile(STORES / f"v{version}.db", path)
        return path

    def run_migrate(self, path, *args, wrap=()):
        return subprocess.run([*wrap, str(BUILD / "sysrtd"), "store", "migrate", "--store", str(path),
                               *map(str, args)], text=True, timeout=TIMEOUT_S, check=False,
                              env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def migrate(self, path, *args):
        done = self.run_migrate(path, *args)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_each_version_is_kept(self):
        for version in range(1, NEWEST + 1):
            self.assertTrue((STORES / f"v{version}.db").exists(),
                            f"there is no store of version {version}: tests/stores/make")

    def test_up_and_down_again(self):
        for version in range(1, NEWEST + 1):
            with self.subTest(version=version):
                path = self.copy(version)
                before = tables_of(path)
                self.assertGreater(len(before["records"][1]), 50)
                self.assertGreater(len(before["tombstones"][1]), 3)
                self.migrate(path)
                if version < NEWEST:
                    copy = self.folder / f"sysrt.db.before-v{NEWEST}"
                    self.assertEqual(tables_of(copy), before)
                up = tables_of(path)
                self.assertEqual(*common_part(before, up))
                for lower in range(NEWEST, 0, -1):
                    self.migrate(path, "--to", lower)
                    names = None if lower >= version else KEPT
                    self.assertEqual(*common_part(before, tables_of(path), names))
                    if lower == version:
                        self.assertEqual(tables_of(path), before)
                self.migrate(path)
                self.assertEqual(*common_part(up, tables_of(path), KEPT))

    def test_no_copy(self):
        path = self.copy(1)
        out = self.migrate(path)
        self.assertIn(f"what it was before is {path}.before-v{NEWEST}\n", out)
        (self.folder / f"sysrt.db.before-v{NEWEST}").unlink()
        path = self.copy(1)
        self.assertNotIn("before", self.migrate(path, "--no-copy"))
        self.assertEqual(list(self.folder.glob("*before*")), [])

    def test_a_copy_that_fails(self):
        """The one of an earlier migration stays."""
        path = self.copy(1)
        before = tables_of(path)
        self.migrate(path)
        self.migrate(path, "--to", 1)
        copy = self.folder / f"sysrt.db.before-v{NEWEST}"
        in_the_way = self.folder / f"{copy.name}.part"
        in_the_way.mkdir()
        self.assertEqual(self.run_migrate(path).returncode, 69)
        self.assertEqual(tables_of(copy), before)
        in_the_way.rmdir()
        self.migrate(path)

    @unittest.skipIf(os.geteuid() != 0, "only root can mount a small disk")
    def test_no_room(self):
        """It is refused before anything is done."""
        disk = self.folder / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], check=True)
        try:
            path = disk / "sysrt.db"
            shutil.copyfile(STORES / "v1.db", path)
            done = self.run_migrate(path)
            self.assertEqual(done.returncode, 69)
            self.assertRegex(done.stderr, r"(?s)\Asysrtd: migrating store .* before its schema "
                                          r"changes: there is no room for it in [^\n]*/disk/: "
                                          r"[\w.]+ needed, [\w.]+ free\n\Z")
            self.assertEqual([p.name for p in disk.glob("*before*")], [])
            self.assertEqual(tables_of(path), tables_of(STORES / "v1.db"))
            self.assertEqual(self.run_migrate(path, "--no-copy").returncode, 0)
        finally:
            subprocess.run(["umount", disk], check=True)

    def test_killed_at_every_step(self):
        """Whatever was under way: the next start has a whole store and ends the migration."""
        before = tables_of(STORES / "v1.db")
        for call in ("pwrite64", "fdatasync", "fsync", "ftruncate", "rename", "unlink", "fchmod"):
            step, at = 1, 0
            while True:
                at += step
                path = self.copy(1)
                done = self.run_migrate(path, wrap=[
                    "strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                    "-e", f"inject={call}:signal=SIGKILL:when={at}"])
                if done.returncode == 0:
                    break
                with self.subTest(call=call, at=at):
                    self.assertEqual(done.returncode, -signal.SIGKILL, done.stderr)
                    copy = self.folder / f"sysrt.db.before-v{NEWEST}"
                    if copy.exists():
                        self.assertEqual(tables_of(copy), before)
                    self.migrate(path)
                    self.assertEqual(*common_part(before, tables_of(path)))
                    self.assertEqual([], list(self.folder.glob("*.part")))
                if not LONG:
                    step = at  # 1, 2, 4, ...
            self.assertGreater(at, 0)

    def test_a_file_of_another_program(self):
        """It is refused, and stays as it is."""
        path = self.folder / "sysrt.db"
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE theirs (x)")
        before = path.read_bytes()
        for verb in ("migrate", "compact"):
            done = run_store(verb, "--store", path)
            self.assertEqual(done.returncode, 69)
            self.assertIn("of another program", done.stderr)
        with Daemon(store=path, start=False) as daemon:
            daemon.launch()
            self.assertNotEqual(daemon.wait_exit(), 0)
            self.assertIn("of another program", daemon.log())
        self.assertEqual(path.read_bytes(), before)
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()),
                         ["sysrt.db", "sysrt.db.lock"])

    def test_a_daemon_starts_on_each(self):
        for version in range(1, NEWEST + 1):
            with self.subTest(version=version):
                path = self.copy(version)
                columns, rows = tables_of(path)["records"]
                expected = {(r[columns.index("category")].decode(),
                             r[columns.index("id")].decode()) for r in rows}
                with Daemon(store=path) as daemon, daemon.control() as control:
                    got = control.list_all(limit=1000)
                    self.assertEqual({(r["category"], r["id"]) for r in got}, expected)
                    old = control.call("record.get", category="scripts", id="日本語 🙂")["record"]
                    self.assertEqual((old["name"], old["data"]), ("नाम", "العربية"))
                    put = control.call("record.put", category="plain", id="id-001", data=1)
                    self.assertEqual(put["rev"], 2)


if __name__ == "__main__":
    unittest.main()

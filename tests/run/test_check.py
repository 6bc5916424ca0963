"""Damaged stores: `store check` notices or the data is still right, `store repair` salvages all that
the sqlite3 program's .recover does, and nothing crashes, whatever bits have flipped.

The long form runs the build with the sanitizers.
"""

import contextlib
import json
import re
import shutil
import sqlite3
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import (BUILD, DAMAGED, ENV, LONG, NEWEST, TIMEOUT_S, TOP, Daemon, check_store,
                     run_store, seeded)

COPIES = 1000 if LONG else 30
PROGRAM = BUILD / ("asan/sysrtd" if LONG else "sysrtd")
PAGE = 4096


def rows_of(path, table="records"):
    """{row} of a table as bytes, without the sums; what cannot be read any more is left out."""
    rows = set()
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        db.text_factory = bytes
        try:
            cursor = db.execute(f"SELECT * FROM {table} ORDER BY 1")
            columns = [c[0] for c in cursor.description]
            rows.update(tuple(v for c, v in zip(columns, row) if c != "sum") for row in cursor)
        except sqlite3.DatabaseError:
            pass
    return rows


def recovered(path, folder):
    """What .recover makes of the file: the rows of records, and those of no known table."""
    out = folder / "recovered.db"
    out.unlink(missing_ok=True)
    sql = subprocess.run(["sqlite3", str(path), "-cmd", f".load {folder}/dbpage.so", ".recover"],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
                         timeout=TIMEOUT_S).stdout
    subprocess.run(["sqlite3", str(out)], input=sql, stdout=subprocess.DEVNULL, check=False,
                   stderr=subprocess.DEVNULL, timeout=TIMEOUT_S)
    rows = set()
    if not out.exists():
        return rows
    rows |= rows_of(out)
    with contextlib.closing(sqlite3.connect(out)) as db:
        db.text_factory = bytes
        tables = [name for name, in db.execute("SELECT name FROM sqlite_schema")]
        for name in tables:
            if name.startswith(b"lost_and_found"):
                for row in db.execute(f"SELECT * FROM {name.decode()}"):
                    rows.add((row[3], *row[5:13]))  # rootpgno pgno nfield id c0 c1 ...
    return rows


class Store(unittest.TestCase):
    made = None  # (the store's bytes, records, tombstones)

    @classmethod
    def setUpClass(cls):
        if not Store.made:
            Store.made = cls.make()
        cls.bytes, cls.rows, cls.tombstones = Store.made
        cls.folder = Path(tempfile.mkdtemp(prefix="sysrt-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.path = cls.folder / "sysrt.db"
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(cls.folder / "dbpage.so"),
                        str(TOP / "tests/run/dbpage.c")], check=True)

    @staticmethod
    def make():
        with Daemon() as daemon, daemon.control() as control:
            for i in range(0, 800, 100):
                control.call("record.put_many", records=[
                    {"category": f"c{n % 7}", "id": f"id-{n:05}", "name": f"name {n}",
                     "data": {"n": n, "text": "öx" * (n * 37 % 400)}} for n in range(i, i + 100)])
            for n in range(6):
                control.call("record.put", category="long", id=f"long-{n}",
                             data="0123456789" * (n * 700))
            for n in range(0, 800, 9):
                control.call("record.delete", category=f"c{n % 7}", id=f"id-{n:05}")
            daemon.stop()
            return (daemon.store.read_bytes(), rows_of(daemon.store),
                    rows_of(daemon.store, "tombstones"))

    def setUp(self):
        for path in self.folder.glob("sysrt.db*"):
            path.unlink()
        self.path.write_bytes(self.bytes)

    def run_store(self, *args):
        return run_store(*args, program=PROGRAM)

    def check(self):
        return check_store(self.path, program=PROGRAM)

    def repair(self):
        done = self.run_store("repair", "-o", "json", self.path)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def sql(self, script):
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            db.executescript(script)


class Checks(Store):
    def expect(self, check, words):
        """Exactly this check finds something, and says so."""
        report = self.check()
        wrong = [c["check"] for c in report["checks"] if not c["ok"]]
        found = "\n".join(t for c in report["checks"] for t in c["findings"])
        self.assertIn(check, wrong, report)
        self.assertRegex(found, words)
        return report

    def test_a_whole_one(self):
        report = self.check()
        self.assertEqual([c["check"] for c in report["checks"]],
                         ["schema", "counters", "rows", "file", "search"])
        self.assertTrue(all(c["ok"] and c["findings"] == [] for c in report["checks"]))
        self.assertEqual(self.repair(), {"how": "nothing"})
        self.assertEqual(self.path.read_bytes(), self.bytes)
        text = self.run_store("check", self.path)
        self.assertEqual(text.stdout, "schema    ok\ncounters  ok\nrows      ok\nfile      ok\n"
                                      "search    ok\n")

    def test_rows_of_another_program(self):
        self.sql("UPDATE records SET data = '1' WHERE id = 'id-00001';"
                 "INSERT INTO records (seq, category, id, name, data, rev, created_at, updated_at)"
                 " VALUES (9999, 'c', 'theirs', 'theirs', '1', 1, 1, 1);")
        report = self.expect("rows", r"records c1/id-00001 \(row \d+\): written by another program, "
                                     r"or damaged")
        self.assertRegex(str(report), r"c/theirs \(row 9999\): written by another program: it has")
        self.assertEqual(report["found"], 2)
        text = self.run_store("check", self.path)
        self.assertEqual(text.returncode, DAMAGED)
        self.assertRegex(text.stdout, r"(?m)^rows +WRONG\n    records c1/id-00001 ")

    def test_a_bit_in_a_text(self):
        """SQLite's own check does not see it."""
        at = self.bytes.index(b'"n":700,')
        self.path.write_bytes(self.bytes[:at + 4] + b"6" + self.bytes[at + 5:])
        self.assertEqual(self.expect("rows", "records c0/id-00700")["found"], 1)

    def test_rows_out_of_order(self):
        """Rows are looked at in pieces, each from behind the last row of the one before: that ends,
        wherever the rows say they are."""
        with Daemon(store=self.path) as daemon, daemon.control() as control:
            for first in range(0, 2000, 500):
                control.call("record.put_many", records=[
                    {"category": "many", "id": f"many-{n}", "data": n}
                    for n in range(first, first + 500)])
        broken = bytearray(self.path.read_bytes())
        # The rowid of a cell in two bytes, the length of its record's head, and NULL for the rowid.
        cells = list(re.finditer(rb"[\x90-\x97][\x80-\xff]?[\x00-\x7f]\x0b\x00", bytes(broken)))
        self.assertGreater(len(cells), 500)
        for cell in cells[::3]:
            broken[cell.start()] = 0x81
        self.path.write_bytes(broken)
        self.expect("rows", r"records: row \d+ is out of order")

    def test_the_schema(self):
        self.sql("DROP INDEX records_by_category; CREATE INDEX theirs ON records (name);")
        report = self.expect("schema", "index records_by_category is missing")
        self.assertIn("index theirs is not what sysrt has made", str(report))

    def test_counters(self):
        self.sql("UPDATE epochs SET first_seq = 999999 WHERE rowid = 1;"
                 "INSERT INTO epochs (epoch, first_seq) VALUES ('x', 5)")
        self.expect("counters", "epochs that begin before the one before them")

    def test_no_store(self):
        self.path.write_bytes(b"this is no database" * 1000)
        self.expect("file", "not a database")
        before = self.path.read_bytes()
        done = self.run_store("repair", self.path)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("no record was found in it: it is left as it was", done.stderr)
        self.assertEqual(self.path.read_bytes(), before)
        self.assertEqual(sorted(p.name for p in self.folder.glob("sysrt.db*")
                                if not p.name.endswith(".lock")), ["sysrt.db"])

    def test_one_that_is_not_there(self):
        self.path.unlink()
        for verb in ("check", "repair"):
            done = self.run_store(verb, self.path)
            self.assertIn("No such file", done.stderr)
            self.assertNotEqual(done.returncode, 0)
        self.assertEqual(list(self.folder.glob("sysrt.db*")), [])

    def test_one_that_a_daemon_holds(self):
        with Daemon(store=self.path) as daemon:
            for verb in ("check", "repair"):
                done = self.run_store(verb, self.path)
                self.assertEqual(done.returncode, 69)
                self.assertIn(f"another sysrtd (process {daemon.pid})", done.stderr)

    def test_a_newer_one(self):
        self.sql(f"INSERT INTO migrations VALUES ({NEWEST + 1}, 'future', 'x', 1)")
        done = self.run_store("repair", self.path)
        self.assertEqual(done.returncode, 69)
        self.assertIn("newer sysrt", done.stderr)
        self.assertEqual(list(self.folder.glob("*damaged*")), [])


class Repairs(Store):
    def test_indexes(self):
        """What the indexes say is found out, rebuilt in place, and no client has to resync."""
        self.sql("PRAGMA writable_schema = 1;"
                 "UPDATE sqlite_schema SET sql = replace(sql, 'category)', 'id)')"
                 " WHERE name = 'records_by_category';")
        self.sql("REINDEX records_by_category; PRAGMA writable_schema = 1;"
                 "UPDATE sqlite_schema SET sql = replace(sql, 'id)', 'category)')"
                 " WHERE name = 'records_by_category';")
        self.assertFalse(self.check()["ok"])
        self.assertEqual(self.repair(), {"how": "indexes"})
        self.assertTrue(self.check()["ok"])
        self.assertEqual(rows_of(self.path), self.rows)
        self.assertEqual(list(self.folder.glob("*damaged*")), [])

    def test_a_salvaged_store(self):
        """The damaged file stays, the new one is served, and whoever comes back is told to resync.
        """
        with Daemon(store=self.path) as daemon, daemon.control() as control:
            hello = control.call("status")["store"]
        broken = bytearray(self.path.read_bytes())
        at = broken.index(b'"n":790,') // PAGE * PAGE
        lost = set(re.findall(rb"id-\d{5}", broken[at:at + PAGE]))
        broken[at:at + PAGE] = bytes(PAGE)
        self.path.write_bytes(broken)
        report = self.repair()
        self.assertEqual(report["how"], "salvaged")
        self.assertEqual(Path(report["kept"]).read_bytes(), broken)
        self.assertTrue(self.check()["ok"])
        now = rows_of(self.path)
        self.assertLess(now, self.rows)
        gone = {row[2] for row in self.rows - now}
        self.assertLessEqual(gone, lost)
        self.assertEqual(report["lost"], len(gone))
        for name in gone:
            self.assertRegex("\n".join(report["findings"]),
                             rf"record c\d/{name.decode()} \(seq \d+\): lost")
        self.assertEqual(report["records"], len(now))
        self.assertEqual(rows_of(self.path, "tombstones"), self.tombstones)
        with Daemon(store=self.path) as daemon, daemon.control() as control:
            self.assertEqual(control.call("record.count")["count"], len(now))
            with self.assertRaisesRegex(Exception, "RESYNC_REQUIRED"):
                control.call("subscribe", categories="*", since=hello["seq"],
                             epoch=hello["epoch"])
            self.assertGreaterEqual(control.call("status")["store"]["seq"],
                                    max(row[0] for row in now))

    def test_data_that_is_no_json_any_more(self):
        at = self.bytes.index(b'{"n":701,')
        self.path.write_bytes(self.bytes[:at] + b"<" + self.bytes[at + 1:])
        report = self.repair()
        self.assertEqual((report["doubtful"], report["lost"]), (1, 0))
        self.assertRegex(report["findings"][0],
                         r"record c1/id-00701 .*its data is no JSON any more: .* as a string")
        with Daemon(store=self.path) as daemon, daemon.control() as control:
            data = control.call("record.get", category="c1", id="id-00701")["record"]["data"]
            self.assertTrue(data.startswith('<"n":701,'))

    def test_an_expiry_that_is_none(self):
        """The type of a column flips, from NULL to a blob of ten bytes and to the number 0: what is
        kept must not expire at once."""
        at = self.bytes.index(b"c4id-00753name") - 2  # the last but one type of the row's head
        self.assertEqual(self.bytes[at], 0)
        for kind in (0x20, 0x08):
            with self.subTest(kind=kind):
                self.setUp()
                self.path.write_bytes(self.bytes[:at] + bytes([kind]) + self.bytes[at + 1:])
                report = self.repair()
                self.assertEqual((report["doubtful"], report["lost"]), (1, 0))
                self.assertEqual(rows_of(self.path), self.rows)

    def test_a_log_that_was_left(self):
        """A crash, then damage: what is in the log counts."""
        with Daemon(store=self.path) as daemon:
            with daemon.control() as control:
                control.call("record.put", category="c1", id="id-00001", data="newest")
                control.call("record.put", category="new", id="new", data="new")
            daemon.kill()
        broken = bytearray(self.path.read_bytes())
        broken[0:100] = bytes(100)
        self.path.write_bytes(broken)
        report = self.repair()
        self.assertEqual((report["how"], report["lost"]), ("salvaged", 0))
        kept = Path(report["kept"])
        self.assertGreater(kept.with_name(kept.name + "-wal").stat().st_size, 0)
        data = {(row[1], row[2]): row[4] for row in rows_of(self.path)}
        self.assertEqual(data[b"new", b"new"], b'"new"')
        self.assertEqual(data[b"c1", b"id-00001"], b'"newest"')
        self.assertEqual(len(data), len(self.rows) + 1)

    def test_a_log_of_a_file_that_is_empty(self):
        """All that is left is in the log, which a look at the file would have removed."""
        with Daemon() as daemon, daemon.control() as control:
            control.call("record.put", id="only", data=1)
            daemon.kill()
            log = Path(f"{daemon.store}-wal").read_bytes()
        self.path.write_bytes(b"")
        Path(f"{self.path}-wal").write_bytes(log)
        report = self.check()
        self.assertIn("it is gone or empty, but its log", str(report["checks"]))
        self.assertEqual(self.repair()["how"], "salvaged")
        self.assertEqual({row[2] for row in rows_of(self.path)}, {b"only"})

    def test_a_disk_that_does_not_give_all_of_it(self):
        """What it gives is salvaged."""
        failing = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", str(self.path), "-e",
                   "trace=pread64", "-e", "inject=pread64:error=EIO:when=40+7"]
        env = {**ENV, "ASAN_OPTIONS": "detect_leaks=0"}  # that does not work under strace
        done = subprocess.run([*failing, PROGRAM, "store", "check", "-o", "json", self.path],
                              text=True, env=env, stdout=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, DAMAGED)
        self.assertIn("disk I/O error: Input/output error", done.stdout)
        done = subprocess.run([*failing, PROGRAM, "store", "repair", "-o", "json", self.path],
                              text=True, env=env, stdout=subprocess.PIPE, check=True)
        report = json.loads(done.stdout)
        self.assertEqual(report["how"], "salvaged")
        self.assertGreater(report["unreadable_pages"], 0)
        self.assertEqual(Path(report["kept"]).read_bytes(), self.bytes)
        self.assertTrue(self.check()["ok"])
        now = rows_of(self.path)
        self.assertEqual(report["records"], len(now))
        self.assertGreater(len(now), len(self.rows) // 4)
        self.assertLessEqual(len(now - self.rows), report["doubtful"])

    def test_a_file_that_was_cut(self):
        for n in (PAGE * 3, len(self.bytes) // 2, len(self.bytes) - 700):
            with self.subTest(n=n):
                self.setUp()
                self.path.write_bytes(self.bytes[:n])
                self.assertFalse(self.check()["ok"])
                salvaged = recovered(self.path, self.folder) & self.rows
                done = self.run_store("repair", "-o", "json", self.path)
                if done.returncode == 0:
                    self.assertGreaterEqual(rows_of(self.path), salvaged)
                    self.assertTrue(self.check()["ok"])
                else:
                    self.assertEqual(salvaged, set())


class Compacts(Store):
    def test_compact(self):
        """The file is smaller; rows, positions and whoever comes back with one are not touched."""
        with Daemon(store=self.path) as daemon, daemon.control() as control:
            for n in range(800):
                if n % 9:
                    control.call("record.delete", category=f"c{n % 7}", id=f"id-{n:05}")
            control.call("record.put", id="last", data=1)
            status = control.call("status")["store"]
            self.assertGreater(status["free_bytes"], len(self.bytes) // 3)
        rows, size = rows_of(self.path), self.path.stat().st_size
        done = self.run_store("compact", self.path)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        now = self.path.stat().st_size
        self.assertEqual(done.stdout, f"{self.path} had {size} bytes, and has {now}\n")
        self.assertLess(now, size - status["free_bytes"] // 2)
        self.assertEqual(rows_of(self.path), rows)
        self.assertTrue(self.check()["ok"])
        with Daemon(store=self.path) as daemon, daemon.control() as control:
            control.call("subscribe", categories="*", since=status["seq"], epoch=status["epoch"])
            self.assertEqual(control.call("status")["store"]["free_bytes"], 0)
            done = self.run_store("compact", self.path)
            self.assertEqual(done.returncode, 69)
            self.assertIn("another sysrtd", done.stderr)


class Flips(Store):
    """Bits flipped at random places."""

    def flip(self, rng):
        broken = bytearray(self.bytes)
        pages = len(broken) // PAGE
        for _ in range(rng.choice((1, 1, 2, 5, 20))):
            where = rng.random()
            if where < 0.5:
                at = rng.randrange(len(broken))
            elif where < 0.9:  # heads of pages, and where their cells are
                at = rng.randrange(pages) * PAGE + rng.randrange(64)
            else:
                at = rng.randrange(100)
            broken[at] ^= 1 << rng.randrange(8)
        if rng.random() < 0.1:  # a page of something else
            at = rng.randrange(1, pages) * PAGE
            broken[at:at + PAGE] = rng.randbytes(PAGE)
        return bytes(broken)

    def test_their_recover_works(self):
        self.assertEqual(recovered(self.path, self.folder) & self.rows, self.rows)

    def test_flips(self):
        rng = seeded()
        missed = better = 0
        for i in range(COPIES):
            self.setUp()
            broken = self.flip(rng)
            self.path.write_bytes(broken)
            with self.subTest(copy=i):
                if self.check()["ok"]:
                    self.assertEqual(rows_of(self.path), self.rows, "unnoticed")
                    missed += 1
                    continue
                self.path.write_bytes(broken)
                theirs = recovered(self.path, self.folder) & self.rows
                self.path.write_bytes(broken)
                done = self.run_store("repair", "-o", "json", self.path)
                if done.returncode != 0:
                    self.assertEqual(theirs, set(), done.stderr)
                    continue
                ours = rows_of(self.path) & self.rows
                self.assertEqual(theirs - ours, set(), "salvaged by .recover and not by us")
                self.assertTrue(self.check()["ok"])
                better += len(ours) > len(theirs)
        print(f"{COPIES} copies: {missed} with nothing wrong in their data, {better} of which more "
              f"was salvaged than by .recover", flush=True)


if __name__ == "__main__":
    unittest.main()

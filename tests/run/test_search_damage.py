"""Damage to the search index: `check` finds it, repair removes the index, and the daemon goes on, says
nothing wrong, and makes another, whether it was stopped or running when it happened.
"""

import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
import unittest
from pathlib import Path

from harness import LONG, Daemon, RpcError, check_store, run_store, seeded, sysrtctl, wait_for

COPIES = 200 if LONG else 4
PAGE = 4096
WORDS = ["amber", "birch", "cedar", "delta", "ember", "flint", "grove", "heath", "iris", "juniper"]
CONFIG = '[category.part]\nsearch = "trigram"\n[category.none]\nsearch = "off"\n'


def index_of(store):
    return Path(f"{store}.search")


def state(client):
    return client.call("status")["search"]


def wait_indexed(client):
    return wait_for(lambda: (s := state(client))["state"] == "ready" and s["lag"] == 0 and s,
                    what="the index to be complete")


def found(client, query):
    """{(category, id)}; None when the daemon says that it cannot tell now."""
    try:
        page = client.call("record.search", query=query, order="newest", limit=1000)
    except RpcError as error:
        if error.code not in ("UNAVAILABLE", "DATABASE_ERROR"):
            raise
        return None
    return {(item["category"], item["id"]) for item in page["items"]}


def truth(client):
    """{word: {(category, id)}}"""
    records = [r for r in client.list_all() if r["category"] != "none"]
    return {word: {(r["category"], r["id"]) for r in records
                   if word in (r["data"] if r["category"] == "part" else r["data"].split())}
            for word in WORDS}


def fill(client):
    for category in ("c", "part", "none"):
        client.call("record.put_many", records=[
            {"category": category, "id": f"id-{n}", "name": f"name {n}",
             "data": f"{WORDS[n % 10]} {WORDS[n * 7 % 9]} text {n} " + "ö" * (n * 37 % 300)}
            for n in range(300)])
    wait_indexed(client)
    for n in range(0, 300, 3):
        client.call("record.put", category="c", id=f"id-{n}", data=f"{WORDS[n % 7]} again {n}")
    client.call("record.delete", category="part", ids=[f"id-{n}" for n in range(0, 300, 9)])
    wait_indexed(client)


class Damage(unittest.TestCase):
    made = None  # the bytes of the store and of its index

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sysrt-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.store = self.folder / "sysrt.db"
        self.index = index_of(self.store)
        if not Damage.made:
            with Daemon(config=CONFIG) as daemon, daemon.control() as client:
                fill(client)
                daemon.stop()
                Damage.made = (daemon.store.read_bytes(), index_of(daemon.store).read_bytes())
        self.lay_out()

    def lay_out(self):
        for path in self.folder.glob("sysrt.db*"):
            path.unlink()
        self.store.write_bytes(self.made[0])
        self.index.write_bytes(self.made[1])

    def check(self):
        """What is wrong with the index; with the rest nothing is."""
        report = check_store(self.store)
        *store, search = report["checks"]
        self.assertTrue(all(c["ok"] for c in store), report)
        self.assertEqual(search["check"], "search")
        self.assertEqual(report["found"], len(search["findings"]))
        return search["findings"]

    def repair(self):
        done = run_store("repair", "-o", "json", self.store)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def sql(self, script):
        with contextlib.closing(sqlite3.connect(self.index)) as db:
            db.executescript(script)

    def daemon(self, more=""):
        daemon = Daemon(store=self.store, config=CONFIG + more)
        self.addCleanup(daemon.close)
        client = daemon.control()
        self.addCleanup(client.close)
        return daemon, client

    def expect_truth(self, client, words=None):
        """Every answer is right; in the end there is one to each question."""
        for word, right in (words or truth(client)).items():
            self.assertEqual(wait_for(lambda w=word: (f := found(client, w)) is not None and [f],
                                      what="an index")[0], right, word)


# Each is what SQL does to an index, and what check has to say.
SQL_FAULTS = (
    ("PRAGMA application_id = 5", "no index of this version"),
    ("PRAGMA user_version = 77", "no index of this version"),
    ("DROP TABLE docs", "table docs is missing"),
    ("DROP TABLE words; CREATE VIRTUAL TABLE words USING fts5(name, data)",
     "table words is missing, or is not as it was made"),
    ("CREATE TABLE theirs (x)", "table theirs is not what sysrt has made"),
    ("UPDATE meta SET value = value + 100000 WHERE key = 'mark'", "another history"),
    ("UPDATE meta SET value = 'theirs' WHERE key = 'epoch'", "of another store.*epoch theirs"),
    ("UPDATE meta SET value = value - 50 WHERE key = 'mark'", "above what the index knows"),
    ("UPDATE words_content SET c1 = 'zebra' WHERE id = (SELECT max(id) FROM words_content)",
     "the terms of the table words are not"),
    ("UPDATE trigrams_data SET block = zeroblob(length(block)) WHERE id > 10",
     "trigrams|malformed"),
    ("DELETE FROM words_docsize WHERE id = (SELECT max(id) FROM words_docsize)",
     "the terms of the table words are not"),
    ("UPDATE words SET data = 'zebra' WHERE rowid = (SELECT max(seq) FROM docs WHERE id = 'id-6')",
     r"c/id-6 \(seq \d+\): the texts of the entry are not those of the record"),
    ("UPDATE words SET name = 'zebra' WHERE rowid = (SELECT max(seq) FROM docs WHERE id = 'id-6')",
     r"c/id-6 \(seq \d+\): the texts of the entry are not those of the record"),
    ("DELETE FROM words WHERE rowid = (SELECT max(seq) FROM docs WHERE id = 'id-6')",
     r"c/id-6 \(seq \d+\): an entry without its texts"),
    ("DELETE FROM docs WHERE id = 'id-6'", r"c/id-6 \(seq \d+\): the record has no entry"),
    ("UPDATE docs SET seq = seq - 1 WHERE category = 'c' AND id = 'id-6'",
     r"c/id-6 \(seq \d+\): the entry is of another version"),
    ("INSERT INTO docs VALUES ('c', 'theirs', 7); INSERT INTO words (rowid, data) VALUES (7, 'x')",
     r"c/theirs \(seq 7\): an entry whose record is not there"),
    ("INSERT INTO docs VALUES ('none', 'id-1', (SELECT min(seq) FROM docs))",
     "in a category that is not searched|another version"),
    ("INSERT INTO trigrams (rowid, data) VALUES (9, 'zebra')",
     "the tables have 1 entries more than are listed"),
)


class Stopped(Damage):
    def test_a_whole_one_and_none(self):
        self.assertEqual(self.check(), [])
        self.assertEqual(self.repair(), {"how": "nothing"})
        self.assertEqual(self.index.read_bytes(), self.made[1])
        self.index.unlink()
        self.assertEqual(self.check(), [])
        self.assertEqual(self.repair(), {"how": "nothing"})

    def test_faults(self):
        """Each is found, and told; repair removes the index and leaves the store as it is."""
        for script, says in SQL_FAULTS:
            with self.subTest(script=script):
                self.lay_out()
                self.sql(script)
                findings = self.check()
                self.assertRegex("\n".join(findings), says)
        self.assertEqual(self.repair(), {"how": "search", "removed": str(self.index)})
        self.assertFalse(self.index.exists())
        self.assertEqual(self.store.read_bytes(), self.made[0])

    def test_a_repaired_store_is_searched(self):
        self.sql("DELETE FROM words WHERE rowid % 2")
        done = run_store("check", self.store)
        self.assertRegex(done.stdout, r"(?m)^file +ok\nsearch +WRONG\n    \w+/id-\d+ \(seq \d+\): ")
        done = run_store("repair", self.store)
        self.assertEqual(done.stdout, f"{self.store} is whole, but for its search index\n"
                                      f"{self.index} was removed: sysrtd makes the search index "
                                      "anew when it starts\n")
        _, client = self.daemon()
        self.expect_truth(client)

    def test_a_salvaged_store_has_no_index(self):
        broken = bytearray(self.made[0])
        broken[PAGE * 3:PAGE * 4] = bytes(PAGE)
        self.store.write_bytes(broken)
        report = self.repair()
        self.assertEqual((report["how"], report["removed"]), ("salvaged", str(self.index)))
        self.assertFalse(self.index.exists())
        _, client = self.daemon()
        self.expect_truth(client)

    def test_after_kills(self):
        """The index is behind, and nothing is wrong with it."""
        rng = seeded()
        daemon, _ = self.daemon()
        for i in range(8 if LONG else 2):
            with daemon.control() as client:
                for _ in range(rng.randrange(1, 6)):
                    client.call("record.put_many", records=[
                        {"category": rng.choice(("c", "part", "none", "new")),
                         "id": f"id-{rng.randrange(600)}", "data": rng.choice(WORDS)}
                        for _ in range(rng.randrange(1, 300))])
                    client.call("record.delete", category="c", ids=[f"id-{i}", f"id-{i + 1}"])
            daemon.kill()
            self.assertEqual(self.check(), [])
            daemon.start()
        with daemon.control() as client:
            self.expect_truth(client)

    def test_files_of_all_kinds(self):
        """Whatever is at its place at the start: searches tell the truth."""
        whole = self.made[1]
        first = whole[:100] + bytes(PAGE - 100) + whole[PAGE:]
        for name, content in (("empty", b""), ("half", whole[:len(whole) // 2]),
                              ("no schema", first), ("not there", None)):
            with self.subTest(name):
                self.lay_out()
                self.index.unlink()
                if content is not None:
                    self.index.write_bytes(content)
                    self.assertNotEqual(self.check(), [])
                daemon, client = self.daemon()
                self.expect_truth(client)
                self.assertEqual(state(client)["state"], "ready")
                if content is not None:
                    self.assertIn("the search index is made anew", daemon.log())
                daemon.stop()
                self.assertEqual(self.check(), [])

    def test_a_store_that_cannot_be_read(self):
        """That is not the index's fault: it is not made anew for it."""
        broken = bytearray(self.made[0])
        with contextlib.closing(sqlite3.connect(self.store)) as db:
            root, = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'records'").fetchone()
        child = (root - 1) * PAGE + 12  # the first cell of a page within the tree
        page = int.from_bytes(broken[(at := (root - 1) * PAGE + int.from_bytes(
            broken[child:child + 2], "big")):at + 4], "big")
        self.assertEqual(broken[(page - 1) * PAGE], 13)  # a leaf of a table
        broken[(page - 1) * PAGE:page * PAGE] = bytes(PAGE)
        self.store.write_bytes(broken)
        self.index.unlink()
        daemon, client = self.daemon("[hub]\nrecent = 16\n")
        wait_for(lambda: state(client)["state"] == "failing", what="the fault to be told")
        self.assertEqual(state(client)["rebuilds"], 0)
        self.assertIn("reading the store for the search index", daemon.log())

    def test_a_folder_at_its_place(self):
        """The index cannot be made: the daemon serves what it can."""
        self.index.unlink()
        self.index.mkdir()
        daemon, client = self.daemon()
        self.assertIsNone(found(client, "amber"))
        self.assertEqual(client.call("record.count")["count"], 866)
        self.assertIn("the search index cannot be brought up to the store", daemon.log())

    def flip(self, rng):
        broken = bytearray(self.made[1])
        for _ in range(rng.choice((1, 1, 2, 5, 20))):
            at = rng.randrange(len(broken))
            if rng.random() < 0.3:
                at = at // PAGE * PAGE + rng.randrange(64)
            broken[at] ^= 1 << rng.randrange(8)
        return bytes(broken)

    def test_flips(self):
        """Check notices, or every answer is right. What the daemon answers out of a damaged index is
        never a record that does not match, and after a check while it runs all is right."""
        rng = seeded()
        noticed = 0
        for i in range(COPIES):
            self.lay_out()
            self.index.write_bytes(self.flip(rng))
            with self.subTest(copy=i):
                findings = self.check()
                noticed += findings != []
                with Daemon(store=self.store, config=CONFIG) as daemon, daemon.control() as client:
                    right = truth(client)
                    if findings:
                        for word in WORDS:
                            self.assertLessEqual(found(client, word) or set(), right[word])
                        check_running(client)
                    self.expect_truth(client, right)
        print(f"{COPIES} copies: {noticed} with something wrong", flush=True)


def check_running(client):
    """The result of system.check."""
    client.call("system.check")
    while "result" not in (job := client.notification("job")):
        if "error" in job:
            raise RpcError(job["error"])
    return job["result"]


class Running(Damage):
    def setUp(self):
        super().setUp()
        self.running, self.client = self.daemon()
        wait_indexed(self.client)

    def expect_mended(self):
        """After what was done to the index: nothing wrong is said, and it is made anew."""
        right = truth(self.client)
        wait_for(lambda: all([found(self.client, w) in (None, right[w]) or self.fail(w)
                              for w in WORDS]) and state(self.client)["rebuilds"] > 0,
                 what="the index to be made anew")
        wait_indexed(self.client)
        self.expect_truth(self.client)
        self.assertIn("the search index is made anew", self.running.log())

    def search_before(self):
        for word in WORDS:
            found(self.client, word)

    def test_a_check_mends(self):
        for script, says in (SQL_FAULTS[11], SQL_FAULTS[14]):
            rebuilds = state(self.client)["rebuilds"]
            self.sql(script)
            done = sysrtctl(self.running, "check", "-o", "table", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stdout, rf"(?m)^search +WRONG\n    {says}")
            self.assertIn("the search index is made anew, which goes on behind this", done.stdout)
            wait_for(lambda r=rebuilds: state(self.client)["rebuilds"] > r, what="another index")
            wait_indexed(self.client)
            self.expect_truth(self.client)
            report = check_running(self.client)
            self.assertTrue(report["ok"], report)
            self.assertNotIn("rebuilding", report)

    def test_an_index_that_says_what_is_not_so(self):
        """Nothing is written: a search is enough to find that out, and to have it made anew."""
        self.sql("UPDATE words SET data = 'zebra' WHERE rowid = "
                 "(SELECT max(seq) FROM docs WHERE id = 'id-6')")
        self.assertIsNone(found(self.client, "zebra"))
        wait_for(lambda: found(self.client, "zebra") == set(), what="the truth")
        self.assertEqual(state(self.client)["rebuilds"], 1)
        self.expect_truth(self.client)

    def test_terms_that_cannot_be_read(self):
        self.search_before()
        self.sql("UPDATE words_data SET block = x'ffffffffffffffffffffffff' WHERE id = 10;")
        self.expect_mended()

    def test_the_schema_has_gone(self):
        for is_open in (False, True):
            with self.subTest(is_open=is_open):
                self.running.restart()
                self.client = self.running.control()
                self.addCleanup(self.client.close)
                if is_open:
                    self.search_before()
                self.sql("DROP TABLE words")
                self.expect_mended()

    def test_the_file_has_gone(self):
        for is_open in (False, True):
            with self.subTest(is_open=is_open):
                self.running.restart()
                self.client = self.running.control()
                self.addCleanup(self.client.close)
                if is_open:
                    self.search_before()
                self.index.unlink()
                self.client.call("record.put", category="c", id="new", data="amber")
                self.expect_mended()

    def test_another_file_is_there(self):
        other = self.folder / "other"
        other.write_bytes(b"not a database" * 1000)
        os.rename(other, self.index)
        self.client.call("record.put", category="c", id="new", data="amber")
        self.expect_mended()

    def test_the_file_is_overwritten(self):
        """What is in memory may hide it for long; but no answer is wrong, and after the check all is
        well, now and after a restart."""
        whole = self.index.stat().st_size
        faults = (("cut to nothing", 0, None), ("all but its head", PAGE, os.urandom(whole - PAGE)),
                  ("cut", whole // 2 // PAGE * PAGE, None), ("zeroes", 0, bytes(whole)))
        for name, at, content in faults if LONG else faults[:2]:
            for is_open in (False, True) if LONG else (at > 0,):
                with self.subTest(name, is_open=is_open):
                    if self.running.process:
                        self.running.stop()
                    self.lay_out()
                    self.running.start()
                    self.client = self.running.control()
                    self.addCleanup(self.client.close)
                    if is_open:
                        self.search_before()
                    with open(self.index, "r+b") as file:
                        file.seek(at)
                        if content is None:
                            file.truncate()
                        else:
                            file.write(content)
                    self.client.call("record.put_many", records=[
                        {"category": "c", "id": f"id-{n}", "data": WORDS[n % 10]}
                        for n in range(0, 300, 5)])
                    self.expect_truth(self.client)
                    check_running(self.client)
                    self.expect_truth(self.client)
                    wait_indexed(self.client)
                    self.expect_truth(self.client)
                    self.running.stop()
                    self.assertEqual(self.check(), [])

    def test_nothing_is_found_while_much_is_written(self):
        """The index moves on under the check: none of that is taken for damage."""
        rng = seeded()
        with self.running.control() as writer:
            for _ in range(20 if LONG else 2):
                self.client.send("system.check")
                while True:
                    for _ in range(3):
                        writer.call("record.put_many", records=[
                            {"category": rng.choice(("c", "part", "none")),
                             "id": f"id-{rng.randrange(5000)}", "data": rng.choice(WORDS)}
                            for _ in range(500)])
                    writer.call("record.delete", category="c",
                                ids=[f"id-{rng.randrange(5000)}" for _ in range(100)])
                    job = next((n["params"] for n in self.client.notifications
                                if "result" in n["params"] or "error" in n["params"]), None)
                    if job:
                        break
                    self.client.call("ping")
                self.client.notifications.clear()
                self.assertTrue(job["result"]["ok"], job)
        self.assertEqual(state(self.client)["rebuilds"], 0)


if __name__ == "__main__":
    unittest.main()

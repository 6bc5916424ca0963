"""Other people at the file, and a disk that is full: no false answer, no half batch, nothing lost
that was acknowledged, and the daemon recovers by itself when the cause goes away.

builds: asan; in check-long: release
"""

import sqlite3
import threading
import unittest

from faults import Faults, SmallDisk
from harness import RpcError, wait_for

KIB = 1024


class Others(Faults):
    def test_one_that_writes(self):
        """While it holds the write lock, writes are refused for now; what it wrote is told."""
        self.start()
        self.put("mine", 1)
        with self.daemon.ws() as ws:
            ws.call("subscribe", categories="*", since=0)
            ws.notification("synced")
            db = self.outsider()
            db.execute("BEGIN IMMEDIATE")
            error = self.put("mine", 2)
            self.assertEqual(error.code, "UNAVAILABLE")
            self.assertIn("locked", error.message)
            self.assertEqual(self.control.call("record.get", id="mine")["record"]["data"], 1)
            db.execute("INSERT INTO records (seq, category, id, name, data, rev, created_at, "
                       "updated_at) VALUES ((SELECT max(seq) + 1 FROM records), "
                       "'general', 'theirs', 'theirs', '3', 1, 1, 1)")
            db.execute("COMMIT")
            db.close()
            self.assertIsNone(self.put("mine", 4))
            told = {}
            while set(told.values()) < {3, 4}:
                change = ws.notification("change")
                told[change["id"]] = change["data"]
            self.assertEqual(told, {"theirs": 3, "mine": 4})
        self.acknowledged["theirs"] = (self.acknowledged["mine"][0] - 1, 3)
        self.check_nothing_is_lost()

    def test_one_that_reads_for_long(self):
        """The log cannot shrink: beyond the hard limit writes are refused, and the cause is named."""
        self.start('[store]\nwal_limit = "1MiB"\nwal_hard_limit = "4MiB"\n')
        self.put("first", 1)
        db = self.outsider()
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM records").fetchall()
        error = self.put_until_refused(32 * KIB)
        self.assertEqual(error.code, "UNAVAILABLE")
        self.assertIn("store.wal_hard_limit", error.message)
        self.assertGreater(self.control.call("status")["store"]["log_bytes"], 4 << 20)
        db.execute("COMMIT")
        db.close()
        wait_for(lambda: self.put("again", 2) is None, what="writes to go on")
        self.check_nothing_is_lost()

    def test_one_that_checkpoints(self):
        self.start()
        is_over, has_put = threading.Event(), threading.Event()

        def disturb():
            """Once after each put: without a break it would hardly let anybody write."""
            db = self.outsider()
            while not is_over.is_set():
                has_put.wait()
                has_put.clear()
                try:
                    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                except sqlite3.OperationalError:
                    pass  # it is locked: the daemon is at work
            db.close()
        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            for number in range(400):
                error = self.put(f"r{number % 50}", f"{number} " + "x" * 3000)
                if error:
                    self.assertEqual(error.code, "UNAVAILABLE")
                has_put.set()
        finally:
            is_over.set()
            has_put.set()
            thread.join()
        self.assertGreater(len(self.acknowledged), 0)
        self.assertIsNone(self.put("last", 1))
        self.check_nothing_is_lost()


class Disk(Faults):
    def test_a_full_disk(self):
        disk = self.enterContext(SmallDisk("16m")).path
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(8 << 20))
        self.start(store=disk / "sysrt.db")
        error = self.put_until_refused(32 * KIB)
        self.assertEqual(error.code, "IO_ERROR")
        self.assertIn("full", error.message)
        with self.assertRaises(RpcError) as caught:
            self.control.call("record.put_many", records=[
                {"id": f"many{n}", "data": "x" * 32 * KIB} for n in range(50)])
        self.assertEqual(caught.exception.code, "IO_ERROR")
        key, (seq, _) = next(iter(self.acknowledged.items()))
        self.assertEqual(self.control.call("record.get", id=key)["record"]["seq"], seq)
        ballast.unlink()
        wait_for(lambda: self.put("again", 1) is None, what="writes to go on")
        listed = self.control.list_all(limit=1000)
        self.assertFalse([r for r in listed if r["id"].startswith("many")], "half a batch")
        self.check_nothing_is_lost()


if __name__ == "__main__":
    unittest.main()

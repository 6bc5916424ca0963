"""Other people at the file, and a disk that is full: no false answer, no half batch, nothing lost
that was acknowledged, and the daemon recovers by itself when the cause goes away.

builds: release asan
"""

import os
import sqlite3
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from harness import RpcError, daemon_for, wait_for

KIB = 1024


class Faults(unittest.TestCase):
    def start(self, config="", store=None):
        self.daemon = daemon_for(self, config=config, store=store)
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        self.acknowledged = {}

    def put(self, key, data):
        """Notes what was acknowledged; the error otherwise."""
        try:
            seq = self.control.call("record.put", id=key, data=data)["seq"]
        except RpcError as error:
            return error
        self.acknowledged[key] = (seq, data)
        return None

    def put_until_refused(self, size, most=5000):
        for number in range(most):
            error = self.put(f"r{number % 97}", f"{number} " + "x" * size)
            if error:
                return error
        raise AssertionError(f"{most} records were taken")

    def check_nothing_is_lost(self):
        """Now, and after a kill and a restart."""
        for _ in range(2):
            with self.daemon.control() as control:
                stored = {r["id"]: (r["seq"], r["data"]) for r in control.list_all(limit=1000)}
            for key, value in self.acknowledged.items():
                self.assertEqual(stored.get(key), value, key)
            self.daemon.kill()
            self.daemon.start()
        self.daemon.stop()
        db = self.outsider()
        self.assertEqual(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        db.close()

    def outsider(self):
        return sqlite3.connect(self.daemon.store, isolation_level=None, timeout=0)


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
            db.execute("INSERT INTO records VALUES ((SELECT max(seq) + 1 FROM records), "
                       "'general', 'theirs', 'theirs', '3', 1, 1, 1, NULL)")
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
        is_over = threading.Event()

        def disturb():
            db = self.outsider()
            while not is_over.is_set():
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
        finally:
            is_over.set()
            thread.join()
        self.assertGreater(len(self.acknowledged), 0)
        self.assertIsNone(self.put("last", 1))
        self.check_nothing_is_lost()


class Disk(Faults):
    def test_a_full_disk(self):
        self.assertEqual(os.geteuid(), 0, "only root can mount a small disk")
        disk = self.enterContext(SmallDisk("16m"))
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


class SmallDisk:
    """A file system in memory; as a context the path where it is mounted."""

    def __init__(self, size):
        self.size = size

    def __enter__(self):
        self.path = Path(tempfile.mkdtemp(prefix="sysrt-disk-"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size}", "tmpfs", self.path],
                       check=True)
        return self.path

    def __exit__(self, *exc):
        subprocess.run(["umount", "-l", self.path], check=True)
        self.path.rmdir()


if __name__ == "__main__":
    unittest.main()

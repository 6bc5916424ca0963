"""Disks that fail under the daemon: system calls that fail under load, a file system that is
read-only for a while, files that are moved away. No false answer, no half batch, nothing lost that
was acknowledged, and writes go on by themselves where the cause goes away.

builds: release; in check-long: asan
"""

import contextlib
import os
import shutil
import signal
import tempfile
import unittest
from pathlib import Path

from faults import Delaying, Failing, Faults, Writer
from follow import Follower, View, stored_records
from harness import LONG, RpcError, wait_for

SYNCS = ("fsync", "fdatasync")
WRITES = ("pwrite64",)
READS = ("pread64",)
WANTED = 12  # of failures, and of writes before and after them: for each writer


class Calls(Faults):
    """System calls fail, with writers on both doors and somebody who follows."""

    def setUp(self):
        self.start()
        self.assertIsNone(self.put("before", 1))
        self.files = [self.daemon.store, f"{self.daemon.store}-wal"]
        self.view = View("follower", categories="*")
        self.follower = Follower(self.view, self.daemon.ws())
        self.writers = [Writer("control", self.daemon.control()),
                        Writer("websocket", self.daemon.ws())]
        for thread in (self.follower, *self.writers):
            self.addCleanup(thread.client.close)
            thread.start()
        self.addCleanup(self.stop_writers)
        self.let_them_write()

    def stop_writers(self):
        for writer in self.writers:
            writer.finish()

    def wait_for_each(self, count, what):
        wanted = [count(writer) + WANTED for writer in self.writers]
        wait_for(lambda: any(writer.fault for writer in self.writers) or all(
            count(writer) >= n for writer, n in zip(self.writers, wanted)), what=what)

    def let_them_write(self):
        self.wait_for_each(lambda writer: writer.acknowledged, "writes that go well")

    def let_them_fail(self):
        self.wait_for_each(lambda writer: len(writer.errors), "writes that fail")

    @contextlib.contextmanager
    def failing(self, calls, error, when="1+"):
        with Failing(self.daemon, calls, error, self.files, when):
            yield
            for writer in self.writers:
                writer.pause()
        for writer in self.writers:
            writer.go_on()

    def check(self, code, says):
        """The cause is gone."""
        self.let_them_write()
        self.stop_writers()
        errors = [error for writer in self.writers for error in writer.errors]
        for error in errors:
            self.assertEqual(error.code, code, error)
            self.assertRegex(error.message, says)
        stored = [writer.judge(self.daemon) for writer in self.writers]
        self.check_follower()
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual([writer.judge(self.daemon) for writer in self.writers], stored)
        self.check_file()

    def check_follower(self):
        """What it was told is what is stored."""
        records, seq = stored_records(self.daemon)
        wait_for(lambda: self.follower.fault or self.view.has_reached(seq), what="the follower")
        self.follower.hang_up()
        self.follower.finish()
        self.assertEqual(self.view.records, records)

    def fail_writes(self, calls, error, code, says):
        """All of them, until a person has mended the disk: reads go on."""
        with self.failing(calls, error):
            self.let_them_fail()
            self.assertEqual(self.control.call("record.get", id="before")["record"]["data"], 1)
        self.check(code, says)
        log = self.daemon.log()
        self.assertEqual(log.count('msg="a batch failed"'), 1, log)
        self.assertEqual(log.count('msg="writing works again"'), 1, log)

    def test_syncs_of_the_log(self):
        self.fail_writes(SYNCS, "EIO", "IO_ERROR", "unknown.*Input/output error")

    def test_writes_of_the_log(self):
        self.fail_writes(WRITES, "EIO", "IO_ERROR", "Input/output error")

    def test_a_full_disk(self):
        self.fail_writes(WRITES, "ENOSPC", "IO_ERROR", "full$")

    def test_a_quota_that_is_used_up(self):
        self.fail_writes(WRITES, "EDQUOT", "IO_ERROR", "quota")

    def test_a_file_system_that_is_read_only_for_a_while(self):
        self.fail_writes(WRITES + SYNCS, "EROFS", "IO_ERROR", "Read-only file system$")

    def test_a_disk_that_fails_now_and_then(self):
        """In the middle of batches too: some of a batch's writes go well."""
        for calls, error, when in ((WRITES, "EIO", "2+17"), (WRITES, "ENOSPC", "2+23"),
                                   (SYNCS, "EIO", "2+3")):
            with self.failing(calls, error, when):
                self.let_them_fail()
        self.check("IO_ERROR", "full$|Input/output error$")

    def test_reads_of_the_log(self):
        """Nobody is told that the store is malformed."""
        errors = []

        def read():
            try:
                self.control.call("record.list", limit=1000)
            except RpcError as error:
                errors.append(error)
            return len(errors) >= WANTED
        with self.failing(READS, "EIO"):
            wait_for(read, what="reads that fail")
        for error in errors:
            self.assertEqual(error.code, "IO_ERROR", error)
            self.assertRegex(error.message, "Input/output error$")
        self.assertEqual(self.control.call("record.get", id="before")["record"]["data"], 1)
        self.check("IO_ERROR", "Input/output error$")


class Stopping(Faults):
    def test_who_waits_is_told_what_became_of_it(self):
        """Also when the time to stop is up: what is committed then, and that the rest was not."""
        self.start('[daemon]\nshutdown_timeout = "100ms"\n')
        log = [self.daemon.store, f"{self.daemon.store}-wal"]
        with self.daemon.ws() as ws, Delaying(self.daemon, SYNCS, 1000, log):
            # more than one batch holds
            asked = {ws.send("record.put", id=f"i{i}", data="x" * (256 << 10)): f"i{i}"
                     for i in range(40)}
            ws.call("ping")
            self.daemon.signal(signal.SIGTERM)
            done, refused = set(), set()
            for request, key in asked.items():
                try:
                    ws.answer(request)
                    done.add(key)
                except RpcError as error:
                    self.assertEqual(error.code, "UNAVAILABLE")
                    refused.add(key)
            self.assertEqual(ws.close_code(), 1001)
        self.assertIn("i0", done)
        self.assertIn("i39", refused)
        self.daemon.wait_exit()
        db = self.outsider()
        self.assertEqual({row[0] for row in db.execute("SELECT id FROM records")}, done)
        db.close()


class MustLast(Faults):
    """Some writes are synced even where others are not."""

    def setUp(self):
        self.start(config="store.durability = \"normal\"\n")

    def test_a_sync_that_fails(self):
        for name in "ab":
            self.control.call("token.create", name=name, scopes="read")
        wal = f"{self.daemon.store}-wal"
        with Failing(self.daemon, SYNCS, "EIO", [wal]):
            self.assertIsNone(self.put("any", 1))
            with self.assertRaises(RpcError) as raised:
                self.control.call("token.revoke", name="a")
            self.assertIsNone(self.put("any", 2))
        self.assertEqual(raised.exception.code, "IO_ERROR")
        self.assertRegex(raised.exception.message, "unknown.*Input/output error")
        self.control.call("token.revoke", name="a")
        self.assertEqual([t["name"] for t in self.control.call("token.list")["items"]], ["b"])
        self.daemon.restart()
        self.check_file()


class Moved(Faults):
    """SQLite would go on with files that nobody finds again."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sysrt-moved-")) / "store"
        self.addCleanup(shutil.rmtree, self.folder.parent)
        self.folder.mkdir()
        self.start(store=self.folder / "sysrt.db")
        self.assertIsNone(self.put("before", 1))

    def check_refused(self, why, before=1):
        """Writes are; reads go on with what is open."""
        for _ in range(3):
            error = self.put("after", 2)
            self.assertEqual(error.code, "UNAVAILABLE")
            self.assertIn(why, error.message)
            self.assertIn("put it back, or restart sysrtd", error.message)
        record = self.control.call("record.get", id="before")["record"]
        self.assertEqual(record["data"], before)
        log = self.daemon.log()
        self.assertEqual(log.count('level=error part=store msg="nothing is written"'), 1, log)

    def test_the_folder_is_moved_and_comes_back(self):
        away = self.folder.with_name("away")
        self.folder.rename(away)
        if LONG:  # it is noticed though nobody writes
            wait_for(lambda: "nothing is written" in self.daemon.log(), what="a line in the log")
        self.check_refused("No such file or directory")
        away.rename(self.folder)
        self.assertIsNone(self.put("after", 3))
        self.check_nothing_is_lost()

    def test_the_log_is_removed(self):
        """What is only there comes into the store at a clean stop."""
        os.unlink(f"{self.daemon.store}-wal")
        self.check_refused("sysrt.db-wal has gone")
        self.daemon.restart()
        self.check_nothing_is_lost()

    def test_the_file_is_moved_and_the_log_is_left(self):
        """After a kill that has writes which are nowhere else: it waits for somebody to decide."""
        store, log = Path(self.daemon.store), Path(f"{self.daemon.store}-wal")
        self.daemon.kill()
        left = log.read_bytes()
        self.assertGreater(len(left), 0)
        away = store.rename(self.folder / "away")
        for is_empty in (False, True):
            if is_empty:
                store.touch()
            self.daemon.launch()
            self.assertNotEqual(self.daemon.wait_exit(), 0)
            self.assertIn(f"it is gone or empty, but its log {log} is there", self.daemon.log())
            self.assertEqual(store.exists(), is_empty)
            self.assertEqual(log.read_bytes(), left)
        away.rename(store)
        self.daemon.start()
        self.check_nothing_is_lost()

    def test_another_store_is_put_in_its_place(self):
        """As from a backup: the daemon goes on with it when it is restarted."""
        copy = self.folder / "copy"
        db = self.outsider()
        db.execute("VACUUM INTO ?", (str(copy),))
        db.close()
        backed_up = dict(self.acknowledged)
        self.assertIsNone(self.put("before", 2))
        copy.rename(self.daemon.store)
        self.check_refused("another file is there", before=2)
        self.daemon.restart()
        self.acknowledged = backed_up
        self.check_nothing_is_lost()

    def test_all_of_it_is_removed(self):
        shutil.rmtree(self.folder)
        self.check_refused("No such file or directory")
        self.daemon.stop()
        self.folder.mkdir()
        self.daemon.start()
        with self.daemon.control() as control:
            self.assertEqual(control.call("record.count")["count"], 0)
            control.call("record.put", id="new", data=1)


if __name__ == "__main__":
    unittest.main()

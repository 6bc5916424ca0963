"""Giving free pages back while the store is in use: nothing is lost, the file is smaller, whatever is
written, read, copied, interrupted or killed meanwhile.

builds: release; in check-long: asan
"""

import contextlib
import json
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from harness import (BUILD, ENV, LONG, TIMEOUT_S, TOP, RpcError, daemon_for, run_store, seeded,
                     sysrtctl, wait_for)
from test_kill import History, Writer

FILL = 20_000 if LONG else 500
ROUNDS = 20 if LONG else 2
DATA = "x" * 4000
PAGE = 4096
SMALL_LOG = '[store]\nwal_limit = "1MiB"\n'


class Store(unittest.TestCase):
    def start(self, config="", fill=FILL, **options):
        self.folder = Path(tempfile.mkdtemp(prefix="sysrt-compact-"))
        self.addCleanup(shutil.rmtree, self.folder)
        options.setdefault("store", self.folder / "sysrt.db")
        self.daemon = daemon_for(self, config=config, **options)
        self.control = self.open()
        self.left = {}
        self.fill(fill)

    def open(self):
        control = self.daemon.control()
        self.addCleanup(control.close)
        return control

    def fill(self, n):
        """Records, of which the last quarter is left: behind what is free. {id: data}"""
        gone = n * 3 // 4
        for first in range(0, n, 500):
            self.control.call("record.put_many", category="fill", records=[
                {"id": f"{i}", "data": [i, DATA]} for i in range(first, min(n, first + 500))])
        for first in range(0, gone, 500):
            self.control.call("record.delete", category="fill", ids=[
                f"{i}" for i in range(first, min(gone, first + 500))])
        self.control.call("record.put", id="last", data=n)
        self.left |= {f"{i}": [i, DATA] for i in range(gone, n)}

    def status(self):
        return self.control.call("status")["store"]

    def compact(self, control=None):
        """The last notification of a job of it; each before says a little more."""
        control = control or self.control
        job, done = control.call("system.compact")["job"], -1
        while True:
            notice = control.notification("job")
            self.assertEqual(notice["job"], job)
            self.assertLessEqual(notice["done"], notice["total"])
            if "result" in notice or "error" in notice:
                return notice
            self.assertGreaterEqual(notice["done"], done)
            done = notice["done"]

    def compact_well(self):
        notice = self.compact()
        self.assertIn("result", notice, notice)
        return notice["result"]

    def filled(self):
        return {r["id"]: r["data"] for r in self.control.list_all(category="fill", limit=1000)}

    def check(self):
        """Nothing of the fill is lost, and the store is whole."""
        self.assertEqual(self.filled(), self.left)
        done = sysrtctl(self.daemon, "check", "-o", "json", check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    @contextlib.contextmanager
    def reader(self):
        """Another program that is in the middle of reading: the log cannot be started anew."""
        with contextlib.closing(sqlite3.connect(f"file:{self.daemon.store}?mode=ro", uri=True,
                                                isolation_level=None)) as db:
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM records").fetchall()
            yield

    def renew(self):
        """All of the log is in the file, which so is as long as it ever was."""
        self.daemon.restart()
        self.control = self.open()

    def wait_until_held(self):
        """A reader is in the log: it, or the file, keeps the job from its end."""
        wait_for(lambda: "compacting" in self.status(), what="the job to run")


class GivesBack(Store):
    def test_all_that_is_free(self):
        self.start()
        before = self.status()
        self.assertGreater(before["free_bytes"], FILL * PAGE // 2)
        result = self.compact_well()
        now = self.status()
        self.assertEqual(now["free_bytes"], 0)
        self.assertEqual(result["pages_freed"] * PAGE, result["bytes_freed"])
        self.assertGreater(result["pages_freed"], before["free_bytes"] // PAGE - 10)
        self.assertLess(result["size"], FILL * PAGE // 2)
        self.assertNotIn("compacting", now)
        self.assertEqual((now["seq"], now["epoch"]), (before["seq"], before["epoch"]))
        self.check()
        again = self.compact_well()
        self.assertEqual((again["pages_freed"], again["size"]), (0, result["size"]))
        self.daemon.stop()
        self.assertEqual(self.daemon.store.stat().st_size, again["size"])
        self.daemon.start()
        self.control = self.open()
        self.check()

    def test_while_it_is_written_and_read(self):
        self.start()
        self.history, counter, rng = History(), [0], seeded()
        writers = [Writer(f"w{i}", self.open(), self.history, type(rng)(rng.random()), counter)
                   for i in range(3)]
        readers = [threading.Thread(target=self.read, args=(self.open(),)) for _ in range(2)]
        self.is_over, self.reads, self.fault = threading.Event(), 0, None
        for thread in (*writers, *readers):
            thread.start()
        wait_for(lambda: self.history.answers > 200 and self.reads > 3, what="some to be under way")
        answers = self.history.answers
        result = self.compact_well()
        self.assertGreater(result["bytes_freed"], FILL * PAGE // 2)
        self.assertGreater(self.history.answers, answers)
        self.is_over.set()
        for reader in readers:
            reader.join()
        self.assertIsNone(self.fault)
        self.daemon.kill()
        for writer in writers:
            writer.join()
            self.assertIsNone(writer.fault)
        self.daemon.start()
        self.control = self.open()
        self.judge()

    def read(self, control):
        """Whatever moves, a reader sees all of what nobody writes."""
        try:
            while not self.is_over.is_set():
                found = {r["id"]: r["data"] for r in control.list_all(category="fill", limit=200)}
                if found != self.left:
                    raise AssertionError(f"{len(found)} records of {len(self.left)}")
                self.reads += 1
        except BaseException as fault:  # told by the main thread
            self.fault = fault

    def judge(self):
        self.history.judge({(r["category"], r["id"]): r["data"] for r in
                            self.control.list_all(category="kill.*", limit=1000)})
        self.check()

    def test_killed_in_the_middle(self):
        self.start(config=SMALL_LOG)
        self.history, counter, rng = History(), [0], seeded()
        for number in range(ROUNDS):
            writers = [Writer(f"w{i}", self.open(), self.history, type(rng)(rng.random()), counter)
                       for i in range(2)]
            for writer in writers:
                writer.start()
            total = self.status()["free_bytes"]
            self.control.call("system.compact")
            goal = rng.random() * total
            wait_for(lambda: total - self.status()["free_bytes"] > goal
                     or "compacting" not in self.status(), what="some to be given back")
            self.daemon.kill()
            for writer in writers:
                writer.join()
                self.assertIsNone(writer.fault, f"round {number}")
            self.daemon.start()
            self.control = self.open()
            self.judge()
            self.fill(FILL // 3)
        self.compact_well()
        self.judge()

    def test_beside_a_backup(self):
        folder = tempfile.mkdtemp(prefix="sysrt-compact-")
        self.addCleanup(shutil.rmtree, folder)
        self.start(config=f'[backup]\nfolder = "{folder}"\n')
        with self.open() as other:
            self.control.call("system.backup", verify=True)
            result = self.compact(other)
            self.assertIn("result", result)
            notice = self.control.notification("job")
            while "result" not in notice and "error" not in notice:
                notice = self.control.notification("job")
        self.assertIn("result", notice, notice)
        self.check()


class Waits(Store):
    def test_for_the_log(self):
        """The log is not filled to where writes are refused, and the file is waited for."""
        self.start(config=SMALL_LOG, fill=2_000)
        job = self.send_held()
        wait_for(lambda: self.status()["log_bytes"] >= 1 << 20, what="the log to be at its limit")
        log = self.status()["log_bytes"]
        self.control.call("record.put", id="meanwhile", data=1)
        self.assertLess(self.status()["log_bytes"], log + (1 << 20))
        with self.open() as other, self.assertRaises(RpcError) as refused:
            other.call("system.compact")
        self.assertEqual(refused.exception.code, "UNAVAILABLE")
        self.assertIn("being compacted already", refused.exception.message)
        self.held.close()
        notice = self.control.notification("job")
        while "result" not in notice:
            self.assertEqual((notice["job"], notice.get("error")), (job, None))
            notice = self.control.notification("job")
        self.assertEqual(notice["result"]["size"], self.daemon.store.stat().st_size)
        self.assertLess(notice["result"]["size"], 2_000 * PAGE // 2)
        self.check()

    def send_held(self):
        """A job that cannot go on before held is closed."""
        self.held = contextlib.ExitStack()
        self.addCleanup(self.held.close)
        self.held.enter_context(self.reader())
        job = self.control.call("system.compact")["job"]
        self.wait_until_held()
        return job

    def test_for_the_file_when_nothing_is_left(self):
        """The log is copied only after the reader is gone; before that the file is long."""
        self.start(fill=900)
        self.renew()
        size = self.daemon.store.stat().st_size
        with self.open() as other:
            with self.reader():
                other.call("system.compact")
                wait_for(lambda: self.status()["free_bytes"] == 0, what="all to be given back")
                self.assertEqual(self.daemon.store.stat().st_size, size)
                self.assertIn("compacting", self.status())
            notice = other.notification("job")
            while "result" not in notice:
                notice = other.notification("job")
        self.assertLess(notice["result"]["size"], size // 2)
        self.assertEqual(notice["result"]["size"], self.daemon.store.stat().st_size)

    def test_until_it_is_stopped(self):
        self.start(config=SMALL_LOG)
        self.renew()
        self.control, first = self.open(), self.control
        with contextlib.ExitStack() as held:
            held.enter_context(self.reader())
            first.call("system.compact")
            self.wait_until_held()
            first.close()
            wait_for(lambda: "compacting" not in self.status(), what="it to be stopped")
        self.check()
        self.compact_well()
        self.check()

    def test_until_the_daemon_stops(self):
        self.start(config=SMALL_LOG)
        self.renew()
        self.send_held()
        self.daemon.signal(signal.SIGTERM)
        notice = self.control.notification("job")
        while "error" not in notice:
            notice = self.control.notification("job")
        self.assertEqual(notice["error"]["data"]["code"], "UNAVAILABLE")
        self.control.close()
        self.held.close()
        self.assertEqual(self.daemon.wait_exit(), 0)
        self.daemon.start()
        self.control = self.open()
        self.check()


class OlderStores(Store):
    def test_once_without_a_daemon(self):
        """A file that was made without maps of its pages."""
        self.start(fill=0)
        self.daemon.stop()
        self.daemon.store.unlink()
        shutil.copy(TOP / "tests/stores/v1.db", self.daemon.store)
        self.daemon.start()
        self.control = self.open()
        notice = self.compact()
        self.assertEqual(notice["error"]["data"]["code"], "INVALID_ARGUMENT")
        self.assertIn("sysrtctl compact", notice["error"]["message"])
        self.daemon.stop()
        done = self.run_ctl("compact", "--store", self.daemon.store)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.daemon.start()
        self.control = self.open()
        self.fill(500)
        self.assertGreater(self.compact_well()["bytes_freed"], 300 * PAGE)
        self.check()

    def run_ctl(self, *args):
        return subprocess.run([BUILD / "sysrtctl", "--socket", self.daemon.socket, *args],
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              check=False, timeout=TIMEOUT_S, env=ENV)


class FromTheShell(Store):
    def test_what_it_prints(self):
        self.start()
        done = sysrtctl(self.daemon, "compact", "-o", "table")
        self.assertRegex(done.stdout, r"\Agave back \d+\.?\d* MiB, the file has \d+\.?\d* \w+ now\n\Z")
        result = json.loads(sysrtctl(self.daemon, "compact").stdout)
        self.assertEqual(set(result), {"pages_freed", "bytes_freed", "size", "took_ms"})
        self.assertEqual(result["pages_freed"], 0)
        self.daemon.stop()
        self.assertEqual(self.daemon.store.stat().st_size, result["size"])

    def test_an_interruption(self):
        self.start(config=SMALL_LOG, fill=0)
        for number in (signal.SIGINT, signal.SIGKILL):
            self.fill(FILL)
            self.renew()
            with self.reader():
                ctl = subprocess.Popen([BUILD / "sysrtctl", "--socket", self.daemon.socket,
                                        "compact"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                self.wait_until_held()
                ctl.send_signal(number)
                out, err = ctl.communicate(timeout=TIMEOUT_S)
                self.assertEqual((ctl.returncode, out, err), (
                    -9 if number == signal.SIGKILL else 128 + number, b"", b""))
                wait_for(lambda: "compacting" not in self.status(), what="the daemon to stop it")
        self.check()


class Salvage(Store):
    def test_a_map_is_no_tree(self):
        """A page that says whose the others are, and that could be read as one that is above the
        root of an index: then the rows that are lost would not be known by their keys."""
        self.start(fill=900)
        self.daemon.stop()
        path = self.daemon.store
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            root, = db.execute("SELECT rootpage FROM sqlite_schema "
                               "WHERE name = 'sqlite_autoindex_records_1'").fetchone()
        pages = bytearray(path.read_bytes())
        self.spoil_map(pages, root)
        lost = self.spoil_leaf(pages)
        path.write_bytes(pages)
        done = run_store("repair", "-o", "json", path)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        report = json.loads(done.stdout)
        self.assertEqual((report["how"], report["lost"]), ("salvaged", lost))
        self.assertEqual(report["records"], len(self.left) + 1 - lost)

    def spoil_map(self, pages, root):
        """As a tree's page the second map would have three cells, one at 0x105: the root's."""
        at = (PAGE // 5 + 1 + 1) * PAGE
        kinds = set(pages[at:at + 50 * 5:5])
        self.assertTrue(kinds and kinds <= {1, 2, 3, 4, 5}, kinds)
        for number, (kind, parent) in {0: (5, 3), 2: (5, 0x101), 3: (5, 3), 52: (5, root)}.items():
            pages[at + 5 * number:at + 5 * number + 5] = bytes([kind]) + parent.to_bytes(4, "big")

    @staticmethod
    def spoil_leaf(pages):
        """The last one with long rows is no page any more; returns how many they were."""
        at = max(at for at in range(0, len(pages), PAGE)
                 if pages[at] == 13 and b"x" * 200 in pages[at:at + PAGE])
        n = int.from_bytes(pages[at + 3:at + 5], "big")
        pages[at:at + PAGE] = bytes(PAGE)
        return n


if __name__ == "__main__":
    unittest.main(verbosity=2)

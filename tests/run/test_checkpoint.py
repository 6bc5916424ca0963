"""Checkpoints on the real daemon: the database file is written back in slices before it is synced,
and what does that takes SQLite's locks from nobody.

builds: release; in check-long: asan
"""

import re
import shutil
import sqlite3
import tempfile
import unittest
from pathlib import Path

from harness import Daemon, wait_for

LIMIT = 24 << 20
CONFIG = f"[store]\nwal_limit = {LIMIT}\n"
DATA = "x" * 10_000
IDS = 1000
WINDOW = 100
SLICE = re.compile(r"^sync_file_range\(\d+<.*/sysrt\.db>, (\d+), (\d+), (\S.*)\) += 0$")
SYNC = re.compile(r"^f(?:data)?sync\(\d+<.*/sysrt\.db>")
WAITED = "SYNC_FILE_RANGE_WAIT_BEFORE|SYNC_FILE_RANGE_WRITE|SYNC_FILE_RANGE_WAIT_AFTER"


def fill_logs(daemon, restarts):
    """Puts records, many at once, until the log was started anew so many times."""
    with daemon.control() as control:
        sent = []
        for number in range(100_000):
            sent.append(control.send("record.put", id=f"record {number % IDS}", data=DATA))
            if len(sent) == WINDOW:
                control.answer(sent.pop(0))
            if number % IDS == 0 and \
                    control.call("status")["store"]["log_restarts"] >= restarts:
                return
    raise AssertionError("the log was not started anew")


class Checkpoints(unittest.TestCase):
    def test_slices_come_before_the_sync(self):
        out = Path(tempfile.mkdtemp(prefix="sysrt-trace-"))
        self.addCleanup(shutil.rmtree, out)
        wrap = ["strace", "-D", "-ff", "-y", "-e", "trace=sync_file_range,fsync,fdatasync",
                "-e", "signal=none", "-o", str(out / "trace")]  # a file for each thread
        with Daemon(config=CONFIG) as daemon:
            with daemon.control() as control:  # all of them: the file grows no more
                for number in range(0, IDS, WINDOW):
                    control.call("record.put_many", records=[
                        {"id": f"record {number + i}", "data": DATA} for i in range(WINDOW)])
            daemon.stop()
            with Daemon(config=CONFIG, store=daemon.store, wrap=wrap,
                        env={"ASAN_OPTIONS": "detect_leaks=0"}) as traced:
                fill_logs(traced, 2)
        traces = wait_for(lambda: self.finished(out), what="strace to end")
        self.assertGreaterEqual(sum(map(self.runs, traces)), 2)

    def runs(self, trace):
        """How many times all of the file was written back, slice by slice, before its sync."""
        runs, end = 0, 0
        for line in trace.splitlines():
            if found := SLICE.match(line):
                at, size, how = found.groups()
                self.assertEqual(how, WAITED)
                self.assertIn(int(at), (0, end), line)
                end = int(at) + int(size)
            elif SYNC.match(line) and end > 0:
                self.assertGreaterEqual(end, IDS * len(DATA), line)
                runs, end = runs + 1, 0
        return runs

    @staticmethod
    def finished(folder):
        """strace lets the daemon go first: its files are whole when the exits are in them."""
        texts = [path.read_text(errors="replace") for path in folder.iterdir()]
        return texts if all(t.endswith("+++ exited with 0 +++\n") for t in texts) else None

    def test_nobody_gets_the_file_alone(self):
        with Daemon(config=CONFIG) as daemon:
            fill_logs(daemon, 1)
            outsider = sqlite3.connect(daemon.store, timeout=0)
            outsider.execute("PRAGMA locking_mode = EXCLUSIVE")
            with self.assertRaisesRegex(sqlite3.OperationalError, "locked"):
                outsider.execute("SELECT count(*) FROM records").fetchall()
            outsider.close()
            fill_logs(daemon, 2)


if __name__ == "__main__":
    unittest.main()

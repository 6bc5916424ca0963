"""sysrtctl import of real data, broken off again and again: 231,083 flights as CSV and as an array (from
the npm package vega-datasets, which packaging/deps long puts into the cache), and the journal of this
machine. Nothing is lost, nothing is there twice.

builds: release
long: yes
"""

import collections
import csv
import json
import os
import shutil
import signal
import subprocess
import time
import unittest
from pathlib import Path

from harness import BUILD, TIMEOUT_S, daemon_for, seeded, sysrtctl, wait_for

CTL = str(BUILD / "sysrtctl")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sysrt" / "vega-datasets"
JOURNAL = Path(__file__).parent / "samples" / "journal.jsonl"
JOURNAL_MAX = 100_000


def canonical(value):
    return json.dumps(value, sort_keys=True)


class RealData(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.daemon = daemon_for(self)
        self.rng = seeded()

    def stored(self):
        """Counter of the data of all records; every one was written once."""
        data = collections.Counter()
        with self.daemon.control() as control:
            for record in control.list_all(limit=1000, order="oldest"):
                self.assertEqual(record["rev"], 1)
                data[canonical(record["data"])] += 1
        return data

    def offset(self, path):
        try:
            return json.loads(Path(f"{path}.resume").read_text())["offset"]
        except FileNotFoundError:
            return 0

    def import_with_breaks(self, path, *args, breaks=6):
        """Kills sysrtctl or the daemon at random moments, then lets it come to its end; the summary."""
        command = [CTL, "--socket", self.daemon.socket, "import", "--resume", *args, path]
        for n in range(breaks):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            before = self.offset(path)
            wait_for(lambda: self.offset(path) > before or process.poll() is not None)
            time.sleep(self.rng.random() * 0.2)
            self.assertIsNone(process.poll(), "it ended too early to be broken off")
            if n % 3 == 0:
                self.daemon.kill()
                self.daemon.start()
            else:
                process.send_signal(signal.SIGKILL if n % 3 == 1 else signal.SIGTERM)
            process.wait(TIMEOUT_S)
        done = sysrtctl(self.daemon, "import", "--resume", *args, str(path))
        self.assertEqual(done.stderr, "")
        return json.loads(done.stdout)

    def data_set(self, name):
        source = CACHE / name
        self.assertTrue(source.exists(), f"{source} is missing: sh packaging/deps long")
        return shutil.copy(source, self.daemon.folder / name)

    def test_a_table(self):
        path = self.data_set("flights-3m.csv")
        with open(path, newline="", encoding="utf-8") as file:
            wanted = collections.Counter(map(canonical, csv.DictReader(file)))
        self.assertGreater(wanted.total(), 200_000)
        self.import_with_breaks(path)
        self.assertEqual(self.stored(), wanted)

    def test_bad_rows_in_a_table(self):
        """They are told by line, and nothing else is passed over."""
        path = Path(self.data_set("flights-3m.csv"))
        lines = path.read_text().splitlines()[:50_001]
        bad = sorted(self.rng.sample(range(1, len(lines)), 500))
        kinds = ["1,2", "1,2,3,4,5,6", '1,"2"x,3,4,5', "\ufffd\udc80,2,3,4,5"]
        for n in bad:
            lines[n] = self.rng.choice(kinds)
        path.write_text("\n".join(lines) + "\n", errors="surrogateescape")
        done = sysrtctl(self.daemon, "import", "--on-error", "skip", str(path), check=False)
        self.assertEqual(done.returncode, 1)
        told = [int(line.split(":")[2]) for line in done.stderr.splitlines()]
        self.assertEqual(told, [n + 1 for n in bad])
        self.assertEqual(self.stored().total(), 50_000 - 500)

    def test_an_array(self):
        path = self.data_set("flights-200k.json")
        with open(path, encoding="utf-8") as file:
            wanted = collections.Counter(map(canonical, json.load(file)))
        self.import_with_breaks(path, "--map", "data=")
        self.assertEqual(self.stored(), wanted)

    def test_a_journal(self):
        """That of this machine, where it has one; else the kept one."""
        path = self.daemon.folder / "journal"
        with open(path, "wb") as out:
            subprocess.run(["journalctl", "-o", "json", "-n", str(JOURNAL_MAX), "--no-pager", "-q"],
                           stdout=out, stderr=subprocess.DEVNULL, check=False)
        if path.stat().st_size == 0:
            shutil.copy(JOURNAL, path)
        cursors = [json.loads(line)["__CURSOR"] for line in path.read_bytes().splitlines()]
        print(f"{len(cursors)} entries of the journal", flush=True)
        self.import_with_breaks(path, "--preset", "journald", breaks=3 if len(cursors) > 50_000 else 0)
        with self.daemon.control() as control:
            stored = sorted(r["id"] for r in control.list_all(limit=1000, category="journal"))
        self.assertEqual(stored, sorted(set(cursors)))


if __name__ == "__main__":
    unittest.main()

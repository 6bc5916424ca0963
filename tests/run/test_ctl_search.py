"""sysrtctl search: for programs, for people, on a terminal.

builds: asan; in check-long: release
"""

import json
import unittest

from harness import daemon_for, sysrtctl
from terminal import run_on_terminal
from test_ctl import CTL


def put(daemon, records):
    with daemon.control() as control:
        control.call("record.put_many", records=records)


class CtlSearch(unittest.TestCase):
    def setUp(self):
        self.daemon = daemon_for(self)

    def test_for_programs_and_for_people(self):
        put(self.daemon, [{"category": "c", "id": str(n), "name": "Name \x1b[2J", "data": f"a word {n}"}
                  for n in range(30)])
        done = sysrtctl(self.daemon, "search", "WORD", "name:name", "--limit", "3")
        self.assertEqual(len([json.loads(line) for line in done.stdout.splitlines()]), 3)
        self.assertRegex(done.stderr, r"\A30 found\nthere is more: --cursor \S+, or --all\n\Z")
        done = sysrtctl(self.daemon, "search", "word", "--limit", "7", "--all", "-o", "table")
        self.assertEqual(len(done.stdout.splitlines()), 60)
        self.assertEqual(done.stderr, "30 found\n")
        done = sysrtctl(self.daemon, "search", "word 7", "--category", "b,c", "-o", "table")
        self.assertEqual(done.stdout, "c/7  Name \\x1b[2J\n    a word 7\n")
        done = sysrtctl(self.daemon, "search", "word 7", "-o", "table", "--color", "always",
                        "--data", "--snippet", "0")
        self.assertEqual(done.stdout,
                         '\x1b[1mc/7\x1b[0m  Name \\x1b[2J\n    "a word 7"\n')
        done = sysrtctl(self.daemon, "search", "name -8", "-o", "json")
        self.assertEqual(json.loads(done.stdout)["total"], 29)
        put(self.daemon, [{"category": "n", "id": str(n), "data": {"n": n}} for n in range(9)])
        done = sysrtctl(self.daemon, "search", "3 OR 7", "--where", "/n>5", "-o", "table")
        self.assertEqual((done.stdout, done.stderr), ("n/7\n    7\n", "1 found\n"))
        done = sysrtctl(self.daemon, "search", '""', check=False)
        self.assertEqual((done.returncode, done.stderr),
                         (1, "sysrtctl: query: an empty phrase at 1\n"))

    def test_on_a_terminal(self):
        put(self.daemon, [{"category": "c", "id": "a", "name": "The word", "data": "😀 a word\u202e"}])
        mark = "\x1b[1;31mword\x1b[0m"
        status, shown = run_on_terminal([CTL, "--socket", self.daemon.socket, "search", "word"])
        self.assertEqual((shown, status), (
            f"\x1b[1mc/a\x1b[0m  The {mark}\n    😀 a {mark}\\u202e\n1 found\n", 0))
        status, shown = run_on_terminal([CTL, "--socket", self.daemon.socket, "search", "word"],
                                        env={"NO_COLOR": "1"})
        self.assertEqual((shown, status), ("c/a  The word\n    😀 a word\\u202e\n1 found\n", 0))


if __name__ == "__main__":
    unittest.main()

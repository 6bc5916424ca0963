"""The demo, as somebody runs it who has just built the programs.

builds: release
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import BUILD, TIMEOUT_S, TOP, wait_for
from terminal import Terminal

RECORDS = 3000


class DemoTest(unittest.TestCase):
    def setUp(self):
        self.build = Path(tempfile.mkdtemp(prefix="sysrt-demo-"))
        self.addCleanup(shutil.rmtree, self.build)
        for program in ("sysrtd", "sysrtctl"):
            (self.build / program).symlink_to(BUILD / program)
        self.env = {name: value for name, value in os.environ.items()
                    if not name.startswith(("SYSRT_", "DEMO_")) and name != "NO_COLOR"}
        self.env["BUILD"] = str(self.build)

    def data(self):
        """A file of records, outside of the demo's folder."""
        path = self.build / "my data.jsonl"
        with open(path, "w") as lines:
            for n in range(RECORDS):
                json.dump({"category": f"kind-{n % 4}", "id": f"it's {n}", "name": f"Thing {n}",
                           "data": {"n": n, "text": "x" * 300}}, lines)
                lines.write("\n")
        return path

    def run_demo(self, status=0, cwd=TOP, **env):
        done = subprocess.run(["sh", TOP / "packaging" / "demo"], env={**self.env, **env}, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=TIMEOUT_S * 4, cwd=cwd)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assert_nothing_is_left()
        return done.stdout, done.stderr

    def ours(self):
        """What runs of the demo's: everything that has its folder on its command line."""
        found = []
        for proc in Path("/proc").glob("[0-9]*"):
            try:
                words = (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # it has ended
                continue
            if str(self.build) in words:
                found.append(words)
        return found

    def assert_nothing_is_left(self):
        """A writer may still be about to find out that the daemon is gone."""
        wait_for(lambda: not self.ours(), timeout=5, what="all processes to end")

    def assert_tour(self, text, records):
        """It went all the way, and what it found is right."""
        self.assertRegex(text, rf"(?m)^{records} records in \S+")
        self.assertRegex(text, r"(?m)^store\n  path +\S.*\n  durability +full$")
        self.assertRegex(text, rf"(?m)^{records} records in [\d.]+ s: \d+ a second$")
        self.assertRegex(text, rf"(?m)^\$ \S+/sysrtctl count\n{records}$")
        self.assertRegex(text, r"(?m)^category +count\n\S+ +\d+$")
        told = text.partition("What the watcher was told:\n")[2].splitlines()[:3]
        self.assertEqual([re.search(r'"op":"(\w+)"', line)[1] for line in told],
                         ["put", "put", "delete"])
        acknowledged = int(re.search(r"(?m)^(\d+) writes were acknowledged before the kill$", text)[1])
        self.assertGreaterEqual(acknowledged, 150)
        self.assertIn("\nsysrtctl: the connection ended, connecting again\nsysrtctl: connected again\n", text)
        self.assertIn("\nacknowledged writes that are missing: 0\n", text)
        stored = int(re.search(r"it was told each of the (\d+) stored changes once\n", text)[1])
        self.assertGreaterEqual(stored, acknowledged)
        self.assertLessEqual(stored, acknowledged + 4, "four writers had one write each under way")
        self.assertRegex(text, r"(?m)^import: [1-9]\d* records a second$")
        self.assertRegex(text, r"(?m)^writes: [1-9]\d* a second were acknowledged")

    def test_once(self):
        """In a folder whose path is long: sockets have short ones."""
        path = self.data()
        deep = self.build / ("deep" * 30)
        deep.mkdir()
        for program in ("sysrtd", "sysrtctl"):
            (deep / program).symlink_to(BUILD / program)
        text, err = self.run_demo(DEMO_ONCE="1", DEMO_DATA=path.name, BUILD=str(deep),
                                  cwd=self.build)
        self.assertEqual(err, "")
        self.assert_tour(text, RECORDS)
        self.assertNotIn("\x1b", text)
        self.assertNotIn("Ctrl-C", text)
        self.assertEqual(len(path.read_text().splitlines()), RECORDS)
        socket = re.search(r"export SYSRT_SOCKET='(.*)'", text)[1]
        self.assertFalse(Path(socket).parent.exists(), "it is cleaned up")

    def test_on_a_terminal_until_control_c(self):
        path = self.data()
        with Terminal(["sh", "packaging/demo"], columns=100, cwd=TOP,
                      env={**self.env, "DEMO_DATA": str(path)}, drops=["DEMO_ONCE"]) as terminal:
            terminal.read_until(rb"Ctrl-C ends the demo\.\n", timeout=TIMEOUT_S * 4)
            self.try_what_it_says(terminal.text())
            self.refuse_a_second_one(path)
            terminal.press(b"\x03")
            self.assertEqual(terminal.wait(), 0)
            self.assert_tour(re.sub(r"\x1b\[[01]m", "", terminal.text()), RECORDS)
            self.assertRegex(terminal.text(), rf"\r\[#+\] {RECORDS} records, \d+ a second, \d+ s in all")
            self.assertIn("\x1b[1mImport\x1b[0m\n", terminal.text())
        self.assert_nothing_is_left()

    def try_what_it_says(self, text):
        """The lines under "How to go on", as they stand there."""
        where, lines = re.search(r"In another terminal, in (.*):\n((?:  .*\n)+)", text).groups()
        export, _, put, ls, search, help_ = lines.splitlines()
        done = subprocess.run(["sh", "-euc", "\n".join((export, put, ls, search, help_))], cwd=where, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT_S)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn('"created":true', done.stdout)
        self.assertIn("usage: sysrtctl", done.stdout)
        self.assertRegex(text, r"\nWebSocket: ws://127\.0\.0\.1:\d+/ws\n")

    def refuse_a_second_one(self, path):
        done = subprocess.run(["sh", TOP / "packaging" / "demo"], text=True, stderr=subprocess.PIPE,
                              stdout=subprocess.PIPE, env={**self.env, "DEMO_DATA": str(path)})
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(done.stderr, "demo: a demo is running here already\n")

    def test_control_c_in_the_middle(self):
        path = self.data()
        with Terminal(["sh", "packaging/demo"], cwd=TOP,
                      env={**self.env, "DEMO_DATA": str(path)}, drops=["DEMO_ONCE"]) as terminal:
            terminal.read_until(rb"Four clients", timeout=TIMEOUT_S * 4)
            terminal.press(b"\x03")
            self.assertEqual(terminal.wait(), 130)
        self.assert_nothing_is_left()

    def test_the_catalogue(self):
        """A small one, of packages that try the quoting."""
        stanzas = ('Package: first\nSection: admin\nDescription: a "quoted" \\ line\n and more of it\n',
                   "Package: second\nTag: a::b,\n c::d\n",
                   "Package: third\nSection: misc\nHomepage: http://x/\\\"\nDescription: tab\there\n")
        lists = self.build / "lists"
        (lists / "partial").mkdir(parents=True)
        (lists / "localhost_dists_test_Release").write_text(
            "Suite: test\nComponents: main\nArchitectures: amd64\n")
        (lists / "localhost_dists_test_main_binary-amd64_Packages").write_text("".join(
            stanza + "Version: 1:2-3\nArchitecture: all\nSize: 1\nFilename: f\nMaintainer: m\n\n"
            for stanza in stanzas))
        (self.build / "sources.list").write_text("deb [trusted=yes] http://localhost test main\n")
        text, err = self.run_demo(DEMO_ONCE="1", APT_CONFIG=self.apt_config())
        self.assertEqual(err, "")
        self.assert_tour(text, 3)
        lines = (self.build / "demo" / "data.jsonl").read_text().splitlines()
        records = {record["id"]: record for record in map(json.loads, lines)}
        self.assertEqual(records["first"]["name"], 'a "quoted" \\ line')
        self.assertEqual(records["first"]["category"], "admin")
        self.assertEqual(records["first"]["data"]["Version"], "1:2-3")
        self.assertEqual((records["second"]["name"], records["second"]["category"]), ("second", "unknown"))
        self.assertEqual(records["third"]["name"], "tab\there")
        self.assertEqual(records["third"]["data"]["Homepage"], 'http://x/\\"')

    def apt_config(self):
        """apt as it is where nothing was ever fetched, but for our own lists."""
        path = self.build / "apt.conf"
        path.write_text(f'Dir::State::lists "{self.build}/lists";\nDir::State::status "/dev/null";\n'
                        f'Dir::Cache "{self.build}/cache";\n'
                        f'Dir::Etc::sourcelist "{self.build}/sources.list";\n'
                        'Dir::Etc::sourceparts "/dev/null";\n')
        (self.build / "cache").mkdir(exist_ok=True)
        return str(path)

    def test_no_catalogue(self):
        (self.build / "lists").mkdir()
        (self.build / "sources.list").write_text("")
        text, err = self.run_demo(status=1, APT_CONFIG=self.apt_config())
        self.assertRegex(err, r"\Ademo: there is no apt catalogue here[^\0]*apt-get update[^\0]*DEMO_DATA=FILE\n\Z")
        self.assertNotIn("Import", text)

    def test_data_that_is_not_there(self):
        _, err = self.run_demo(status=1, DEMO_DATA="nowhere.jsonl")
        self.assertEqual(err, f"demo: DEMO_DATA: {TOP}/nowhere.jsonl cannot be read\n")

    def test_no_programs(self):
        for program in ("sysrtd", "sysrtctl"):
            (self.build / program).unlink()
        _, err = self.run_demo(status=1)
        self.assertEqual(err, f"demo: there are no programs in {self.build}: run make\n")


if __name__ == "__main__":
    unittest.main()

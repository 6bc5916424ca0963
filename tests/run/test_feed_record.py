"""Feeds that are recorded, and replayed; and the commands of sysrtctl for feeds.

builds: release asan
"""

import contextlib
import json
import signal
import sqlite3
import subprocess
import time
import unittest

from feeds import section, stored
from harness import BUILD, sysrtctl, wait_for
from terminal import Terminal
from trades import SECRET, TRADES, Basics, trade


class Recording(Basics):
    def lines(self, name="t"):
        path = self.daemon.store.parent / "recordings" / f"{name}.ndjson"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def test_recorded_and_replayed(self):
        server = self.upstream()
        self.start(section("t", url=server.url, record="t", headers=["X: ${secret:key}"],
                           **TRADES))
        self.control.call("vault.unlock", key="00" * 32)
        self.control.call("secret.set", name="key", value=SECRET)
        self.wait_state("t", "live", timeout=60)
        sent = [trade(f"p{i}", i) for i in range(200)]
        echo = json.dumps({"type": "trade", "product": "echo", "price": SECRET})
        server.send(*sent, echo, b"\x00\xff")
        self.wait_record("ticker", "echo", lambda d: d["price"] == SECRET)
        wait_for(lambda: len(self.lines()) == 202, what="all lines")
        lines = self.lines()
        self.assertEqual([line["text"] for line in lines[:200]], sent)
        self.assertEqual(json.loads(lines[200]["text"])["price"], "***")
        self.assertEqual(lines[201]["base64"], "AP8=")
        self.assertNotIn(SECRET, self.daemon.log())

        path = self.daemon.store.parent / "recordings" / "t.ndjson"
        scratch = self.daemon.folder / "scratch.db"
        done = sysrtctl(self.daemon, "-o", "json", "feed", "replay", str(path), "--into",
                        str(scratch))
        self.assertEqual(json.loads(done.stdout)["records"], 201)
        self.assertEqual(self.control.call("record.count")["count"], 201)
        again = sysrtctl(self.daemon, "feed", "replay", str(path), "--into", str(scratch),
                         check=False)
        self.assertEqual((again.returncode, done.stderr), (1, ""))
        self.control.call("record.delete", category="ticker", id="p7")
        with open(path, "a") as file:
            file.write('{"at":1,"te')
        copy = self.daemon.folder / "copy.ndjson"
        copy.write_text(path.read_text())
        done = sysrtctl(self.daemon, "-o", "json", "feed", "replay", str(copy), "--feed", "t")
        summary = json.loads(done.stdout)
        self.assertEqual((summary["messages"], summary["records"], summary["unmapped"],
                          summary["left_out"]), (202, 201, 1, 1))
        self.assertIn("line 203 is left out", done.stderr)
        self.assertEqual(self.get("ticker", "p7")["data"]["price"], 7)

    def test_a_replay_of_large_messages(self):
        """What is too large for a call is told and left out, all else goes in; a store of its own
        takes all."""
        self.start("[websocket]\nmax_message = \"64KiB\"\n" +
                   section("t", url="ws://127.0.0.1:1/", enabled=False, **TRADES))
        path = self.daemon.folder / "t.ndjson"
        sizes = (10, 60_000, 100_000, 60_000, 10)
        path.write_text("".join(json.dumps({"at": i, "text": trade(f"p{i}", "x" * n)}) + "\n"
                                for i, n in enumerate(sizes)))
        done = sysrtctl(self.daemon, "-o", "json", "feed", "replay", str(path))
        summary = json.loads(done.stdout)
        self.assertEqual((summary["records"], summary["left_out"]), (4, 1))
        self.assertIn("line 3 is left out: it is too large for one message "
                      "(websocket.max_message)\n", done.stderr)
        done = sysrtctl(self.daemon, "-o", "json", "feed", "replay", str(path), "--into",
                        str(self.daemon.folder / "scratch.db"))
        self.assertEqual((json.loads(done.stdout)["records"], done.stderr), (5, ""))

    def test_a_replay_that_is_interrupted(self):
        """By a key, which is for all on the terminal: the daemon on the new store is stopped as ever, and
        the feed does not stay there."""
        self.start(section("t", url="ws://127.0.0.1:1/", enabled=False, **TRADES))
        path = self.daemon.folder / "t.ndjson"
        path.write_text("".join(json.dumps({"at": at, "text": trade("a", at)}) + "\n" for at in (0, 600_000)))

        def has_begun():
            with contextlib.suppress(sqlite3.OperationalError):  # there are no tables yet
                return stored(scratch)

        for sent, status in ((b"\x03", 130), (signal.SIGTERM, 143)):
            scratch = self.daemon.folder / f"scratch-{status}.db"
            terminal = Terminal([BUILD / "sysrtctl", "--socket", str(self.daemon.socket), "-q", "feed", "replay",
                                 str(path), "--speed", "1x", "--into", str(scratch)], stdout=subprocess.DEVNULL)
            self.addCleanup(terminal.close)
            wait_for(has_begun, what="the first message")
            if sent is signal.SIGTERM:
                terminal.process.send_signal(sent)
            else:
                terminal.process.send_signal(signal.SIGSTOP)  # so that a daemon that heard it would be gone
                terminal.press(sent)
                time.sleep(0.5)
                terminal.process.send_signal(signal.SIGCONT)
            self.assertEqual((terminal.wait(), terminal.text()), (status, ""))
            with contextlib.closing(sqlite3.connect(scratch)) as db:
                self.assertEqual(db.execute("SELECT count(*) FROM feeds").fetchone(), (0,))

    def test_bounded(self):
        server = self.upstream()
        self.start(section("t", url=server.url, record="ab", record_max="1MiB", **TRADES))
        self.wait_state("t", "live")
        for i in range(40):
            server.send(trade("a", "x" * 50_000 + str(i)))
            self.wait_metric("mapped_total", "t", i + 1)
        folder = self.daemon.store.parent / "recordings"
        sizes = {p.name: p.stat().st_size for p in folder.iterdir()}
        self.assertEqual(set(sizes), {"ab.ndjson", "ab.ndjson.1"})
        self.assertLessEqual(sum(sizes.values()), 1 << 20)
        self.assertGreater(sizes["ab.ndjson.1"], 400_000)
        self.assertIn(f'{"x" * 100}39', (folder / "ab.ndjson").read_text())

    def test_a_folder_that_cannot_be_made_stops_nothing(self):
        server = self.upstream()
        self.start(section("t", url=server.url, record="t", enabled=False, **TRADES))
        (self.daemon.store.parent / "recordings").write_text("")
        self.control.call("feed.start", name="t")
        self.wait_state("t", "live")
        server.send(trade("a", 1))
        self.wait_record("ticker", "a", lambda d: True)
        recorder = wait_for(lambda: self.show("t")["recorder"].get("error") and
                            self.show("t")["recorder"], what="an error")
        self.assertEqual(recorder["lost"], 1)

    def test_paced(self):
        self.start(section("t", url="ws://127.0.0.1:1/", enabled=False, **TRADES))
        path = self.daemon.folder / "t.ndjson"
        path.write_text("".join(json.dumps({"at": 1000 + 200 * i, "text": trade("a", i)}) + "\n"
                                for i in range(5)))
        start = time.monotonic()
        sysrtctl(self.daemon, "feed", "replay", str(path), "--speed", "2x")
        self.assertGreater(time.monotonic() - start, 0.39)
        self.assertEqual(self.get("ticker", "a")["rev"], 5)


class CommandLine(Basics):
    def test_commands(self):
        server = self.upstream(greeting=[trade("a", 1)])
        self.start()
        ctl = lambda *args, **how: sysrtctl(self.daemon, *args, **how)  # noqa: E731
        settings = [f"--set={key}={value}" for key, value in TRADES.items()]
        added = ctl("feed", "add", "t", "--upstream", server.url, *settings, "--set", "heartbeat=5s")
        self.assertEqual(json.loads(added.stdout)["name"], "t")
        self.wait_record("ticker", "a", lambda d: True)
        listed = ctl("-o", "table", "feed", "ls").stdout
        self.assertRegex(listed, r"(?m)^t +live +1 +1 +0 ")
        shown = json.loads(ctl("-o", "json", "feed", "show", "t").stdout)
        self.assertEqual(shown["definition"]["heartbeat"], "5s")
        self.assertIn("live", ctl("-o", "table", "feed", "show", "t").stdout)
        tried = ctl("-o", "table", "feed", "test", "t", "--messages", "1").stdout
        self.assertRegex(tried, r"(?m)^message +\{\"type\"")
        self.assertRegex(tried, r"(?m)^  record +\{\"category\":\"ticker\"")
        self.assertIn("connecting", ctl("feed", "logs", "t").stdout)
        self.assertEqual(ctl("feed", "stop", "t").returncode, 0)
        self.assertEqual(ctl("feed", "start", "t").returncode, 0)
        replaced = ctl("feed", "add", "t", "--replace", json.dumps({"url": server.url}))
        self.assertEqual(json.loads(replaced.stdout)["created"], False)
        self.assertEqual(ctl("feed", "rm", "t").returncode, 0)
        self.assertEqual(ctl("feed", "rm", "t", check=False).returncode, 4)
        for words in (("add", "u"), ("add", "u", "{}", "--upstream", "ws://x/"),
                      ("add", "u", "--set", "x"), ("test", "u", "--wait", "1y"),
                      ("replay", "/dev/null"), ("replay", "a.ndjson", "--speed", "0x")):
            with self.subTest(words=words):
                self.assertEqual(ctl("feed", *words, check=False).returncode, 2)
        server.close()
        failed = ctl("feed", "test", "u", "--upstream", server.url, check=False)
        self.assertEqual(failed.returncode, 1)


if __name__ == "__main__":
    unittest.main()

"""Deleting by a condition: what goes is what Python says of generated conditions and records, each as
a change of its own, request by request, through SIGKILLs of the daemon; and sysrtctl del --where,
which asks first. SYSRT_SEED repeats a run.

builds: asan; in check-long: release
"""

import json
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from follow import View, stored_records
from harness import LONG, TIMEOUT_S, Daemon, seeded
from terminal import Terminal
from test_ctl import CTL, CtlTest
from test_where import call, holds, make_condition, make_data, parse, send

ROUNDS = 200 if LONG else 6
KILLS = 40 if LONG else 2
RECORDS = 60
CONFIG = '[category.c]\nhistory = 5\n'


class Watcher:
    """A subscription to "c" that outlives its connections."""

    def __init__(self, name, where=None):
        self.view = View(name)
        self.where = where

    def connect(self, daemon):
        self.client = daemon.control()
        texts = {"categories": '"c"', **({"where": self.where} if self.where else {})}
        texts |= {name: json.dumps(value) for name, value in self.view.params().items()}
        self.view.begin(call(self.client, "subscribe", **texts))

    def catch_up(self, seq):
        """The deletions that came until it has reached this: [(seq, id)]."""
        gone = []
        while not self.view.has_reached(seq):
            message = self.client.notification()
            self.view.take(message)
            if message["method"] == "change" and message["params"]["op"] == "delete":
                gone.append((message["params"]["seq"], message["params"]["id"]))
        return gone


class DeleteWhere(unittest.TestCase):
    def setUp(self):
        self.rng = seeded()
        self.daemon = Daemon(config=CONFIG)
        self.addCleanup(self.daemon.close)
        self.writer = self.daemon.control()
        self.addCleanup(lambda: self.writer.close())
        self.stored = {}
        self.order = []  # the ids by their seq
        self.seq = 0

    def put(self, record_id):
        data = make_data(self.rng)
        self.seq = call(self.writer, "record.put", category='"c"', id=json.dumps(record_id),
                        data=data)["seq"]
        self.stored[record_id] = parse(data)
        self.order = [i for i in self.order if i != record_id] + [record_id]

    def fill(self):
        for n in range(RECORDS):
            if f"r{n}" not in self.stored or self.rng.random() < 0.1:
                self.put(f"r{n}")

    def chosen(self, condition):
        """The ids that it is about, in the order in which they go."""
        condition = parse(condition)
        return [i for i in self.order if holds(condition, self.stored[i])]

    def choose(self):
        while True:
            condition = make_condition(self.rng)
            if 0 < len(self.chosen(condition)) < len(self.order) or self.rng.random() < 0.02:
                return condition

    def delete(self, condition, limit, cursor=None):
        texts = {"cursor": json.dumps(cursor)} if cursor else {}
        answer = call(self.writer, "record.delete", category='"c"', where=condition,
                      limit=str(limit), **texts)
        self.assertLessEqual(answer["deleted"], limit)
        self.assertEqual("seq" in answer, answer["deleted"] > 0)
        self.seq = answer.get("seq", self.seq)
        return answer

    def forget(self, ids):
        for i in ids:
            del self.stored[i]
            self.order.remove(i)

    def check_gone(self, gone, ids, first_seq, why):
        """Each was told by itself, in order, and its past is there."""
        self.assertEqual([i for _, i in gone], ids, why)
        self.assertEqual([s for s, _ in gone], list(range(first_seq, first_seq + len(ids))), why)
        for seq, i in gone[:3]:
            versions = call(self.writer, "record.history", category='"c"', id=json.dumps(i))["items"]
            self.assertEqual((versions[0]["op"], versions[0]["seq"]), ("delete", seq))
            self.assertEqual(versions[1]["op"], "put")

    def test_generated_conditions(self):
        everything = Watcher("everything")
        for _ in range(ROUNDS):
            self.fill()
            condition = self.choose()
            ids, before = self.chosen(condition), self.seq
            matching = Watcher("matching", condition)
            for watcher in (everything, matching):
                watcher.connect(self.daemon)
                watcher.catch_up(self.seq)
            limit, answer, deleted = self.rng.choice([1, 7, 1000]), {"cursor": None}, 0
            while "cursor" in answer:
                answer = self.delete(condition, limit, answer["cursor"])
                deleted += answer["deleted"]
            self.assertEqual((deleted, self.seq), (len(ids), before + len(ids)), condition)
            for watcher in (everything, matching):
                self.check_gone(watcher.catch_up(self.seq), ids, before + 1, condition)
                watcher.client.close()
            self.assertEqual(matching.view.records, {})
            self.forget(ids)
            self.assertEqual(set(everything.view.records), {("c", i) for i in self.stored})
            self.assertEqual(self.delete(condition, 1000), {"deleted": 0})  # once more: no harm
        records, _ = stored_records(self.daemon)
        self.assertEqual(everything.view.records, records)

    def restart(self):
        self.daemon.kill()
        self.writer.close()
        self.daemon.start()
        self.writer = self.daemon.control()

    def left(self):
        return call(self.writer, "record.count", category='"c"')["count"]

    def test_killed_on_the_way(self):
        """Between two requests, and in the midst of one, which is then done or not. It goes on by
        the cursor that it had, or from the beginning."""
        watcher = Watcher("resumed")
        for _ in range(KILLS):
            self.fill()
            condition = self.choose()
            ids, answer, deleted = self.chosen(condition), {"cursor": None}, 0
            watcher.connect(self.daemon)
            watcher.catch_up(self.seq)
            while "cursor" in answer:
                answer = self.delete(condition, 5, answer["cursor"])
                deleted += answer["deleted"]
                if self.rng.random() < 0.5:
                    self.restart()
                    self.assertEqual(self.left(), RECORDS - deleted)
                    answer = answer if self.rng.random() < 0.5 else {"cursor": None}
                if self.rng.random() < 0.5:
                    send(self.writer, "record.delete", category='"c"', where=condition, limit="5")
                    self.restart()
                    done = RECORDS - self.left() - deleted
                    self.assertIn(done, (0, min(5, len(ids) - deleted)))
                    deleted += done
            self.assertEqual(deleted, len(ids), condition)
            self.forget(ids)
            watcher.client.close()
        watcher.connect(self.daemon)
        self.addCleanup(watcher.client.close)
        records, seq = stored_records(self.daemon)
        watcher.catch_up(seq)
        self.assertEqual(watcher.view.records, records)
        self.assertEqual({i for _, i in records}, set(self.stored))


class Del(CtlTest):
    def fill(self, category, n):
        self.ctl("import", "-q", "--category", category, "-", input="".join(
            json.dumps({"id": f"i{i}", "data": {"n": i}}) + "\n" for i in range(n)))

    def terminal(self, *args, **options):
        terminal = Terminal([CTL, "--socket", self.daemon.socket, "del", *args], **options)
        self.addCleanup(terminal.close)
        return terminal

    def test_more_than_one_request(self):
        self.fill("many", 2_500)
        where = ("--where", "/n>=500")
        self.assertEqual(self.json("del", "many", *where, "--dry-run", "-o", "json"),
                         {"matching": 2_000})
        self.assertEqual(self.ctl("count", "many"), "2500\n")
        done = self.json("del", "many", *where, "--yes", "-o", "json")
        self.assertEqual(done["deleted"], 2_000)
        self.assertEqual(self.json("get", "many", "i0")["seq"] + 2_500 + 2_000 - 1, done["seq"])
        self.assertEqual(self.ctl("count", "many"), "500\n")
        self.assertEqual(self.json("del", "many", *where, "--yes", "-o", "json"), {"deleted": 0})

    def test_what_is_refused(self):
        self.fill("kept", 3)
        for args, wanted in (
                (("kept",), "ids, or --where"), (("kept", "--yes"), "ids, or --where"),
                (("kept", "--where", "{}"), "--yes"), (("kept", "i0", "--where", "{}"), "not both"),
                (("kept", "i0", "--yes"), "--where"), (("kept", "i0", "--dry-run"), "--where"),
                (("kept", "--where", "{}", "--yes", "--if-seq", "1"), "--if-seq"),
                (("ke*", "--where", "{}", "--yes"), "one category"),
                (("kept", "--where", "n>1", "--yes"), "--where"),
                (("kept", "--where", '{"/n":', "--yes"), "JSON")):
            with self.subTest(args=args):
                self.assertRegex(self.refused(2, "del", *args), wanted)
        self.assertRegex(self.refused(1, "del", "kept", "--where", '{"/n":{"like":1}}', "--yes"),
                         "like")
        self.assertEqual(self.ctl("count", "kept"), "3\n")

    def test_it_asks_on_a_terminal(self):
        self.fill("asked", 3)
        for keys in (b"\n", b"yesterday\n", b"\x04"):
            terminal = self.terminal("asked", "--where", "/n>0")
            terminal.read_until(rb"Delete 2 records of asked\? \[y/N\] ")
            terminal.press(keys)
            self.assertEqual(terminal.wait(), 1, keys)
            self.assertIn("nothing was deleted", terminal.text())
        self.assertEqual(self.ctl("count", "asked"), "3\n")
        terminal = self.terminal("asked", "--where", "/n=0")
        terminal.read_until(rb"Delete 1 record of asked\? ")
        terminal.press(b"y\n")
        self.assertEqual(terminal.wait(), 0)
        self.assertRegex(terminal.text(), r"\] 1 records, \d+ a second.*\n(.*\n)*deleted +1\n")
        self.assertEqual(self.ctl("count", "asked"), "2\n")
        terminal = self.terminal("asked", "--where", "/n=0")
        self.assertEqual(terminal.wait(), 0)  # there is nothing to ask about
        self.assertRegex(terminal.text(), r"^deleted +0\n$")
        terminal = self.terminal("asked", "--where", "{}", "--yes", "-q")
        self.assertEqual(terminal.wait(), 0)
        self.assertRegex(terminal.text(), r"^deleted +2\nseq +\d+\n$")
        self.assertEqual(self.ctl("count", "asked"), "0\n")

    def test_input_or_errors_elsewhere(self):
        """Then nobody can see the question, or answer it."""
        self.fill("elsewhere", 1)
        for stream in ("stdin", "stderr"):
            with tempfile.TemporaryFile() as other:
                terminal = self.terminal("elsewhere", "--where", "{}", **{stream: other})
                self.assertEqual(terminal.wait(), 2)
        self.assertEqual(self.ctl("count", "elsewhere"), "1\n")


class Interrupted(unittest.TestCase):
    """A daemon of our own making that always has more."""

    def serve(self, server, process):
        peer, _ = server.accept()
        with peer:
            for n, line in enumerate(peer.makefile(), 1):
                request = json.loads(line)
                self.requests.append(request["params"])
                if n == 3:
                    process().send_signal(self.signal)
                    time.sleep(self.late_s)
                answer = {"deleted": 10, "seq": 10 * n, "cursor": str(100 * n)}
                try:
                    peer.sendall(json.dumps({"jsonrpc": "2.0", "id": request["id"],
                                             "result": answer}).encode() + b"\n")
                except BrokenPipeError:  # it did not wait for it
                    return

    def interrupt(self, number):
        """(exit status, standard output, standard error)"""
        self.requests, self.signal, started, found = [], number, threading.Event(), []

        def process():
            started.wait(TIMEOUT_S)
            return found[0]
        with tempfile.TemporaryDirectory(prefix="sysrt-") as folder, \
                socket.socket(socket.AF_UNIX) as server:
            path = Path(folder) / "socket"
            server.bind(str(path))
            server.listen(1)
            thread = threading.Thread(target=self.serve, args=(server, process), daemon=True)
            thread.start()
            found.append(subprocess.Popen(
                [CTL, "--socket", str(path), "del", "c", "--where", "{}", "--yes"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
            started.set()
            out, errors = found[0].communicate(timeout=TIMEOUT_S)
            thread.join(TIMEOUT_S)
        return found[0].returncode, out, errors

    def test_interrupted(self):
        """In the midst of a request, and with its answer already there."""
        for number, status, self.late_s in ((signal.SIGINT, 130, 0.2), (signal.SIGTERM, 143, 0.2),
                                            (signal.SIGINT, 130, 0), (signal.SIGTERM, 143, 0)):
            done, out, errors = self.interrupt(number)
            self.assertEqual((done, out), (status, ""))
            self.assertRegex(errors, r"\Asysrtctl: \d+ records were deleted; the same command goes on\n\Z")
            self.assertEqual([r.get("cursor") for r in self.requests], [None, "100", "200"])


if __name__ == "__main__":
    unittest.main(verbosity=2)

"""What is acknowledged survives SIGKILL, and watchers that resume end with what the store has.

Rounds of writers on both doors and watchers that resume from their position; the daemon is killed
after a random number of answers and started again. SYSRT_SEED repeats a run, KILL_ROUNDS sets the
number of rounds (20; 200 with SYSRT_LONG).

builds: release; in check-long: asan
"""

import os
import re
import shutil
import tempfile
import threading
import unittest
from pathlib import Path

from follow import Follower, View
from harness import LONG, Closed, Daemon, RpcError, Ws, daemon_for, seeded, wait_for

ROUNDS = int(os.environ.get("KILL_ROUNDS", "200" if LONG else "20"))
CATEGORIES = ("kill.a", "kill.b", "kill.c")
IDS_PER_WRITER = 40
IN_FLIGHT = 32

GONE = object()  # what a delete leaves of a record


class History:
    """All that was ever asked and answered, over all rounds. For each record the outcomes that
    were asked for, in order (one writer alone writes a record), and how many of them are
    certain."""

    def __init__(self):
        self.lock = threading.Lock()
        self.asked = {}    # (category, id) -> [value or GONE, ...]
        self.certain = {}  # (category, id) -> number of the outcomes up to the last acknowledged
        self.seqs = {}     # seq -> (category, id): every one that was ever answered
        self.answers = 0

    def ask(self, key, outcome):
        """Notes what is about to be sent; its place among the record's outcomes, from 1."""
        with self.lock:
            outcomes = self.asked.setdefault(key, [GONE])
            outcomes.append(outcome)
            return len(outcomes)

    def acknowledge(self, key, place, seq):
        with self.lock:
            self.certain[key] = max(self.certain.get(key, 1), place)
            self.answers += 1
            if seq is None:
                return
            if seq in self.seqs:
                raise AssertionError(f"seq {seq} was given to {self.seqs[seq]} and to {key}")
            self.seqs[seq] = key

    def judge(self, records):
        """records: (category, id) -> data of all that is stored. What is stored must be one of the
        outcomes asked for, none before the last acknowledged one. From then on it is certain."""
        for key in records:
            if key not in self.asked:
                raise AssertionError(f"{key} is stored and nobody wrote it")
        for key, outcomes in self.asked.items():
            stored = records.get(key, GONE)
            certain = self.certain.get(key, 1)
            possible = outcomes[certain - 1:]
            if stored not in possible:
                raise AssertionError(
                    f"{key}: {stored} is stored; acknowledged was outcome {certain} of "
                    f"{len(outcomes)}: {outcomes[certain - 1]}, then asked {outcomes[certain:]}")
            self.asked[key] = [stored]
            self.certain[key] = 1


class Writer(threading.Thread):
    """Writes records of its own, pipelined, until the daemon is gone."""

    def __init__(self, name, client, history, rng, counter):
        super().__init__(name=name)
        self.client = client
        self.history = history
        self.rng = rng
        self.counter = counter
        self.waiting = {}  # request id -> [(key, place), ...]
        self.fault = None

    def run(self):
        try:
            while True:
                while len(self.waiting) < IN_FLIGHT:
                    self.send_one()
                self.take_one()
        except Closed:
            pass
        except BaseException as error:  # told by the main thread
            self.fault = error

    def key(self):
        return (self.rng.choice(CATEGORIES), f"{self.name}-{self.rng.randrange(IDS_PER_WRITER)}")

    def put_of(self, key):
        """The parameters of a put, and its place in the record's history."""
        self.counter[0] += 1
        data = {"by": self.name, "n": self.counter[0], "text": "x" * self.rng.randrange(300)}
        return ({"category": key[0], "id": key[1], "data": data},
                (key, self.history.ask(key, data)))

    def send_one(self):
        dice = self.rng.random()
        if dice < 0.75:
            params, place = self.put_of(self.key())
            self.send("record.put", params, [place])
        elif dice < 0.9:
            key = self.key()
            place = (key, self.history.ask(key, GONE))
            self.send("record.delete", {"category": key[0], "id": key[1]}, [place])
        else:
            keys = {self.key() for _ in range(self.rng.randrange(2, 20))}
            pairs = [self.put_of(key) for key in sorted(keys)]
            self.send("record.put_many", {"records": [p for p, _ in pairs], "results": True},
                      [place for _, place in pairs])

    def send(self, method, params, places):
        request_id = self.client.next_id
        self.waiting[request_id] = places
        self.client.send(method, **params)

    def take_one(self):
        message = self.client.recv()
        if "method" in message:
            return
        places = self.waiting.pop(message["id"])
        if "error" in message:
            raise RpcError(message["error"])
        result = message["result"]
        results = result["results"] if "results" in result else [result]
        if len(results) != len(places):
            raise AssertionError(f"{len(results)} results for {len(places)} records")
        for (key, place), one in zip(places, results):
            self.history.acknowledge(key, place, one.get("seq"))


class KillTest(unittest.TestCase):
    def setUp(self):
        self.rng = seeded()
        self.history = History()
        self.views = [View("all over WebSocket", categories=["kill.*"]),
                      View("all over the socket", categories=list(CATEGORIES)),
                      View("one over WebSocket", categories=["kill.b"])]
        self.counter = [0]
        self.newest = 0

    def test_rounds(self):
        folder = tempfile.mkdtemp(prefix="sysrt-kill-")
        self.addCleanup(shutil.rmtree, folder)
        daemon = daemon_for(self, store=Path(folder) / "sysrt.db")
        watchers = self.watch(daemon)
        for self.round in range(ROUNDS):
            self.write_until_killed(daemon)
            self.join(watchers)
            daemon.start()
            watchers = self.watch(daemon)
            self.compare(daemon)
        daemon.kill()
        self.join(watchers)
        daemon.start()
        print(f"{ROUNDS} rounds, {self.history.answers} writes acknowledged, "
              f"{sum(v.changes for v in self.views)} changes told", flush=True)
        self.assertGreater(self.history.answers, ROUNDS * 50)

    def watch(self, daemon):
        doors = (daemon.ws, daemon.control, daemon.ws)
        watchers = [Follower(view, door()) for view, door in zip(self.views, doors)]
        for watcher in watchers:
            watcher.start()
        return watchers

    def join(self, threads):
        for thread in threads:
            thread.join(60)
            self.assertFalse(thread.is_alive(), "a client hangs after the daemon was killed")
            thread.client.close()
            if thread.fault:
                raise AssertionError(f"round {self.round}: {thread.name}") from thread.fault

    def write_until_killed(self, daemon):
        clients = [daemon.control(), daemon.control(), daemon.ws(), daemon.ws()]
        # counter: data is never written twice; the writers' lists of it differ by their names
        writers = [Writer(f"w{i}", client, self.history, type(self.rng)(self.rng.random()),
                          self.counter) for i, client in enumerate(clients)]
        wanted = self.history.answers + self.rng.randrange(60, 1500)
        for writer in writers:
            writer.start()
        wait_for(lambda: self.history.answers >= wanted or any(w.fault for w in writers),
                 what="answers to the writers")
        daemon.kill()
        self.join(writers)

    def compare(self, daemon):
        """Nothing writes now: the store against what was acknowledged, the views against it."""
        with daemon.control() as control:
            stored = {(r["category"], r["id"]): (r["data"], r["seq"])
                      for r in control.list_all(category="kill.*", order="oldest", limit=1000)}
            last = control.call("record.count")["seq"]
        self.history.judge({key: data for key, (data, _) in stored.items()})
        self.assertGreaterEqual(last, max(self.history.seqs, default=0))
        self.assertGreaterEqual(last, self.newest)
        self.newest = last
        for view in self.views:
            wait_for(lambda: view.synced_to >= last or not self.is_watched(view),
                     what=f"{view.name} to have caught up with {last}")
            wanted = {key: data for key, (data, _) in stored.items()
                      if key[0] in view.patterns["categories"]
                      or "kill.*" in view.patterns["categories"]}
            self.assertEqual(view.records, wanted, f"round {self.round}: {view.name}")
        self.judge_seqs(stored)

    def is_watched(self, view):
        return any(isinstance(t, Follower) and t.view is view for t in threading.enumerate())

    def judge_seqs(self, stored):
        """A seq that was answered for a record is not another record's."""
        for key, (_, seq) in stored.items():
            self.assertEqual(self.history.seqs.get(seq, key), key, f"seq {seq} used twice")
        for view in self.views:
            for seq, (key, _, _) in view.told.items():
                self.assertEqual(self.history.seqs.get(seq, key), key, f"seq {seq} used twice")


SYNC_WHOLE = re.compile(r"^(\d+) +f(?:data)?sync\(\d+<[^>]*-wal>\) += 0$")
SYNC_BEGUN = re.compile(r"^(\d+) +f(?:data)?sync\(\d+<[^>]*-wal> <unfinished")
SYNC_DONE = re.compile(r"^(\d+) +<\.\.\. f(?:data)?sync resumed>\) += 0$")
WRITTEN = re.compile(r"^\d+ +p?write(?:64|v|v2)?\(\d+<[^>]*-wal>")
SENT = re.compile(r"^\d+ +(?:writev?|sendto|sendmsg)\(")
MARK = re.compile(r"mark-(\d+)-")
ANSWER_ID = re.compile(r'\\"id\\":(\d+),\\"result')


class Trace:
    """Reads strace's output: when each request's data went to the log, when the log was synced,
    when each answer left. Moments are numbers of lines."""

    def __init__(self, text):
        self.written = {}
        self.answered = {}
        self.synced = []   # (begun, done)
        self.syncing = {}  # thread -> begun
        for number, line in enumerate(text.splitlines()):
            self.read(number, line)

    def read(self, number, line):
        if SYNC_WHOLE.match(line):
            self.synced.append((number, number))
        elif begun := SYNC_BEGUN.match(line):
            self.syncing[begun.group(1)] = number
        elif (done := SYNC_DONE.match(line)) and done.group(1) in self.syncing:
            self.synced.append((self.syncing.pop(done.group(1)), number))
        elif WRITTEN.match(line):
            for mark in MARK.findall(line):
                self.written.setdefault(int(mark), number)
        elif SENT.match(line):
            for request_id in ANSWER_ID.findall(line):
                self.answered.setdefault(int(request_id), number)

    def unsynced(self, requests):
        """The requests whose answer left before their data was in the log and synced."""
        bad = []
        for request_id in requests:
            written = self.written.get(request_id)
            answered = self.answered[request_id]
            if written is None or not any(
                    written < begun and done < answered for begun, done in self.synced):
                bad.append(request_id)
        return bad


class SyncTest(unittest.TestCase):
    def traced(self, durability, door):
        """Puts one at a time, then many at once, under strace; the Trace and the request ids."""
        out = Path(tempfile.mkdtemp(prefix="sysrt-trace-"))
        self.addCleanup(shutil.rmtree, out)
        calls = "fsync,fdatasync,write,writev,sendto,sendmsg,pwrite64,pwritev,pwritev2"
        wrap = ["strace", "-D", "-f", "-y", "-s", "200000", "-e", f"trace={calls}",
                "-e", "signal=none", "-o", str(out / "trace")]
        with Daemon(config=f'[store]\ndurability = "{durability}"\n', wrap=wrap,
                    env={"ASAN_OPTIONS": "detect_leaks=0"}) as daemon:  # not under a tracer
            # a mask of zeros, so that the trace shows the text
            client = daemon.control() if door == "control" else Ws(daemon.port, mask=b"\0\0\0\0")
            client.next_id = 1000  # the harness asks for the status with small ones
            with client:
                for _ in range(30):
                    client.answer(self.put(client))
                for request_id in [self.put(client) for _ in range(300)]:
                    client.answer(request_id)
                requests = range(1000, client.next_id)
        trace = wait_for(lambda: self.finished(out / "trace"), what="strace to end")
        return Trace(trace), requests

    @staticmethod
    def finished(path):
        """strace lets the daemon go first: its file is whole when the exit is in it."""
        text = path.read_text(errors="replace")
        return text if re.search(r"\+\+\+ exited with 0 \+\+\+\n\Z", text) else None

    @staticmethod
    def put(client):
        n = client.next_id
        return client.send("record.put", category="sync", id=f"record {n}", data=f"mark-{n}-")

    def test_full_syncs_before_the_reply(self):
        for door in ("control", "websocket"):
            with self.subTest(door=door):
                trace, requests = self.traced("full", door)
                self.assertLessEqual(set(requests), set(trace.answered), "answers in the trace")
                self.assertEqual(trace.unsynced(requests), [])

    def test_normal_does_not(self):
        """Shows that the trace can tell."""
        trace, requests = self.traced("normal", "control")
        self.assertLessEqual(set(requests), set(trace.answered))
        self.assertGreater(len(trace.unsynced(requests)), len(requests) // 2)


if __name__ == "__main__":
    unittest.main()

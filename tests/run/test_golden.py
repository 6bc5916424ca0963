"""Golden requests and replies: for every method and every notification, what is sent and what comes
back, byte for byte.

Each file of tests/golden/methods and notices is played on a daemon of its own, through both doors:

    # a comment
    door: control           what follows is for this door only
    config: hub.recent = 1  the configuration; behind the first request: the file, from here on
    → {"jsonrpc":...}       is sent
    do: close               an administrator closes the session; stop: the daemon is stopped;
                            token: an administrator makes a <token>
    ← {"jsonrpc":...}       has to come back, in this order; (end) is the end of the connection

What differs each time stands as a mark (see Marks). SYSRT_GOLDEN=write plays the files and writes
down what came back: look at the difference before you keep it.

builds: release
"""

import json
import os
import re
import signal
import unittest
from time import time_ns

from harness import TIMEOUT_S, TOP, Closed, daemon_for, wait_for

GOLDEN = TOP / "tests" / "golden"
WRITES = os.environ.get("SYSRT_GOLDEN") == "write"
QUIET_S = 0.3
HOUR_MS = 3_600_000
NUMBERS = re.compile(
    r'"(session|uid|pid|uptime_ms|sessions|connections|log_bytes|free_bytes|commits|writes|'
    r'rollbacks|'
    r'checkpoints|log_restarts|retry_after_ms|bytes|size|schema|took_ms|p50|p99|sysrt_\w+)":[\d.]+')
BYTES = re.compile(r'"done":\d+,"total":\d+')
BLOB = re.compile(r'"blob":"[\w+/=]+"')
TOKEN = re.compile(r"sysrt_[0-9A-Za-z]{49}")
STAMP = re.compile(r"\b\d{8}T\d{6}\.\d{3}Z")
SLOWEST = re.compile(r'("p99":<n>,"max":)[\d.]+')
UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b")


def now_ms():
    return time_ns() // 1_000_000


class Marks:
    """What stands for what differs each time: <epoch>, <folder>, <address>, <session> (our own),
    <version>, <now>, <now+1h>, <stamp>, <uuid>, <token>, and <n> for a number whose name tells what it is."""

    def __init__(self, daemon):
        with daemon.control() as control:
            status = control.call("status")
        self.values = {"<epoch>": status["store"]["epoch"], "<folder>": str(daemon.folder),
                       "<address>": status["websocket"]["listen"][0]}
        self.version = status["version"]
        self.start_ms = now_ms()
        self.session = None

    def fill(self, text):
        for mark, value in self.values.items():
            text = text.replace(mark, value)
        return text.replace("<session>", str(self.session))

    def _mark_time(self, match):
        ms = int(match[0])
        for mark, later in (("<now>", 0), ("<now+1h>", HOUR_MS)):
            if self.start_ms + later <= ms <= now_ms() + later:
                return mark
        return match[0]

    def put(self, text):
        for mark, value in self.values.items():
            text = text.replace(value, mark)
        text = text.replace(f'"version":"{self.version}"', '"version":"<version>"')
        text = re.sub(r"\b\d{13}\b", self._mark_time, text)
        text = BLOB.sub('"blob":"<blob>"', TOKEN.sub("<token>", text))
        text = NUMBERS.sub(r'"\1":<n>', UUID.sub("<uuid>", text))
        text = BYTES.sub('"done":<n>,"total":<n>', STAMP.sub("<stamp>", text))
        return SLOWEST.sub(r"\1<n>", text)


class Part:
    """The lines of a file that are for one door, or for both."""

    def __init__(self, doors):
        self.doors = doors
        self.lines = []

    def config(self):
        """What stands before the first request."""
        head = []
        for line in self.lines:
            if line.startswith("→ "):
                break
            if line.startswith("config: "):
                head.append(line.removeprefix("config: ") + "\n")
        return "".join(head)


def read_parts(path):
    parts = [Part(["control", "websocket"])]
    for line in path.read_text().splitlines():
        if line.startswith("door: "):
            parts.append(Part([line.removeprefix("door: ")]))
        parts[-1].lines.append(line)
    return [part for part in parts if part.lines]


def read_exchanges(path):
    """[(request, [message, ...])] of a file, as objects whose marks are texts; no batches."""
    found = []
    for line in path.read_text().splitlines():
        text = re.sub(r":(<[\w+]+>)", r':"\1"', line[2:])
        if line.startswith("→ {"):
            found.append((json.loads(text), []))
        elif line.startswith("← {"):
            found[-1][1].append(json.loads(text))
    return found


class Player:
    """Plays one part on one door of a daemon."""

    def __init__(self, test, part, door, writes=False):
        self.part = part
        self.writes = writes
        self.daemon = daemon_for(test, config=part.config())
        self.marks = Marks(self.daemon)
        self.peer = self.daemon.control() if door == "control" else self.daemon.ws()
        test.addCleanup(self.peer.close)
        self.greeting = "← " + self.receive() if door == "websocket" else None
        self.marks.session = self.find_session()
        self.has_ended = False
        self.stops = False  # the daemon, too, is to end

    def find_session(self):
        """Our number: the newest but for the one that asks."""
        self.peer.call("ping")
        with self.daemon.control() as control:
            return control.call("session.list")["items"][-2]["session"]

    def receive(self, timeout=TIMEOUT_S):
        """The next message with its marks, or "(end)", or "(end CODE)"."""
        try:
            return self.marks.put(self.peer.recv_text(timeout).rstrip("\n"))
        except Closed as closed:
            self.has_ended = True
            return f"(end {closed.code})" if closed.code else "(end)"

    def receive_all(self):
        """What comes until it is quiet."""
        replies = []
        try:
            while not self.has_ended:
                replies.append("← " + self.receive(QUIET_S))
        except TimeoutError:
            pass
        return replies

    def do(self, what):
        if what == "stop":
            self.stops = True
            self.daemon.signal(signal.SIGTERM)
            return
        with self.daemon.control() as control:
            if what == "token":
                made = control.call("token.create", name="t", scopes=["read:a", "publish"],
                                    ttl="1h", rate="100/s burst 200")
                self.marks.values["<token>"] = made["token"]
            else:
                control.call("session.close", session=self.marks.session)

    def play(self):
        """The lines as they are when it is played."""
        played, has_begun = [], False
        for line in self.part.lines:
            if line.startswith("← "):
                if not self.writes:
                    played.append("← " + self.receive())
                continue
            played.append(line)
            has_begun |= line.startswith("→ ")
            if line.startswith("config: ") and has_begun:
                self.daemon.config_path.write_text(
                    self.marks.fill(line.removeprefix("config: ")) + "\n")
            elif line.startswith("→ "):
                self.peer.send_text(self.marks.fill(line.removeprefix("→ ")))
                self.stops |= "system.shutdown" in line
            elif line.startswith("do: "):
                self.do(line.removeprefix("do: "))
            if self.writes and line.startswith(("→ ", "do: ")):
                played += self.receive_all()
        return played

    def is_silent(self):
        """Nothing more comes than was read."""
        if self.has_ended:
            return True
        asked = self.peer.send("ping")
        return json.loads(self.peer.recv_text()).get("id") == asked


class GoldenTest(unittest.TestCase):
    maxDiff = None

    def play_file(self, path, goes_on=False):
        parts, writes = read_parts(path), WRITES and not goes_on
        for part in parts:
            for door in part.doors:
                with self.subTest(file=path.name, door=door):
                    player = Player(self, part, door, writes)
                    played = player.play()
                    if writes:
                        part.lines = played
                    self.assertEqual("\n".join(played), "\n".join(part.lines))
                    self.assertTrue(goes_on or player.is_silent(), "more came than is written")
                    if player.has_ended and player.stops:
                        self.assertEqual(player.daemon.wait_exit(), 0)
                    self.doCleanups()
        if writes:
            path.write_text("".join(line + "\n" for part in parts for line in part.lines))

    def check_lines(self, name, lines):
        """What came is what the file says of this door."""
        path = GOLDEN / "notices" / name
        if WRITES:
            head = [line for line in path.read_text().splitlines() if line[:1] != "←"]
            path.write_text("".join(line + "\n" for line in head + lines))
        self.assertEqual(lines, [line for line in path.read_text().splitlines()
                                 if line.startswith("← ")])


class Methods(GoldenTest):
    def setUp(self):
        with daemon_for(self).control() as control:
            self.table = control.call("methods")["items"]

    def test_the_table(self):
        names = [row["method"] for row in self.table]
        self.assertEqual(names, sorted(set(names)), "sorted by name, each once")
        for row in self.table:
            with self.subTest(method=row["method"]):
                self.assertTrue(row["help"])
                self.assertIn(row["scope"], ("none", "read", "write", "publish", "admin", "secrets"))
                params = [p["name"] for p in row["params"]]
                self.assertEqual(len(params), len(set(params)))
                self.assertEqual([p["name"] for p in row["params"] if not p["help"]], [])

    def test_every_method_has_its_file(self):
        self.assertEqual(sorted(path.name for path in (GOLDEN / "methods").iterdir()),
                         [row["method"] for row in self.table])

    def test_every_parameter_is_used_and_misused(self):
        for row in self.table:
            with self.subTest(method=row["method"]):
                self.check_parameters(row, read_exchanges(GOLDEN / "methods" / row["method"]))

    def check_parameters(self, row, exchanges):
        used, refusals = set(), []
        for request, answers in exchanges:
            if request["method"] != row["method"]:
                continue
            answer = next(a for a in answers if "method" not in a)
            if "result" in answer:
                used |= {None, *request.get("params", {})}
            else:
                refusals.append(answer["error"]["message"])
        self.assertEqual(used - {None}, {p["name"] for p in row["params"]}, "used in good calls")
        self.assertIn(None, used, "one good call")
        wanted = ["unknown parameter "]
        for param in row["params"]:
            wanted += [param["name"] + " is missing"] if param["required"] else []
            wanted += [param["name"] + " must be "] if param["kind"] != "json" else []
        if row["scope"] == "admin":
            wanted.append(row["method"] + " needs admin, which this session does not have")
        for beginning in wanted:
            self.assertTrue([text for text in refusals if text.startswith(beginning)],
                            f"no refusal begins with: {beginning}")

    def test_requests_and_replies(self):
        for path in sorted((GOLDEN / "methods").iterdir()):
            self.play_file(path)


class Notices(GoldenTest):
    def test_every_notification_has_its_file(self):
        """The names stand in the source of those who send them."""
        sends = re.compile(r'(?:peer_notify\(\S+, |NOTIFICATION\(|tell_position\(sub, )"(\w+)"')
        sent = set()
        for source in (TOP / "daemon").rglob("*.c"):
            sent |= set(sends.findall(source.read_text()))
        self.assertEqual({path.name for path in (GOLDEN / "notices").iterdir()}, sent)

    def test_changes_and_positions(self):
        for name in ("change", "synced", "message", "closing", "job", "stale", "fresh"):
            self.play_file(GOLDEN / "notices" / name)
        self.play_file(GOLDEN / "notices" / "progress", goes_on=True)

    def test_hello(self):
        """Of one without a token, of one that is limited, and of one with a token."""
        greetings = []
        for config in ([], ["config: limits.exempt = []"]):
            part = Part(["websocket"])
            part.lines = config
            player = Player(self, part, "websocket")
            greetings.append(player.greeting)
        player.do("token")
        token = player.marks.values.pop("<token>")
        with player.daemon.ws(headers={"Authorization": f"Bearer {token}"}) as ws:
            greetings.append("← " + player.marks.put(ws.recv_text().rstrip("\n")))
        self.check_lines("hello", greetings)

    def test_unsubscribed(self):
        player = Player(self, Part(["websocket"]), "websocket")
        player.peer.call("subscribe", categories=["a", "b"])
        player.daemon.configure('[websocket]\nanonymous = ["read:a"]\n')
        self.check_lines("unsubscribed", [self.receive_until(player, "unsubscribed")])

    def receive_until(self, player, method):
        """Passes over changes and messages."""
        while True:
            line = player.receive()
            if f'"method":"{method}"' in line:
                return "← " + line

    def test_lagged(self):
        """Of a session that does not read while more is published than it has room for."""
        part = Part(["control"])
        part.lines = ['config: websocket.send_queue = "4KiB"']
        player = Player(self, part, "control")
        player.peer.call("subscribe", topics="a")
        with player.daemon.control() as other:
            while other.call("publish", topic="a", data="x" * 3000)["receivers"] == 1:
                pass
            other.call("publish", topic="a", data=2)
        self.check_lines("lagged", [self.receive_until(player, "lagged")])

    def test_resync(self):
        """A subscription that is behind in its replay when a deletion is forgotten."""
        part = Part(["control"])
        part.lines = ["config: hub.recent = 0", "config: store.tombstone_max = 0",
                      'config: websocket.send_queue = "4KiB"']
        player = Player(self, part, "control")
        with player.daemon.control() as other:
            other.call("record.put_many",
                       records=[{"id": str(n), "data": "x" * 4000} for n in range(500)])
            player.peer.call("subscribe", categories="*", since=1,
                             epoch=player.marks.values["<epoch>"])
            other.call("record.delete", id="499")
            wait_for(lambda: other.call("status")["store"]["pruned_to"] == 501,
                     what="the deletion to be forgotten")
            self.assertEqual(other.call("status")["hub"]["subscriptions"]["live"], 0)
        self.check_lines("resync", [self.receive_until(player, "resync")])


if __name__ == "__main__":
    unittest.main()

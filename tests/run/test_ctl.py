"""Every command of sysrtctl but watch and import: what it prints, how it ends, what it says when it
cannot.

builds: release; in check-long: asan
"""

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import tempfile
import termios
import time
import unittest
from pathlib import Path

from harness import (BUILD, NEWEST, TIMEOUT_S, Closed, Daemon, daemon_for, open_files, sysrtctl,
                     wait_for)

CTL = str(BUILD / "sysrtctl")
NOT_UTF8 = os.fsdecode(b"a\xff")


def is_waiting(pid):
    """True if the process sleeps and has a socket: it waits for the daemon."""
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "S" and any("socket:" in f for f in open_files(pid))


class CtlTest(unittest.TestCase):
    """One daemon for the tests of a class; each keeps to categories of its own."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon()
        cls.addClassCleanup(cls.daemon.close)

    def ctl(self, *args, status=0, **options):
        """What a command prints; nothing must be on standard error."""
        done = sysrtctl(self.daemon, *map(str, args), check=False, **options)
        self.assertEqual((done.returncode, done.stderr), (status, ""), args)
        return done.stdout

    def json(self, *args, **options):
        return json.loads(self.ctl(*args, **options))

    def lines(self, *args, **options):
        return [json.loads(line) for line in self.ctl(*args, **options).splitlines()]

    def ids(self, *args, **options):
        return [item["id"] for item in self.lines(*args, **options)]

    def refused(self, status, *args, **options):
        """The one line that tells why a command did nothing."""
        done = sysrtctl(self.daemon, *map(str, args), check=False, **options)
        self.assertEqual((done.returncode, done.stdout), (status, ""), (args, done.stderr))
        self.assertRegex(done.stderr, r"\Asysrtctl: [^\n]+\n\Z")
        return done.stderr[len("sysrtctl: "):-1]

    def hinted(self, *args, **options):
        """(what was printed, the hint on standard error)"""
        done = sysrtctl(self.daemon, *map(str, args), **options)
        self.assertRegex(done.stderr, r"\A[^\n]+\n\Z")
        return done.stdout, done.stderr.rstrip("\n")


class Records(CtlTest):
    def data(self, category, record_id):
        return self.ctl("get", category, record_id, "--data").rstrip("\n")

    def test_put_and_get(self):
        text = '{"n": 12345678901234567890, "d": 0.10000000000000000000000001, "a": [1, null]}'
        put = self.json("put", "put", "a", text, "--name", "A name")
        self.assertEqual(put, {"category": "put", "id": "a", "seq": put["seq"], "rev": 1,
                               "created": True})
        self.assertEqual(self.data("put", "a"), text.replace(": ", ":").replace(", ", ","))
        record = self.json("get", "put", "a")
        self.assertEqual((record["name"], record["rev"], record["seq"]), ("A name", 1, put["seq"]))
        self.assertEqual(self.json("put", "put", "a", "-5")["rev"], 2)
        self.assertEqual(self.json("get", "put", "a")["data"], -5)
        self.assertEqual(self.json("get", "put", "a")["name"], "a")

    def test_where_data_comes_from(self):
        path = self.daemon.folder / os.fsdecode(b"data\xff")
        path.write_text('{"from": "file"}\n')
        for word, options, wanted in ((f"@{path}", {}, '{"from":"file"}'),
                                      ("-", {"input": "[1,\n2]\n"}, "[1,2]"),
                                      (None, {"input": " true "}, "true")):
            with self.subTest(word=word):
                self.ctl("put", "from", "a", *([word] if word else []), **options)
                self.assertEqual(self.data("from", "a"), wanted)

    def test_text(self):
        path = self.daemon.folder / "text"
        path.write_text('say "ü"\n')
        for word, options, wanted in (("12", {}, "12"), (f"@{path}", {}, 'say "ü"\n'),
                                      ("-", {"input": "a\tb"}, "a\tb"), (None, {"input": ""}, "")):
            with self.subTest(word=word):
                self.ctl("put", "text", "a", "--text", *([word] if word is not None else []),
                         **options)
                self.assertEqual(json.loads(self.data("text", "a")), wanted)

    def test_bad_data(self):
        for args, options, wanted in (
                (("{",), {}, r"not JSON: .* at byte 2 \(a bare string goes with --text\)"),
                (("hello",), {}, r"not JSON: expected a value at byte 1"),
                (("-",), {"input": ""}, r"not JSON: the text ends too early at byte 1"),
                (("@/nowhere/to be found",), {}, r"reading /nowhere/to be found: No such file"),
                (("@/",), {}, r"reading /: Is a directory"),
                ((NOT_UTF8, "--text"), {}, r"not UTF-8"),
                (("-", "--text"), {"input": NOT_UTF8, "errors": "surrogateescape"},
                 r"the text is not UTF-8 at byte 2")):
            with self.subTest(args=args):
                status = 1 if "reading" in wanted else 2
                self.assertRegex(self.refused(status, "put", "bad", "a", *args, **options), wanted)
        self.assertEqual(self.ctl("count", "bad"), "0\n")

    def test_conditions(self):
        seq = self.json("put", "if", "a", "1", "--if-seq", "0")["seq"]
        self.assertRegex(self.refused(7, "put", "if", "a", "2", "--if-seq", "0"), "if/a")
        self.assertRegex(self.refused(7, "put", "if", "a", "2", "--if-seq", seq - 1), str(seq))
        self.assertEqual(self.data("if", "a"), "1")
        self.assertEqual(self.json("put", "if", "a", "2", "--if-seq", seq)["rev"], 2)
        self.assertTrue(self.json("put", "if", "a", "3", "--if-absent")["skipped"])
        self.assertEqual(self.data("if", "a"), "2")
        self.assertTrue(self.json("put", "if", "b", "3", "--if-absent")["created"])

    def test_expiry(self):
        for option, value, wanted in (
                ("--ttl", "1h", time.time() * 1000 + 3_600_000),
                ("--ttl", "7200000", time.time() * 1000 + 7_200_000),
                ("--expires-at", "2033-05-18T03:33:20Z", 2_000_000_000_000),
                ("--expires-at", "2000000000001", 2_000_000_000_001)):
            with self.subTest(option=option, value=value):
                self.ctl("put", "expiry", "a", "1", option, value)
                self.assertAlmostEqual(
                    self.json("get", "expiry", "a")["expires_at"], wanted, delta=60_000)
        self.assertRegex(self.refused(1, "put", "expiry", "a", "1", "--ttl", "soon"), "ttl")
        self.ctl("put", "expiry", "gone", "1", "--ttl", "1ms")
        wait_for(lambda: self.ctl("count", "expiry", "--id", "gone") == "0\n")

    def test_del(self):
        seq = self.json("put", "del", "a", "1")["seq"]
        self.assertRegex(self.refused(7, "del", "del", "a", "--if-seq", seq + 1), str(seq))
        self.assertTrue(self.json("del", "del", "a", "--if-seq", seq)["deleted"])
        self.assertFalse(self.json("del", "del", "a", status=4)["deleted"])
        self.assertRegex(self.refused(4, "get", "del", "a"), "del/a")

    def test_del_as_many_as_fit_on_a_command_line(self):
        ids = [f"id {n}" for n in range(3000)]
        lines = "".join(json.dumps({"id": i, "data": 0}) + "\n" for i in ids)
        self.ctl("import", "-q", "--category", "many", "-", input=lines)
        self.assertEqual(self.json("del", "many", *ids[:2999], "absent")["deleted"], 2999)
        self.assertEqual(self.json("del", "many", "x", "y", status=4)["deleted"], 0)
        self.assertEqual(self.ctl("count", "many"), "1\n")

    def test_words_behind_two_dashes(self):
        self.ctl("put", "--text", "dash", "--", "--id", "-text")
        self.assertEqual(self.json("get", "--", "dash", "--id")["data"], "-text")
        self.assertEqual(json.loads(self.ctl("get", "--data", "--", "dash", "--id")), "-text")

    def test_names_are_not_changed(self):
        """What is not UTF-8 is refused, not replaced by something else."""
        for args in (("get", "a", NOT_UTF8), ("put", NOT_UTF8, "a", "1"), ("del", "a", "b", NOT_UTF8),
                     ("ls", "--name", NOT_UTF8), ("put", "a", "b", "1", "--name", NOT_UTF8),
                     ("get", "a", "@" + NOT_UTF8), ("put", "a", "@" + NOT_UTF8, "1"), ("del", "a", "@" + NOT_UTF8)):
            with self.subTest(args=args):
                self.assertIn("not UTF-8", self.refused(2, *args))


    def test_names_of_files_are_as_they_are(self):
        path = self.daemon.folder / NOT_UTF8
        path.write_text("[5]")
        self.ctl("put", "files", "a", f"@{path}")
        self.assertEqual(self.json("get", "files", "a")["data"], [5])
        path.write_text("")
        self.assertEqual(json.loads(self.ctl("feed", "replay", str(path), "--feed", "none"))["messages"], 0)


class Listing(CtlTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.daemon.control() as control:
            for n in range(250):
                control.call("record.put", category=f"l.{n % 2}", id=f"id-{n:03}",
                             name=f"Number {n}", data={"n": n})
            cls.late = control.call("record.put", category="other", id="late", data=1)
            cls.late_at = control.call("record.get", category="other", id="late")["record"]

    def test_categories_and_ids(self):
        self.assertEqual(self.ids("ls", "other"), ["late"])
        self.assertEqual(len(self.ids("ls", "l.*", "--limit", "1000")), 250)
        self.assertEqual(len(self.ids("ls", "l.1", "other", "--limit", "1000")), 126)
        self.assertEqual(self.ids("ls", "l.*", "--id", "id-24*", "--order", "id"),
                         [f"id-{n}" for n in range(240, 250, 2)] +
                         [f"id-{n}" for n in range(241, 250, 2)])
        self.assertEqual(self.ids("ls", "--id", "id-007"), ["id-007"])
        self.assertEqual(self.ids("ls", "nothing"), [])

    def test_names_times_and_order(self):
        self.assertEqual(self.ids("ls", "--name", "number 24", "--order", "oldest"),
                         ["id-024", *(f"id-{n}" for n in range(240, 250))])
        self.assertEqual(self.ids("ls", "--name-like", "Number _4", "--order", "newest"),
                         [f"id-0{n}4" for n in range(9, 0, -1)])
        at = self.late_at["updated_at"]
        self.assertEqual(self.ids("ls", "--after", at - 1, "other"), ["late"])
        self.assertEqual(self.ids("ls", "--after", at, "other"), [])
        self.assertEqual(self.ids("ls", "--before", at + 1, "other"), ["late"])
        self.assertEqual(self.ids("ls", "--before", "2001-02-03T04:05:06Z"), [])

    def test_pages(self):
        ids, cursor = [], ()
        for _ in range(3):
            page, hint = self.hinted("ls", "l.*", "--order", "oldest", "--limit", "80", *cursor)
            ids += [json.loads(line)["id"] for line in page.splitlines()]
            cursor = re.fullmatch(r"there is more: (--cursor) (\S+), or --all", hint).groups()
        ids += self.ids("ls", "l.*", "--order", "oldest", "--limit", "80", *cursor)
        self.assertEqual(ids, [f"id-{n:03}" for n in range(250)])
        self.assertEqual(self.ids("ls", "l.*", "--order", "oldest", "--limit", "80", "--all"), ids)
        self.assertEqual(self.ids("ls", "l.*", "-q", "--order", "oldest", "--limit=3",
                                  "--offset=100"), ids[100:103])

    def test_all_in_a_table_has_one_heading(self):
        table = self.ctl("ls", "-o", "table", "--all", "--limit", "50").splitlines()
        self.assertEqual(len(table), 252)
        self.assertEqual([n for n, line in enumerate(table) if line.startswith("category ")], [0])
        data_at = table[0].index("data")
        self.assertEqual({line[data_at - 1] for line in table}, {" "}, "columns of all pages agree")

    def test_formats(self):
        page = json.loads(self.ctl("ls", "other", "-o", "json"))
        self.assertEqual((len(page["items"]), page["seq"]), (1, self.late["seq"]))
        self.assertEqual(self.lines("ls", "other", "-o", "ndjson"), page["items"])
        self.assertEqual(self.lines("ls", "other"), page["items"], "in a pipe it is ndjson")
        more = json.loads(self.ctl("ls", "-o", "json", "--limit", "1"))
        self.assertIn("cursor", more, "and there is no hint")
        heading, row = self.ctl("ls", "other", "-otable").splitlines()
        self.assertEqual(heading.split(),
                         ["category", "id", "name", "rev", "seq", "updated_at", "data"])
        self.assertRegex(row, r"^other     late  late  1    \d+  20\d\d-\S+Z  1$")
        record = self.ctl("get", "other", "late", "-o", "table")
        self.assertRegex(record, r"(?m)^created_at +20\d\d-\d\d-\d\dT[\d:.]+Z$")
        self.assertRegex(record, r"(?m)^seq +\d+$")

    def test_count(self):
        self.assertEqual(self.ctl("count"), "251\n")
        self.assertEqual(self.ctl("count", "l.0"), "125\n")
        self.assertEqual(self.ctl("count", "l.*", "other", "--id", "*"), "251\n")
        self.assertEqual(self.ctl("count", "l.*", "--id", "id-00*"), "10\n")
        self.assertEqual(self.json("count", "-o", "json")["seq"], self.late["seq"])

    def test_categories(self):
        self.assertEqual(self.lines("category", "list"),
                         [{"category": "l.0", "count": 125}, {"category": "l.1", "count": 125},
                          {"category": "other", "count": 1}])
        self.assertEqual(self.ctl("category", "list", "o*", "-o", "table"),
                         "category  count\nother     1\n")

    def test_changes(self):
        seqs, since = [], ()
        for _ in range(4):
            page, hint = self.hinted("changes", "l.*", "other", "--limit", "90", *since)
            seqs += [json.loads(line)["seq"] for line in page.splitlines()]
            since = re.fullmatch(r"go on with: (--since) (\S+)", hint).groups()
        self.assertEqual(seqs, sorted(set(seqs)))
        self.assertEqual(len(seqs), 251)
        last = self.late["seq"]
        self.assertEqual(since[1].split(":")[1], str(last))
        self.assertEqual([c["id"] for c in self.lines("changes", "-q", "--since", last - 1)],
                         ["late"])
        self.assertEqual(self.lines("changes", "-q", "--id", "id-007")[0]["data"], {"n": 7})
        answer = self.json("changes", "--since", last, "-o", "json")
        self.assertEqual((answer["items"], answer["seq"]), ([], last))
        self.assertRegex(self.ctl("changes", "other", "-q", "-o", "table"),
                         rf"\Aseq +op +category +id +name +data\n{last} +put +other +late +late +1\n")

    def test_positions_that_do_not_hold(self):
        self.assertRegex(self.refused(1, "changes", "--since", self.late["seq"] + 1), "since 0")
        self.assertRegex(self.refused(1, "changes", "--since", "feedfeed:3"), "epoch.*since 0")
        for position in ("-1", "x", ":3", "feed:", "feed:3:", "feed:x", "1.5"):
            with self.subTest(position=position):
                self.assertRegex(self.refused(2, "changes", f"--since={position}"),
                                 "a position is 0, a number, or EPOCH:SEQ")


class Daemons(CtlTest):
    """The commands about the daemon itself."""

    def test_status_and_ping(self):
        status = self.json("status")
        self.assertEqual(status["pid"], self.daemon.pid)
        table = self.ctl("status", "-o", "table")
        self.assertRegex(table, rf"(?m)^pid +{self.daemon.pid}$")
        self.assertRegex(table, rf"(?m)^  epoch +{status['store']['epoch']}$")
        self.assertIn("time", self.json("ping"))
        self.assertRegex(self.ctl("ping", "-o", "table"), r"\Aanswered in \d+\.\d{3} ms\n\Z")

    def test_version(self):
        done = subprocess.run([CTL, "--version"], stdout=subprocess.PIPE, text=True, check=True)
        version = re.fullmatch(r"sysrtctl (\d+\.\d+\.\d+)\n", done.stdout)[1]
        self.assertEqual(self.json("version"), {"sysrtctl": version, "sysrtd": version})
        alone = subprocess.run([CTL, "--socket", "/nowhere", "version"], stdout=subprocess.PIPE,
                               text=True, check=True)
        self.assertEqual(json.loads(alone.stdout), {"sysrtctl": version})

    def test_call(self):
        self.assertIn("time", self.json("call", "ping"))
        params = {"category": "call", "id": "a", "data": {"n": 1}}
        self.assertEqual(self.json("call", "record.put", json.dumps(params))["rev"], 1)
        self.assertEqual(
            self.json("call", "record.put", "-", input=json.dumps(params, indent=1))["rev"], 2)
        path = self.daemon.folder / "params"
        path.write_text(json.dumps({**params, "mode": "if_absent"}))
        self.assertTrue(self.json("call", "record.put", f"@{path}")["skipped"])
        self.assertRegex(self.refused(1, "call", "no.such"), r'no\.such')
        self.assertRegex(self.refused(1, "call", "record.get", '{"idd": "a"}'), "idd")
        self.assertRegex(self.refused(1, "call", "ping", "[]"), "params must be an object")

    def test_methods(self):
        methods = [m["method"] for m in self.lines("methods")]
        self.assertEqual(methods, sorted(methods))
        self.assertLessEqual({"ping", "record.put_many", "system.shutdown"}, set(methods))
        self.assertRegex(self.ctl("methods", "-o", "table"), r"(?m)^ping +none +1 +Answer with the time$")

    def test_publish(self):
        with self.daemon.control() as listener:
            self.assertEqual(self.json("publish", "news", "1"), {"receivers": 0})
            listener.call("subscribe", topics=["news"])
            self.assertEqual(self.json("publish", "news", '{"a": [1]}'), {"receivers": 1})
            self.assertEqual(listener.notification("message")["data"], {"a": [1]})
            self.ctl("publish", "news", "--text", input="so it is")
            self.assertEqual(listener.notification("message")["data"], "so it is")
        self.assertRegex(self.refused(2, "publish", "news", "{"), "not JSON")

    def test_sessions(self):
        with self.daemon.ws() as client:
            listed = self.lines("session", "list")
            self.assertEqual({s["door"] for s in listed}, {"control", "websocket"})
            number = next(s["session"] for s in listed if s["door"] == "websocket")
            table = self.ctl("session", "list", "-o", "table")
            self.assertRegex(table, rf"(?m)^{number} +websocket +127\.0\.0\.1:\d+ ")
            self.ctl("session", "close", number)
            with self.assertRaises(Closed):
                while True:
                    client.recv_text()
        wait_for(lambda: number not in {s["session"] for s in self.lines("session", "list")},
                 what="it to be gone")
        self.assertRegex(self.refused(4, "session", "close", number), f"no session {number}")
        self.assertRegex(self.refused(2, "session", "close", "first"), "sysrtctl session list")

    def test_config_reload_and_log_level(self):
        daemon = self.daemon
        values = {c["name"]: c for c in self.lines("config")}
        self.assertEqual((values["store.path"]["value"], values["store.path"]["origin"]),
                         (str(daemon.store), "command line"))
        self.assertRegex(self.ctl("config", "-o", "table"), r"(?m)^hub\.recent +1024 +default$")
        daemon.config_path.write_text("[hub]\nrecent = 5\n[store]\nreaders = 3\n")
        self.assertEqual(self.json("reload"), {"applied": ["hub.recent"],
                                               "needs_restart": ["store.readers"]})
        daemon.config_path.write_text("[hub]\nrecentt = 5\n")
        self.assertRegex(self.refused(1, "reload"), 'recentt.*did you mean "hub.recent"')
        self.assertEqual(self.json("log-level"), {"filter": "info"})
        self.assertEqual(self.json("log-level", "warn,store=debug"), {"filter": "warn,store=debug"})
        self.assertEqual(self.json("log-level")["filter"], "warn,store=debug")
        self.assertRegex(self.refused(1, "log-level", "loud"), "error warn info debug trace")

    def test_shutdown_waits_for_the_end(self):
        daemon = daemon_for(self, config='[websocket]\nshutdown_delay = "2s"\n')
        self.assertRegex(sysrtctl(daemon, "shutdown", "--timeout", "50ms", check=False).stderr,
                         r"still stopping \(--timeout\)")
        sysrtctl(daemon, "shutdown")
        self.assertEqual(daemon.process.poll(), 0)
        daemon.process = None

    def migrate(self, daemon, *args, status=0):
        """What sysrtd, which does it, prints: on standard error when it fails."""
        done = sysrtctl(daemon, "migrate", *map(str, args), check=False, env=daemon.env)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual((done.stdout if status else done.stderr), "")
        return done.stderr if status else done.stdout

    def test_migrate(self):
        """How the daemon's exit statuses come out as ours, and how its options get there."""
        daemon = daemon_for(self)
        store = ("--store", daemon.store)
        self.assertRegex(self.refused(1, "migrate"), r"daemon is running.*sysrtctl shutdown")
        self.assertRegex(self.migrate(daemon, *store, status=1),
                         rf"\Asysrtd: [^\n]*another sysrtd .process {daemon.pid}[^\n]*\n\Z")
        daemon.stop()
        already = f"{daemon.store} is at version {NEWEST} of the schema already\n"
        self.assertEqual(self.migrate(daemon, *store, "--to", str(NEWEST)), already)
        self.assertIn("no version 99", self.migrate(daemon, *store, "--to", "99", status=1))
        self.assertRegex(self.migrate(daemon, *store, "--to", "x", status=2), "^sysrtd: --to is a")
        daemon.config_path.write_text(f'[store]\npath = "{daemon.store}"\n')
        self.assertEqual(self.migrate(daemon, "--config", daemon.config_path), already)
        daemon.start()

    def test_migrate_makes_no_store(self):
        path = self.daemon.folder / "missing.db"
        self.assertIn("No such file", self.migrate(self.daemon, "--store", path, status=1))
        self.assertEqual(list(self.daemon.folder.glob("missing.db*")), [])


class Failures(CtlTest):
    """Exit statuses from the table, one line on standard error."""

    def test_usage(self):
        for args, wanted in (
                ((), r"which command\? See sysrtctl --help"),
                (("--",), "which command"),
                (("fly",), 'no command "fly": see sysrtctl --help'),
                (("-x", "status"), "unknown option -x: see sysrtctl --help"),
                (("status", "--all"), "unknown option --all: see sysrtctl status --help"),
                (("session",), "of what.* sysrtctl session --help"),
                (("session", "fly"), 'no command "session fly": see sysrtctl session --help'),
                (("get", "a"), r"usage: sysrtctl get \[options\] CATEGORY ID"),
                (("get", "a", "b", "c"), "usage: sysrtctl get"),
                (("put", "a", "b", "1", "--text=1"), "--text takes no value"),
                (("put", "a", "b", "1", "-qx"), "unknown option -qx"),
                (("put", "a", "b", "1", "--if-seq"), "--if-seq needs a value: SEQ"),
                (("put", "a", "b", "1", "--if-seq", "x"), '--if-seq is a number, not "x"'),
                (("ls", "--order", "random"), '--order is one of newest oldest id, not "random"'),
                (("ls", "--limit="), "--limit is a number"),
                (("ls", "-o", "yaml"), '--output is one of table json ndjson, not "yaml"'),
                (("ping", "--color", "blue"), "--color is one of auto always never"),
                (("ping", "--timeout", "0s"), '--timeout is a time such as 30s, not "0s"'),
                (("ping", "--timeout", "soon"), "--timeout is a time"),
                (("watch", "a", "--"), "behind -- stands a program"),
                (("watch", "--topic", "--since", "0"), "topics are not stored"),
                (("help", "fly"), "no such command: see sysrtctl --help"),
                (("completion", "tcsh"), 'bash, zsh or fish, not "tcsh"'),
        ):
            with self.subTest(args=args):
                self.assertRegex(self.refused(2, *args), wanted)

    def test_refused(self):
        self.assertRegex(self.refused(1, "put", ".bad name", "a", "1"), "category")
        self.assertRegex(self.refused(1, "ls", "--limit", "1001"), "limit.*1000")
        self.assertRegex(self.refused(1, "ls", "--name", "a", "--name-like", "b"),
                         "name or name_like, not both")

    def test_not_running(self):
        folder = Path(tempfile.mkdtemp(prefix="sysrt-"))
        self.addCleanup(shutil.rmtree, folder)
        stale = folder / "stale.sock"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(stale))
        for path in (folder / "none.sock", stale, "/dev/null/sock"):
            for command in (("status",), ("watch",), ("import", "-"), ("shutdown",)):
                with self.subTest(path=path, command=command):
                    done = subprocess.run([CTL, *command], text=True, stdin=subprocess.DEVNULL,
                                          env={**os.environ, "SYSRT_SOCKET": str(path)},
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                    self.assertEqual((done.returncode, done.stdout), (3, ""))
                    self.assertRegex(done.stderr, r"\Asysrtctl: the daemon is not running \([^\n]*\): "
                                     r"start sysrtd, or name its socket with --socket [^\n]*\n\Z")

    def test_timed_out(self):
        self.daemon.signal(signal.SIGSTOP)
        try:
            start = time.monotonic()
            self.assertRegex(self.refused(5, "ping", "--timeout", "100ms"), r"\(--timeout\)")
            self.assertLess(time.monotonic() - start, 5)
            lines = '{"id":"a","data":"%s"}\n' % ("x" * 100_000) * 40
            self.assertIn("(--timeout)", self.refused(5, "import", "-", "--timeout", "100ms",
                                                      input=lines))
        finally:
            self.daemon.signal(signal.SIGCONT)
        self.ctl("ping")

    def denied(self, *words, **options):
        done = subprocess.run([self.copy, "--socket", self.daemon.socket, *(words or ["status"])], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        self.assertEqual((done.returncode, done.stdout), (6, ""))
        return done.stderr

    def test_denied(self):
        """Somebody else, where we are root and can be; else we shut ourselves out."""
        if os.getuid() != 0:
            self.copy = CTL
            self.daemon.socket.chmod(0)
            self.addCleanup(self.daemon.socket.chmod, 0o660)
            self.assertRegex(self.denied(), r"no permission for .*group")
            return
        folder = Path(tempfile.mkdtemp(prefix="sysrt-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, folder)
        folder.chmod(0o755)
        self.copy = shutil.copy(CTL, folder)
        nobody = {"user": 65534, "group": 65534, "extra_groups": []}
        self.daemon.folder.chmod(0o700)
        for words in (["status"], ["compact"], ["migrate"], ["restore", "x"], ["check", "--repair"]):
            self.assertRegex(self.denied(*words, **nobody), r"no permission for .*group")
        self.daemon.folder.chmod(0o755)
        self.addCleanup(self.daemon.folder.chmod, 0o700)
        self.daemon.socket.chmod(0o666)
        self.assertRegex(self.denied(**nobody), r"uid 65534 \(groups 65534\).*admin_group")

    def test_try_again_later(self):
        """A reader keeps the log from shrinking, and it has a limit."""
        daemon = daemon_for(self, config='[store]\nwal_limit = "1MiB"\nwal_hard_limit = "1MiB"\n')
        text = "x" * 300_000
        sysrtctl(daemon, "put", "a", "b", "--text", input=text)
        reader = sqlite3.connect(daemon.store, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM records").fetchall()
        for _ in range(20):
            done = sysrtctl(daemon, "put", "a", "b", "--text", input=text, check=False)
            if done.returncode:
                break
        self.assertEqual(done.returncode, 8, done.stderr)
        self.assertRegex(done.stderr, r"store\.wal_hard_limit")
        reader.close()
        wait_for(lambda: not sysrtctl(daemon, "put", "a", "c", "1", check=False).returncode)

    def test_interrupted(self):
        """Where there is nothing to bring to an end, the signal itself ends it: 130 to a shell."""
        self.daemon.signal(signal.SIGSTOP)
        try:
            process = subprocess.Popen([CTL, "--socket", self.daemon.socket, "status"],
                                       stderr=subprocess.PIPE)
            self.addCleanup(process.stderr.close)
            wait_for(lambda: is_waiting(process.pid), what="sysrtctl to wait")
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(TIMEOUT_S), -signal.SIGINT)
            self.assertEqual(process.stderr.read(), b"")
        finally:
            self.daemon.signal(signal.SIGCONT)


def is_full(pipe):
    """True if nothing more goes into a pipe, by its reading end."""
    waiting = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]
    return waiting == fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)


class Streams(CtlTest):
    """Pipes that close, disks that are full, descriptors that are missing."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.daemon.control() as control:
            control.call("record.put_many", records=[
                {"category": "s", "id": f"{n:05}", "data": "x" * 100} for n in range(5000)])

    def shell(self, script):
        return subprocess.run(["bash", "-c", script], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=TIMEOUT_S, env={
                                  **os.environ, "CTL": CTL, "SYSRT_SOCKET": str(self.daemon.socket)})

    def test_closed_pipe_ends_quietly(self):
        for command in ("ls --all", "ls --all -o table", "changes --limit 1000 -q", "watch --since 0"):
            with self.subTest(command=command):
                done = self.shell(f'"$CTL" {command} | head -n 1; echo ${{PIPESTATUS[0]}}')
                self.assertEqual(done.stderr, "")
                self.assertEqual(done.stdout.splitlines()[1], str(128 + signal.SIGPIPE))

    def test_a_full_disk(self):
        for command in ("ls", "ls --all", "status", "watch --since 0", "help", "completion bash"):
            with self.subTest(command=command):
                done = self.shell(f'"$CTL" -q {command} >/dev/full')
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertEqual(
                    done.stderr, "sysrtctl: writing standard output: No space left on device\n")

    def test_closed_descriptors(self):
        """They do not become the connection to the daemon."""
        for command in ("ls -q", "ls --all", "status", "watch --since 0 -q"):
            with self.subTest(command=command):
                done = self.shell(f'"$CTL" {command} >&-')
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertEqual(
                    done.stderr, "sysrtctl: writing standard output: Bad file descriptor\n")
        self.assertRegex(self.shell('"$CTL" put a b - <&-').stderr, "reading standard input: Bad")
        self.assertEqual(self.shell('"$CTL" get a nothing 2>&-').returncode, 4)
        self.assertEqual(self.shell('"$CTL" count s 2>&-').stdout, "5000\n")

    def test_a_pipe_that_nobody_reads(self):
        """It takes its time, and then gets everything."""
        read, write = os.pipe()
        process = subprocess.Popen([CTL, "--socket", self.daemon.socket, "ls", "--all"],
                                   stdout=write)
        os.close(write)
        wait_for(lambda: is_full(read), what="the pipe to be full")
        with open(read) as pipe:
            self.assertEqual(len({json.loads(line)["id"] for line in pipe}), 5000)
        self.assertEqual(process.wait(TIMEOUT_S), 0)


if __name__ == "__main__":
    unittest.main()

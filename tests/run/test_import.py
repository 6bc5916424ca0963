"""sysrtctl import: what becomes of good and bad lines, of a break in the middle, of input that has no
end; it never does harm to run it again.

builds: release; in check-long: asan
"""

import json
import re
import signal
import socket
import subprocess
import threading
import time
import unittest
from pathlib import Path

from harness import BUILD, TIMEOUT_S, daemon_for, idle, seeded, sysrtctl, wait_for
from terminal import Terminal

CTL = str(BUILD / "sysrtctl")
MANY = 60_000
SANITIZED = "asan" in str(BUILD)


def line_of(n, **more):
    return json.dumps({"category": f"c.{n % 7}", "id": f"id-{n}", "name": f"Name {n}",
                       "data": {"n": n, "text": "x" * (n % 200)}, **more})


class ImportTest(unittest.TestCase):
    maxDiff = None
    config = ""

    def setUp(self):
        self.daemon = daemon_for(self, config=self.config)

    def file(self, *lines, name="lines"):
        path = self.daemon.folder / name
        path.write_bytes(b"".join(line.encode() if isinstance(line, str) else line for line in lines))
        return path

    def run_import(self, *args, status=0, **options):
        """({written, skipped, bad}, standard error)"""
        done = sysrtctl(self.daemon, "import", *map(str, args), check=False, **options)
        self.assertEqual(done.returncode, status, done.stderr)
        summary = json.loads(done.stdout)
        self.assertGreaterEqual(summary.pop("seconds"), 0)
        return summary, done.stderr

    def records(self):
        """{(category, id): record} of all that is stored."""
        with self.daemon.control() as control:
            return {(r["category"], r["id"]): r for r in control.list_all(limit=1000)}

    def data(self):
        return {record_id: r["data"] for (_, record_id), r in self.records().items()}

    def assert_stored(self, summary, **wanted):
        self.assertEqual(summary, {"written": 0, "skipped": 0, "bad": 0, **wanted})


class Lines(ImportTest):
    def test_all_that_a_line_can_say(self):
        text = '{"n":12345678901234567890,"deep":[[{"a":1.10}]]}'
        path = self.file('{"category":"a","id":"b","name":"N","data":%s}\n' % text,
                         '{"id":"c","data":null,"ttl":"1h"}\n', '{"data":[1]}\n')
        summary, err = self.run_import("--category", "other", path)
        self.assert_stored(summary, written=3)
        self.assertEqual(err, "")
        stored = self.records()
        self.assertEqual(stored["a", "b"]["name"], "N")
        self.assertEqual(sysrtctl(self.daemon, "get", "a", "b", "--data").stdout, text + "\n")
        self.assertGreater(stored["other", "c"]["expires_at"], time.time() * 1000 + 3_000_000)
        self.assertEqual(sorted(category for category, _ in stored), ["a", "other", "other"])

    def test_what_was_listed_can_be_imported(self):
        with self.daemon.control() as control:
            control.call("record.put_many", records=[json.loads(line_of(n)) for n in range(1200)])
        listed = sysrtctl(self.daemon, "ls", "--all", "--order", "oldest").stdout
        before = self.data()
        summary, _ = self.run_import("-", input=listed)
        self.assert_stored(summary, skipped=1200)
        sysrtctl(self.daemon, "del", "c.0", *(f"id-{n}" for n in range(0, 1200, 7)))
        summary, _ = self.run_import("-", input=listed)
        self.assert_stored(summary, written=172, skipped=1200 - 172)
        self.assertEqual(self.data(), before)

    def test_ends_of_lines(self):
        path = self.file('{"id":"a","data":1}\r\n', "\n", "\r\n", '\n{"id":"b","data":2}\n',
                         ' {"id" : "c", "data": 3} \r\n', '{"id":"d","data":4}')
        summary, err = self.run_import(path)
        self.assert_stored(summary, written=4)
        self.assertEqual(err, "")
        self.assertEqual(self.data(), {"a": 1, "b": 2, "c": 3, "d": 4})
        for nothing in ("", "\n", "\r\n\n"):
            self.assert_stored(self.run_import("-", input=nothing)[0])

    def test_lines_of_white_space_are_none(self):
        lines = (" \n", line_of(1) + "\n", "\t \r\n", "\n", line_of(2) + "\n", "  ")
        self.assert_stored(self.run_import(self.file(*lines))[0], written=2)
        self.assert_stored(self.run_import(self.file(" \n \n"))[0])

    def test_the_last_of_equal_ids_wins(self):
        lines = [json.dumps({"id": f"i{n % 10}", "data": n}) + "\n" for n in range(3500)]
        summary, _ = self.run_import(self.file(*lines))
        self.assert_stored(summary, written=3500)
        self.assertEqual(self.data(), {f"i{n % 10}": n for n in range(3490, 3500)})

    def test_with_if_absent_the_first_wins(self):
        with self.daemon.control() as control:
            control.call("record.put", id="i3", data="kept")
        lines = [json.dumps({"id": f"i{n % 10}", "data": n}) + "\n" for n in range(3500)]
        summary, _ = self.run_import("--if-absent", self.file(*lines))
        self.assert_stored(summary, written=9, skipped=3491)
        self.assertEqual(self.data(), {**{f"i{n}": n for n in range(10)}, "i3": "kept"})

    def test_it_does_not_keep_a_slow_writer_waiting(self):
        """What has come is written although the input has not ended."""
        process = subprocess.Popen([CTL, "--socket", self.daemon.socket, "import", "-"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for n in range(3):
            process.stdin.write(line_of(n).encode() + b"\n")
            process.stdin.flush()
            wait_for(lambda: len(self.records()) == n + 1)
        process.stdin.close()
        self.assertEqual(json.loads(process.stdout.read())["written"], 3)
        process.stdout.close()
        self.assertEqual(process.wait(TIMEOUT_S), 0)


class BadLines(ImportTest):
    """The daemon takes little here, so that limits are near."""

    config = '[store]\nmax_record = "1KiB"\n[websocket]\nmax_message = "64KiB"\n'

    # (a line, what is said of it)
    BAD = (
        ("garbage", "not JSON: expected a value at byte 1"),
        ('{"id":"x","data":1', "not JSON: .*at byte 19"),
        ('{"id":"x","data":1}}', "not JSON: .*at byte 20"),
        (b'{"id":"x","data":"\xff"}', "not JSON: invalid UTF-8 at byte 19"),
        ('["x"]', "not an object"),
        ('{"id":"x"}', "data"),
        ('{"id":7,"data":1}', "id"),
        ('{"id":"x","data":1,"colour":"red"}', "colour"),
        ('{"category":"-","id":"x","data":1}', "category"),
        ('{"id":"x","data":"%s"}' % ("y" * 2000), "store.max_record"),
        ('{"id":"x","data":1,"if_seq":99}', "if_seq is 99"),
        ('{"id":"x","data":"%s"}' % ("y" * 100_000), "longer than 65536 bytes"),
        ('{"id":"x","data":1,"name":"%s"}' % ("y" * 65_500), "larger|longer|too long|max_message"),
    )

    @staticmethod
    def whole(line):
        return (line if isinstance(line, bytes) else line.encode()) + b"\n"

    def test_each_kind_is_passed_over(self):
        lines, bad = [], {}
        for line, why in self.BAD:
            lines += [self.whole(line_of(len(lines))), self.whole(line), b"\n"]
            bad[len(lines) - 1] = why
        lines.append(self.whole(line_of(len(lines))))
        path = self.file(*lines)
        summary, err = self.run_import("--on-error", "skip", path, status=1)
        self.assert_stored(summary, written=len(self.BAD) + 1, bad=len(self.BAD))
        told = re.findall(rf"(?m)^sysrtctl: {path}:(\d+): (.*)$", err)
        self.assertEqual(len(told), len(err.splitlines()), err)
        self.assertEqual(sorted(int(number) for number, _ in told), sorted(bad))
        for number, why in told:
            self.assertRegex(why, bad[int(number)])
        self.assertEqual(len(self.records()), len(self.BAD) + 1)

    def test_each_kind_stops(self):
        """What stands before it is written, what stands behind it is not."""
        for n, (line, why) in enumerate(self.BAD):
            with self.subTest(why=why):
                path = self.file(*(self.whole(json.dumps({"category": f"s{n}", "id": str(i), "data": i}))
                                   for i in range(30)),
                                 self.whole(line), self.whole('{"id":"after","data":1}'))
                summary, err = self.run_import(path, status=1)
                self.assert_stored(summary, written=30, bad=1)
                self.assertRegex(err, rf"\Asysrtctl: {path}:31: [^\n]*(?:{why})[^\n]*\n"
                                      r"mend the line and run it again[^\n]*--on-error skip[^\n]*\n\Z")
                self.assertEqual(sum(category == f"s{n}" for category, _ in self.records()), 30)
        self.assertNotIn("after", self.data())

    def test_a_quote_that_is_not_closed(self):
        """It swallows what follows: only its line and the question help to find it."""
        rows = "".join(f"{n},text\n" for n in range(20_000))
        _, err = self.run_import("--id", "id", self.file('id,t\n1,"open\n', rows, name="a.csv"), status=1)
        self.assertRegex(err, r"a\.csv:2: longer than 65536 bytes, which .*: is a quote not closed\?\n")

    def test_hints_are_true(self):
        """What has no id is not skipped the next time; where nothing was written, nothing is said of it."""
        path = self.file('{"data":1}\n', "bad\n")
        _, err = self.run_import(path, status=1)
        self.assertIn("records without an id would be there twice", err)
        self.assertNotIn("is skipped", err)
        self.run_import(path, status=1)
        self.assertEqual(len(self.records()), 2)
        self.assertIn("is skipped", self.run_import("--resume", path, status=1)[1])
        self.assertIn("is skipped", self.run_import(self.file('{"id":"i","data":1}\n', "bad\n"), status=1)[1])
        _, err = self.run_import("--format", "csv", "--id", "id", self.file("a,b\n1,2\n"), status=1)
        self.assertEqual(len(err.splitlines()), 1, err)

    def test_many_bad_ones_among_many(self):
        """All of them are found, and order is kept: of equal ids the last good one counts."""
        rng = seeded()
        bad = set(rng.sample(range(5000), 150))
        lines = [json.dumps({"id": f"i{n % 1000}", "data": "y" * 1100 if n in bad else n}) + "\n"
                 for n in range(5000)]
        summary, err = self.run_import("--on-error", "skip", self.file(*lines), status=1)
        self.assert_stored(summary, written=5000 - 150, bad=150)
        told = [int(n) for n in re.findall(r"(?m)^sysrtctl: .*?:(\d+): ", err)]
        self.assertEqual(sorted(told), sorted(n + 1 for n in bad))
        self.assertEqual(told, sorted(told))
        wanted = {}
        for n in range(5000):
            if n not in bad:
                wanted[f"i{n % 1000}"] = n
        self.assertEqual(self.data(), wanted)

    def test_input_that_cannot_be_read(self):
        for path, wanted in (("/nowhere/file", "opening /nowhere/file: No such file"),
                             (self.daemon.folder, "reading .*: Is a directory")):
            done = sysrtctl(self.daemon, "import", str(path), check=False)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr.splitlines()[0], rf"\Asysrtctl: {wanted}")


class UnderWay(ImportTest):
    """What stands behind a bad record is with the daemon already when that is found."""

    config = BadLines.config
    # One for the daemon that reads it, one for the daemon that writes it.
    BAD = ('{"id":"bad","data":"%s"}' % ("y" * 2000), '{"id":"bad","data":1,"if_seq":99}')

    def send_stopped(self, lines, *args):
        """The import of lines, of which two batches are under way before the daemon reads the first."""
        process = subprocess.Popen([CTL, "--socket", self.daemon.socket, "import", *args, "-"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for stream in (process.stdin, process.stdout, process.stderr):
            self.addCleanup(stream.close)
        wait_for(idle(process.pid), what="the import to wait for its input")
        self.daemon.signal(signal.SIGSTOP)
        process.stdin.write("".join(lines).encode())
        process.stdin.close()
        wait_for(idle(process.pid), what="the import to wait for the daemon")
        return process

    def import_behind(self, lines, *args):
        """({written, skipped, bad}, the numbers of the lines that were refused)"""
        process = self.send_stopped(lines, *args)
        self.daemon.signal(signal.SIGCONT)
        process.wait(TIMEOUT_S)
        summary = json.loads(process.stdout.read())
        del summary["seconds"]
        return summary, [int(n) for n in re.findall(rb"standard input:(\d+): ", process.stderr.read())]

    @staticmethod
    def lines(bad, n=3500):
        """Lines of ten ids, with others at some places."""
        return [bad.get(i, json.dumps({"id": f"i{i % 10}", "data": i})) + "\n" for i in range(n)]

    def records_of(self, category):
        return {i: r for (c, i), r in self.records().items() if c == category}

    def test_two_are_sent_at_once(self):
        """To a daemon that is played: it gets each batch before it has answered the one before it."""
        sent = []

        def serve():
            peer, _ = server.accept()
            with peer, peer.makefile("rw") as stream:
                def take():
                    return json.loads(stream.readline())

                def answer(request):
                    result = {"limits": {}, "store": {"epoch": "e", "seq": 0}, "count": 1000, "skipped": 0, "seq": 1}
                    stream.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}) + "\n")
                    stream.flush()

                answer(take())
                sent.append(take())
                for _ in range(3):
                    sent.append(take())
                    answer(sent[-2])
                answer(sent[-1])

        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(self.daemon.folder / "played"))
            server.listen(1)
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            done = subprocess.run([CTL, "--socket", self.daemon.folder / "played", "import",
                                   self.file(*self.lines({}, 4000))],
                                  stdout=subprocess.PIPE, check=True, timeout=TIMEOUT_S)
            thread.join(TIMEOUT_S)
        self.assertEqual(json.loads(done.stdout)["written"], 4000)
        self.assertEqual([request["params"].get("chained") for request in sent], [None, True, True, True])

    def test_it_stops_at_the_bad_one(self):
        for at, bad in enumerate(self.BAD):
            summary, told = self.import_behind(self.lines({700: bad}), f"--category=c{at}")
            self.assertEqual((summary, told), ({"written": 700, "skipped": 0, "bad": 1}, [701]))
            self.assertEqual({i: r["data"] for i, r in self.records_of(f"c{at}").items()},
                             {f"i{n % 10}": n for n in range(690, 700)})

    def test_bad_ones_in_all_of_them(self):
        """Each good line is written once, in its order."""
        places = (0, 700, 1000, 1001, 2999, 3499)
        good = [n for n in range(3500) if n not in places]
        for at, bad in enumerate(self.BAD):
            summary, told = self.import_behind(self.lines(dict.fromkeys(places, bad)), "--on-error=skip",
                                               f"--category=c{at}")
            self.assertEqual(summary, {"written": len(good), "skipped": 0, "bad": len(places)})
            self.assertEqual(told, [n + 1 for n in places])
            self.assertEqual({i: (r["data"], r["rev"]) for i, r in self.records_of(f"c{at}").items()},
                             {f"i{d}": (max(n for n in good if n % 10 == d), sum(n % 10 == d for n in good))
                              for d in range(10)})

    def test_with_if_absent_the_first_wins(self):
        for at, bad in enumerate(self.BAD):
            summary, told = self.import_behind(self.lines({3: bad, 13: bad}), "--on-error=skip", "--if-absent",
                                               f"--category=c{at}")
            self.assertEqual((summary, told), ({"written": 10, "skipped": 3488, "bad": 2}, [4, 14]))
            self.assertEqual({i: r["data"] for i, r in self.records_of(f"c{at}").items()},
                             {**{f"i{n}": n for n in range(10)}, "i3": 23})

    def test_what_is_good_behind_it_keeps_its_place(self):
        """The batch behind the bad one is refused with it, and written before the one that comes next."""
        for at, bad in enumerate(self.BAD):
            summary, told = self.import_behind(self.lines({700: bad}, 2500), "--on-error=skip", f"--category=c{at}")
            self.assertEqual((summary, told), ({"written": 2499, "skipped": 0, "bad": 1}, [701]))
            self.assertEqual({i: r["data"] for i, r in self.records_of(f"c{at}").items()},
                             {f"i{d}": 2490 + d for d in range(10)})
            lines = [line.replace(' "i', ' "later-i') if n >= 1000 else line
                     for n, line in enumerate(self.lines({700: bad}, 2500))]
            summary, told = self.import_behind(lines, "--on-error=skip", "--if-absent", f"--category=first{at}")
            self.assertEqual((summary, told), ({"written": 20, "skipped": 2479, "bad": 1}, [701]))
            self.assertEqual({i: r["data"] for i, r in self.records_of(f"first{at}").items()},
                             {**{f"i{d}": d for d in range(10)}, **{f"later-i{d}": 1000 + d for d in range(10)}})

    def test_what_is_too_long_for_the_daemon(self):
        """Its refusal does not say what was refused."""
        too_long = '{"id":"x","data":1,"name":"%s"}' % ("y" * 65_500)
        summary, told = self.import_behind(self.lines({1500: too_long}), "--on-error=skip")
        self.assertEqual((summary, told), ({"written": 3499, "skipped": 0, "bad": 1}, [1501]))

    def test_killed_with_both_under_way(self):
        """The daemon does what it has got, in order, and nothing behind what is bad."""
        for at, bad in enumerate((None, *self.BAD)):
            lines = [json.dumps({"id": f"i{n}", "data": n}) + "\n" for n in range(3500)]
            bad_ones = {} if bad is None else {700: bad + "\n"}
            process = self.send_stopped([bad_ones.get(n, line) for n, line in enumerate(lines)], f"--category=c{at}")
            process.kill()
            process.wait()
            self.daemon.signal(signal.SIGCONT)
            with self.daemon.control() as control:
                wait_for(lambda: len(control.call("session.list")["items"]) == 1, what="the end of the session")
                wait_for(lambda: control.call("status")["store"]["queue"] == 0, what="what it has sent to be done")
            numbers = sorted(r["data"] for r in self.records_of(f"c{at}").values())
            self.assertEqual(numbers, list(range(len(numbers))))
            self.assertIn(len(numbers), (0, 1000, 2000) if bad is None else (0,))
            summary, _ = self.run_import(f"--category=c{at}", "-", input="".join(lines))
            self.assert_stored(summary, written=3500 - len(numbers), skipped=len(numbers))
            self.assertEqual({r["rev"] for r in self.records_of(f"c{at}").values()}, {1})


class Memory(ImportTest):
    def peak_kib(self, process):
        return int(re.search(r"VmHWM:\s+(\d+)",
                             Path(f"/proc/{process.pid}/status").read_text())[1])

    def test_a_line_without_an_end(self):
        """It is read on and on, and takes no more room than the longest line that could be sent."""
        process = subprocess.Popen([CTL, "--socket", self.daemon.socket, "import", "--on-error", "skip",
                                    "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        process.stdin.write(b'{"id":"a","data":1}\n{"id":"')
        for _ in range(100):
            process.stdin.write(b"x" * (1 << 20))
        peak = self.peak_kib(process)
        process.stdin.write(b'"}\n{"id":"b","data":2}\n')
        out, err = process.communicate(timeout=TIMEOUT_S)
        self.assertEqual(process.returncode, 1)
        self.assertEqual({k: v for k, v in json.loads(out).items() if k != "seconds"},
                         {"written": 2, "skipped": 0, "bad": 1})
        self.assertRegex(err, rb"\Asysrtctl: standard input:2: longer than 4194304 bytes[^\n]*\n\Z")
        self.assertEqual(self.data(), {"a": 1, "b": 2})
        if not SANITIZED:
            self.assertLess(peak, 24 << 10)

    def test_large_records(self):
        text = "x" * 1_000_000
        lines = (json.dumps({"id": f"{n}", "data": text}) + "\n" for n in range(12))
        summary, _ = self.run_import(self.file(*lines))
        self.assert_stored(summary, written=12)
        with self.daemon.control() as control:
            self.assertEqual(control.call("record.get", id="11")["record"]["data"], text)


class ManyLines(ImportTest):
    count = 8_000

    def setUp(self):
        super().setUp()
        self.path = self.file(*(line_of(n) + "\n" for n in range(self.count)))


class Breaks(ManyLines):
    count = MANY // 4 if SANITIZED else MANY

    def start(self, *args):
        process = subprocess.Popen([CTL, "--socket", self.daemon.socket, "import", *args, self.path],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        return process

    def stored(self):
        with self.daemon.control() as control:
            return control.call("record.count")["count"]

    def wait_for_some(self, process, n):
        wait_for(lambda: self.stored() >= n or process.poll() is not None)
        self.assertIsNone(process.poll(), "it ended too early to be broken off")

    def assert_whole(self):
        """All of the file is stored, each record written once."""
        records = self.records()
        self.assertEqual(len(records), self.count)
        self.assertEqual({r["rev"] for r in records.values()}, {1})
        for n in range(0, self.count, 997):
            self.assertEqual(records[f"c.{n % 7}", f"id-{n}"]["data"], json.loads(line_of(n))["data"])

    def test_killed_again_and_again(self):
        """kill -9 of sysrtctl, then of the daemon, then Ctrl-C; the last run does the rest."""
        process = self.start()
        self.wait_for_some(process, 1)
        process.kill()
        process.wait()
        at_least = self.stored()

        process = self.start()
        self.wait_for_some(process, at_least + self.count // 5)
        self.daemon.kill()
        self.assertEqual(process.wait(TIMEOUT_S), 3)
        self.assertRegex(process.stderr.read(), r"\Asysrtctl: the daemon closed the connection\n"
                                                r"run it again to go on: [^\n]*\n\Z")
        self.daemon.start()
        at_least = self.stored()

        process = self.start()
        self.wait_for_some(process, at_least + self.count // 5)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(TIMEOUT_S), 130)
        self.assertRegex(process.stderr.read(), r"\Arun it again to go on: [^\n]*\n\Z")
        summary = json.loads(process.stdout.read())
        at_least = self.stored()
        self.assertEqual(summary["written"] + summary["skipped"], at_least,
                         "what was under way when it was interrupted is counted")

        summary, err = self.run_import(self.path)
        self.assert_stored(summary, skipped=at_least, written=self.count - at_least)
        self.assertEqual(err, "")
        self.assert_whole()

    def test_a_second_signal_does_not_wait(self):
        """The first one lets the batch that is under way come to its end, and the daemon may hang."""
        process = self.start("--timeout", "1h")
        self.wait_for_some(process, 1)
        self.daemon.signal(signal.SIGSTOP)
        try:
            wait_for(idle(process.pid), what="the import to wait for the daemon")
            process.send_signal(signal.SIGTERM)
            wait_for(lambda: not self.has_pending(process))
            self.assertIsNone(process.poll())
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(TIMEOUT_S), 128 + signal.SIGTERM)
        finally:
            self.daemon.signal(signal.SIGCONT)

    @staticmethod
    def has_pending(process):
        """True while a signal has not arrived."""
        text = Path(f"/proc/{process.pid}/status").read_text()
        return any(int(mask, 16) for mask in re.findall(r"(?:Sig|Shd)Pnd:\s+(\w+)", text))


class Progress(ManyLines):
    def on_terminal(self, *args, **options):
        terminal = Terminal([CTL, "--socket", self.daemon.socket, "import", *args], **options)
        self.addCleanup(terminal.close)
        return terminal

    def test_on_a_terminal(self):
        terminal = self.on_terminal(self.path, columns=100)
        terminal.read_until(rb"\r\[#*-+\] \d+ records, \d+ a second, \d+ %, [\d:]+( s)? left\x1b\[K")
        self.assertEqual(terminal.wait(), 0)
        text = terminal.text()
        for shown in re.split(r"\r|\n", text):
            self.assertLess(len(shown.replace("\x1b[K", "")), 100)
        self.assertRegex(text, rf"\r\[#+\] {self.count} records, \d+ a second, \d+ s in all\x1b\[K\n")
        self.assertRegex(text, rf"\nwritten +{self.count}\nskipped +0\nbad +0\nseconds +[\d.]+\n\Z")
        shares = [int(share) for share in re.findall(r", (\d+) %", text)]
        self.assertEqual(shares, sorted(shares))

    def test_a_pipe_has_no_size(self):
        with open(self.path, "rb") as lines:
            cat = subprocess.Popen(["cat"], stdin=lines, stdout=subprocess.PIPE)
        terminal = self.on_terminal("-", stdin=cat.stdout, columns=100)
        cat.stdout.close()
        self.assertEqual(terminal.wait(), 0)
        cat.wait()
        self.assertRegex(terminal.text(), r"\r\d+ records, \d+ a second\x1b\[K\r")
        self.assertNotIn("%", terminal.text())

    def test_terminals_of_all_widths(self):
        """A bad line does not mix with the bar, which never takes more than one row."""
        lines = self.path.read_text().splitlines(True)
        lines.insert(self.count // 2, "bad\n")
        self.path.write_text("".join(lines))
        told = f"sysrtctl: {self.path}:{self.count // 2 + 1}: not JSON: expected a value at byte 1"
        for columns in (20, 300):
            terminal = self.on_terminal("--on-error=skip", self.path, columns=columns,
                                        stdout=subprocess.PIPE)
            self.assertEqual(terminal.wait(), 1)
            shown = re.split(r"[\r\n](?:\x1b\[K)?", terminal.text())
            self.assertEqual(shown.count(told), 1)
            for bar in shown:
                if bar != told:
                    self.assertLess(len(bar.replace("\x1b[K", "")), columns, bar)

    def test_none_where_it_does_not_belong(self):
        terminal = self.on_terminal("-q", self.path, stdout=subprocess.PIPE)
        self.assertEqual((terminal.wait(), terminal.text()), (0, ""))
        summary, err = self.run_import("-", input=self.path.read_text())
        self.assertEqual(err, "")
        self.assert_stored(summary, skipped=self.count)

    def test_control_c(self):
        """While it waits for more: the input has no end."""
        terminal = self.on_terminal("-", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        terminal.process.stdin.write(self.path.read_bytes())
        terminal.process.stdin.flush()
        terminal.read_until(rb"records, ")
        terminal.press(b"\x03")
        self.assertEqual(terminal.wait(), 130)
        self.assertRegex(terminal.text(), r"\r\x1b\[K\d+ records, \d+ a second, \d+ s in all\n"
                                          r"run it again to go on: [^\n]*\n\Z")


if __name__ == "__main__":
    unittest.main()

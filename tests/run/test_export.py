"""sysrtctl export: what it prints is the store as of its last line, whatever happens meanwhile, and can
be imported again.

builds: release
"""

import csv
import io
import json
import signal
import subprocess
import threading
import unittest

from harness import BUILD, TIMEOUT_S, daemon_for, idle, seeded, sysrtctl, wait_for
from played import Peer, Played

CTL = str(BUILD / "sysrtctl")
MANY = 3_000 if "asan" in str(BUILD) else 12_000
TEXTS = ('a,"b"', "two\nlines", "ä😀\u2028", "", " x ", "1e5", "\t")


def lines_of(text):
    """Not splitlines(), which parts at U+2028 too."""
    return text.removesuffix("\n").split("\n")


class ExportTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.daemon = daemon_for(self)

    def put(self, records):
        with self.daemon.control() as control:
            for start in range(0, len(records), 1000):
                control.call("record.put_many", records=records[start:start + 1000])

    def stored(self, category="*"):
        with self.daemon.control() as control:
            return {(r["category"], r["id"]): r for r in control.list_all(limit=1000, category=category)}

    def export(self, *args, status=0):
        done = sysrtctl(self.daemon, "export", *map(str, args), check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout, done.stderr

    def state_of(self, text):
        """{(category, id): record} as of the last line; checks the lines around and the order."""
        lines = [json.loads(line) for line in lines_of(text)]
        begin, *lines, end = lines
        self.assertEqual(set(begin), {"export", "epoch", "seq"})
        self.assertEqual(set(end), {"export", "seq"})
        self.assertEqual((begin["export"], end["export"]), ("begin", "end"))
        state, last = {}, 0
        for line in lines:
            key = line["category"], line["id"]
            self.assertGreater(line["seq"], last)
            last = line["seq"]
            if line.get("op") == "delete":
                self.assertGreater(line["seq"], begin["seq"], "a deletion of before it began")
                state.pop(key, None)
            else:
                self.assertNotIn("op", line)
                state[key] = line
        self.assertLessEqual(last, end["seq"])
        return state


class Whole(ExportTest):
    def test_records_are_as_they_are_stored(self):
        self.put([{"category": f"c.{n % 3}", "id": f"i{n}", "name": text, "data": {"t": text, "n": [n, None, 1.50]}}
                  for n, text in enumerate(TEXTS * 5)])
        with self.daemon.control() as control:
            control.call("record.put", id="gone", data=1)
            control.call("record.delete", id="gone")
            control.call("record.put", category="c.0", id="i0", data=12345678901234567890, ttl="1h")
        text, err = self.export()
        self.assertEqual(err, "")
        self.assertEqual(self.state_of(text), self.stored())
        self.assertEqual(json.loads(lines_of(text)[-1])["seq"], 38)
        for categories in (["c.1"], ["c.*"], ["c.0", "c.2"], ["none"]):
            wanted = {k: v for k, v in self.stored().items()
                      if k[0] in categories or (categories == ["c.*"] and k[0].startswith("c."))}
            self.assertEqual(self.state_of(self.export(*categories)[0]), wanted)

    def test_an_empty_store(self):
        lines = lines_of(self.export()[0])
        self.assertEqual([json.loads(line)["export"] for line in lines], ["begin", "end"])

    def test_it_can_be_imported(self):
        self.put([{"category": f"c.{n % 3}", "id": f"i{n}", "name": "N", "data": n} for n in range(2500)])
        text, _ = self.export()
        other = daemon_for(self)
        summary = json.loads(sysrtctl(other, "import", "-", input=text).stdout)
        self.assertEqual((summary["written"], summary["bad"]), (2500, 0))
        self.assertEqual([(r["id"], r["data"]) for r in self.state_of(sysrtctl(other, "export").stdout).values()],
                         [(r["id"], r["data"]) for r in self.state_of(text).values()])
        deletion = '{"seq":9999,"op":"delete","category":"c.1","id":"i1","rev":1,"deleted_at":5}\n'
        sysrtctl(other, "import", "-", input=text.replace('{"export":"end"', deletion + '{"export":"end"'))
        sysrtctl(other, "get", "c.0", "i0")
        self.assertEqual(sysrtctl(other, "get", "c.1", "i1", check=False).returncode, 4)

    def test_to_a_file(self):
        self.put([{"id": "a", "data": 1}])
        path = self.daemon.folder / "out"
        path.write_text("before")
        self.assertEqual(self.export("--file", path), ("", ""))
        self.assertEqual(path.read_text(), self.export()[0])
        self.assertFalse((self.daemon.folder / "out.new").exists())
        self.assertIn("opening /nowhere/out.new: ", self.export("--file", "/nowhere/out", status=1)[1])

    def test_output_that_nobody_reads(self):
        self.put([{"id": f"i{n}", "data": "x" * 1000} for n in range(2000)])
        process = subprocess.Popen([CTL, "--socket", self.daemon.socket, "export"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual((process.wait(TIMEOUT_S), process.stderr.read()), (-signal.SIGPIPE, b""))
        process.stderr.close()
        with open("/dev/full", "w") as full:
            done = subprocess.run([CTL, "--socket", self.daemon.socket, "export"], stdout=full,
                                  stderr=subprocess.PIPE, text=True, timeout=TIMEOUT_S)
        self.assertEqual(done.returncode, 1)
        self.assertIn("writing standard output: No space left on device", done.stderr)


class Tables(ExportTest):
    def test_chosen_columns(self):
        data = [{"price": "1.50", "tags": ["a", "b,c"], "deep": {"x": TEXTS[n % 7]}, "n": n} for n in range(50)]
        self.put([{"id": f"i{n}", "name": TEXTS[n % 7], "data": d} for n, d in enumerate(data)])
        text, err = self.export("--format", "csv", "--columns", "id,name,/price,/tags,/deep/x,/n,/none")
        self.assertEqual(err, "")
        rows = list(csv.reader(io.StringIO(text, newline="")))
        self.assertEqual(rows[0], ["id", "name", "/price", "/tags", "/deep/x", "/n", "/none"])
        self.assertEqual(rows[1:], [[f"i{n}", TEXTS[n % 7], d["price"], '["a","b,c"]', d["deep"]["x"], str(n), ""]
                                    for n, d in enumerate(data)])

    def test_all_columns(self):
        self.put([{"category": "c", "id": "i", "data": {"a": None}}])
        record = self.stored()["c", "i"]
        row, = csv.DictReader(io.StringIO(self.export("--format=csv")[0], newline=""))
        self.assertEqual(row, {**{k: str(v) for k, v in record.items()}, "data": '{"a":null}', "expires_at": ""})

    def test_round_trip(self):
        self.put([{"id": str(n), "data": {"t": TEXTS[n % 7], "n": n}} for n in range(100)])
        text, _ = self.export("--format=csv", "--columns=id,/t,/n")
        sysrtctl(self.daemon, "import", "--format=csv", "--id=id", "--category=again", "-", input=text)
        again = {key: r["data"] for (_, key), r in self.stored("again").items()}
        self.assertEqual(again, {str(n): {"id": str(n), "/t": TEXTS[n % 7], "/n": str(n)} for n in range(100)})

    def test_columns_that_are_wrong(self):
        for columns, why in (("id,", 'no column ""'), ("price", 'no column "price"'), ("/~2", '"/~2": '),
                             ("", 'no column ""')):
            self.assertIn(why, self.export("--format=csv", f"--columns={columns}", status=2)[1])
        self.assertIn("--format csv", self.export("--columns=id", status=2)[1])


class Meanwhile(ExportTest):
    def start_writing(self):
        """Puts, changes and deletes at random until it is told to stop."""
        rng, stop = seeded(), threading.Event()

        def write():
            with self.daemon.control() as control:
                while not stop.is_set():
                    ids = [f"i{rng.randrange(MANY)}" for _ in range(20)]
                    if rng.random() < 0.5:
                        control.call("record.delete", ids=ids)
                    else:
                        control.call("record.put_many", records=[{"id": i, "data": rng.random()} for i in ids])

        thread = threading.Thread(target=write)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stop.set)
        return stop, thread

    def test_it_is_the_store_as_of_its_last_line(self):
        self.put([{"id": f"i{n}", "data": n} for n in range(MANY)])
        stop, thread = self.start_writing()
        with self.daemon.control() as control:
            wait_for(lambda: control.call("record.count")["seq"] > MANY)
        texts = [self.export()[0] for _ in range(2)]
        stop.set()
        thread.join()
        self.assertGreater(json.loads(lines_of(texts[1])[0])["seq"], MANY)
        # What was written after an export lies above its last seq; all else is as it was.
        now = self.stored()
        for text in texts:
            state, end = self.state_of(text), json.loads(lines_of(text)[-1])["seq"]
            self.assertEqual({k: r for k, r in state.items() if k in now and now[k]["seq"] <= end},
                             {k: r for k, r in now.items() if r["seq"] <= end})

    def test_it_goes_on_after_a_restart(self):
        """Even after kill -9 of the daemon, and with changes while it was away."""
        self.put([{"id": f"i{n}", "data": "x" * 300} for n in range(MANY)])
        process = subprocess.Popen([CTL, "--socket", self.daemon.socket, "export"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        lines = [process.stdout.readline() for _ in range(MANY // 10)]
        self.daemon.kill()
        self.daemon.start()
        self.put([{"id": f"i{n}", "data": "changed"} for n in range(0, 100)])
        with self.daemon.control() as control:
            control.call("record.delete", ids=[f"i{n}" for n in range(50, 150)])
        text, err = process.stdout.read(), process.stderr.read()
        self.assertEqual(process.wait(TIMEOUT_S), 0, err)
        process.stdout.close()
        process.stderr.close()
        self.assertEqual(err, "sysrtctl: the connection ended, connecting again\n")
        self.assertEqual(self.state_of("".join(lines) + text), self.stored())

    def test_a_daemon_that_does_not_come_back(self):
        self.put([{"id": f"i{n}", "data": "x" * 300} for n in range(MANY)])
        out = self.daemon.folder / "out"
        process = subprocess.Popen([CTL, "--socket", self.daemon.socket, "export", "--timeout", "300ms",
                                    "--file", out], stderr=subprocess.PIPE, text=True)
        fresh = self.daemon.folder / "out.new"
        wait_for(lambda: out.exists() or fresh.exists() and fresh.stat().st_size > 0)
        self.daemon.kill()
        _, err = process.communicate(timeout=TIMEOUT_S)
        if process.returncode == 0:
            self.skipTest("it was faster than the kill")
        self.assertEqual(process.returncode, 3)
        self.assertEqual(err, "sysrtctl: the connection ended, connecting again\n"
                              "sysrtctl: the daemon went away and did not come back\n")
        self.assertFalse(out.exists() or fresh.exists())

    def test_a_daemon_that_says_nothing_more(self):
        def serve(peer):
            peer.send(peer.answer_to(peer.take(), epoch="e", seq=0, base=9), *told)
            peer.take()

        for told, status, why in (
                ((), 5, "nothing came from the daemon for 300 ms (--timeout)"),
                ([Peer.notice("unsubscribed", subscription=1, reason="the token is void")], 6,
                 "the export has ended: the token is void")):
            done = sysrtctl(Played(self, serve), "export", "--timeout=300ms", check=False)
            self.assertEqual((done.returncode, done.stderr), (status, f"sysrtctl: {why}\n"))


class Interrupted(ExportTest):
    def start(self, daemon, *args, **options):
        process = subprocess.Popen([CTL, "--socket", daemon.socket, "export", *map(str, args)],
                                   stderr=subprocess.PIPE, **options)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stderr.close)
        return process

    def test_while_there_is_always_more(self):
        def serve(peer):
            peer.send(peer.answer_to(peer.take(), epoch="e", seq=0, base=1 << 40))
            for seq in range(1, 1 << 40):
                peer.send(peer.notice("change", op="put", category="c", id="i", seq=seq, data=seq))

        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            daemon = Played(self, serve)
            process = self.start(daemon, "--file", daemon.folder / "out")
            fresh = daemon.folder / "out.new"
            wait_for(lambda: fresh.exists() and fresh.stat().st_size > 0)
            process.send_signal(number)
            self.assertEqual((process.wait(TIMEOUT_S), process.stderr.read()), (status, b""))
            self.assertFalse(fresh.exists() or (daemon.folder / "out").exists())

    def test_while_nobody_reads_it(self):
        self.put([{"id": f"i{n}", "data": "x" * 1000} for n in range(2000)])
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            for args in ((), ("--format=csv",)):
                process = self.start(self.daemon, *args, stdout=subprocess.PIPE)
                self.addCleanup(process.stdout.close)
                wait_for(idle(process.pid), what="the export to wait for a reader")
                process.send_signal(number)
                self.assertEqual((process.wait(TIMEOUT_S), process.stderr.read()), (status, b""))


if __name__ == "__main__":
    unittest.main()

"""sysrtctl import --restore and record.restore: an export comes back byte for byte, into an empty store
only, and positions are judged rightly before, in the midst of it and afterwards.

builds: release
"""

import json
import re
import subprocess
import unittest

from harness import BUILD, TIMEOUT_S, RpcError, daemon_for, seeded, sysrtctl, wait_for

CTL = str(BUILD / "sysrtctl")


def without_epoch(text):
    return re.sub(r'("export":"begin","epoch":)"\w+"', r"\1", text)


class RestoreTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.daemon = daemon_for(self)

    def fill(self, daemon, n=3000):
        """A store with a history: changes, deletions, records that come again."""
        rng = seeded()
        with daemon.control() as control:
            for _ in range(n // 300):
                ids = [f"i{rng.randrange(n)}" for _ in range(500)]
                control.call("record.put_many", records=[
                    {"category": f"c.{len(i)}", "id": i, "name": f"N {i}", "data": {"x": rng.random(), "t": "ä\n" * 9},
                     **({"expires_at": 4_102_444_800_000} if len(i) == 3 else {})} for i in ids])
                control.call("record.delete", category="c.4", ids=[i for i in set(ids[:50]) if len(i) == 4] or ["-"])
            control.call("record.put", category="c.9", id="last", data=1)
            control.call("record.delete", category="c.9", id="last")
            return control.call("status")["store"]

    def export(self, daemon):
        return sysrtctl(daemon, "export").stdout

    def restore(self, daemon, text, *args, status=0):
        """({written, skipped, bad} or None, standard error)"""
        path = daemon.folder / "export"
        path.write_text(text)
        done = sysrtctl(daemon, "import", "--restore", *args, str(path), check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        summary = json.loads(done.stdout) if done.stdout else None
        if summary:
            del summary["seconds"]
        return summary, done.stderr


class RoundTrip(RestoreTest):
    def test_the_same_bytes(self):
        store = self.fill(self.daemon)
        text, other = self.export(self.daemon), daemon_for(self)
        records_n = text.count("\n") - 2
        self.assertEqual(self.restore(other, text), ({"written": records_n, "skipped": 0, "bad": 0}, ""))
        self.assertEqual(without_epoch(self.export(other)), without_epoch(text))
        with other.control() as control:
            self.assertEqual(control.call("status")["store"]["seq"], store["seq"])
            self.assertEqual(control.call("status")["hub"]["published"], store["seq"])
            self.assertEqual(control.call("record.put", id="n", data=1)["seq"], store["seq"] + 1)
        sysrtctl(other, "check")
        found = [sysrtctl(d, "search", "name:i7*", "--order", "newest", "--limit", "1000").stdout
                 for d in (self.daemon, other)]
        self.assertIn('"id":"i7', found[1])
        self.assertEqual(found[1].count('"id"'), found[0].count('"id"'))
        other.restart()
        self.assertEqual(without_epoch(self.export(other)).splitlines()[1:-2], text.splitlines()[1:-1])

    def test_an_export_that_was_made_while_things_changed(self):
        """A record twice, of which the later one counts, and a deletion, which leaves a tombstone."""
        def line(seq, rev, **more):
            return json.dumps({"seq": seq, "category": "c", "id": f"i{seq % 3}", "rev": rev, **more}) + "\n"

        def record(seq, rev):
            return line(seq, rev, name="N", data=[seq], created_at=5, updated_at=seq)

        now = 4_000_000_000_000
        text = ('{"export":"begin","epoch":"e","seq":5}\n' + record(3, 1) + record(4, 1) + record(5, 8) +
                record(6, 2) + line(7, 1, op="delete", deleted_at=now) + line(8, 8, op="delete", deleted_at=now) +
                record(10, 2) + '{"export":"end","seq":12}\n')
        self.assertEqual(self.restore(self.daemon, text)[0], {"written": 7, "skipped": 0, "bad": 0})
        with self.daemon.control() as control:
            self.assertEqual([(r["id"], r["seq"], r["rev"], r["updated_at"]) for r in control.list_all(order="oldest")],
                             [("i0", 6, 2, 6), ("i1", 10, 2, 10)])
            again = control.call("record.put", category="c", id="i2", data=1)
            self.assertEqual((again["seq"], again["rev"]), (13, 9))

    def test_data_that_was_stored_before_it_was_bounded(self):
        """It is read, exported and restored as deep as it is, and nothing new becomes as deep."""
        arrays, objects = "[" * 126 + "]" * 126, '{"a":' * 126 + "1" + "}" * 126
        text = '{"export":"begin","epoch":"","seq":2}\n' + "".join(
            f'{{"seq":{seq},"category":"c","id":"i{seq}","name":"N","data":{data},"rev":1,"created_at":5,'
            f'"updated_at":6}}\n' for seq, data in ((1, arrays), (2, objects))) + '{"export":"end","seq":2}\n'
        self.assertEqual(self.restore(self.daemon, text)[0], {"written": 2, "skipped": 0, "bad": 0})
        for words in (("get", "c", "i1"), ("get", "c", "i1", "--data"), ("ls",), ("ls", "--all"),
                      ("history", "c", "i1"), ("changes", "--since", "0"), ("search", "N", "--data")):
            self.assertIn(arrays, sysrtctl(self.daemon, *words).stdout, words)
        self.assertEqual(re.sub('"epoch":"[^"]*"', '"epoch":""', self.export(self.daemon)), text)
        sysrtctl(self.daemon, "patch", "c", "i2", '{"b":1}')
        self.assertIn(f'{objects[:-1]},"b":1}}', sysrtctl(self.daemon, "get", "c", "i2").stdout)
        done = sysrtctl(self.daemon, "import", "--on-error=skip", "-", input=text, check=False)
        self.assertEqual((done.returncode, json.loads(done.stdout)["bad"]), (1, 2))
        self.assertIn("standard input:2: data is nested 126 deep, at most 120 are allowed\n", done.stderr)
        deeper = text.replace("[[", "[[[[").replace("]]", "]]]]")
        done = sysrtctl(self.daemon, "import", "--on-error=skip", "-", input=deeper, check=False)
        self.assertIn("standard input:2: not JSON: nested too deeply at byte ", done.stderr)

    def test_what_has_expired_leaves_when_all_is_there(self):
        """Expiry is no write of somebody else's: a deletion in the midst would end the restoration."""
        gone = {"category": "c", "id": "gone", "data": 1, "rev": 1, "seq": 1, "created_at": 5, "updated_at": 5,
                "expires_at": 6}
        rest = [{**gone, "id": f"i{n}", "seq": n, "expires_at": 4_102_444_800_000} for n in (2, 3)]
        with self.daemon.control() as control:
            control.call("record.restore", records=[gone, rest[0]])
            control.call("record.restore", records=[rest[1]])
            self.assertEqual(control.call("record.count")["count"], 3)
            self.daemon.restart()
        with self.daemon.control() as control:
            control.call("record.restore", seq=9)
            wait_for(lambda: control.call("record.count")["count"] == 2)
            self.assertEqual(control.call("status")["store"]["seq"], 10)

    def test_what_is_too_much_for_a_category_leaves_when_all_is_there(self):
        self.fill(self.daemon)
        other = daemon_for(self, config='[category."c.*"]\nmax_records = 10\n')
        _, said = self.restore(other, self.export(self.daemon))
        self.assertEqual(said, "")
        with other.control() as control:
            def has_left():
                return all(c["count"] <= 10 for c in control.call("category.list")["items"])
            wait_for(has_left, what="categories that are not too full")

    def test_an_empty_one(self):
        text = self.export(self.daemon)
        self.assertEqual(self.restore(daemon_for(self), text)[0], {"written": 0, "skipped": 0, "bad": 0})


class Breaks(RestoreTest):
    def test_killed_in_the_midst(self):
        """kill -9 of sysrtctl, then of the daemon: with --resume the rest follows."""
        text = self.export(self.fill_much())
        other = daemon_for(self)
        path = other.folder / "export"
        path.write_text(text)
        command = [CTL, "--socket", other.socket, "import", "--restore", "--resume", path]
        for victim in ("client", "daemon"):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            before = self.count(other)
            wait_for(lambda: self.count(other) > before or process.poll() is not None)
            if victim == "client":
                process.kill()
            else:
                other.kill()
                other.start()
            process.wait(TIMEOUT_S)
        summary, err = self.restore(other, text, "--resume")
        self.assertEqual((summary["bad"], err), (0, ""))
        self.assertEqual(without_epoch(self.export(other)), without_epoch(text))
        self.assertEqual(self.restore(other, text, "--resume")[0], {"written": 0, "skipped": 0, "bad": 0})

    def fill_much(self):
        with self.daemon.control() as control:
            for start in range(0, 30_000, 5000):
                control.call("record.put_many", records=[{"id": f"i{n}", "data": "x" * 100}
                                                         for n in range(start, start + 5000)])
        return self.daemon

    @staticmethod
    def count(daemon):
        with daemon.control() as control:
            return control.call("record.count")["count"]

    def test_positions(self):
        """Those of the exported store are unknown to the restored one; those that it has given out
        itself stay true, in the midst of a restoration too."""
        old = self.fill(self.daemon, 600)
        text, other = self.export(self.daemon), daemon_for(self)
        lines = [json.loads(line) for line in text.splitlines()]
        records, end = lines[1:-1], lines[-1]["seq"]
        half = len(records) // 2
        with other.control() as control, other.control() as live:
            live.call("subscribe", categories="*")
            live.notification("synced")
            control.call("record.restore", records=records[:half])
            told = [live.notification("change")["seq"] for _ in range(half)]
            self.assertEqual(told, [r["seq"] for r in records[:half]])
            epoch = control.call("status")["store"]["epoch"]
            middle = {"since": records[half - 1]["seq"], "epoch": epoch}
            control.call("record.restore", records=records[half:], seq=end)
            told += [live.notification("change")["seq"] for _ in range(len(records) - half)]
            self.assertEqual(told, [r["seq"] for r in records])
            self.assertEqual(live.notification("synced")["seq"], end)
            with self.assertRaises(RpcError) as refused:
                control.call("changes", since=old["seq"], epoch=old["epoch"])
            self.assertEqual(refused.exception.code, "RESYNC_REQUIRED")
            page = control.call("changes", limit=1000, **middle)
            self.assertEqual([c["seq"] for c in page["items"]], [r["seq"] for r in records[half:]])
            control.call("subscribe", categories="*")
            self.assertEqual(control.notification("synced")["seq"], end)
        other.restart()
        with other.control() as control:
            self.assertEqual(control.call("changes", since=end, epoch=epoch)["items"], [])
            self.assertEqual(control.call("status")["store"]["seq"], end)


class Refusals(RestoreTest):
    RECORD = {"seq": 7, "category": "c", "id": "i", "data": 1, "rev": 1, "created_at": 5, "updated_at": 5}

    def lines(self, *records, end=9):
        head = {"export": "begin", "epoch": "e", "seq": 8}
        tail = [{"export": "end", "seq": end}] if end else []
        return "".join(json.dumps(line) + "\n" for line in (head, *records, *tail))

    def test_a_store_that_is_not_empty(self):
        with self.daemon.control() as control:
            control.call("record.put", id="x", data=1)
            control.call("record.delete", id="x")
        summary, err = self.restore(self.daemon, self.lines(self.RECORD), status=1)
        self.assertEqual(summary["written"], 0)
        self.assertIn("export:2: the store is not empty (seq 2): records are restored into a new one only", err)

    def test_somebody_else_writes_meanwhile(self):
        with self.daemon.control() as control:
            control.call("record.restore", records=[self.RECORD])
            control.call("record.put", id="x", data=1)
            for params in ({"records": [{**self.RECORD, "id": "j", "seq": 20}]}, {"seq": 30}):
                with self.assertRaises(RpcError) as refused:
                    control.call("record.restore", **params)
                self.assertEqual(refused.exception.code, "CONFLICT")

    def test_all_or_none(self):
        with self.daemon.control() as control:
            with self.assertRaises(RpcError) as refused:
                control.call("record.restore", records=[self.RECORD, {**self.RECORD, "id": "j", "seq": 6}])
            self.assertEqual(refused.exception.code, "CONFLICT")
            self.assertEqual(control.call("record.count")["count"], 0)
            self.assertEqual(control.call("record.put", id="x", data=1)["seq"], 1)

    def test_what_is_no_whole_export(self):
        cases = (
            (json.dumps(self.RECORD) + "\n", ":1: this is no export: its first line is missing"),
            (self.lines(self.RECORD, end=None), ": the last line of the export is missing"),
            (self.lines(end=None), ": the last line of the export is missing"),
            (self.lines() + json.dumps(self.RECORD), ":3: something stands behind the last line"),
            (self.lines() + self.lines(), ":3: something stands behind the last line"),
            (self.lines({"export": "begin"}), ":2: a second export begins here"),
            ("", "the last line of the export is missing"),
        )
        for text, why in cases:
            daemon = daemon_for(self)
            self.assertIn(why, self.restore(daemon, text, status=1)[1])
        daemon = daemon_for(self)
        self.assertIn(":3: seq 5 is not above 7", self.restore(
            daemon, self.lines(self.RECORD, {**self.RECORD, "id": "j", "seq": 5}), status=1)[1])
        self.assertIn("the store is at seq 7 already", self.restore(
            daemon_for(self), self.lines(self.RECORD, end=6), status=7)[1])

    def test_nothing_is_restored_behind_what_was_refused(self):
        """In the midst of requests that do not wait for each other, which say that they are chained."""
        def of(*seqs, **more):
            return {"records": [{**self.RECORD, "id": f"i{seq}", "seq": seq, **more} for seq in seqs], "chained": True}

        for bad, code in ((of(20, rev=0), "INVALID_ARGUMENT"), (of(30, 25), "CONFLICT")):
            with daemon_for(self).control() as control:
                done = control.call_all([("record.restore", p) for p in (
                    of(10), of(11, 12), bad, of(40), {"seq": 50, "chained": True}, {**of(13), "chained": False}, of(14))])
                self.assertEqual([d.code if isinstance(d, RpcError) else d["seq"] for d in done],
                                 [10, 12, code, "UNAVAILABLE", "UNAVAILABLE", 13, 14])
                self.assertEqual(control.call("status")["store"]["seq"], 14)

    def test_options_that_do_not_go_with_it(self):
        for option in ("--format=csv", "--id=x", "--map=id=/x", "--preset=log", "--category=c", "--if-absent",
                       "--on-error=skip", "--dry-run", "--numbers"):
            self.assertIn("--restore takes an export as it is", self.restore(self.daemon, "", option, status=2)[1])

    def test_only_administrators(self):
        with self.daemon.ws() as ws, self.assertRaises(RpcError) as refused:
            ws.call("record.restore", records=[self.RECORD])
        self.assertEqual(refused.exception.code, "PERMISSION_DENIED")


if __name__ == "__main__":
    unittest.main()

"""sysrtctl import of other things than lines of JSON: tables, arrays, logs; which member becomes what.

builds: release
"""

import csv
import io
import json
import subprocess
import unittest
from datetime import datetime, timezone
from pathlib import Path

from harness import BUILD, LONG, TIMEOUT_S, daemon_for, seeded, sysrtctl

CTL = str(BUILD / "sysrtctl")
JOURNAL = Path(__file__).parent / "samples" / "journal.jsonl"
LEVELS = "emerg alert crit err warning notice info debug".split()


def dry(text, *args, status=0):
    """([record], standard error) of a dry run, which needs no daemon."""
    done = subprocess.run([CTL, "--socket", "/nowhere", "import", "--dry-run", *args, "-"],
                          input=text if isinstance(text, bytes) else text.encode(),
                          capture_output=True, timeout=TIMEOUT_S)
    if done.returncode != status:
        raise AssertionError(done.stderr.decode())
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


class Tables(unittest.TestCase):
    maxDiff = None

    def test_it_reads_as_python_does(self):
        """Random tables, written with every way of quoting, against Python's csv module."""
        rng = seeded()
        alphabet = ["", "a", "b", " ", ",", "\t", '"', '""', "\n", "\r\n", "ä", "\u2028", "😀", "1", "-2.5"]
        rows_n = 3000
        for delimiter, name in ((",", "csv"), ("\t", "tsv")):
            header = ["id", "x y", 'q"q', "d,e"]
            rows = [[str(n), *("".join(rng.choices(alphabet, k=rng.randrange(5))) for _ in range(3))]
                    for n in range(rows_n)]
            out = io.StringIO(newline="")
            for row in [header, *rows]:
                csv.writer(out, delimiter=delimiter, quoting=rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
                           lineterminator=rng.choice(("\n", "\r\n"))).writerow(row)
            text = out.getvalue()
            wanted = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
            self.assertEqual(len(wanted), rows_n)
            records, _ = dry(text, "--format", name, "--id", "id", "--name", "x y")
            self.assertEqual([r["data"] for r in records], wanted)
            self.assertEqual([r["id"] for r in records], [r["id"] for r in wanted])
            self.assertEqual([r["name"] for r in records], [r["x y"] for r in wanted])

    def test_quotes_that_mean_nothing_and_too_much(self):
        """Where Python's reader is strict, so are we; where a quote is only a character, it is one."""
        rng = seeded()
        for _ in range(300 if LONG else 50):
            row = "".join(rng.choices(['a', '"', ',', ' '], k=rng.randrange(1, 9)))
            try:
                fields = next(csv.reader(io.StringIO(row, newline=""), strict=True))
            except csv.Error:
                fields = None
            n = len(fields) if fields else 1 + row.count(",")
            header = ",".join(f"h{i}" for i in range(n))
            records, err = dry(f"{header}\n{row}\n", "--format=csv", "--on-error=skip",
                               status=0 if fields else 1)
            self.assertEqual([list(r["data"].values()) for r in records], [fields] if fields else [],
                             (row, err))

    def test_numbers(self):
        records, _ = dry('a,b,c\n1,-0.50,12345678901234567890\n"1",007,\n', "--format=csv", "--numbers")
        self.assertEqual([r["data"] for r in records],
                         [{"a": 1, "b": -0.5, "c": 12345678901234567890}, {"a": "1", "b": "007", "c": ""}])

    def test_bad_rows_are_told_by_line(self):
        text = 'a,b\n1,2\n3\n\n"4\n5",6\n7,8,9\n10,"11" \n12,\xff\n13,14\n'
        records, err = dry(text.encode("latin-1"), "--format=csv", "--on-error=skip", status=1)
        self.assertEqual([r["data"]["a"] for r in records], ["1", "4\n5", "13"])
        told = [line.removeprefix("sysrtctl: standard input:") for line in err.splitlines()]
        self.assertEqual(told[:-1], [
            "3: 1 field, the header has 2", "7: 3 fields, the header has 2",
            "8: something stands behind a closing quote", "9: invalid UTF-8 at byte 4"])
        self.assertEqual(told[-1], "3 records, 4 bad; nothing was written")
        self.assertIn(":2: a quote is not closed", dry('a\n"1\n2\n', "--format=csv", status=1)[1])

    def test_headers(self):
        self.assertIn('two columns are called "a"', dry("a,a\n1,2\n", "--format=csv", status=1)[1])
        self.assertIn('there is no column "c"', dry("a,b\n1,2\n", "--format=csv", "--id=c", status=1)[1])
        for nothing in ("", "\n", "a,b\n", "\ufeff"):
            self.assertEqual(dry(nothing, "--format=csv")[0], [])
        self.assertEqual(dry("\ufeffa,b\r\n1,2", "--format=csv")[0], [{"data": {"a": "1", "b": "2"}}])


class Arrays(unittest.TestCase):
    def test_items_are_records(self):
        records = [{"id": f"i{n}", "data": {"n": n, "text": ']",[{' * (n % 5), "deep": [[n], {}]}}
                   for n in range(5000)]
        for text in (json.dumps(records), json.dumps(records, indent=2), "\ufeff \n" + json.dumps(records),
                     "\n".join(json.dumps(r) for r in records)):
            self.assertEqual(dry(text)[0], records)
        self.assertEqual(dry(json.dumps(records), "--format=json")[0], records)
        self.assertEqual(dry(" [ ] \n")[0], [])

    def test_bad_items_spoil_no_others(self):
        text = '[{"id":"a","data":1},\n{"id":"b",},\n\n 5,\n{"id":"c","data":2}\n,{"id":"d" "data":3}\n]'
        records, err = dry(text, "--on-error=skip", status=1)
        self.assertEqual([r["id"] for r in records], ["a", "c"])
        told = [line.removeprefix("sysrtctl: standard input:") for line in err.splitlines()]
        self.assertEqual(told[:-1], ["2: not JSON: expected a key in double quotes at byte 11",
                                     "4: not an object", "6: not JSON: expected a comma or } at byte 11"])

    def test_what_is_not_an_array(self):
        for text, why in (('[{"id":"a","data":1}', ":1: the array is not closed"),
                          ('[{"id":"a","data":1}]\n{}', ":2: something stands behind the array"),
                          ('\n{"id":"a","data":1}', ":2: expected an array")):
            self.assertIn(why, dry(text, "--format=json", status=1)[1])


class Members(unittest.TestCase):
    def test_the_item_is_the_data(self):
        item = {"key": 7, "title": "T", "x": [1]}
        self.assertEqual(dry(json.dumps(item), "--id=key", "--name=title", "--category=c")[0],
                         [{"category": "c", "id": "7", "name": "T", "data": item}])
        self.assertEqual(dry('{"key":1e2}', "--id=key", "--name=title")[0],
                         [{"id": "1e2", "data": {"key": 1e2}}])
        for item in ("{}", '{"key":null}', '{"key":[1]}', '{"key":true}'):
            self.assertRegex(dry(item, "--id=key", status=1)[1], r':1: (there is no "key"|the id is neither)')


    def test_pointers(self):
        item = {"a/b": {"~": "C"}, "list": [{"k": "one"}, 5], "n": None, "when": "2030-01-01T00:00:00Z",
                "keep": "1h", "d": {"x": 1}}
        for maps, wanted in (
                (["id=/list/0/k"], {"id": "one", "data": item}),
                (["id=/list/1", "data=/d", "name=/n"], {"id": "5", "data": {"x": 1}}),
                (["id=/list/1", "id=/list/0/k", "data="], {"id": "one", "data": item}),
                (["data=/n"], {"data": None}),
                (["category=/a~1b/~0", "ttl=/keep"], {"category": "C", "data": item, "ttl": "1h"}),
                (["expires_at=/when", "category=/n"], {"data": item, "expires_at": item["when"]})):
            self.assertEqual(dry(json.dumps(item), *(f"--map={m}" for m in maps))[0], [wanted])
        self.assertEqual(dry('{"x/~":"i"}', "--id", "x/~")[0], [{"id": "i", "data": {"x/~": "i"}}])
        self.assertEqual(dry("a,b\n1,2\n", "--format=csv", "--map", "data=/b", "--map", "id=/a")[0],
                         [{"id": "1", "data": "2"}])
        self.assertEqual(dry('{"timestamp":1,"message":"m","fields":{"h":"x"}}', "--preset=log",
                             "--map=category=/fields/h", "--map=name=/message")[0],
                         [{"category": "x", "name": "m",
                           "data": {"timestamp": 1, "message": "m", "fields": {"h": "x"}}}])

    def test_pointers_that_are_wrong(self):
        for wrong, why in (("id", "FIELD=POINTER"), ("seq=/a", "FIELD=POINTER"), ("=/a", "FIELD=POINTER"),
                           ("id=a", '"a": '), ("id=/~2", '"/~2": ')):
            self.assertIn(why, dry("{}", f"--map={wrong}", status=2)[1])
        for missing in ("id=/x/y", "data=/z"):
            self.assertIn(":1: there is no ", dry('{"x":1}', f"--map={missing}", status=1)[1])
        self.assertIn('there is no column "/c"', dry("a,b\n", "--format=csv", "--map=id=/c", status=1)[1])


class Logs(unittest.TestCase):
    maxDiff = None

    def test_entries(self):
        entries = [{"timestamp": 1_700_000_000_123, "level": "info", "message": "one\ntwo", "fields": {"a": [1.50]}},
                   {"timestamp": "2026-11-24T10:00:00.5+01:00", "message": "x" * 300},
                   {"timestamp": -1, "level": 30, "message": ""}]
        wanted = [{"category": "log", "name": "one", "data": entries[0]},
                  {"category": "log", "name": "x" * 200,
                   "data": {"timestamp": 1795510800500, "message": "x" * 300}},
                  {"category": "log", "data": entries[2]}]
        for text in ("\n".join(map(json.dumps, entries)), json.dumps(entries, indent=1)):
            self.assertEqual(dry(text, "--preset=log")[0], wanted)

    def test_times(self):
        def ms(*parts):
            return int(datetime(*parts, tzinfo=timezone.utc).timestamp() * 1000)

        times = {"2026-11-24T10:00:00Z": ms(2026, 11, 24, 10), "2026-11-24": ms(2026, 11, 24),
                 "2026-11-24T10:00:00": ms(2026, 11, 24, 10), "2026-11-24 10:00:00.25": ms(2026, 11, 24, 10) + 250,
                 "2026-11-24T10:00:00,25": ms(2026, 11, 24, 10) + 250,
                 "2026-11-24T10:00:00+0130": ms(2026, 11, 24, 8, 30),
                 "2026-11-24T10:00:00.123456-02": ms(2026, 11, 24, 12) + 123,
                 "2026-11-24T10:00:00-02:00": ms(2026, 11, 24, 12)}
        text = "\n".join(json.dumps({"timestamp": t, "message": ""}) for t in times)
        self.assertEqual([r["data"]["timestamp"] for r in dry(text, "--preset=log")[0]], list(times.values()))

    def test_bad_entries(self):
        bad = {'{"message":"m"}': "timestamp", '{"timestamp":1.5,"message":"m"}': "timestamp",
               '{"timestamp":"today","message":"m"}': "timestamp",
               '{"timestamp":"2026-13-24","message":"m"}': "timestamp",
               '{"timestamp":"2026-11-24T10:00:00+0","message":"m"}': "timestamp",
               '{"timestamp":"","message":"m"}': "timestamp", '{"timestamp":1}': "message",
               '{"timestamp":1,"message":5}': "message", '{"timestamp":1,"message":"","level":[]}': "level",
               '{"timestamp":1,"message":"","fields":[]}': "fields",
               '{"timestamp":1,"message":"","host":"h"}': 'unknown member "host"',
               '{"timestamp":1,"message":"","message":""}': 'a second member "message"'}
        records, err = dry("\n".join(bad), "--preset=log", "--on-error=skip", status=1)
        self.assertEqual(records, [])
        for number, (line, why) in enumerate(zip(err.splitlines(), bad.values()), 1):
            self.assertTrue(line.startswith(f"sysrtctl: standard input:{number}: {why}"), line)

    def journal(self):
        return [json.loads(line) for line in JOURNAL.read_text().splitlines()]

    def test_a_journal(self):
        """What journalctl -o json printed: nothing of it is lost."""
        records, _ = dry(JOURNAL.read_bytes(), "--preset=journald")
        entries = self.journal()
        self.assertEqual(len(records), len(entries))
        for record, entry in zip(records, entries):
            data, fields = record["data"], dict(record["data"]["fields"])
            self.assertEqual((record["category"], record["id"]), ("journal", entry["__CURSOR"]))
            self.assertEqual(data["timestamp"], int(entry["__REALTIME_TIMESTAMP"]) // 1000)
            self.assertEqual(data["level"], LEVELS[int(entry["PRIORITY"])])
            if isinstance(entry["MESSAGE"], str):
                self.assertEqual(data["message"], entry["MESSAGE"])
                self.assertTrue(record["name"].endswith(entry["MESSAGE"].split("\n")[0][-50:]))
                fields["MESSAGE"] = entry["MESSAGE"]
            else:
                self.assertEqual(data["message"], bytes(entry["MESSAGE"]).decode(errors="replace"))
            fields.update(__CURSOR=entry["__CURSOR"], PRIORITY=entry["PRIORITY"])
            self.assertEqual(fields, entry)
        self.assertIn("probe: an error: äöü \"quoted\"", [r["name"] for r in records])

    def test_a_journal_is_stored_once(self):
        daemon = daemon_for(self)
        for written, skipped in ((len(self.journal()), 0), (0, len(self.journal()))):
            done = sysrtctl(daemon, "import", "--preset", "journald", str(JOURNAL))
            summary = json.loads(done.stdout)
            self.assertEqual((summary["written"], summary["skipped"], summary["bad"]), (written, skipped, 0))

    def test_what_is_no_journal(self):
        for line, why in (("{}", "__CURSOR"), ('{"__CURSOR":"a"}', "__REALTIME_TIMESTAMP"),
                          ('{"__CURSOR":"a","__REALTIME_TIMESTAMP":"x"}', "__REALTIME_TIMESTAMP"),
                          ('{"__CURSOR":"a","__REALTIME_TIMESTAMP":""}', "__REALTIME_TIMESTAMP"),
                          ('{"__CURSOR":"a","__REALTIME_TIMESTAMP":"99999999999999999999"}', "__REALTIME")):
            self.assertIn(why, dry(line, "--preset=journald", status=1)[1])


class Stored(unittest.TestCase):
    """The same through a daemon, and what it refuses of it."""

    def test_a_table(self):
        daemon = daemon_for(self, config='[store]\nmax_record = "1KiB"\n')
        path = daemon.folder / "Table.CSV"
        path.write_text("id,text\n" + "".join(f"{n},{'x' * (2000 if n == 500 else 3)}\n" for n in range(1200)))
        done = sysrtctl(daemon, "import", "--id", "id", "--category", "t", "--on-error", "skip", str(path),
                        check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, rf"\Asysrtctl: {path}:502: [^\n]*store.max_record[^\n]*\n\Z")
        with daemon.control() as control:
            self.assertEqual(control.call("record.count", category="t")["count"], 1199)
            self.assertEqual(control.call("record.get", category="t", id="1199")["record"]["data"],
                             {"id": "1199", "text": "xxx"})

    def test_too_many_bad_rows_are_counted(self):
        text = "a\n" + "1,2\n" * 3000
        err = dry(text, "--format=csv", "--on-error=skip", status=1)[1].splitlines()
        self.assertEqual(len(err), 1002)
        self.assertEqual(err[1000:], ["sysrtctl: standard input: further bad ones are counted, not told",
                                      "0 records, 3000 bad; nothing was written"])


if __name__ == "__main__":
    unittest.main()

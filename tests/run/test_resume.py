"""sysrtctl import --resume: after a break of sysrtctl or of the daemon nothing is lost and nothing is
there twice, whether records have ids of their own or not.

builds: release
"""

import csv
import io
import json
import os
import signal
import subprocess
import time
import unittest

from harness import BUILD, LONG, TIMEOUT_S, daemon_for, sysrtctl, wait_for

CTL = str(BUILD / "sysrtctl")
SAVE_EVERY_S = 0.25
MANY = (200_000 if LONG else 25_000) // (4 if "asan" in str(BUILD) else 1)


def csv_of(rows):
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["n", "text"])
    writer.writerows([n, f'{n}: "quoted", and\nin lines' if n % 7 == 0 else "x" * (n % 100)] for n in rows)
    return out.getvalue()


def lines_of(rows):
    return "".join(json.dumps({"data": {"n": n, "text": "x" * (n % 100)}}) + "\n" for n in rows)


def array_of(rows):
    return json.dumps([{"data": {"n": n, "text": "]," * (n % 50)}} for n in rows], indent=1) + "\n"


class ResumeTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.daemon = daemon_for(self)

    def file(self, name, text):
        path = self.daemon.folder / name
        path.write_text(text)
        return path

    def state(self, path):
        return json.loads((path.parent / (path.name + ".resume")).read_text())

    def resume(self, path, *args, status=0):
        """({written, skipped, bad} or None, standard error)"""
        done = sysrtctl(self.daemon, "import", "--resume", *args, str(path), check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        summary = json.loads(done.stdout) if done.stdout else None
        if summary:
            del summary["seconds"]
        return summary, done.stderr

    def numbers(self):
        """The n of all records, and the revs that there are."""
        with self.daemon.control() as control:
            records = list(control.list_all(limit=1000))
        return sorted(int(r["data"]["n"]) for r in records), {r["rev"] for r in records}


class Breaks(ResumeTest):
    def count(self):
        with self.daemon.control() as control:
            return control.call("record.count")["count"]

    def start(self, path, *args):
        self.count_before = self.count()
        process = subprocess.Popen([CTL, "--socket", self.daemon.socket, "import", "--resume", *args, path],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        return process

    def wait_for_state(self, process, path, above):
        """The import is in its midst, and has saved so. However fast the machine is: it is stopped
        for as long as it may write without saving, and saves as soon as it goes on."""
        wait_for(lambda: process.poll() is not None or self.count() > self.count_before)
        process.send_signal(signal.SIGSTOP)
        goes_on = time.monotonic() + SAVE_EVERY_S
        wait_for(lambda: time.monotonic() > goes_on)
        process.send_signal(signal.SIGCONT)

        def is_there():
            try:
                return process.poll() is not None or self.state(path)["offset"] > above
            except FileNotFoundError:
                return False

        wait_for(is_there)
        self.assertIsNone(process.poll(), "it ended too early to be broken off")
        return self.state(path)["offset"]

    def break_and_go_on(self, path, *args):
        process = self.start(path, *args)
        offset = self.wait_for_state(process, path, 0)
        process.kill()
        process.wait()

        process = self.start(path, *args)
        offset = self.wait_for_state(process, path, offset)
        self.daemon.kill()
        self.assertEqual(process.wait(TIMEOUT_S), 3)
        self.assertRegex(process.stderr.read(), r"\nrun it again with --resume to go on\n\Z")
        self.daemon.start()

        process = self.start(path, *args)
        process.send_signal(signal.SIGINT)
        process.wait(TIMEOUT_S)

        summary, err = self.resume(path, *args)
        self.assertEqual((summary["bad"], err), (0, ""))
        self.assertLess(summary["written"] + summary["skipped"], MANY)
        self.assertEqual(self.numbers(), (list(range(MANY)), {1}))
        self.assertEqual(self.resume(path, *args)[0], {"written": 0, "skipped": 0, "bad": 0})

    def test_lines_without_ids(self):
        self.break_and_go_on(self.file("lines", lines_of(range(MANY))))

    def test_a_table(self):
        self.break_and_go_on(self.file("table.csv", csv_of(range(MANY))))

    def test_an_array(self):
        self.break_and_go_on(self.file("array.json", array_of(range(MANY))))

    @unittest.skipUnless(LONG, "belongs to the long check")
    def test_a_table_with_ids(self):
        self.break_and_go_on(self.file("table.csv", csv_of(range(MANY))), "--id", "n")


class Inputs(ResumeTest):
    def test_a_file_that_grows(self):
        path = self.file("log", lines_of(range(10)))
        for start, end in ((0, 10), (10, 25), (25, 26)):
            with open(path, "a") as file:
                file.write(lines_of(range(start, end)) if start else "")
            self.assertEqual(self.resume(path)[0], {"written": end - start, "skipped": 0, "bad": 0})
        self.assertEqual(self.numbers(), (list(range(26)), {1}))

    def test_a_file_that_is_empty_yet(self):
        path = self.file("log", "")
        self.assertEqual(self.resume(path), ({"written": 0, "skipped": 0, "bad": 0}, ""))
        path.write_text(lines_of(range(5)))
        self.assertEqual(self.resume(path)[0], {"written": 5, "skipped": 0, "bad": 0})

    def test_a_line_that_is_not_whole_yet(self):
        whole = lines_of(range(3))
        path = self.file("log", whole[:-5])
        self.assertEqual(self.resume(path, "--on-error=skip", status=1)[0], {"written": 2, "skipped": 0, "bad": 1})
        path.write_text(whole)
        self.assertEqual(self.resume(path)[0], {"written": 1, "skipped": 0, "bad": 0})

    def test_a_line_that_is_mended(self):
        path = self.file("lines", lines_of(range(2000)) + "bad\n" + lines_of(range(2000, 3000)))
        summary, err = self.resume(path, status=1)
        self.assertEqual(summary, {"written": 2000, "skipped": 0, "bad": 1})
        self.assertIn(":2001: not JSON", err)
        path.write_text(path.read_text().replace("bad\n", lines_of([9999])))
        self.assertEqual(self.resume(path)[0], {"written": 1001, "skipped": 0, "bad": 0})
        self.assertEqual(self.numbers(), ([*range(3000), 9999], {1}))

    def test_line_numbers_go_on(self):
        for name, text, bad in (("a.csv", csv_of(range(15)), "1,2,3\n"), ("lines", lines_of(range(15)), "bad\n")):
            path = self.file(name, text)
            self.resume(path)
            path.write_text(text + bad)
            self.assertIn(f":{text.count(chr(10)) + 1}: ", self.resume(path, status=1)[1])

    def test_a_file_that_has_changed(self):
        text = lines_of(range(100))
        for name, changed in (("one", text.replace('"n": 5,', '"n": 6,', 1)), ("shorter", text[:300]),
                              ("empty", ""), ("longer", "\n" + text)):
            path = self.file(name, text)
            self.resume(path)
            path.write_text(changed)
            summary, err = self.resume(path, status=1)
            self.assertRegex(err, rf"\Asysrtctl: ({path} has changed before byte {len(text)}, [^\n]*remove {path}"
                                  rf".resume|--resume: {path} is not a file)[^\n]*\n\Z")
            self.assertIsNone(summary)
        (self.daemon.folder / "one.resume").unlink()
        self.assertEqual(self.resume(self.daemon.folder / "one")[0]["written"], 100)

    def test_another_store(self):
        """Or one that was put back to what it was before: it gets all of it."""
        path = self.file("lines", lines_of(range(100)))
        self.resume(path)
        self.daemon.stop()
        for file in self.daemon.folder.glob("*.db*"):
            file.unlink()
        self.daemon.start()
        summary, err = self.resume(path)
        self.assertEqual(summary, {"written": 100, "skipped": 0, "bad": 0})
        self.assertIn("this store does not have what was written so far: all of", err)
        self.assertEqual(self.resume(path), ({"written": 0, "skipped": 0, "bad": 0}, ""))

    def test_a_restart_is_no_other_store(self):
        path = self.file("lines", lines_of(range(100)))
        self.resume(path)
        self.daemon.restart()
        path.write_text(lines_of(range(150)))
        self.assertEqual(self.resume(path), ({"written": 50, "skipped": 0, "bad": 0}, ""))

    def test_where_the_state_is(self):
        path, state = self.file("lines", lines_of(range(3))), self.daemon.folder / "elsewhere"
        self.assertEqual(self.resume(path, "--state", str(state))[0]["written"], 3)
        self.assertFalse((self.daemon.folder / "lines.resume").exists())
        self.assertEqual(self.resume(path, "--state", str(state))[0]["written"], 0)
        for garbage in ("", "{}", "garbage\n", state.read_text().replace('"key":"', '"key":"x')):
            state.write_text(garbage)
            self.assertIn("is no state of an import: remove it", self.resume(path, "--state", str(state), status=1)[1])
        self.assertIn("writing /nowhere/state: ", self.resume(path, "--state", "/nowhere/state", status=1)[1])

    def test_what_cannot_be_resumed(self):
        path = self.file("lines", lines_of(range(3)))
        self.assertIn("--dry-run", self.resume(path, "--dry-run", status=2)[1])
        self.assertIn("say --state FILE", self.resume("-", status=2)[1])
        state = self.daemon.folder / "state"
        self.assertIn("standard input is not a file", self.resume("-", "--state", str(state), status=1)[1])
        fifo = self.daemon.folder / "fifo"
        os.mkfifo(fifo)
        end = os.open(fifo, os.O_RDWR)
        self.assertIn("is not a file", self.resume(fifo, status=1)[1])
        os.close(end)


if __name__ == "__main__":
    unittest.main()

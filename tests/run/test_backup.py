"""Backups of a daemon that is written to: what a copy holds, and what is left when something breaks
in the middle.

builds: release; in check-long: asan
"""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from faults import Bound, SmallDisk
from harness import (BUILD, LONG, TIMEOUT_S, Closed, RpcError, daemon_for, open_files, sysrtctl,
                     wait_for)

WRITERS = 4
FILL = 20_000 if LONG else 3_000
DATA = "x" * 1000


class Writer(threading.Thread):
    """Puts records of its own, each twice, with some under way, and notes what was acknowledged."""

    def __init__(self, name, control):
        super().__init__(name=name)
        self.control = control
        self.acknowledged = {}  # seq -> (id, data)
        self.is_over = threading.Event()
        self.fault = None

    def run(self):
        sent = []
        try:
            for number in range(1_000_000):
                key, data = f"{self.name}-{number // 2}", {"n": number, "text": DATA}
                sent.append((self.control.send("record.put", id=key, data=data), key, data))
                if len(sent) == 8 or self.is_over.is_set():
                    self.take(sent)
                if self.is_over.is_set():
                    break
            while sent:
                self.take(sent)
        except BaseException as fault:  # told by whoever joins it
            self.fault = fault

    def take(self, sent):
        request, key, data = sent.pop(0)
        self.acknowledged[self.control.answer(request)["seq"]] = (key, data)


class Backups(unittest.TestCase):
    def start(self, config="", fill=0, **options):
        self.folder = Path(tempfile.mkdtemp(prefix="sysrt-backup-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.daemon = daemon_for(self, config=f'[backup]\nfolder = "{self.folder}"\n{config}',
                                 **options)
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        for first in range(0, fill, 1000):
            self.control.call("record.put_many", category="fill", records=[
                {"id": f"{n}", "data": DATA * 4} for n in range(first, first + 1000)])

    def backups(self):
        return sorted(self.folder.glob("sysrt-*.db"))

    def end_of_job(self, job, control=None):
        """The last notification of it; each before says a little more."""
        done = -1
        while True:
            notice = (control or self.control).notification("job")
            self.assertEqual(notice["job"], job)
            if "result" in notice or "error" in notice:
                return notice
            self.assertGreater(notice["done"], done)
            self.assertLessEqual(notice["done"], notice["total"])
            done = notice["done"]

    def back_up(self, **params):
        notice = self.end_of_job(self.control.call("system.backup", **params)["job"])
        self.assertIn("result", notice, notice)
        return notice["result"]

    def start_writers(self):
        writers = [Writer(f"writer{n}", self.daemon.control()) for n in range(WRITERS)]
        for writer in writers:
            self.addCleanup(writer.control.close)
            writer.start()
        wait_for(lambda: all(w.fault or len(w.acknowledged) > 20 for w in writers),
                 what="writers to write")
        return writers

    @staticmethod
    def end_writers(writers):
        """All that was acknowledged: seq -> (id, data)."""
        acknowledged = {}
        for writer in writers:
            writer.is_over.set()
            writer.join()
            if writer.fault:
                raise writer.fault
            acknowledged.update(writer.acknowledged)
        return acknowledged

    def read_copy(self, path):
        """{id: (seq, data)} of what the writers wrote; a plain reader finds the file whole."""
        with open(path, "rb") as file:
            self.assertEqual(file.read(20)[18:], b"\1\1", "it needs no log")
        db = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
        try:
            self.assertEqual(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            return {key: (seq, json.loads(data)) for key, seq, data in db.execute(
                "SELECT id, seq, data FROM records WHERE category = 'general'")}
        finally:
            db.close()

    def check_is_prefix(self, path, seq, acknowledged):
        """Of each record it has what the writes up to seq left: nothing less, nothing more."""
        wanted = {}
        for at in sorted(at for at in acknowledged if at <= seq):
            key, data = acknowledged[at]
            wanted[key] = (at, data)
        self.assertEqual(self.read_copy(path), wanted)


class UnderLoad(Backups):
    def test_a_prefix_of_what_was_acknowledged(self):
        """The copy begins after the daemon has acknowledged some, and ends before the writers do."""
        self.start(fill=FILL)
        writers = self.start_writers()
        first = max(max(w.acknowledged) for w in writers)
        results = [self.back_up(verify=True), self.back_up()]
        after = [len(w.acknowledged) for w in writers]
        wait_for(lambda: all(w.fault or len(w.acknowledged) > n for w, n in zip(writers, after)),
                 what="writers to go on")
        acknowledged = self.end_writers(writers)
        self.assertEqual([r["file"] for r in results], [str(p) for p in self.backups()])
        for result in results:
            self.assertGreaterEqual(result["seq"], first)
            self.assertLess(result["seq"], max(acknowledged))
            self.check_is_prefix(result["file"], result["seq"], acknowledged)
            self.assertEqual(result["bytes"], os.path.getsize(result["file"]))
            self.assertEqual(result["epoch"], self.control.call("status")["store"]["epoch"])
            first = result["seq"] + 1
        self.assertEqual([r["verified"] for r in results], [True, False])

    def test_through_a_descriptor(self):
        self.start(fill=FILL)
        dest = self.folder / "copy"
        writers = self.start_writers()
        done = sysrtctl(self.daemon, "-o", "json", "backup", str(dest), "--verify")
        acknowledged = self.end_writers(writers)
        result = json.loads(done.stdout)
        self.assertEqual((result["file"], result["verified"]), (str(dest), True))
        self.check_is_prefix(dest, result["seq"], acknowledged)
        self.assertEqual(dest.stat().st_mode & 0o777, 0o600)
        self.assertEqual([p.name for p in self.folder.iterdir()], ["copy"])

    def test_another_program_writes_to_the_store(self):
        """The copy begins anew, and ends."""
        self.start(fill=FILL)
        job = self.control.call("system.backup", verify=True)["job"]
        db = sqlite3.connect(self.daemon.store, timeout=TIMEOUT_S)
        db.execute("INSERT INTO records (seq, category, id, name, data, rev, created_at, updated_at)"
                   " VALUES ((SELECT max(seq) + 1 FROM records), 'general', 'theirs', 'theirs', '3',"
                   " 1, 1, 1)")
        db.commit()
        db.close()
        notice = self.end_of_job(job)
        self.assertIn(self.read_copy(notice["result"]["file"]), ({}, {"theirs": (FILL + 1, 3)}))


class Places(Backups):
    def test_what_is_refused(self):
        self.start()
        for path, says in ((self.folder, "is a folder"), (self.folder / "none" / "copy", "No such"),
                           (self.daemon.store, "is the store itself"),
                           (self.daemon.socket, "is there and is no file")):
            done = sysrtctl(self.daemon, "backup", str(path), check=False)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(says, done.stderr)
        self.assertEqual(self.backups(), [])

    def test_descriptors(self):
        """Only an empty file that can be read and written, and the last one that came."""
        self.start()
        full, empty = self.folder / "full", self.folder / "empty"
        full.write_text("dear diary")
        empty.touch()
        read_end, write_end = os.pipe()
        read_only, write_only = os.open(empty, os.O_RDONLY), os.open(empty, os.O_WRONLY)
        appends = os.open(empty, os.O_RDWR | os.O_APPEND)
        filled, good = os.open(full, os.O_RDWR), os.open(empty, os.O_RDWR)
        for fds, says in (([write_end], "must be that of a file"), ([read_only], "reading and wr"),
                          ([write_only], "reading and wr"), ([appends], "reading and wr"),
                          ([filled], "must be empty"), ([good], None)):
            request = json.dumps({"jsonrpc": "2.0", "id": "backup", "method": "system.backup",
                                  "params": {"descriptor": True}})
            socket.send_fds(self.control.sock, [request.encode() + b"\n"], fds)
            if says is None:
                job = self.control.answer("backup")["job"]
            else:
                with self.assertRaisesRegex(RpcError, says):
                    self.control.answer("backup")
        self.assertIn("result", self.end_of_job(job))
        self.assertEqual(full.read_text(), "dear diary")
        self.assertEqual(self.read_copy(empty), {})
        for fd in (read_end, write_end, read_only, write_only, appends, filled, good):
            os.close(fd)
        self.assertEqual(self.open_files(self.folder), [str(empty)])
        self.control.close()
        wait_for(lambda: not self.open_files(self.folder), what="the daemon to close the file")

    def open_files(self, below):
        """What the daemon has open there."""
        return sorted(f for f in open_files(self.daemon.pid) if f.startswith(str(below)))

    def test_many_descriptors_at_once(self):
        """All but one are closed at once."""
        self.start()
        files = [os.open(self.folder / f"{n}", os.O_RDWR | os.O_CREAT) for n in range(20)]
        for _ in range(3):
            socket.send_fds(self.control.sock, [b'{"jsonrpc":"2.0","id":0,"method":"ping"}\n'],
                            files)
            self.control.answer(0)
            self.assertEqual(len(self.open_files(self.folder)), 1)
        for fd in files:
            os.close(fd)

    def test_one_at_a_time(self):
        self.start(fill=FILL)
        job = self.control.call("system.backup", verify=True)["job"]
        with self.daemon.control() as other, \
                self.assertRaisesRegex(RpcError, "being made already") as caught:
            other.call("system.backup")
        self.assertEqual(caught.exception.code, "UNAVAILABLE")
        self.assertIn("result", self.end_of_job(job))

    def test_a_client_that_sends_no_more(self):
        """The end of its input is not the end of its backup."""
        self.start(fill=FILL)
        job = self.control.send("system.backup", verify=True)
        self.control.sock.shutdown(socket.SHUT_WR)
        self.assertIn("result", self.end_of_job(self.control.answer(job)["job"]))
        self.assertEqual(self.control.sock.recv(1), b"")


    def test_a_folder_of_the_same_disk_by_another_mount(self):
        """As in a service whose folders are mounts of their own: the copy cannot be renamed into it.
        """
        self.start(fill=1000)
        with Bound() as disk:
            self.daemon.config_path.write_text(f'[backup]\nfolder = "{disk.path}"\n')
            self.control.call("system.reload")
            self.control.call("record.put", id="a", data=1)
            result = self.back_up(verify=True)
            self.assertEqual([str(p) for p in disk.path.iterdir()], [result["file"]])
            self.assertEqual(self.read_copy(result["file"])["a"][1], 1)
            self.assertFalse(Path(f"{self.daemon.store}.backup").exists())


class Broken(Backups):
    """No half file under the final name, nothing left over, and the daemon goes on."""

    def check_goes_on(self):
        self.control.call("record.put", id="after", data=1)
        wait_for(lambda: not self.staged().exists(), what="the copy to be removed")
        self.assertEqual(self.read_copy(self.back_up(verify=True)["file"])["after"][1], 1)

    def staged(self):
        return Path(f"{self.daemon.store}.backup")

    def test_a_full_disk(self):
        self.start(fill=4000)
        with SmallDisk("8m") as disk:
            self.daemon.config_path.write_text(f'[backup]\nfolder = "{disk.path}"\n')
            self.control.call("system.reload")
            job = self.control.call("system.backup")["job"]
            notice = self.end_of_job(job)
            self.assertEqual(notice["error"]["data"]["code"], "IO_ERROR")
            self.assertIn("No space left on device", notice["error"]["message"])
            status = self.control.call("status")["backup"]
            self.assertEqual(status["failure"], notice["error"]["message"])
            self.assertNotIn("last", status)
            done = sysrtctl(self.daemon, "backup", str(disk.path / "copy"), check=False)
            self.assertEqual(done.returncode, 1, done)
            self.assertIn("No space left on device", done.stderr)
            self.assertEqual(list(disk.path.iterdir()), [])
        self.daemon.config_path.write_text(f'[backup]\nfolder = "{self.folder}"\n')
        self.control.call("system.reload")
        self.check_goes_on()

    def test_a_store_whose_disk_has_no_room(self):
        """It is the store's: it is not filled with a copy."""
        with SmallDisk("48m") as disk:
            self.start(fill=5000, store=disk.path / "sysrt.db",
                       config='[store]\nwal_limit = "1MiB"\n')
            job = self.control.call("system.backup")["job"]
            self.assertIn("has no room for a copy", self.end_of_job(job)["error"]["message"])
            self.assertFalse(self.staged().exists())
            self.control.call("record.put", id="after", data=1)
            self.daemon.close()

    def test_the_daemon_is_killed(self):
        """At several moments, of both ways."""
        self.start(fill=FILL)
        dest = self.folder / "copy"
        dest.write_text("an older copy")
        for wait_s in (0, 0.01, 0.05, 0.2):
            ctl = subprocess.Popen([BUILD / "sysrtctl", "--socket", self.daemon.socket, "backup",
                                    "--verify", dest], stderr=subprocess.DEVNULL)
            wait_for(lambda: self.staged().exists(), what="the copy to begin")
            time.sleep(wait_s)  # there is nothing to wait for: it is to be anywhere
            self.daemon.kill()
            code = ctl.wait()
            if code == 0:  # it was in time
                self.read_copy(dest)
                dest.write_text("an older copy")
            self.assertIn(code, (0, 3))
            self.assertEqual(dest.read_text(), "an older copy")
            self.assertEqual([p.name for p in self.folder.iterdir()], ["copy"])
            self.daemon.start()
            self.assertFalse(self.staged().exists())
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        self.check_goes_on()

    def test_the_client_is_killed_or_interrupted(self):
        self.start(fill=4 * FILL)
        dest = self.folder / "copy"
        for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
            ctl = subprocess.Popen([BUILD / "sysrtctl", "--socket", self.daemon.socket, "backup",
                                    "--verify", dest])
            wait_for(lambda: self.staged().exists(), what="the copy to begin")
            ctl.send_signal(number)
            code = ctl.wait()
            self.assertEqual(code, -9 if number == signal.SIGKILL else 128 + number)
            wait_for(lambda: "running" not in self.control.call("status")["backup"],
                     what="the daemon to stop the copy")
            self.assertFalse(dest.exists())
            self.assertFalse(self.staged().exists())
        self.assertFalse(Path(f"{dest}.tmp").exists(), "the next one has used what was left")
        self.assertIn('msg="backup stopped"', self.daemon.log())
        self.check_goes_on()

    def test_an_administrator_closes_the_session(self):
        self.start(fill=4 * FILL)
        with self.daemon.control() as other:
            job = other.call("system.backup", verify=True)["job"]
            session = self.control.call("session.list")["items"][-1]["session"]
            self.control.call("session.close", session=session)
            self.assertIn("stopped", self.end_of_job(job, other)["error"]["message"])
            with self.assertRaises(Closed):
                other.recv()
        self.check_goes_on()

    def test_a_clean_stop_does_not_wait_for_it(self):
        self.start(fill=FILL)
        job = self.control.call("system.backup", verify=True)["job"]
        self.daemon.signal(signal.SIGTERM)
        self.assertIn("stopped", self.end_of_job(job)["error"]["message"])
        self.assertEqual(self.daemon.wait_exit(), 0)
        self.assertEqual(self.backups(), [])
        self.assertFalse(self.staged().exists())
        self.daemon.start()


class Schedule(Backups):
    def status(self):
        return self.control.call("status")["backup"]

    def test_every_so_often_and_only_some_stay(self):
        self.start(config='every = "200ms"\nkeep = 2\n')
        seen = set()

        def look():
            seen.update(self.backups())
            return len(seen) >= 4
        wait_for(look, what="four backups")
        wait_for(lambda: len(self.backups()) == 2, what="old ones to go")
        self.assertEqual(self.backups(), sorted(seen | set(self.backups()))[-2:])
        status = self.status()
        self.assertTrue(status["last"]["verified"])
        self.assertGreater(status["next_at"], status["last_at"])
        self.assertNotIn("failed_at", status)

    def test_failures_are_told_and_remove_nothing(self):
        self.start(config='every = "200ms"\nkeep = 1\n')
        wait_for(lambda: "last" in self.status(), what="a backup")
        away = self.folder.with_name(self.folder.name + "-away")
        self.folder.rename(away)
        wait_for(lambda: "failed_at" in self.status(), what="a failure")
        self.assertIn("No such file or directory", self.status()["failure"])
        self.assertIn('level=error part=backup msg="the backup failed"', self.daemon.log())
        failed_at, last = self.status()["failed_at"], self.status()["last"]
        self.assertEqual(len(list(away.glob("sysrt-*.db"))), 1)
        away.rename(self.folder)
        wait_for(lambda: self.status()["last"] != last, what="the next one to go well")
        self.assertGreaterEqual(self.status()["failed_at"], failed_at)

    def test_after_a_start(self):
        """It is reckoned from the newest one; a time to come is as good as now."""
        self.start(config='every = "1h"\n')
        wait_for(lambda: "last" in self.status(), what="the first one, which is made at once")
        self.assertEqual(len(self.backups()), 1)
        before = self.status()
        self.daemon.restart()
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        status = self.status()
        self.assertEqual(len(self.backups()), 1)
        self.assertLess(abs(status["next_at"] - before["last_at"] - 3_600_000), 5000)
        newest = self.backups()[0]
        newest.rename(self.folder / "sysrt-20990101T000000.000Z.db")
        (self.folder / "sysrt-20990101T000000.000Z.db.tmp").touch()
        self.daemon.restart()
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        wait_s = (self.status()["next_at"] - time.time() * 1000) / 1000
        self.assertAlmostEqual(wait_s, 3600, delta=60)
        self.assertEqual([p.name for p in self.folder.iterdir()], ["sysrt-20990101T000000.000Z.db"])

    def test_reload(self):
        self.start()
        self.assertNotIn("next_at", self.status())
        self.daemon.config_path.write_text(f'[backup]\nfolder = "{self.folder}"\nevery = "1h"\n')
        self.control.call("system.reload")
        wait_for(lambda: "last" in self.status(), what="the first one")
        self.assertIn("next_at", self.status())
        self.daemon.config_path.write_text("")
        self.control.call("system.reload")
        self.assertNotIn("next_at", self.status())
        self.assertNotIn("folder", self.status())


if __name__ == "__main__":
    unittest.main()

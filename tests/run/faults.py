"""What the tests of faults share: what was acknowledged and must not be lost, disks of their own,
and system calls that fail."""

import os
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from follow import stored_records
from harness import RpcError, daemon_for, wait_for

MIB = 1 << 20


class Faults(unittest.TestCase):
    def start(self, config="", store=None):
        self.daemon = daemon_for(self, config=config, store=store)
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        self.acknowledged = {}

    def put(self, key, data):
        """Notes what was acknowledged; the error otherwise."""
        try:
            seq = self.control.call("record.put", id=key, data=data)["seq"]
        except RpcError as error:
            return error
        self.acknowledged[key] = (seq, data)
        return None

    def put_many(self, records):
        """records: id -> data."""
        results = self.control.call("record.put_many", results=True, records=[
            {"id": key, "data": data} for key, data in records.items()])["results"]
        for key, result in zip(records, results):
            self.acknowledged[key] = (result["seq"], records[key])

    def put_until_refused(self, size, most=5000):
        for number in range(most):
            error = self.put(f"r{number % 97}", f"{number} " + "x" * size)
            if error:
                return error
        raise AssertionError(f"{most} records were taken")

    def check_nothing_is_lost(self):
        """Now, and after a kill and a restart."""
        for _ in range(2):
            with self.daemon.control() as control:
                stored = {r["id"]: (r["seq"], r["data"]) for r in control.list_all(limit=1000)}
            for key, value in self.acknowledged.items():
                self.assertEqual(stored.get(key), value, key)
            self.daemon.kill()
            self.daemon.start()
        self.check_file()

    def check_file(self):
        """The daemon is stopped for it."""
        self.daemon.stop()
        db = self.outsider()
        self.assertEqual(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        db.close()

    def outsider(self):
        return sqlite3.connect(self.daemon.store, isolation_level=None, timeout=0)


class Writer(threading.Thread):
    """Puts records, one by one and many at once, until it is told to stop. `possible`: for each of
    them what may be stored: what was acknowledged last, and what was told to be unknown since."""

    SINGLE, MANY = 7, 20

    def __init__(self, name, client):
        super().__init__(name=name)
        self.client = client
        self.singles = [f"{name}-{i}" for i in range(self.SINGLE)]
        self.many = [f"{name}-many-{i}" for i in range(self.MANY)]
        self.possible = {key: [None] for key in self.singles + self.many}
        self.is_over = threading.Event()
        self.may_go = threading.Event()
        self.may_go.set()
        self.rests = threading.Event()
        self.acknowledged = 0
        self.errors = []
        self.fault = None

    def run(self):
        number = 0
        try:
            while not self.is_over.is_set():
                if not self.may_go.is_set():
                    self.rests.set()
                    self.may_go.wait()
                number += 1
                data = {"n": number, "text": "x" * 2000}
                if number % 3 == 0:
                    self.write(self.many, data, "record.put_many", {"records": [
                        {"id": key, "data": data} for key in self.many]})
                else:
                    key = self.singles[number % self.SINGLE]
                    self.write([key], data, "record.put", {"id": key, "data": data})
        except BaseException as error:  # told by whoever joins it
            self.fault = error
        finally:
            self.rests.set()

    def pause(self):
        """Returns when nothing is under way."""
        self.rests.clear()
        self.may_go.clear()
        wait_for(lambda: self.rests.is_set() or self.fault, what="a writer to pause")

    def go_on(self):
        self.may_go.set()

    def write(self, keys, data, method, params):
        try:
            self.client.call(method, **params)
        except RpcError as error:
            if "unknown" in error.message:
                for key in keys:
                    self.possible[key].append(data)
            self.errors.append(error)
            return
        for key in keys:
            self.possible[key] = [data]
        self.acknowledged += 1

    def finish(self):
        self.is_over.set()
        self.may_go.set()
        self.join()
        fault, self.fault = self.fault, None
        if fault is not None:
            raise AssertionError(f"{self.name} failed") from fault

    def judge(self, daemon):
        """Nobody writes now."""
        records, _ = stored_records(daemon)
        stored = {key: records.get(("general", key)) for key in self.possible}
        for key, data in stored.items():
            if data not in self.possible[key]:
                raise AssertionError(f"{key}: {data} is stored, none of {self.possible[key]}")
        if len({str(stored[key]) for key in self.many}) != 1:
            raise AssertionError(f"half a batch: {[stored[key] for key in self.many]}")
        return stored


class Injecting:
    """Something is done to system calls of a daemon that runs, on these files, while the context lasts.
    None should be under way at its end: strace lets go of one half-way, with an error that nobody asked
    for."""

    def __init__(self, daemon, calls, what, paths):
        calls = ",".join(calls)
        self.argv = ["strace", "-f", "-p", str(daemon.pid), "-o", "/dev/null",
                     *(part for path in paths for part in ("-P", str(path))),
                     "-e", f"trace={calls}", "-e", f"inject={calls}:{what}"]

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        if "attached" not in line:
            self.__exit__()
            raise AssertionError(f"strace says: {line}")
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait()
        self.process.stderr.close()


class Failing(Injecting):
    """They fail."""

    def __init__(self, daemon, calls, error, paths, when="1+"):
        super().__init__(daemon, calls, f"error={error}:when={when}", paths)


class Delaying(Injecting):
    """Each takes so long before it begins."""

    def __init__(self, daemon, calls, delay_ms, paths):
        super().__init__(daemon, calls, f"delay_enter={delay_ms * 1000}", paths)


class Disk:
    """A file system of its own, mounted at `path` while the context lasts."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sysrt-disk-"))
        self.path = self.folder / "disk"
        self.path.mkdir()

    def __enter__(self):
        if os.geteuid() != 0:
            raise AssertionError("only root can mount a disk")
        self.mount()
        return self

    def __exit__(self, *exc):
        subprocess.run(["umount", "-l", self.path], check=True)
        self.path.rmdir()
        self.folder.rmdir()


class SmallDisk(Disk):
    """In memory."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def mount(self):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size}", "tmpfs", self.path],
                       check=True)


class Bound(Disk):
    """A folder of the disk that all tests are on, by another mount: nothing can be renamed into it."""

    def __init__(self):
        super().__init__()
        self.real = self.folder / "real"
        self.real.mkdir()

    def mount(self):
        subprocess.run(["mount", "--bind", self.real, self.path], check=True)

    def __exit__(self, *exc):
        subprocess.run(["umount", "-l", self.path], check=True)
        shutil.rmtree(self.folder)


class Ext4(Disk):
    """In a file."""

    def __init__(self, size=64 * MIB, image=None):
        super().__init__()
        self.image = Path(image or self.folder / "image")
        with open(self.image, "wb") as file:
            file.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", "-E",
                        "nodiscard,lazy_itable_init=0", self.image], check=True)

    def mount(self):
        subprocess.run(["mount", "-o", "loop,errors=remount-ro", self.image, self.path], check=True)

    def mount_anew(self):
        """What was only in the kernel's cache is gone then."""
        subprocess.run(["umount", self.path], check=True)
        self.mount()

    def turn_read_only(self):
        """As after an error that the kernel found in it."""
        source = subprocess.run(["findmnt", "-n", "-o", "SOURCE", self.path], check=True,
                                stdout=subprocess.PIPE, text=True).stdout.strip()
        trigger = Path("/sys/fs/ext4") / Path(source).name / "trigger_fs_error"
        trigger.write_text("a test")

    def __exit__(self, *exc):
        subprocess.run(["umount", "-l", self.path], check=True)
        self.image.unlink()
        self.path.rmdir()
        self.folder.rmdir()

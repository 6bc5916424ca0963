"""Feeds whose records the disk takes slowly, or not at all: the upstream's socket fills, the daemon's
memory stays what it is, and when the disk takes them again nothing is lost.

A slow disk is one whose syncs strace delays.

builds: release
"""

import contextlib
import fcntl
import json
import socket
import struct
import tempfile
import termios
import threading
import unittest
from pathlib import Path

from faults import Delaying, Failing, SmallDisk
from feeds import NEVER, PRICES, FeedTest, price, section
from harness import LONG, PING, TEXT, encode_frame, wait_for
from upstream import Gone, upstream_for

KIB, MIB = 1 << 10, 1 << 20
MESSAGES = 200_000 if LONG else 24_000  # of a KiB: far more than the kernel's buffers take
KEYS = 50
DELAY_MS = 300
QUEUE_BYTES = 2 * MIB
GROWTH_KIB = 2 * QUEUE_BYTES // KIB + 2 * KIB  # a queue that is full, what is read and made of it
CONFIG = f"""
[store]
queue = 16
queue_bytes = {QUEUE_BYTES}
cache = "1MiB"
wal_limit = "4MiB"
[hub]
recent = 64
recent_bytes = "64KiB"
[category."*"]
search = "off"
"""
NOTHING_TO_SPARE = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_TOP_PAD_": "0"}


class Sender:
    """Says what it is given as fast as that is taken. `sent`: how many messages; unsent(): bytes that
    the kernel still has; is_done(): the daemon has answered what was behind the last."""

    def __init__(self):
        self.peer = None
        self.sent = self.said = 0

    def serve(self, peer):
        peer.shake_hands()
        self.peer = peer
        peer.linger()

    def say(self, messages):
        self.said += len(messages)
        threading.Thread(target=self.run, args=(self.peer, messages)).start()

    def run(self, peer, messages):
        with contextlib.suppress(Gone):
            for at in range(0, len(messages), 16):
                batch = messages[at:at + 16]
                peer.send_raw(b"".join(encode_frame(TEXT, text.encode(), mask=None)
                                       for text in batch))
                self.sent += len(batch)
            peer.send_frame(PING, b"%d" % self.sent)

    def unsent(self):
        answer = fcntl.ioctl(self.peer.sock, termios.TIOCOUTQ, struct.pack("i", 0))
        return struct.unpack("i", answer)[0]

    def is_done(self):
        return b"%d" % self.said in self.peer.pongs


class Slow(FeedTest):
    def begin(self, store=None, **keys):
        self.sender = Sender()
        upstream = upstream_for(self, self.sender.serve, send_buffer=64 * KIB)
        # without pings, whose answers would come between two parts of a frame
        self.start(section("f", url=upstream.url(), heartbeat=NEVER, **{**PRICES, **keys}),
                   config=CONFIG, env=NOTHING_TO_SPARE, store=store)
        self.wait_state("f", "live")
        self.number = 0

    def make(self, n, keys=None):
        """Messages with numbers of their own, about so many keys."""
        first, self.number = self.number, self.number + n
        return [price("m", i % keys if keys else i, f'{{"n":{i},"text":"{"x" * 950}"}}')
                for i in range(first, first + n)]

    def wait_done(self):
        wait_for(self.sender.is_done, 600, "all to be taken")

    def paths(self):
        return [self.daemon.store, f"{self.daemon.store}-wal"]

    def slow_disk(self):
        return Delaying(self.daemon, ["fdatasync", "fsync"], DELAY_MS, self.paths())

    def wait_stuck(self):
        """The sender can go no further, since the kernel's buffers are full."""
        seen = None

        def is_stuck():
            nonlocal seen
            before, seen = seen, (self.sender.sent, self.sender.unsent())
            return before == seen and seen[1] > 16 * KIB and self.metric("paused_seconds_total", "f")
        wait_for(is_stuck, what="the socket to fill")

    def expect_all(self, n):
        """Numbers 0 to n are stored, each as it was sent."""
        stored = self.wait_stored(n)
        self.assertEqual({key: data for key, (_, data, _) in stored.items()},
                         {("prices.m", str(i)): f'{{"n":{i},"text":"{"x" * 950}"}}'
                          for i in range(n)})

    def test_wait(self):
        self.begin()
        self.sender.say(self.make(2000))
        self.wait_done()
        before_kib = self.daemon.memory_kib()
        grown = []
        with self.slow_disk():
            self.sender.say(self.make(MESSAGES))
            for _ in range(3):
                self.wait_stuck()
                grown.append(self.daemon.memory_kib() - before_kib)
                self.assertEqual(self.show("f")["state"], "live")
            left = self.sender.said - self.sender.sent
            self.assertFalse(self.sender.is_done())
        self.wait_done()
        paused_s = self.metric("paused_seconds_total", "f")
        print(f"{MESSAGES} messages of a KiB, {left} of them unsent when the disk was slow: memory grew "
              f"by {max(grown)} KiB, paused for {paused_s:.1f} s", flush=True)
        self.assertLess(max(grown), GROWTH_KIB)
        self.assertGreater(paused_s, 0)
        self.expect_all(2000 + MESSAGES)

    def test_conflate(self):
        """It goes on reading, and keeps the newest of each record."""
        self.begin(on_full="conflate")
        self.sender.say(self.make(2000, KEYS))
        self.wait_done()
        before_kib = self.daemon.memory_kib()
        with self.slow_disk():
            self.sender.say(self.make(MESSAGES, KEYS))
            self.wait_done()
            growth_kib = self.daemon.memory_kib() - before_kib
        n = 2000 + MESSAGES
        newest = {("prices.m", str(i % KEYS)): f'{{"n":{i},"text":"{"x" * 950}"}}'
                  for i in range(n - KEYS, n)}
        wait_for(lambda: {key: data for key, (_, data, _) in self.stored().items()} == newest,
                 what="the newest of each")
        written = sum(rev for _, _, rev in self.stored().values())
        conflated = self.metric("conflated_total", "f")
        print(f"{n} messages about {KEYS} records: {written} were written, {conflated} conflated, "
              f"memory grew by {growth_kib} KiB", flush=True)
        self.assertGreater(conflated, 0)
        self.assertEqual(written + conflated, n)
        self.assertLess(growth_kib, GROWTH_KIB)

    def test_a_full_disk(self):
        """That is told, and the feed goes on when there is room; the recorder's disk is the same."""
        disk = self.enterContext(SmallDisk("64m")).path
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(52 * MIB))
        self.begin(store=disk / "sysrt.db", record="r")
        self.sender.say(self.make(9000))
        wait_for(lambda: "full" in str(self.logs("f")), what="it to be told")
        self.assertEqual(self.show("f")["waits_for"], "store")
        self.wait_stuck()
        self.assertIn("time", self.control.call("ping"))
        ballast.unlink()
        self.wait_done()
        self.expect_all(9000)

    def test_a_recorder_without_room(self):
        """It is told and counted, and does not stop the feed; it goes on when there is room."""
        disk = self.enterContext(SmallDisk("1m")).path
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (folder / "recordings").symlink_to(disk)
        ballast = disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as full:
            while full.write(bytes(4096)):
                pass
        self.begin(store=folder / "sysrt.db", record="r")
        self.sender.say(self.make(2000))
        self.wait_done()
        self.expect_all(2000)
        told = self.show("f")["recorder"]
        self.assertIn("No space left", told["error"])
        self.assertEqual((told["messages"], told["lost"]), (0, 2000))
        ballast.unlink()
        self.sender.say(self.make(1))
        self.wait_done()
        wait_for(lambda: "error" not in self.show("f")["recorder"], what="it to record again")
        lines = [json.loads(line) for line in (disk / "r.ndjson").read_text().splitlines()]
        self.assertEqual(len(lines), 1)
        self.assertIn('{"n":2000,', lines[-1]["text"])
        self.daemon.stop()

    def test_errors_of_the_disk(self):
        """Some commits fail: what was in them is written again."""
        self.begin()
        with Failing(self.daemon, ["fdatasync"], "EIO", self.paths(), when="2+3"):
            self.sender.say(self.make(8000))
            self.wait_done()
            self.expect_all(8000)
        self.daemon.stop()
        self.daemon.start()
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        self.expect_all(8000)


class Deaf(FeedTest):
    def test_an_upstream_that_does_not_read(self):
        """What is said to it again and again has a bound."""
        def serve(peer):
            peer.shake_hands()
            over.wait()

        over = threading.Event()
        upstream = upstream_for(self, serve)
        self.addCleanup(over.set)
        upstream.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KIB)
        self.start(section("f", url=upstream.url(), heartbeat=NEVER, max_retries=0,
                           app_ping="x" * 65536, app_ping_every="100ms", **PRICES))
        self.wait_state("f", "live")
        self.assertIn("does not read", self.wait_state("f", "failed", timeout=120)["why"])


if __name__ == "__main__":
    unittest.main()

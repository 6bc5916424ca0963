"""Clients that hold on to what they get and give nothing back: slowloris in all its forms, crowds of
connections that are half open, and storms of clients that come back all at once. Meanwhile somebody
else is answered, and afterwards the daemon is as small as before.

Somebody else is a process of its own that asks for `ping` all the time. How long the slowest took is
printed; it is judged in the long form alone, since a machine that is busy tells nothing by it.

Memory is measured as in test_slow.py: after the same has been done once, and without spare room in
the heap.

builds: release
alone: in check-long
"""

import contextlib
import json
import resource
import socket
import struct
import subprocess
import sys
import unittest
from pathlib import Path

from harness import LONG, TEXT, TIMEOUT_S, Closed, daemon_for, encode_frame, wait_for

CROWD = 10_000 if LONG else 1_000
STORM = 10_000 if LONG else 500
MANY = 1_000 if LONG else 100  # of each form
SLACK_KIB = 256
LATEST_MS = 100
NOTHING_TO_SPARE = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_TOP_PAD_": "0"}
CALM = """
[store]
cache = "1MiB"
[hub]
recent = 0
[category."*"]
search = "off"
[websocket]
max_sessions = 20000
"""
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HEAD = (b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n")
PING = encode_frame(TEXT, b'{"jsonrpc":"2.0","id":"p","method":"ping"}')

# Asks until its input ends, then tells how many answers came and how long the slowest took.
ASKER = """
import json, select, sys, time
sys.path.insert(0, sys.argv[1])
from harness import Control
taken = []
with Control(sys.argv[2]) as control:
    control.call("ping")
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0.005)[0]:
        begun = time.monotonic()
        control.call("ping")
        taken.append((time.monotonic() - begun) * 1000)
print(json.dumps({"n": len(taken), "max_ms": max(taken, default=0)}))
"""


def allow_descriptors(n):
    """For the test and for what it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < n <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= n


class Slowloris(unittest.TestCase):
    config = CALM

    def setUp(self):
        self.assertTrue(allow_descriptors(CROWD + 1000), "too few descriptors (ulimit -n)")
        self.daemon = daemon_for(self, config=self.config, env=NOTHING_TO_SPARE)
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)

    def connections(self):
        return self.control.call("status")["websocket"]["connections"]

    def reached(self, name):
        return self.control.call("system.stats")[f"sysrt_limits_{name}_total"]

    @contextlib.contextmanager
    def somebody_else(self, what):
        asker = subprocess.Popen([sys.executable, "-c", ASKER, Path(__file__).parent,
                                  str(self.daemon.socket)], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        self.addCleanup(asker.stdout.close)
        self.addCleanup(asker.wait)
        self.addCleanup(asker.kill)
        self.assertEqual(asker.stdout.readline(), "ready\n")
        yield
        asker.stdin.close()
        told = json.loads(asker.stdout.readline())
        print(f"{what}: {told['n']} pings were answered, the slowest in {told['max_ms']:.1f} ms",
              flush=True)
        self.assertEqual(asker.wait(), 0)
        if LONG:
            self.assertLess(told["max_ms"], LATEST_MS)

    def twice(self, what, attack):
        """Once to warm up, and once for what it leaves behind: what leaks does so each time, while
        memory that has come to lie in pieces stays what it is."""
        attack()
        for _ in range(3):
            wait_for(lambda: self.connections() == 0)
            before_kib = self.daemon.memory_kib()
            with self.somebody_else(what):
                attack()
                wait_for(lambda: self.connections() == 0)
            left_kib = self.daemon.memory_kib() - before_kib
            print(f"{what}: {left_kib} KiB are left of it", flush=True)
            if left_kib < SLACK_KIB:
                return
        self.fail(f"{left_kib} KiB are left each time")

    def connect(self, stack, n, first=b"", receive_buffer=None):
        """So many connections, from several addresses."""
        socks = []
        for i in range(n):
            sock = stack.enter_context(socket.socket())
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.settimeout(TIMEOUT_S)
            sock.bind((f"127.0.0.{1 + i % 50}", 0))
            sock.connect(("127.0.0.1", self.daemon.port))
            if first:
                sock.sendall(first)
            socks.append(sock)
        return socks

    def open_websockets(self, stack, n, **how):
        socks = self.connect(stack, n, HEAD, **how)
        for sock in socks:
            self.read_until(sock, b'"hello"')
        return socks

    @staticmethod
    def read_until(sock, what):
        seen = b""
        while what not in seen:
            got = sock.recv(65536)
            if not got:
                raise Closed()
            seen += got
        return seen

    @staticmethod
    def read_to_end(sock):
        seen = b""
        try:
            while got := sock.recv(65536):
                seen += got
        except ConnectionResetError:
            pass
        return seen

    @staticmethod
    def send_bytewise(socks, data):
        """A byte each, by turns. Those that are closed already are passed over."""
        for i in range(len(data)):
            for sock in socks:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    sock.sendall(data[i:i + 1])


class Handshakes(Slowloris):
    config = CALM + 'header_timeout = "300ms"\n'

    def check_late(self, socks):
        for sock in socks:
            self.assertIn(b" 408 ", self.read_to_end(sock))

    def test_heads_byte_by_byte(self):
        """They would go on for ever; the time for a head is for all of it."""
        def attack():
            with contextlib.ExitStack() as stack:
                socks = self.connect(stack, MANY)
                late = self.reached("header_timeout")
                self.send_bytewise(socks, b"GET / HTTP/1.1\r\nX: ")
                while self.reached("header_timeout") < late + MANY:
                    self.send_bytewise(socks, b"y")
                for sock in socks:
                    self.read_to_end(sock)
        self.twice("heads byte by byte", attack)
        self.assertLess(self.daemon.log().count("limit reached"), 10)

    def test_upgrades_that_are_never_finished(self):
        def attack():
            with contextlib.ExitStack() as stack:
                self.check_late(self.connect(stack, MANY, HEAD[:-2]))
        self.twice("upgrades never finished", attack)

    def test_bodies_byte_by_byte(self):
        """Of a request with a body the head is enough to refuse it."""
        def attack():
            with contextlib.ExitStack() as stack:
                socks = self.connect(stack, MANY, b"POST /ws HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                                                  b"Content-Length: 1000000\r\n\r\n")
                self.send_bytewise(socks, b"body")
                for sock in socks:
                    self.assertIn(b" 400 ", self.read_to_end(sock))
        self.twice("bodies byte by byte", attack)


class Frames(Slowloris):
    config = CALM + 'max_fragments = 8\nstall_timeout = "500ms"\nsend_queue = "4KiB"\n'

    def test_frames_byte_by_byte(self):
        """They are served when they are there at last."""
        def attack():
            with contextlib.ExitStack() as stack:
                socks = self.open_websockets(stack, MANY)
                self.send_bytewise(socks, PING)
                for sock in socks:
                    self.read_until(sock, b'"result"')
        self.twice("frames byte by byte", attack)

    def test_a_message_that_never_ends(self):
        def attack():
            with contextlib.ExitStack() as stack:
                socks = self.open_websockets(stack, MANY)
                for i in range(9):
                    part = encode_frame(0 if i else TEXT, b"x", fin=False)
                    for sock in socks:
                        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                            sock.sendall(part)
                for sock in socks:
                    self.assertIn(struct.pack(">H", 1008), self.read_to_end(sock))
        self.twice("fragments without an end", attack)
        self.assertGreaterEqual(self.reached("max_fragments"), 2 * MANY)

    def test_answers_that_are_never_read(self):
        ask = encode_frame(TEXT, b'{"jsonrpc":"2.0","id":1,"method":"methods"}') * 100

        def attack():
            with contextlib.ExitStack() as stack:
                stalled = self.reached("stall_timeout")
                socks = self.open_websockets(stack, MANY // 5, receive_buffer=4096)
                for sock in socks:
                    sock.setblocking(False)
                while self.reached("stall_timeout") < stalled + len(socks):
                    for sock in socks:
                        with contextlib.suppress(OSError):
                            sock.send(ask)
        self.twice("answers never read", attack)


class Crowds(Slowloris):
    def test_half_open_connections(self):
        """They take nobody's place."""
        def attack():
            with contextlib.ExitStack() as stack:
                self.connect(stack, CROWD)
                wait_for(lambda: self.connections() == CROWD)
                with self.daemon.ws() as ws:
                    ws.call("record.put", id="x", data=1)
        self.twice(f"{CROWD} half-open connections", attack)

    def live(self):
        return self.control.call("status")["hub"]["subscriptions"]["live"]

    def test_a_storm_of_clients_that_come_back(self):
        subscribe = encode_frame(TEXT, b'{"jsonrpc":"2.0","id":1,"method":"subscribe",'
                                       b'"params":{"categories":["a"]}}')

        def come():
            socks = self.connect(stack, STORM, HEAD + subscribe)
            for sock in socks:
                self.read_until(sock, b'"synced"')
            return socks

        def attack():
            for sock in come():
                sock.close()
            come()
            wait_for(lambda: self.live() == STORM)
            stack.close()
        with contextlib.ExitStack() as stack:
            self.twice(f"a storm of {STORM} clients", attack)


if __name__ == "__main__":
    unittest.main()

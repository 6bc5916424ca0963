"""Clients that do not read, do not finish what they say, or say too much: they cost bounded memory
and slow nobody else, and who reads again is told the truth.

Memory is the daemon's own (anonymous pages, of /proc/PID/smaps_rollup). It is measured after warming
up: the same work was done before with clients that behave, so that caches, the hub's ring and the
heap have the size that the work needs.

builds: release
"""

import json
import socket
import statistics
import threading
import time
import unittest

from follow import Follower, View, stored_records
from harness import LONG, TEXT, Closed, encode_frame, daemon_for, wait_for

KIB = 1024
SLACK_KIB = 64
SEND_QUEUE_KIB = 64
CHANGES = 100_000 if LONG else 20_000
LOADS = 5
IDS = 500
CALM = """
[store]
cache = "1MiB"
wal_limit = "4MiB"
[websocket]
send_queue = "64KiB"
[hub]
recent = 64
recent_bytes = "64KiB"
"""


class OnControl:
    def open(self):
        control = self.daemon.control()
        self.addCleanup(control.close)
        return control

    open_slow = open


class OnWebSocket:
    def open(self):
        ws = self.daemon.ws()
        self.addCleanup(ws.close)
        return ws

    def open_slow(self):
        """One whose kernel keeps little for it."""
        ws = self.daemon.ws(receive_buffer=4096)
        self.addCleanup(ws.close)
        return ws


class Slow:
    config = CALM

    def setUp(self):
        self.daemon = daemon_for(self, config=self.config)
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)

    def sessions(self):
        """What session.list says, by number."""
        return {s["session"]: s for s in self.control.call("session.list")["items"]}

    def number_of(self, peer):
        """The number of the session that was opened last."""
        peer.call("ping")
        return max(self.sessions())


class InputThatEnds(OnControl, Slow, unittest.TestCase):
    config = '[websocket]\nsend_queue = "4KiB"\n'

    def test_while_its_answers_do_not_fit(self):
        """The last line has no end, and its answer finds the queue full: it still arrives."""
        line = b'{"jsonrpc":"2.0","id":1,"method":"methods"}'
        for n in 4 * [*range(8, 28)]:
            peer = self.open()
            number = self.number_of(peer)
            peer.send_raw(b"\n".join([line] * n))
            peer.sock.shutdown(socket.SHUT_WR)
            wait_for(lambda: (s := self.sessions().get(number)) is None
                     or s["unsent"] > 4 * KIB or s["requests"] > n)
            answers = 0
            with self.assertRaises(Closed):
                while True:
                    self.assertIn("result", peer.recv())
                    answers += 1
            self.assertEqual(answers, n)
            self.daemon.expect_running()


if __name__ == "__main__":
    unittest.main()

"""What handshakes and sessions of TLS hold, and that it is given back.

builds: release
"""

import resource
import socket
import unittest

from certificates import Certificates
from harness import LONG, TIMEOUT_S, daemon_for, wait_for
from hellos import ONLY_1_3, hello

KIB = 1024
HALVES = 4000 if LONG else 300
SESSIONS = 500 if LONG else 100
NOTHING_TO_SPARE = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_TOP_PAD_": "0"}


class Memory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    def setUp(self):
        certificates = Certificates()
        self.addCleanup(certificates.close)
        certificates.make("server")
        config = certificates.options(more=f"max_handshakes = {HALVES}")
        self.daemon = daemon_for(self, config=config + '[websocket]\nheader_timeout = "10m"\n',
                                 env=NOTHING_TO_SPARE, tls=certificates.client())
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        self.daemon.ws().close()
        self.before = self.daemon.memory_kib()

    def growth_kib(self):
        self.control.call("ping")
        return self.daemon.memory_kib() - self.before

    def expect_return(self):
        wait_for(lambda: self.control.call("status")["websocket"]["connections"] == 0)
        wait_for(lambda: self.growth_kib() < 4 * KIB, what="memory to return")

    def open_half(self, data):
        sock = socket.create_connection(("127.0.0.1", self.daemon.port), TIMEOUT_S)
        self.addCleanup(sock.close)
        sock.sendall(data)
        return sock

    def test_handshakes_that_stop(self):
        """Before the end of a hello they hold what they sent; behind it what OpenSSL needs."""
        for data, count, most in ((hello([0xc02b])[:-1], 0, 8),
                                  (hello([0xc02b, 0x1301], more=ONLY_1_3), HALVES, 64)):
            socks = [self.open_half(data) for _ in range(HALVES)]
            wait_for(lambda: self.control.call("status")["websocket"]["connections"] == HALVES)
            wait_for(lambda: self.control.call("system.stats")["sysrt_tls_handshakes"] == count)
            each = self.growth_kib() / HALVES
            print(f"{HALVES} handshakes that stop: {each:.1f} KiB each", flush=True)
            self.assertLess(each, most)
            for sock in socks:
                sock.close()
            self.expect_return()

    def test_idle_sessions(self):
        """Without the buffers of records: 9 KiB more at first, and 33 once they were full."""
        sessions = [self.daemon.ws() for _ in range(SESSIONS)]
        for ws in sessions:
            self.addCleanup(ws.close)
            ws.call("ping")
        each = self.growth_kib() / SESSIONS
        print(f"{SESSIONS} idle sessions: {each:.1f} KiB each", flush=True)
        self.assertLess(each, 20)
        for ws in sessions:
            ws.close()
        self.expect_return()


if __name__ == "__main__":
    unittest.main()

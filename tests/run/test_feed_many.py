"""Two hundred feeds, half of them broken, each in one of the ways there are: none delays another, the
processor has nothing to do when they are quiet, and who lost an upstream comes back at a time of its own.

builds: release; in check-long: asan
"""

import contextlib
import os
import socket
import statistics
import threading
import time
import unittest

from certificates import Certificates
from feeds import PRICES, FeedTest, price, section, with_file
from harness import BUILD, LONG, daemon_for, wait_for
from servers import held_port
from upstream import upstream_for

HEALTHY, BROKEN = 100, 20  # of each kind
KINDS = ("refused", "hole", "nameless", "mute", "untrusted")
ROUNDS = 50 if LONG else 10
QUIET_S = 20 if LONG else 3
REFUSALS = 7 if LONG else 6  # in a row
CONFIG = """
[store]
durability = "normal"
[log]
filter = "warn"
"""


class BlackHole:
    """Takes connections as an address does that nobody answers at: its queue is full."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        listener = self.stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        self.port = listener.getsockname()[1]
        for _ in range(4):
            sock = self.stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self.port))

    def close(self):
        self.stack.close()


def swallow(peer):
    """Says nothing to whatever it hears."""
    while True:
        peer.fill()


class MuteNames:
    """A name server that never answers; `config` is the resolv.conf that names it."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        address = f"127.{os.getpid() >> 8 & 255}.{os.getpid() & 255}.53"
        self.sock.bind((address, 53))
        self.config = f"nameserver {address}\noptions timeout:5 attempts:2\n"

    def close(self):
        self.sock.close()


class Market:
    """The healthy ones' upstream. Each of its connections is a feed's, which its target names."""

    def __init__(self, test):
        self.peers = {}  # by name, those that are live
        self.is_refusing = False
        self.lock = threading.Lock()
        self.ends = {}  # of a feed -> when it lost its connection, in a row
        self.waits = {}  # -> how long it took to come again
        self.upstream = upstream_for(test, self.serve)

    def serve(self, peer):
        began = time.monotonic()
        peer.read_head()
        name = peer.target[1:]
        with self.lock:
            if self.ends.get(name):
                self.waits.setdefault(name, []).append(began - self.ends[name][-1])
        try:
            if self.is_refusing and len(self.ends.get(name, ())) < REFUSALS:
                peer.answer("503 Not now")
                return
            peer.switch()
            self.peers[name] = peer
            peer.linger()
        finally:
            with self.lock:
                self.peers.pop(name, None)
                self.ends.setdefault(name, []).append(time.monotonic())


class Many(FeedTest):
    def setUp(self):
        self.market = Market(self)
        certificates = Certificates()
        self.addCleanup(certificates.close)
        certificates.make("server")
        nobody, port = held_port()
        hole = BlackHole()
        mute = upstream_for(self, swallow)
        untrusted = upstream_for(self, lambda peer: peer.linger(), tls=certificates.server())
        self.daemon = daemon_for(self, start=False)
        names = MuteNames()
        for closing in (nobody, hole, names):
            self.addCleanup(closing.close)
        self.daemon.wrap = [*with_file("/etc/resolv.conf", names.config, self.daemon.folder),
                            *self.daemon.wrap]
        urls = {"refused": f"ws://127.0.0.1:{port}/", "hole": f"ws://127.0.0.1:{hole.port}/",
                "nameless": "ws://upstream-%d.example.org/", "mute": f"wss://127.0.0.1:{mute.port}/",
                "untrusted": untrusted.url()}
        sections = [section(f"{kind}{i}", url=urls[kind].replace("%d", str(i)),
                            connect_timeout="2m" if kind in ("hole", "nameless") else "10s", **PRICES)
                    for i in range(BROKEN) for kind in KINDS]
        sections += [section(f"good{i}", url=self.market.upstream.url(f"/good{i}"), **PRICES)
                     for i in range(HEALTHY)]
        self.daemon.config_path.write_text(CONFIG + "".join(sections))
        self.daemon.start()
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        self.sent = 0

    def states(self):
        return {name: feed["state"] for name, feed in self.feeds().items()}

    def wait_all_live(self):
        def are_live():
            states = self.states()
            return len(states) == HEALTHY + BROKEN * len(KINDS) and all(
                state == "live" for name, state in states.items() if name.startswith("good"))
        wait_for(are_live, what="all to be live")

    def round(self):
        """A message to each; how long it took until all were stored."""
        began = time.monotonic()
        for name, peer in sorted(self.market.peers.items()):
            peer.send_text(price(name, self.sent, "1"))
        self.sent += 1
        wait_for(lambda: self.control.call("record.count")["count"] >= self.sent * HEALTHY,
                 what="all to be stored")
        return time.monotonic() - began

    def test_many(self):
        began = time.monotonic()
        self.wait_all_live()
        states = self.states()
        print(f"all live after {time.monotonic() - began:.2f} s", flush=True)
        for i in range(BROKEN):  # these had not even failed when all others were live
            self.assertEqual(states[f"hole{i}"], "connecting")
            self.assertEqual(states[f"nameless{i}"], "resolving")
            self.assertIn(states[f"mute{i}"], ("tls", "backoff"))
        times = sorted(self.round() for _ in range(ROUNDS))
        print(f"{HEALTHY} messages were stored within {statistics.median(times) * 1000:.0f} ms, at "
              f"most {times[-1] * 1000:.0f} ms", flush=True)
        self.assertLess(statistics.median(times), 2)
        for i in range(BROKEN):
            self.assertGreater(self.wait_state(f"untrusted{i}", "backoff")["next_try_ms"], 60_000)
        self.check_idle()
        self.check_spread()

    def check_idle(self):
        before_s, began = self.daemon.cpu_s(), time.monotonic()
        time.sleep(QUIET_S)
        share = (self.daemon.cpu_s() - before_s) / (time.monotonic() - began)
        print(f"when it is quiet: {share * 100:.1f} % of a processor", flush=True)
        if "asan" not in BUILD.parts:
            self.assertLess(share, 0.05)

    def check_spread(self):
        """All lose their upstream at once, which refuses them then for a while. Of the time that a try
        may wait each takes a part of its own: all parts are as likely."""
        self.market.ends.clear()
        self.market.is_refusing = True
        self.market.upstream.hang_up()
        wait_for(lambda: len(self.market.peers) == HEALTHY, what="all to be back")
        parts = []
        for waits in self.market.waits.values():
            for k in range(REFUSALS - 2, REFUSALS):
                parts.append(min(1, waits[k] / (0.1 * 2 ** k)))
        parts.sort()
        n = len(parts)
        furthest = max(max(part - i / n, (i + 1) / n - part) for i, part in enumerate(parts))
        print(f"{n} waits: a mean part of {statistics.mean(parts):.2f}, from {parts[0]:.2f} to "
              f"{parts[-1]:.2f}, at most {furthest:.2f} from even", flush=True)
        self.assertEqual(n, 2 * HEALTHY)
        self.assertLess(furthest, 0.2)  # by chance in one of 100,000 runs at most
        self.round()


if __name__ == "__main__":
    unittest.main()

"""Clients that do not read, do not finish what they say, or say too much: they cost bounded memory
and slow nobody else, and who reads again is told the truth.

Memory is the daemon's own (anonymous pages, of /proc/PID/smaps_rollup). It is measured after warming
up: the same work was done before with clients that behave, so that caches and the hub's ring have
the size that the work needs. The heap keeps nothing to spare, since what it has given back just
before, or not, would count.

builds: release
"""

import contextlib
import json
import socket
import statistics
import threading
import time
import unittest

from follow import Follower, View, stored_records
from harness import (LONG, PING, TEXT, TIMEOUT_S, Closed, OnControl, OnWebSocket, daemon_for,
                     encode_frame, wait_for)

KIB = 1024
SLACK_KIB = 64
SEND_QUEUE_KIB = 64
CHANGES = 100_000 if LONG else 10_000
LOADS = 5
IDS = 500
BIG_KIB = 512
HUGE_KIB = 6 * KIB
INPUT_KIB = 64  # what is read at a time, and waits when it must not be looked at
IN_FLIGHT_KIB = 384  # max_in_flight requests that wait: 1.5 KiB for each job with its answer
NOTHING_TO_SPARE = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_TOP_PAD_": "0"}
CALM = """
[store]
durability = "normal"
max_record = "8MiB"
cache = "1MiB"
wal_limit = "4MiB"
[websocket]
max_message = "8MiB"
send_queue = "64KiB"
[hub]
recent = 64
recent_bytes = "64KiB"
[category."*"]
search = "off"
"""


class Slow:
    config = CALM

    def setUp(self):
        self.daemon = daemon_for(self, config=self.config, env=NOTHING_TO_SPARE)
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        self.followers = []
        self.turn = 0
        self.before_kib = 0

    def sessions(self):
        """What session.list says, by number."""
        return {s["session"]: s for s in self.control.call("session.list")["items"]}

    def number_of(self, peer):
        """The number of the session that was opened last."""
        peer.call("ping")
        return max(self.sessions())

    def limit(self, name):
        return self.control.call("status")["limits"][name]

    def follow(self, client, start=True):
        follower = Follower(View("follower", categories="*"), client)
        self.followers.append(follower)
        if start:
            follower.start()
        self.addCleanup(follower.hang_up)
        return follower

    def stop_following(self, client):
        """A follower that has caught up and reads no more, until it is started."""
        follower = self.follow(client, start=False)
        while follower.view.synced_to < 0:
            follower.view.take(client.notification())
        return follower

    @staticmethod
    def go_on(follower):
        """It reads again, with a window that lets it catch up."""
        follower.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KIB * KIB)
        follower.start()

    def judge(self, followers):
        """All of them end with what the store has."""
        records, seq = stored_records(self.daemon)
        for follower in followers:
            try:
                wait_for(lambda: follower.fault or follower.view.has_reached(seq),
                         what="a follower to catch up")
            except AssertionError:
                print(f"at {follower.view.seq} of {seq}: {self.sessions()}", flush=True)
                raise
            self.assertIsNone(follower.fault)
            self.assertEqual(follower.view.records, records)
            follower.hang_up()
            follower.finish()

    def remember_memory(self):
        self.before_kib = self.daemon.memory_kib()

    def growth_kib(self):
        return self.daemon.memory_kib() - self.before_kib


class Readers(Slow):
    def load(self, n):
        """Writes n changes, waits until all that read have been told; the seconds it took. In the
        short form, when much else goes on, they are those of a processor that the daemon used."""
        measure = time.monotonic if LONG else self.daemon.cpu_s
        started = measure()
        for _ in range(0, n, 50):
            self.turn += 1
            ids = [f"r{(49 * self.turn + i) % IDS}" for i in range(49)]
            self.control.call("record.put_many", records=[
                {"id": name, "data": {"turn": self.turn, "text": "x" * 800}} for name in ids])
            self.control.call("record.delete", id=ids[self.turn % 49])
        seq = self.control.call("record.count")["seq"]
        wait_for(lambda: all(f.view.seq >= seq or f.fault for f in self.followers if f.is_alive()),
                 timeout=120, what="those who read to be told")
        return measure() - started

    def test_one_that_stops(self):
        others = [self.follow(self.daemon.ws()), self.follow(self.daemon.control())]
        size = CHANGES // LOADS
        without = [self.load(size) for _ in range(3)]
        self.judge([self.follow(self.open())])
        stopped = self.stop_following(self.open_slow())
        self.remember_memory()
        grown, with_it = [], []
        for _ in range(LOADS):
            with_it.append(self.load(size))
            grown.append(self.growth_kib())
        self.assertGreater(self.control.call("status")["hub"]["lagged"], 0)
        self.go_on(stopped)
        self.judge([stopped])
        self.assertGreater(stopped.view.lags, 0)
        without += [self.load(size) for _ in range(2)]
        self.judge(others)
        ratio = statistics.median(with_it) / statistics.median(without)
        print(f"{CHANGES} changes: memory grew by {max(grown)} KiB, "
              f"the others took {ratio:.2f} times as long", flush=True)
        self.assertLess(max(grown), SEND_QUEUE_KIB + SLACK_KIB)
        self.assertLess(ratio, 2)

    def test_a_message_larger_than_the_queue(self):
        """And larger than what the kernel takes, so that it waits."""
        other = self.follow(self.daemon.ws())
        big = {"id": "big", "data": "x" * (HUGE_KIB * KIB)}
        for _ in range(3):
            self.control.call("record.put", **big)
            self.load(500)
        self.judge([self.follow(self.open())])
        stopped = self.stop_following(self.open_slow())
        self.remember_memory()
        grown, unsent = [], []
        for _ in range(4):
            self.control.call("record.put", **big)
            self.load(500)
            grown.append(self.growth_kib())
            unsent.append(max(s["unsent"] for s in self.sessions().values()))
        print(f"a message of {HUGE_KIB} KiB: memory grew by {max(grown)} KiB", flush=True)
        self.assertGreater(max(unsent), 2 * SEND_QUEUE_KIB * KIB, "the large one waits")
        self.assertLess(max(grown), SEND_QUEUE_KIB + SLACK_KIB + HUGE_KIB)
        self.go_on(stopped)
        self.judge([other, stopped])
        self.assertGreater(stopped.view.lags, 0)

    def test_one_that_accepts_nothing_is_closed(self):
        self.daemon.config_path.write_text(CALM.replace(
            'send_queue', 'stall_timeout = "300ms"\nsend_queue'))
        self.control.call("system.reload")
        other = self.follow(self.daemon.ws())
        stopped = self.open_slow()
        number = self.number_of(stopped)
        stopped.call("subscribe", categories="*")
        while number in self.sessions():
            self.load(1000)
        self.assertIn("limit=websocket.stall_timeout", self.daemon.log())
        self.judge([other])


class ReadersOnControl(OnControl, Readers, unittest.TestCase):
    pass


class ReadersOnWebSocket(OnWebSocket, Readers, unittest.TestCase):
    pass


class Askers(Slow):
    """They ask and do not read the answers."""

    @staticmethod
    @contextlib.contextmanager
    def asking_on(peer, send):
        """While a peer sends on and on, as fast as it is taken."""
        def ask():
            with contextlib.suppress(Closed, OSError):
                while True:
                    send()
        asker = threading.Thread(target=ask)
        asker.start()
        try:
            yield
        finally:
            peer.sock.shutdown(socket.SHUT_RDWR)
            asker.join()
            peer.close()

    def wait_until_held(self, number):
        """Until it is not read, since it takes nothing. (What is unsent may be less than the queue
        holds: of that the kernel has taken some since.)"""
        def is_held():
            session = self.control.call("session.show", session=number)["session"]
            return session["unsent"] > 0 and session.get("held", {}).get("for_ms", 0) > 100
        wait_for(is_held, what="a session to be held")

    def unread(self, method, **params):
        """Has a peer ask and not read; what memory grew by, and the sessions that were there."""
        peer = self.open_slow()
        number = self.number_of(peer)
        grown = []
        with self.asking_on(peer, lambda: peer.send(method, **params)):
            self.wait_until_held(number)
            for _ in range(20):  # each goes through the reader, behind all that the peer has asked
                self.control.call("record.count")
                grown.append(self.growth_kib())
        wait_for(lambda: number not in self.sessions())
        return max(grown)

    def test_pages(self):
        for i in range(3):
            self.control.call("record.put", id=str(i), data="x" * (BIG_KIB * KIB))
        requests = (("record.list", {"limit": 1}), ("record.get", {"id": "1"}),
                    ("changes", {"since": 0, "limit": 1}))
        with self.open() as peer:
            for _ in range(10):
                peer.call_all(requests)
        for method, params in requests:
            self.remember_memory()
            grown = self.unread(method, **params)
            print(f"{method}: memory grew by {grown} KiB", flush=True)
            # one that is unsent, one that is made ahead, one that is being made
            self.assertLess(grown, SEND_QUEUE_KIB + SLACK_KIB + 3 * BIG_KIB, method)

    def test_small_answers(self):
        for method in ("record.count", "methods"):
            with self.open() as peer:
                for _ in range(10):  # of so many none waits for an answer to be read
                    answer = peer.call_all([(method, {})] * 60)[0]
            self.remember_memory()
            grown = self.unread(method)
            print(f"{method}: memory grew by {grown} KiB", flush=True)
            # the answer that is too much, and a buffer that doubles leaves its half behind
            self.assertLess(grown, SEND_QUEUE_KIB + 2 * INPUT_KIB + IN_FLIGHT_KIB + SLACK_KIB
                            + len(json.dumps(answer)) // KIB, method)

    def test_all_answers_come_when_it_reads_at_last(self):
        """Also when a batch comes between."""
        for i in range(3):
            self.control.call("record.put", id=str(i), data="x" * (BIG_KIB * KIB))
        peer = self.open_slow()
        number = self.number_of(peer)
        ids = [peer.send("record.list", limit=1) for _ in range(20)]
        peer.send_text(json.dumps([{"jsonrpc": "2.0", "id": f"b{i}", "method": "record.get",
                                    "params": {"id": "0"}} for i in range(4)]))
        ids += [peer.send("record.get", id="2") for _ in range(20)]
        ids += [peer.send("record.put", id="3", data=i) for i in range(20)]
        self.wait_until_held(number)
        answers = []
        while len(answers) < len(ids) + 4:
            message = peer.recv()
            if isinstance(message, list) or "id" in message:
                answers += message if isinstance(message, list) else [message]
        self.assertEqual([a for a in answers if "error" in a], [])
        self.assertEqual(sorted(map(str, ids + [f"b{i}" for i in range(4)])),
                         sorted(str(a["id"]) for a in answers))

    def test_a_batch_with_too_large_an_answer(self):
        """What does not fit is said for each request; the others are answered."""
        self.control.call("record.put", id="0", data="x" * (BIG_KIB * KIB))
        peer = self.open()
        for method, params in (("record.get", {"id": "0"}), ("record.list", {"limit": 1})):
            peer.send_text(json.dumps([
                {"jsonrpc": "2.0", "id": i, "method": method, "params": params}
                for i in range(100)]))
            while not isinstance(answers := peer.recv(), list):
                pass
            self.assertEqual(sorted(a["id"] for a in answers), list(range(100)))
            good = [a for a in answers if "result" in a]
            self.assertEqual(len(good), 16 * 1024 // BIG_KIB - 1)
            for answer in answers:
                if "error" in answer:
                    self.assertEqual(answer["error"]["data"]["code"], "LIMIT_EXCEEDED")


class AskersOnControl(OnControl, Askers, unittest.TestCase):
    pass


class AskersOnWebSocket(OnWebSocket, Askers, unittest.TestCase):
    def test_pings(self):
        peer = self.open_slow()
        number = self.number_of(peer)
        self.remember_memory()
        pings = encode_frame(PING, b"p" * 100) * 500
        with self.asking_on(peer, lambda: peer.send_raw(pings)):
            self.wait_until_held(number)
            self.assertLess(self.growth_kib(), SEND_QUEUE_KIB + INPUT_KIB + SLACK_KIB)


def padded_ping(nbytes):
    """A request of this size."""
    request = json.dumps({"jsonrpc": "2.0", "id": "padded", "method": "ping"}).encode()
    return request + b" " * (nbytes - len(request))


class Unfinished(Slow):
    """They begin to say something and stop."""

    config = CALM.replace("send_queue", 'max_input = "8MiB"\nsend_queue')

    def begin(self, peer, nbytes):
        """Half of a message of so many bytes; what is missing."""
        raise NotImplementedError

    def open_and_begin(self, nbytes):
        """(peer, session, what is missing), when the daemon has all of the half."""
        peer = self.open()
        number = self.number_of(peer)
        before, given_up = self.unfinished(), self.given_up()
        rest = self.begin(peer, nbytes)
        wait_for(lambda: before + nbytes // 2 - KIB < self.unfinished()
                 or self.given_up() > given_up)
        return peer, number, rest

    def given_up(self):
        return self.control.call("system.stats")["sysrt_peers_given_up_total"]

    def unfinished(self):
        return self.control.call("system.stats")["sysrt_peers_unfinished_bytes"]

    def finish(self, peer, _, rest):
        """Sends the other half; it is answered."""
        peer.send_raw(rest)
        while (message := peer.recv()).get("id") != "padded":
            pass
        self.assertIn("result", message)

    def test_half_a_message(self):
        size = self.limit("max_message")
        self.finish(*self.open_and_begin(KIB * KIB))
        self.remember_memory()
        half = self.open_and_begin(size)
        self.assertLess(self.growth_kib(), size // 2 // KIB + 2 * SLACK_KIB)
        self.finish(*half)
        self.assertEqual(self.unfinished(), 0)
        self.assertLess(self.growth_kib(), SLACK_KIB, "what it took is given back")

    def test_many_halves_share_what_there_is(self):
        """The one that has waited longest is given up; who goes on talking is served."""
        size = 4 * KIB * KIB
        self.remember_memory()
        halves = []
        for _ in range(16):
            halves.append(self.open_and_begin(size))
            # one more than fit: a buffer that grows is there twice for a moment
            self.assertLess(self.growth_kib(), (self.limit("max_input") + size) // KIB)
        self.finish(*halves.pop())
        kept = [n for n, s in self.sessions().items() if s.get("state") != "closing"]
        self.assertEqual(kept[1:-1], [half[1] for half in halves[-2:]])
        for half in halves[-2:]:
            self.finish(*half)
        for peer, _, _ in halves[:-2]:
            self.expect_given_up(peer)
        stats = self.control.call("system.stats")
        self.assertEqual(stats["sysrt_peers_given_up_total"], 13)
        self.assertEqual(stats["sysrt_peers_unfinished_bytes"], 0)

    def test_a_reload_that_allows_less(self):
        halves = [self.open_and_begin(2 * KIB * KIB) for _ in range(6)]
        self.assertEqual(self.given_up(), 0)
        self.daemon.configure(self.config.replace("8MiB", "3MiB"))
        wait_for(lambda: self.given_up() > 0)
        self.assertLessEqual(self.unfinished(), 3 * KIB * KIB)
        self.expect_given_up(halves[0][0])
        self.finish(*halves[-1])

    def test_small_halves_are_left_alone(self):
        small = [self.open_and_begin(100 * KIB) for _ in range(5)]
        large = [self.open_and_begin(4 * KIB * KIB) for _ in range(5)]
        for half in small:
            self.finish(*half)
        self.expect_given_up(large[0][0])


class UnfinishedOnControl(OnControl, Unfinished, unittest.TestCase):
    def begin(self, peer, nbytes):
        whole = padded_ping(nbytes) + b"\n"
        peer.send_raw(whole[:nbytes // 2])
        return whole[nbytes // 2:]

    def test_given_up_while_its_answers_are_unread(self):
        """What was answered is still written; its half of a line is not kept for it."""
        slow, asked = self.open(), 0
        number = self.number_of(slow)
        while self.sessions()[number]["unsent"] == 0:
            slow.send("methods")
            asked += 1
            wait_for(lambda: self.sessions()[number]["requests"] > asked)
        self.begin(slow, 4 * KIB * KIB)
        wait_for(lambda: self.unfinished() > KIB * KIB)
        others = [self.open_and_begin(4 * KIB * KIB) for _ in range(4)]
        self.assertEqual(self.given_up(), 1)
        self.assertLess(self.unfinished(), 9 * KIB * KIB)
        for _ in range(asked):
            self.assertIn("result", slow.recv())
        self.expect_given_up(slow)
        self.finish(*others[-1])

    def expect_given_up(self, peer):
        answer = peer.recv()
        self.assertEqual((answer["id"], answer["error"]["data"]["code"]), (None, "LIMIT_EXCEEDED"))
        self.assertIn("max_input", answer["error"]["message"])
        with self.assertRaises(Closed):
            peer.recv()


class UnfinishedOnWebSocket(OnWebSocket, Unfinished, unittest.TestCase):
    def begin(self, peer, nbytes):
        whole = encode_frame(TEXT, padded_ping(nbytes), mask=b"\0\0\0\0")
        peer.send_raw(whole[:nbytes // 2])
        return whole[nbytes // 2:]

    def expect_given_up(self, peer):
        self.assertIn("max_input", peer.notification("closing")["reason"])
        self.assertEqual(peer.close_code(), 4001)

    def test_a_reload_that_closes_and_allows_less(self):
        """The first is closed for want of a token, and the next one keeps too much."""
        first, _, _ = self.open_and_begin(2 * KIB * KIB)
        with self.daemon.control() as second:
            second.send_raw(padded_ping(2 * KIB * KIB))
            wait_for(lambda: self.unfinished() > 2 * KIB * KIB)
            self.daemon.configure(self.config.replace("max_input = \"8MiB\"",
                                                      "auth = \"required\"\nmax_input = \"1MiB\""))
            self.assertEqual(first.close_code(), 4101)
            self.assertIn("max_input", second.recv()["error"]["message"])
        wait_for(lambda: self.unfinished() == 0)


class Heads(Slow, unittest.TestCase):
    config = '[websocket]\nheader_timeout = "1s"\n'

    def test_a_thousand_halves(self):
        head = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 15_000
        limit_kib = self.limit("max_header") // KIB
        self.remember_memory()
        with contextlib.ExitStack() as stack:
            socks = []
            for _ in range(1000):
                sock = socket.create_connection(("127.0.0.1", self.daemon.port), TIMEOUT_S)
                socks.append(stack.enter_context(sock))
                sock.sendall(head)
            self.control.call("ping")
            grown = self.growth_kib()
            print(f"1000 half heads: memory grew by {grown} KiB", flush=True)
            # a buffer that doubles leaves its halves behind
            self.assertLess(grown, 1000 * (limit_kib + 8) + SLACK_KIB)
            for sock in socks:
                self.assertIn(b" 408 ", sock.recv(64))
        wait_for(lambda: len(self.sessions()) == 1)
        self.daemon.ws().close()


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

"""Limits of what clients may use: what is refused and how it is told, who is not limited, and what an
administrator sees.

builds: asan
"""

import json
import socket
import unittest

from harness import (PING, PONG, TEXT, TIMEOUT_S, Closed, RpcError, daemon_for, encode_frame, http_get,
                     sysrtctl, wait_for)

HOUR_MS = 3600 * 1000


def config(**limits):
    values = {"exempt": [], "session": "unlimited", "address": "unlimited",
              "connections": "unlimited", **limits}
    return "[limits]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items())


class Limits(unittest.TestCase):
    def start(self, **limits):
        self.daemon = daemon_for(self, config=config(**limits))
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)

    def open(self):
        peer = self.daemon.ws()
        self.addCleanup(peer.close)
        return peer

    def refuse(self, peer, bucket, method="ping", **params):
        """A refusal of this bucket; its data."""
        with self.assertRaises(RpcError) as caught:
            peer.call(method, **params)
        self.assertEqual(caught.exception.code, "RATE_LIMITED")
        self.assertIn(f"limits.{bucket}", caught.exception.message)
        data = caught.exception.data
        self.assertEqual(data["bucket"], bucket)
        self.assertGreaterEqual(data["retry_after_ms"], 1)
        return data

    def session_of(self, n=-1):
        sessions = [s for s in self.control.call("session.list")["items"]
                    if s["door"] == "websocket"]
        return sessions[n]

    def test_a_session(self):
        self.start(session="1/h burst 20")
        peer, other = self.open(), self.open()
        for _ in range(3):
            peer.call("record.put", id="a", data=1)  # 5 each
        data = self.refuse(peer, "session", "record.put_many", records=[{"id": "b", "data": 1}])
        self.assertEqual((data["level"], data["rate"]), (5, "1/h burst 20"))
        self.assertLessEqual(data["retry_after_ms"], 15 * HOUR_MS)
        self.assertGreater(data["retry_after_ms"], 14 * HOUR_MS)
        for _ in range(5):
            peer.call("ping")
        self.refuse(peer, "session")
        self.assertEqual(self.control.call("record.count")["count"], 1)
        first = self.session_of(0)
        self.assertEqual((first["level"], first["refused"], first["refused_by"]), (0, 2, "session"))
        other.call("ping")
        second = self.session_of(1)
        self.assertEqual((second["level"], second["refused"]), (19, 0))
        self.assertNotIn("refused_by", second)
        stats = self.control.call("system.stats")
        self.assertEqual(stats["sysrt_limits_session_refused_total"], 2)
        self.assertEqual(self.daemon.log().count("rate limit reached"), 1)

    def test_it_comes_back(self):
        self.start(session="1000/s burst 1")
        peer = self.open()
        requests = [("ping", {})] * 500
        results = peer.call_all(requests)
        refused = [r for r in results if isinstance(r, RpcError)]
        self.assertTrue(refused)
        self.assertLess(len(refused), 500)
        self.assertEqual({r.data["retry_after_ms"] for r in refused}, {1})
        wait_for(lambda: not isinstance(peer.call_all(requests[:1])[0], RpcError))

    def test_an_address(self):
        self.start(session="1/h burst 100", address="1/h burst 10")
        first, second = self.open(), self.open()
        for _ in range(10):
            first.call("ping")
        self.refuse(second, "address")
        self.assertEqual(self.session_of(1)["level"], 100)  # which was given back
        [item] = self.control.call("limits.list")["items"]
        self.assertEqual((item["address"], item["level"], item["refused"]), ("127.0.0.1", 0, 1))
        table = sysrtctl(self.daemon, "limits", "list", "-o", "table").stdout
        self.assertRegex(table, r"127\.0\.0\.1 +0 +1")

    def test_all_together(self):
        self.start(total="1/h burst 3")
        peers = [self.open(), self.open()]
        for n in range(3):
            peers[n % 2].call("ping")
        self.refuse(peers[0], "total")
        for _ in range(100):
            self.control.call("ping")

    def test_connections(self):
        self.start(connections="1/h burst 3")
        peers = [self.open() for _ in range(3)]
        with self.assertRaises((Closed, OSError)):
            self.daemon.ws()
        for peer in peers:
            peer.call("ping")
        self.assertEqual(self.control.call("limits.list")["items"],
                         [{"address": "127.0.0.1", "connections": 0, "refused": 1}])

    def test_clients_behind_a_proxy(self):
        """What it brings counts for whom it is from."""
        self.daemon = daemon_for(self, config=config(connections="1/h burst 1", address="1/h burst 2") +
                                 '[websocket]\nauth = "none"\ntrusted_proxies = ["127.0.0.1"]\n')
        first, second = ({"X-Forwarded-For": f"192.0.2.{n}"} for n in (7, 8))
        with self.daemon.ws(headers=first) as peer, self.daemon.ws(headers=second) as other:
            for _ in range(2):
                peer.call("ping")
            self.refuse(peer, "address")
            other.call("ping")
            self.assertEqual(http_get(self.daemon.port, "/ws", headers=first)[0], 429)
        with self.daemon.control() as control:
            levels = {i["address"]: (i["level"], i["connections"])
                      for i in control.call("limits.list")["items"]}
        self.assertEqual(levels, {"192.0.2.7": (0, 0), "192.0.2.8": (1, 0)})

    def test_what_is_no_request_costs_too(self):
        self.start(session="1/h burst 5")
        peer = self.open()
        self.assertEqual(peer.notification("hello")["rates"],
                         {"session": "1/h burst 5", "address": "unlimited", "total": "unlimited"})
        peer.send_text('{"jsonrpc":"2.0","id":1,"method":"no.such"}')
        self.assertEqual(peer.recv()["error"]["data"]["code"], "METHOD_NOT_FOUND")
        peer.send_text('{"id":[]}')
        self.assertEqual(peer.recv()["error"]["data"]["code"], "INVALID_REQUEST")
        peer.send_text('[{"jsonrpc":"2.0","method":"ping"},'
                       '{"jsonrpc":"2.0","id":2,"method":"ping"},'
                       '{"jsonrpc":"2.0","id":3,"method":"ping"},'
                       '{"jsonrpc":"2.0","id":4,"method":"ping"}]')
        answers = {a["id"]: a for a in peer.recv()}
        self.assertIn("result", answers[3])
        self.assertEqual(answers[4]["error"]["data"]["code"], "RATE_LIMITED")
        peer.send_text('{"id":[]}')
        self.assertEqual(peer.recv()["error"]["data"]["code"], "RATE_LIMITED")
        self.assertEqual(self.session_of()["refused"], 2)

    def test_a_write_that_is_chained_to_one_that_was_refused(self):
        self.start(session="1000/s burst 50", refusals="unlimited")
        peer = self.open()
        put = [("record.put_many", {"records": [{"id": "a", "data": 1}], "chained": True})]
        codes = []
        while not codes or codes[-1] in (None, "RATE_LIMITED"):
            codes.append(getattr(peer.call_all(put)[0], "code", None))
        self.assertIn("RATE_LIMITED", codes)
        self.assertEqual(codes[-1], "UNAVAILABLE")

    def test_who_is_exempt(self):
        self.start(session="1/h burst 1", exempt=["127.0.0.0/8"])
        peer = self.open()
        for _ in range(100):
            peer.call("ping")
        self.assertNotIn("level", self.session_of())
        self.daemon.config_path.write_text(config(session="1/h burst 1"))
        self.control.call("system.reload")
        peer.call("ping")
        self.refuse(peer, "session")
        self.daemon.config_path.write_text(config(session="2/h"))
        self.control.call("system.reload")
        peer.call("ping")

    def flood(self, peer, nbytes=65536):
        """Sends pings, as many as that many bytes."""
        frame = encode_frame(TEXT, b'{"jsonrpc":"2.0","id":1,"method":"ping"}')
        peer.send_raw(frame * (nbytes // len(frame)))

    def held(self):
        return self.control.call("system.stats")["sysrt_limits_held_total"]

    def test_who_goes_on_is_held_back(self):
        """What it sends is not read, but for a request each time that it is looked at again: it is
        told so in between, and closed at once when that is wanted."""
        self.start(session="1/h burst 5", refusals="1/h burst 3")
        peer, other = self.open(), self.open()
        other.call("ping")
        self.flood(peer)
        while (held := self.held()) < 2:
            # asked in this order: it may be looked at again between the two
            requests, held = self.session_of(0)["requests"], self.held()
            self.assertLessEqual(requests, 9 + held)  # five, three refusals, and one each time
            other.send_raw(encode_frame(PING))
            self.assertEqual(other.recv_frame().opcode, PONG)
        codes = [peer.recv().get("error", {}).get("data", {}).get("code") for _ in range(10)]
        self.assertEqual(set(codes[:6]), {None})  # hello and five pings
        self.assertEqual(set(codes[6:]), {"RATE_LIMITED"})
        number = self.session_of(0)["session"]
        self.control.call("session.close", session=number)
        self.assertEqual(peer.close_code(), 4000)
        wait_for(lambda: self.session_of(0)["session"] != number)

    def test_who_hangs_up_while_held_back_is_gone(self):
        self.start(session="1/h burst 1", refusals="1/h burst 1")
        peer, _ = self.open(), self.open()
        number = self.session_of(0)["session"]
        self.flood(peer)
        wait_for(self.held)
        peer.close()
        wait_for(lambda: self.session_of(0)["session"] != number)

    def test_one_that_is_held_back_is_not_taken_for_dead(self):
        """It has much to say and is not heard: it is not asked whether it lives."""
        self.start(session="1/h burst 1", refusals="1/h burst 1")
        self.daemon.configure(config(session="1/h burst 1", refusals="1/h burst 1") +
                              '[websocket]\nheartbeat = "100ms"\n')
        peer = self.open()
        self.flood(peer)
        wait_for(lambda: self.held() >= 2)
        self.assertNotIn("heartbeat lost", self.daemon.log())
        self.assertEqual(self.session_of()["state"], "open")

    def test_all_is_answered_in_the_end(self):
        self.start(session="1000/s burst 1", refusals="1/h burst 1")
        peer = self.open()
        results = peer.call_all([("ping", {})] * 300)
        self.assertGreater(self.held(), 0)
        refused = [r for r in results if isinstance(r, RpcError)]
        self.assertEqual({r.code for r in refused}, {"RATE_LIMITED"})
        self.assertLess(len(refused), 300)

    def test_bytes_cost(self):
        """What they cost is taken behind the message, and waited for if it is not there."""
        self.start(session="100/s burst 8")
        peer = self.open()
        text = '{"jsonrpc":"2.0","id":"x","method":"ping"}'
        peer.send_text(text + " " * 65536)
        self.assertIn("hello", peer.recv()["method"])
        self.assertIn("result", peer.recv())
        self.assertGreater(self.held(), 0)
        self.assertEqual(self.session_of()["refused"], 0)

    def test_pings_of_the_websocket_cost(self):
        self.start(session="1/h burst 8")
        peer = self.open()
        peer.send_raw(encode_frame(PING) * 8)
        for _ in range(9):  # hello comes first
            frame = peer.recv_frame()
        self.assertEqual(frame.opcode, PONG)
        self.assertEqual(self.session_of()["level"], 0)
        peer.send_raw(encode_frame(PING))
        wait_for(self.held)

    def test_requests_of_http_cost(self):
        """Those that follow on a connection that is kept; all are answered."""
        self.start(session="200/s burst 10")
        head = f"GET /livez HTTP/1.1\r\nHost: 127.0.0.1:{self.daemon.port}\r\n"
        with socket.create_connection(("127.0.0.1", self.daemon.port), TIMEOUT_S) as sock:
            sock.sendall((f"{head}\r\n" * 99 + f"{head}Connection: close\r\n\r\n").encode())
            answers = b""
            while data := sock.recv(65536):
                answers += data
        self.assertEqual(answers.count(b"HTTP/1.1 200 OK"), 100)
        self.assertGreater(self.held(), 0)

    def test_what_is_no_message_costs(self):
        self.start(session="1/h burst 2")
        peer = self.open()
        self.assertIn("hello", peer.recv()["method"])
        codes = []
        for _ in range(3):
            peer.send_text("{")
            codes.append(peer.recv()["error"]["data"]["code"])
        self.assertEqual(codes, ["PARSE_ERROR", "PARSE_ERROR", "RATE_LIMITED"])

    def test_a_token_with_a_rate(self):
        """All its sessions share it, from exempt networks too; it goes with the token."""
        self.start(session="1/h burst 100", exempt=["127.0.0.1"])
        made = self.control.call("token.create", name="slow", scopes="read", rate="1/h burst 10")
        self.assertEqual(made["rate"], "1/h burst 10")
        self.daemon.restart()
        self.control = self.daemon.control()
        headers = {"Authorization": f"Bearer {made['token']}"}
        first, second, other = (self.daemon.ws(headers=h) for h in (headers, headers, {}))
        for peer in (first, second, other):
            self.addCleanup(peer.close)
        self.assertEqual(first.notification("hello")["rates"], {"token": "1/h burst 10"})
        for n in range(10):
            (first, second)[n % 2].call("ping")
        for peer in (first, second):
            with self.assertRaises(RpcError) as caught:
                peer.call("ping")
            self.assertEqual((caught.exception.code, caught.exception.data["bucket"]),
                             ("RATE_LIMITED", "token"))
            self.assertIn('the rate of the token is "1/h burst 10"', caught.exception.message)
        other.call("ping")
        listed = {"name": "slow", "rate": "1/h burst 10"}
        self.assertEqual(self.control.call("limits.list")["tokens"],
                         [{**listed, "level": 0, "refused": 2}])
        self.assertIn(listed.items(), [{k: t[k] for k in listed}.items()
                                       for t in self.control.call("token.list")["items"]])
        other.call("auth", token=made["token"])
        with self.assertRaises(RpcError):
            other.call("ping")
        sysrtctl(self.daemon, "token", "revoke", "slow")
        self.assertEqual(first.close_code(), 4101)
        self.assertEqual(self.control.call("limits.list")["tokens"], [])
        again = sysrtctl(self.daemon, "token", "create", "slow", "--scope", "read", "--rate", "5/s")
        self.assertEqual(json.loads(again.stdout)["rate"], "5/s")
        trial = json.loads(sysrtctl(self.daemon, "limits", "test", "--token", "slow", "--rate", "2/s",
                                    "--for", "10s").stdout)
        self.assertEqual((trial["passed"], trial["bucket"]), (10, "token"))
        self.assertEqual(sysrtctl(self.daemon, "limits", "test", check=False).returncode, 2)

    def show(self, number):
        return self.control.call("session.show", session=number)["session"]

    def test_why_a_client_is_slow(self):
        self.start(session="1/h burst 11", refusals="1/h burst 2", address="1/h burst 1000")
        peer = self.open()
        number = self.session_of()["session"]
        shown = self.show(number)
        self.assertEqual((shown["refusals"], shown["events"], shown["held_back"]), ({}, [], 0))
        self.assertNotIn("held", shown)
        peer.call("record.put", id="a", data=1)
        self.refuse(peer, "session", "record.put_many", records=[{"id": "b", "data": 1}])
        with self.assertRaises(RpcError):
            peer.call("session.list")
        with self.assertRaises(RpcError):
            peer.call("record.get", id="none")
        shown = self.show(number)
        self.assertEqual(shown["refusals"], {"RATE_LIMITED": 1, "PERMISSION_DENIED": 1})
        denied, limited = shown["events"]
        self.assertEqual((denied["what"], denied["code"], denied["method"]),
                         ("refused", "PERMISSION_DENIED", "session.list"))
        self.assertEqual((limited["code"], limited["method"], limited["bucket"], limited["times"]),
                         ("RATE_LIMITED", "record.put_many", "session", 1))
        self.assertGreater(limited["wait_ms"], HOUR_MS)
        self.assertEqual(shown["buckets"],
                         [{"bucket": "session", "rate": "1/h burst 11", "level": 0},
                          {"bucket": "address", "rate": "1/h burst 1000", "level": 989}])
        self.flood(peer)
        shown = wait_for(lambda: "held" in (s := self.show(number)) and s)
        self.assertEqual(shown["held"]["why"], "session")
        self.assertGreaterEqual(shown["held_back"], 1)
        self.assertIn("held back", [e["what"] for e in shown["events"]])
        table = sysrtctl(self.daemon, "session", "show", str(number))
        self.assertEqual(json.loads(table.stdout)["session"]["session"], number)
        gone = sysrtctl(self.daemon, "session", "show", "1000000", check=False)
        self.assertEqual(gone.returncode, 4)

    def test_what_subscriptions_may_take(self):
        """Equal patterns are one; what a pattern took is there again when nobody has it."""
        self.daemon = daemon_for(self, config="[hub]\nmax_patterns = 3\nmax_topics = 1\n")
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        first, second = self.open(), self.open()
        for peer in (first, second):
            peer.call("subscribe", categories=["a", "b"])
            peer.call("subscribe", topics="t*")
        for number, params, limit in ((3, {"categories": ["a", "c"]}, "hub.max_patterns"),
                                      (3, {"topics": ["t"]}, "hub.max_topics")):
            with self.assertRaises(RpcError) as caught:
                second.call("subscribe", **params)
            self.assertEqual((caught.exception.code, caught.exception.data["limit"]),
                             ("LIMIT_EXCEEDED", limit))
            self.assertIn(limit, caught.exception.message)
        second.call("subscribe", categories="c")
        first.call("unsubscribe", subscription=2)
        second.call("unsubscribe", subscription=2)
        second.call("subscribe", topics=["t"])
        stats = self.control.call("system.stats")
        self.assertEqual((stats["sysrt_limits_max_patterns_total"],
                          stats["sysrt_limits_max_topics_total"]), (1, 1))
        self.assertEqual(self.daemon.log().count("limit=hub.max_patterns"), 1)

    def test_each_limit_is_counted_and_logged_now_and_then(self):
        self.daemon = daemon_for(self, config='[websocket]\nmax_message = "1KiB"\n'
                                 'max_subscriptions = 1\nmax_fragments = 2\n')
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        deep = "[" * 200 + "]" * 200
        many = "[" + ",".join(["0"] * 101) + "]"
        for _ in range(3):
            with self.daemon.ws() as peer:
                peer.call("subscribe", topics="a")
                with self.assertRaises(RpcError):
                    peer.call("subscribe", topics="b")
                for text in (deep, many):
                    peer.send_text(text)
                    self.assertIn("error", peer.recv())
                peer.send_frame(TEXT, b"x", length=2000)
                self.assertEqual(peer.close_code(), 1009)
            with self.daemon.ws() as peer:
                for i in range(3):
                    peer.send_frame(0 if i else TEXT, b"{", fin=False)
                self.assertEqual(peer.close_code(), 1008)
        stats, log = self.control.call("system.stats"), self.daemon.log()
        for counter, limit in (("max_subscriptions", "websocket.max_subscriptions"),
                               ("nesting", "nesting"), ("batch", '"requests in a batch"'),
                               ("max_message", "websocket.max_message"),
                               ("max_fragments", "websocket.max_fragments")):
            with self.subTest(limit=limit):
                self.assertEqual(stats[f"sysrt_limits_{counter}_total"], 3)
                self.assertEqual(log.count(f"limit={limit} "), 1)

    def test_what_is_wrong_in_the_configuration(self):
        for key, value, text in (("session", "fast", "limits.session must be a rate such as"),
                                 ("exempt", ["home"], 'limits.exempt: "home" is no network'),
                                 ("exempt", ["10.0.0.1/8"], '"10.0.0.1/8" is no network')):
            with self.subTest(key=key):
                self.start()
                self.daemon.config_path.write_text(config(**{key: value}))
                with self.assertRaises(RpcError) as caught:
                    self.control.call("system.reload")
                self.assertIn(text, caught.exception.message)

    def test_a_trial(self):
        self.start(session="10/s burst 20")
        done = sysrtctl(self.daemon, "limits", "test", "4/s", "--for", "10s")
        self.assertEqual(json.loads(done.stdout),
                         {"method": "record.put", "cost": 5, "sent": 40, "passed": 23,
                          "refused": 17, "first_refused_ms": 1750, "bucket": "session"})
        done = sysrtctl(self.daemon, "limits", "test", "4", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('rate: not one such as "50/s"', done.stderr)


if __name__ == "__main__":
    unittest.main()

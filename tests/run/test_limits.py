"""Limits of what clients may use: what is refused and how it is told, who is not limited, and what an
administrator sees.

builds: asan
"""

import json
import unittest

from harness import Closed, RpcError, daemon_for, http_get, sysrtctl, wait_for

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
        self.start(session="100/s burst 50")
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

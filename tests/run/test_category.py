"""What holds per category: the tables [category.NAME] of the configuration.

builds: asan; in check-long: release
"""

import json
import subprocess
import unittest

from harness import BUILD, RpcError, daemon_for, seeded, sysrtctl

CONFIG = """
[category."small*"]
max_data = 16
[category."small.but.large"]
max_data = "1KiB"
[category.short]
ttl = "1h"
[category.full]
max_records = 3
history = 2
"""
HOUR_MS = 3600 * 1000


class Settings(unittest.TestCase):
    def setUp(self):
        self.daemon = daemon_for(self, config=CONFIG)
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)

    def refused(self, code, method, **params):
        with self.assertRaises(RpcError) as caught:
            self.control.call(method, **params)
        self.assertEqual(caught.exception.code, code)
        return str(caught.exception)

    def test_max_data(self):
        """The refusal names category, limit and table; the longest name holds."""
        self.control.call("record.put", category="small", id="a", data="x" * 14)
        text = self.refused("LIMIT_EXCEEDED", "record.put", category="small.x", id="a",
                            data="x" * 15)
        self.assertIn('data has 17 bytes, at most 16 are allowed in the category small.x '
                      '(max_data of [category."small*"])', text)
        self.control.call("record.put", category="small.but.large", id="a", data="x" * 1000)
        text = self.refused("LIMIT_EXCEEDED", "record.put_many", records=[
            {"id": "a", "data": 1}, {"category": "small", "id": "b", "data": "x" * 15}])
        self.assertIn("record 1: data has 17 bytes", text)
        self.control.call("record.put", category="large", id="a", data="x" * 100_000)

    def test_ttl(self):
        """A default only: what a put says wins; what has no ttl stays."""
        before = self.control.call("ping")["time"]
        for record, params in (("default", {}), ("own", {"ttl": "2h"}),
                               ("at", {"expires_at": before + 5 * HOUR_MS})):
            self.control.call("record.put", category="short", id=record, data=1, **params)
        self.control.call("record.put", category="other", id="x", data=1)
        after = self.control.call("ping")["time"]

        def expires(category, record):
            got = self.control.call("record.get", category=category, id=record)["record"]
            return got.get("expires_at")

        self.assertTrue(before + HOUR_MS <= expires("short", "default") <= after + HOUR_MS)
        self.assertTrue(before + 2 * HOUR_MS <= expires("short", "own") <= after + 2 * HOUR_MS)
        self.assertEqual(expires("short", "at"), before + 5 * HOUR_MS)
        self.assertIsNone(expires("other", "x"))

    def test_reload(self):
        config = self.daemon.config_path
        config.write_text(config.read_text().replace("max_data = 16", "max_data = 8"))
        applied = self.control.call("system.reload")["applied"]
        self.assertEqual(applied, ['category."small*".max_data'])
        self.refused("LIMIT_EXCEEDED", "record.put", category="small", id="a", data="x" * 7)
        items = {item["name"]: item for item in self.control.call("system.config")["items"]}
        item = items['category."small*".max_data']
        self.assertEqual((item["value"], item["default"]), ("8B", "unlimited"))
        self.assertEqual(items['category."short".ttl']["value"], "1h")

    def seen(self, peer, until):
        """The changes that a subscription told, up to one seq: [(op, id, seq)]."""
        seen = []
        while not seen or seen[-1][2] < until:
            change = peer.notification("change")
            seen.append((change["op"], change["id"], change["seq"]))
        return seen

    def test_max_records(self):
        """The oldest leave as deletes, in the transaction of what sends them away."""
        with self.daemon.ws() as ws:
            ws.call("subscribe", categories=["full"])
            ws.call("record.put_many", category="full",
                    records=[{"id": f"{i}", "data": i} for i in range(5)])
            self.assertEqual(self.control.call("record.count", category="full")["count"], 3)
            self.control.call("record.put", category="full", id="2", data="again")
            seq = self.control.call("record.put", category="full", id="x", data=1)["seq"]
            self.assertEqual(self.seen(ws, seq + 1), [
                ("put", "0", 1), ("put", "1", 2), ("put", "2", 3), ("put", "3", 4),
                ("delete", "0", 5), ("put", "4", 6), ("delete", "1", 7), ("put", "2", 8),
                ("put", "x", 9), ("delete", "3", 10)])
        store = self.control.call("status")["store"]
        self.assertEqual((store["evicted"], store["tombstones"]), (3, 3))

    def test_a_lower_maximum(self):
        """What is too much after a reload leaves in the background."""
        self.control.call("record.put_many", category="other",
                          records=[{"id": f"{i}", "data": i} for i in range(1000)])
        config = self.daemon.config_path
        config.write_text(config.read_text() + "[category.other]\nmax_records = 100\n")
        with self.daemon.ws() as ws:
            ws.call("subscribe", categories=["other"])
            self.control.call("system.reload")
            self.control.call("record.put", category="unrelated", id="x", data=1)
            seen = self.seen(ws, 1901)
        deletes = [s[1] for s in seen if s[0] == "delete"]  # the last puts may be told here still
        self.assertEqual(deletes, [f"{i}" for i in range(900)])
        self.assertEqual(self.control.call("record.count", category="other")["count"], 100)


class History(unittest.TestCase):
    """Versions of records, by the API and by sysrtctl."""

    def setUp(self):
        self.daemon = daemon_for(self, config="""
            [category."h*"]
            history = "unlimited"
            [category.two]
            history = 2
            """)
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)

    def put(self, data, category="h", record="a", **more):
        return self.control.call("record.put", category=category, id=record, data=data, **more)

    def get(self, **params):
        """The data of a version; or what was said."""
        try:
            answer = self.control.call("record.get", category="h", id="a", **params)
        except RpcError as error:
            self.assertEqual(error.code, "NOT_FOUND")
            return str(error)
        return answer["record"]["data"]

    def test_versions(self):
        self.put(1)
        self.put(2, name="second")
        self.put("other", record="b")
        self.control.call("record.delete", category="h", id="a")
        self.put(3)
        answer = self.control.call("record.history", category="h", id="a")
        self.assertEqual([(v["op"], v["seq"], v["rev"], v.get("data")) for v in answer["items"]],
                         [("put", 5, 3, 3), ("delete", 4, 2, None), ("put", 2, 2, 2),
                          ("put", 1, 1, 1)])
        self.assertEqual(answer["items"][2]["name"], "second")
        self.assertEqual(answer["seq"], 5)
        self.assertNotIn("cursor", answer)

    def test_a_version_by_rev_seq_and_time(self):
        self.put(1)
        self.put(2)
        self.control.call("record.delete", category="h", id="a")
        self.put(3)
        self.assertEqual([self.get(rev=n) for n in (1, 2, 3)], [1, 2, 3])
        self.assertIn("no version of rev 4 is kept", self.get(rev=4))
        self.assertEqual([self.get(at_seq=n) for n in (1, 2, 4, 100)], [1, 2, 3, 3])
        self.assertIn("was deleted then, by seq 3", self.get(at_seq=3))
        self.assertIn("no version of seq 0 is kept", self.get(at_seq=0))
        versions = self.control.call("record.history", category="h", id="a")["items"]
        self.assertEqual(self.get(at_time=versions[0]["updated_at"]), 3)
        self.assertEqual(self.get(at_time="2100-01-01T00:00:00Z"), 3)
        self.assertIn("no version of 1970-01-01T00:00:01.000Z is kept", self.get(at_time=1000))
        self.assertIn("is kept", self.get(at_time=versions[-1]["created_at"] - 1))
        with self.assertRaises(RpcError) as caught:
            self.control.call("record.get", category="h", id="a", rev=1, at_seq=1)
        self.assertIn("give one of rev, at_seq and at_time", str(caught.exception))

    def test_a_version_that_was_not_kept(self):
        """Between two that are kept there may have been others: none is told for their time."""
        self.put(1)
        self.put(2)
        config = self.daemon.config_path
        kept = config.read_text()
        config.write_text("")
        self.control.call("system.reload")
        self.put(3)  # what was there, 2, is not kept
        config.write_text(kept)
        self.control.call("system.reload")
        self.put(4)
        kept = [v["data"] for v in self.control.call("record.history", category="h",
                                                     id="a")["items"]]
        self.assertIn(kept, ([4, 3, 1], [4, 3]))  # 1 may have gone in between
        self.assertIn("is kept", self.get(at_seq=2))
        self.assertEqual(self.get(at_seq=3), 3)

    def test_pages(self):
        """Cursors hold while versions come."""
        for n in range(25):
            self.put(n)
        seen, params = [], {}
        while params is not None:
            answer = self.control.call("record.history", category="h", id="a", limit=10, **params)
            seen += [v["data"] for v in answer["items"]]
            params = {"cursor": answer["cursor"]} if "cursor" in answer else None
            self.put("new")
        self.assertEqual(seen, list(range(24, -1, -1)))
        with self.assertRaises(RpcError) as caught:
            self.control.call("record.history", category="h", id="a", cursor="x")
        self.assertEqual(caught.exception.code, "INVALID_ARGUMENT")

    def test_a_number_of_versions(self):
        for n in range(6):
            self.put(n, category="two")
        items = self.control.call("record.history", category="two", id="a")["items"]
        self.assertEqual([v["data"] for v in items], [5, 4, 3])
        self.put(1, category="none")
        self.put(2, category="none")
        items = self.control.call("record.history", category="none", id="a")["items"]
        self.assertEqual([v["data"] for v in items], [2])

    def test_history_of_what_is_gone(self):
        self.put(1)
        self.control.call("record.delete", category="h", id="a")
        items = self.control.call("record.history", category="h", id="a")["items"]
        self.assertEqual([v["op"] for v in items], ["delete", "put"])
        with self.assertRaises(RpcError) as caught:
            self.control.call("record.history", category="h", id="never")
        self.assertEqual(caught.exception.code, "NOT_FOUND")

    def test_sysrtctl(self):
        self.put({"price": 1, "tags": ["a"]})
        self.put({"price": 2, "tags": ["a", "b"], "new": None})
        self.put({"price": 3})
        lines = sysrtctl(self.daemon, "history", "h", "a").stdout.splitlines()
        self.assertEqual([json.loads(line)["rev"] for line in lines], [3, 2, 1])
        pages = sysrtctl(self.daemon, "history", "h", "a", "--limit", "1", "--all").stdout
        self.assertEqual(pages.splitlines(), lines)
        got = sysrtctl(self.daemon, "get", "h", "a", "--rev", "1", "--data").stdout
        self.assertEqual(json.loads(got)["price"], 1)
        got = sysrtctl(self.daemon, "get", "h", "a", "--at-seq", "2", "--data").stdout
        self.assertEqual(json.loads(got)["price"], 2)
        got = sysrtctl(self.daemon, "get", "h", "a", "--at", "2100-01-01T00:00:00Z", "--data")
        self.assertEqual(json.loads(got.stdout)["price"], 3)
        done = sysrtctl(self.daemon, "get", "h", "a", "--rev", "9", check=False)
        self.assertEqual(done.returncode, 4)
        patch = sysrtctl(self.daemon, "diff", "h", "a", "1", "2", "-o", "json").stdout
        self.assertEqual(json.loads(patch), [
            {"op": "add", "path": "/new", "value": None},
            {"op": "replace", "path": "/price", "value": 2},
            {"op": "add", "path": "/tags/1", "value": "b"}])
        report = sysrtctl(self.daemon, "diff", "h", "a", "2", "-o", "table").stdout
        self.assertRegex(report, r"""\A--- rev 2, seq 2, .*, "a"
\+\+\+ rev 3, seq 3, .*, "a"
- /new  null
- /price  2
\+ /price  3
- /tags  \["a","b"\]
\Z""")


class Replay(unittest.TestCase):
    """Subscriptions that replay every version."""

    def setUp(self):
        self.daemon = daemon_for(self, config="""
            [hub]
            recent = 0
            [websocket]
            send_queue = "4KiB"
            [category."h*"]
            history = "unlimited"
            """)
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        self.written = []  # every change: (seq, op, id, data)

    def write(self, n):
        """Writes at random; some records are deleted, and are there again."""
        for _ in range(n):
            record = f"r{self.random.randrange(5)}"
            if self.random.random() < 0.25:
                answer = self.control.call("record.delete", category="h", id=record)
                if answer["deleted"]:
                    self.written.append((answer["seq"], "delete", record, None))
            else:
                data = "x" * self.random.randrange(500)
                seq = self.control.call("record.put", category="h", id=record, data=data)["seq"]
                self.written.append((seq, "put", record, data))

    def follow(self, peer, until, told=None):
        """All changes up to a seq, by the law of prev."""
        told, position = told if told is not None else [], None
        while not told or told[-1][0] < until:
            message = peer.notification()
            params = message["params"]
            if "subscription" not in params:
                continue  # hello
            if message["method"] == "change":
                if position is not None:
                    self.assertTrue(params["prev"] <= position < params["seq"])
                told.append((params["seq"], params["op"], params["id"], params.get("data")))
            position = params["seq"]
        return told

    def test_every_version_each_once(self):
        """From 0, by many pages, while more is written; then live, slow and resumed."""
        self.random = seeded()
        self.write(600)
        with self.daemon.ws() as ws:
            answer = ws.call("subscribe", categories=["h"], since=0, history=True)
            self.write(200)  # nobody reads: the session lags, and catches up
            self.assertEqual(self.follow(ws, self.written[-1][0]), self.written)
        middle = self.written[len(self.written) // 2][0]
        with self.daemon.ws() as ws:
            ws.call("subscribe", categories=["h*"], since=middle, epoch=answer["epoch"],
                    history=True)
            self.assertEqual(self.follow(ws, self.written[-1][0]),
                             [w for w in self.written if w[0] > middle])
        seq = self.control.call("record.put", category="h", id="last", data="")["seq"]
        self.written.append((seq, "put", "last", ""))
        with self.daemon.ws() as ws:
            ws.call("subscribe", categories=["h"], since=0)
            plain = self.follow(ws, seq)
        newest = {w[2]: w for w in self.written}
        self.assertEqual(plain, sorted(w for w in newest.values() if w[1] == "put"))

    def test_sysrtctl_watch(self):
        self.control.call("record.put", category="h", id="a", data=1)
        self.control.call("record.put", category="h", id="a", data=2)
        watch = subprocess.Popen([BUILD / "sysrtctl", "--socket", self.daemon.socket, "watch",
                                  "h", "--since", "0", "--history"], stdout=subprocess.PIPE)
        try:
            self.assertEqual([json.loads(watch.stdout.readline())["data"] for _ in range(2)],
                             [1, 2])
        finally:
            watch.terminate()
            watch.wait()
            watch.stdout.close()


if __name__ == "__main__":
    unittest.main()

"""The language of both doors: every method, and what is answered to bad input.

builds: release; in check-long: asan
valgrind: yes
"""

import contextlib
import json
import re
import signal
import time
import unittest
import uuid

from harness import (Closed, Control, OnControl, OnWebSocket, RpcError, daemon_for, source,
                     wait_for)

BIG_INTEGER = "123456789012345678901234567890"
CONFIG = """
[store]
max_record = "4KiB"
[websocket]
max_message = "2MiB"
max_subscriptions = 5
"""


class Door:
    """What both doors are asked. One daemon for each test."""

    config = CONFIG

    def setUp(self):
        self.daemon = daemon_for(self, config=self.config)
        self.peer = self.open()

    def open(self):
        raise NotImplementedError

    def refuse(self, code, method, /, **params):
        """Calls, expects a refusal with this code and a whole sentence; returns the error."""
        with self.assertRaises(RpcError) as caught:
            self.peer.call(method, **params)
        error = caught.exception
        self.assertEqual(error.code, code, error.message)
        self.assertGreater(len(error.message), 5)
        self.assertEqual(error.number, NUMBERS[code])
        return error

    def refuse_text(self, code, text, request_id=None):
        """Sends a whole message as it is; the refusal must carry this id."""
        self.peer.send_text(text)
        answer = self.next_answer()
        self.assertEqual(answer["error"]["data"]["code"], code, answer)
        self.assertEqual(answer["id"], request_id)
        self.assertEqual(set(answer), {"jsonrpc", "id", "error"})
        self.still_works()
        return answer["error"]["message"]

    def next_answer(self):
        """The next message that is no notification."""
        while True:
            message = self.peer.recv()
            if isinstance(message, list) or "method" not in message:
                return message

    def still_works(self):
        self.assertIn("time", self.peer.call("ping"))


class Records(Door):
    def test_put_and_get(self):
        put = self.peer.call("record.put", category="a/b", id="x", data={"n": 1})
        self.assertEqual(put, {"category": "a/b", "id": "x", "seq": put["seq"], "rev": 1,
                               "created": True})
        again = self.peer.call("record.put", category="a/b", id="x", name="the x", data=[2])
        self.assertEqual((again["rev"], again["created"]), (2, False))
        self.assertGreater(again["seq"], put["seq"])
        got = self.peer.call("record.get", category="a/b", id="x")
        self.assertEqual(list(got["record"]), ["category", "id", "name", "data", "rev", "seq",
                                               "created_at", "updated_at"])
        self.assertEqual(got["record"]["data"], [2])
        self.assertEqual(got["record"]["name"], "the x")
        self.assertEqual(got["seq"], again["seq"])
        self.assertTrue(got["epoch"])

    def test_put_replaces_the_whole_record(self):
        self.peer.call("record.put", id="x", name="named", data=1, ttl="1h")
        created = self.peer.call("record.get", id="x")["record"]["created_at"]
        self.peer.call("record.put", id="x", data=2)
        record = self.peer.call("record.get", id="x")["record"]
        self.assertEqual(record["name"], "x")
        self.assertNotIn("expires_at", record)
        self.assertEqual(record["created_at"], created)

    def test_defaults(self):
        before = int(time.time() * 1000)
        put = self.peer.call("record.put", data=None)
        after = int(time.time() * 1000)
        self.assertEqual(put["category"], "general")
        made = uuid.UUID(put["id"])
        self.assertEqual((made.version, made.variant), (7, uuid.RFC_4122))
        self.assertTrue(before <= made.int >> 80 <= after)
        record = self.peer.call("record.get", id=put["id"])["record"]
        self.assertEqual((record["name"], record["data"]), (put["id"], None))
        others = {self.peer.call("record.put", data=0)["id"] for _ in range(50)}
        self.assertEqual(len(others | {put["id"]}), 51)

    def test_data_comes_back_token_for_token(self):
        tokens = [BIG_INTEGER, "1e400", "-0", "0.10", "1.0E+2", r'"\u0041\ud83d\ude00"',
                  r'"\u0000"', r'"\ud800"', r'"\udc00\ud800"', r'"\/"', '"é"', "[]", "{}",
                  '{"a":1,"a":2}', "true", "null", "9007199254740993", "9223372036854775807",
                  "-9223372036854775808", "18446744073709551615", "7" * 300,
                  "-0." + "3" * 300 + "e-300", "[" * 100 + "]" * 100]
        for i, token in enumerate(tokens):
            self.peer.send_text('{"jsonrpc":"2.0","id":1000,"method":"record.put","params":'
                                '{"id":"t%d","data": \t%s\r }}' % (i, token))
            self.peer.answer(1000)
            self.peer.send_text('{"jsonrpc":"2.0","id":"raw","method":"record.get","params":'
                                '{"id":"t%d"}}' % i)
            self.assertIn(f'"data":{token},"rev"', self.peer.recv_text())

    def test_white_space_between_tokens_goes(self):
        self.peer.send_text('{"jsonrpc":"2.0","id":1000,"method":"record.put","params":'
                            '{"id":"x","data": { "a b" : [ 1 ,\t2 ] } }}')
        self.peer.answer(1000)
        self.peer.send_text('{"jsonrpc":"2.0","id":1,"method":"record.get","params":{"id":"x"}}')
        self.assertIn('"data":{"a b":[1,2]},', self.peer.recv_text())

    def test_ids_are_compared_decoded(self):
        self.peer.send_text('{"jsonrpc":"2.0","id":1000,"method":"record.put","params":'
                            r'{"id":"\u0041\/\u00e9","data":1}}')
        self.assertEqual(self.peer.answer(1000)["id"], "A/é")
        self.assertEqual(self.peer.call("record.get", id="A/é")["record"]["data"], 1)

    def test_if_seq(self):
        first = self.peer.call("record.put", id="x", data=1, if_seq=0)
        error = self.refuse("CONFLICT", "record.put", id="x", data=2, if_seq=0)
        self.assertEqual(error.data["seq"], first["seq"])
        second = self.peer.call("record.put", id="x", data=2, if_seq=first["seq"])
        self.refuse("CONFLICT", "record.put", id="x", data=3, if_seq=first["seq"])
        self.refuse("CONFLICT", "record.put", id="nothing", data=3, if_seq=second["seq"])
        self.refuse("CONFLICT", "record.delete", id="x", if_seq=first["seq"])
        self.assertTrue(self.peer.call("record.delete", id="x", if_seq=second["seq"])["deleted"])
        third = self.peer.call("record.put", id="x", data=4, if_seq=0)
        self.assertTrue(third["created"])

    def test_modes(self):
        self.peer.call("record.put", id="x", data={"a": 1})
        kept = self.peer.call("record.put", id="x", data=2, mode="if_absent")
        self.assertTrue(kept["skipped"])
        same = self.peer.call("record.put", id="x", data={"a": 1}, mode="skip_equal")
        self.assertTrue(same["skipped"])
        changed = self.peer.call("record.put", id="x", data={"a": 2}, mode="skip_equal")
        self.assertNotIn("skipped", changed)
        self.assertEqual(self.peer.call("record.get", id="x")["record"]["data"], {"a": 2})

    def test_expiry(self):
        now = int(time.time() * 1000)
        self.peer.call("record.put", id="a", data=1, ttl="30s")
        self.peer.call("record.put", id="b", data=1, ttl=1500)
        self.peer.call("record.put", id="c", data=1, expires_at="2100-01-01T00:00:00Z")
        self.peer.call("record.put", id="d", data=1, expires_at=4102444800000)

        def expires(name):
            return self.peer.call("record.get", id=name)["record"]["expires_at"]
        self.assertAlmostEqual(expires("a") - now, 30_000, delta=5_000)
        self.assertAlmostEqual(expires("b") - now, 1_500, delta=5_000)
        self.assertEqual(expires("c"), 4102444800000)
        self.assertEqual(expires("d"), 4102444800000)
        self.peer.call("subscribe", categories="general")
        self.peer.call("record.put", id="soon", data=1, ttl=50)
        while (change := self.peer.notification("change"))["op"] != "delete":
            pass
        self.assertEqual(change["id"], "soon")
        self.refuse("NOT_FOUND", "record.get", id="soon")

    def test_put_many(self):
        records = [{"id": f"r{i}", "data": i} for i in range(10)]
        done = self.peer.call("record.put_many", records=records, category="many")
        self.assertEqual((done["count"], done["created"], done["skipped"]), (10, 10, 0))
        again = self.peer.call("record.put_many", category="many", mode="skip_equal", results=True,
                               records=[*records[:9], {"id": "r9", "data": "new"}])
        self.assertEqual((again["created"], again["skipped"]), (0, 9))
        self.assertEqual([r["id"] for r in again["results"]], [f"r{i}" for i in range(10)])
        self.assertEqual(again["results"][9]["rev"], 2)
        self.assertEqual(self.peer.call("record.count", category="many")["count"], 10)

    def test_put_many_is_all_or_nothing(self):
        self.peer.call("record.put", id="there", data=1)
        error = self.refuse("CONFLICT", "record.put_many", records=[
            {"id": "new", "data": 1}, {"id": "there", "data": 2, "if_seq": 0}])
        self.assertIn("record 1", error.message)
        self.refuse("NOT_FOUND", "record.get", id="new")

    def test_put_many_names_the_bad_record(self):
        for bad in ({"data": 1, "id": ""}, {"id": "x"}, 7, {"id": "x", "data": 1, "colour": 1},
                    {"id": "x", "data": 1, "category": "-"}, {"id": "x", "data": "y" * 5000}):
            with self.subTest(bad=str(bad)[:40]), self.assertRaises(RpcError) as caught:
                self.peer.call("record.put_many", records=[{"id": "a", "data": 1}] * 3 + [bad])
            self.assertIn("record 3", caught.exception.message)
        self.assertEqual(self.peer.call("record.count")["count"], 0)

    def test_10001_records(self):
        records = [{"id": str(i), "data": i} for i in range(10_001)]
        self.refuse("LIMIT_EXCEEDED", "record.put_many", records=records)
        self.assertEqual(self.peer.call("record.count")["count"], 0)
        done = self.peer.call("record.put_many", records=records[:10_000])
        self.assertEqual(done["count"], 10_000)
        self.assertEqual(self.peer.call("record.count")["count"], 10_000)

    def chain(self, *requests):
        """What becomes of requests that are sent without waiting: ids that were written, error codes. A
        request is an id to write (chained, unless it ends in "!"), or a method and its parameters."""
        calls = [("record.put_many", {"records": [{"id": r.rstrip("!"), "data": 1}], "chained": not r.endswith("!")})
                 if isinstance(r, str) else r for r in requests]
        return [r.code if isinstance(r, RpcError) else "done" for r in self.peer.call_all(calls)]

    def test_chained(self):
        """A write that is chained is done only if the one before it was, wherever that was refused."""
        done, off, bad = "done", "UNAVAILABLE", "INVALID_ARGUMENT"
        self.assertEqual(self.chain("a", "b", "c!", "d"), [done] * 4)
        for refused, code in (
                (("record.put_many", {"records": [{"id": "x"}]}), bad),
                (("record.put_many", {"records": [{"id": "a", "data": 1, "if_seq": 0}]}), "CONFLICT"),
                (("record.put_many", {"records": [{"id": "x", "data": 1}], "colour": "red"}), bad),
                (("record.put", {"id": "a", "data": 1, "if_seq": 0}), "CONFLICT"),
                (("record.put", {"id": "x", "data": "y" * 5000}), "LIMIT_EXCEEDED"),
                (("record.patch", {"id": "x", "patch": {}}), "NOT_FOUND"),
                (("record.delete", {"id": ""}), bad),
                (("record.put_many", {"records": [{"id": "x"}], "chained": True}), bad)):
            with self.subTest(refused=refused):
                self.assertEqual(self.chain("b!", refused, "x", "x", "c!", "d"), [done, code, off, off, done, done])
        self.refuse("NOT_FOUND", "record.get", id="x")
        self.assertEqual(self.chain(("record.get", {"id": "x"}), "a", ("record.get", {}), "b", ("nothing", {}), "c"),
                         ["NOT_FOUND", done, bad, done, "METHOD_NOT_FOUND", done])

    def test_chained_to_what_could_not_be_read(self):
        """It may have been a write."""
        for text, request_id in (("{", None), ('{"jsonrpc":"2.0","id":"q","method":"ping","x":1}', "q"),
                                 ("[]", None), ('{"jsonrpc":"2.0","id":"q","method":"record.put"', None)):
            self.peer.send_text(text)
            requests = [self.peer.send("record.put_many", records=[{"id": "x", "data": 1}], chained=True)
                        for _ in range(2)]
            for request in requests:
                with self.assertRaises(RpcError) as refused:
                    self.peer.answer(request)
                self.assertEqual(refused.exception.code, "UNAVAILABLE")
                self.assertEqual(refused.exception.message,
                                 "this was not done, as the write before it that it is chained to was not")
            self.assertEqual(self.peer.answers.pop(request_id)["id"], request_id)
            self.assertEqual(self.chain("a!", "b"), ["done", "done"])
        self.refuse("NOT_FOUND", "record.get", id="x")

    def test_chained_in_a_batch_and_without_an_answer(self):
        def put(record_id, request_id=None, **more):
            return {"jsonrpc": "2.0", "method": "record.put_many", **({"id": request_id} if request_id else {}),
                    "params": {"records": [{"id": record_id, "data": 1, **more}], "chained": True}}

        self.peer.send_text(json.dumps([put("a", 1), put("b", 2, if_seq=99), put("x", 3), put("x")]))
        self.peer.send_text(json.dumps(put("x")))
        answers = self.next_answer()
        self.assertEqual([a.get("error", {}).get("data", {}).get("code") for a in answers],
                         [None, "CONFLICT", "UNAVAILABLE"])
        self.assertEqual(self.chain("x", "c!", "d"), ["UNAVAILABLE", "done", "done"])
        self.peer.send_text(json.dumps(put("")))
        self.assertEqual(self.chain("x"), ["UNAVAILABLE"])
        self.assertEqual([r["id"] for r in self.peer.list_all(order="id")], ["a", "c", "d"])

    def test_chains_are_of_one_session(self):
        other = self.open()
        self.peer.send("record.put", id="x", data=1, if_seq=99)
        self.assertEqual(other.call("record.put_many", records=[{"id": "a", "data": 1}], chained=True)["count"], 1)
        self.assertEqual(self.chain("x"), ["UNAVAILABLE"])

    def test_delete(self):
        self.peer.call("record.put", id="x", data=1)
        gone = self.peer.call("record.delete", id="x")
        self.assertTrue(gone["deleted"])
        self.assertGreater(gone["seq"], 0)
        self.assertEqual(self.peer.call("record.delete", id="x"), {"deleted": False})
        self.peer.call("record.put_many", records=[{"id": f"r{i}", "data": i} for i in range(5)])
        many = self.peer.call("record.delete", ids=["r1", "r3", "nothing", "r\u0034"])
        self.assertEqual(many["deleted"], 3)
        left = self.peer.call("record.list", order="id")["items"]
        self.assertEqual([r["id"] for r in left], ["r0", "r2"])

    def test_list(self):
        self.peer.call("record.put_many", records=[
            {"category": c, "id": f"{c}{i}", "name": f"Name {i:02} of {c}", "data": i}
            for c in ("cat", "car", "dog") for i in range(20)])

        def ids(**params):
            return [r["id"] for r in self.peer.list_all(**params)]
        self.assertEqual(len(ids(limit=7)), 60)
        self.assertEqual(ids(category="dog", order="oldest"), [f"dog{i}" for i in range(20)])
        self.assertEqual(ids(category="dog"), [f"dog{i}" for i in reversed(range(20))])
        self.assertEqual(ids(category="ca*", order="id", limit=3),
                         sorted([f"cat{i}" for i in range(20)] + [f"car{i}" for i in range(20)],
                                key=lambda i: (i[:3], i)))
        self.assertEqual(len(ids(category=["dog", {"prefix": "cat"}])), 40)
        self.assertEqual(ids(category="dog", id="dog1*", order="id"),
                         sorted(i for i in ids(category="dog") if i.startswith("dog1")))
        self.assertEqual(len(ids(name="NAME 07")), 3)
        self.assertEqual(ids(name_like="Name 0_ of dog", order="oldest"),
                         [f"dog{i}" for i in range(10)])
        first = self.peer.call("record.list", limit=2, order="oldest", offset=3)
        self.assertEqual([r["id"] for r in first["items"]], ["cat3", "cat4"])
        self.assertIn("cursor", first)
        now = int(time.time() * 1000)
        self.assertEqual(len(ids(updated_before=now + 60_000, updated_after=now - 600_000)), 60)
        self.assertEqual(ids(updated_after=now + 60_000), [])
        self.assertEqual(ids(category="nothing"), [])

    def test_count_and_categories(self):
        self.peer.call("record.put_many", records=[
            {"category": c, "id": str(i), "data": i} for c, n in (("a", 3), ("b/c", 2), ("b/d", 1))
            for i in range(n)])
        self.assertEqual(self.peer.call("record.count")["count"], 6)
        self.assertEqual(self.peer.call("record.count", category="b/*")["count"], 3)
        self.assertEqual(self.peer.call("record.count", category="a", id="1")["count"], 1)
        self.assertEqual(self.peer.call("category.list")["items"], [
            {"category": "a", "count": 3}, {"category": "b/c", "count": 2},
            {"category": "b/d", "count": 1}])
        self.assertEqual(self.peer.call("category.list", category="b/*")["items"], [
            {"category": "b/c", "count": 2}, {"category": "b/d", "count": 1}])

    def test_changes(self):
        seqs = [self.peer.call("record.put", id=f"r{i}", data=i)["seq"] for i in range(5)]
        deleted = self.peer.call("record.delete", id="r0")["seq"]
        page = self.peer.call("changes", since=0)
        self.assertEqual([c["seq"] for c in page["items"]], seqs[1:])
        self.assertEqual((page["seq"], page["more"]), (deleted, False))
        page = self.peer.call("changes", since=seqs[2], epoch=page["epoch"], limit=2)
        self.assertEqual([(c["seq"], c["op"]) for c in page["items"]],
                         [(seqs[3], "put"), (seqs[4], "put")])
        self.assertTrue(page["more"])
        page = self.peer.call("changes", since=page["seq"], epoch=page["epoch"])
        self.assertEqual([(c["seq"], c["op"], c["id"]) for c in page["items"]],
                         [(deleted, "delete", "r0")])
        self.assertEqual(self.peer.call("changes", since=0, categories="other")["items"], [])


class Refusals(Door):
    def test_parameters(self):
        put, name = "record.put", "record.get"
        invalid = [
            (put, {}), (put, {"id": "x"}),
            (put, {"data": 1, "colour": "red"}),
            (put, {"data": 1, "id": 7}), (put, {"data": 1, "id": ""}),
            (put, {"data": 1, "id": "a\nb"}), (put, {"data": 1, "id": "\x7f"}),
            (put, {"data": 1, "id": "a\0b"}), (put, {"data": 1, "id": "x" * 513}),
            (put, {"data": 1, "id": None}), (put, {"data": 1, "name": 7}),
            (put, {"data": 1, "name": "x" * 1025}), (put, {"data": 1, "name": "a\0b"}),
            (put, {"data": 1, "category": ""}), (put, {"data": 1, "category": "a b"}),
            (put, {"data": 1, "category": "é"}), (put, {"data": 1, "category": "$ours"}),
            (put, {"data": 1, "category": ".a"}), (put, {"data": 1, "category": "-a"}),
            (put, {"data": 1, "category": "/a"}), (put, {"data": 1, "category": "x" * 129}),
            (put, {"data": 1, "category": ["a"]}), (put, {"data": 1, "category": "a*"}),
            (put, {"data": 1, "if_seq": -1}), (put, {"data": 1, "if_seq": 2 ** 53}),
            (put, {"data": 1, "if_seq": "1"}), (put, {"data": 1, "if_seq": 1.5}),
            (put, {"data": 1, "if_seq": None}), (put, {"data": 1, "if_seq": True}),
            (put, {"data": 1, "ttl": 0}), (put, {"data": 1, "ttl": -5}),
            (put, {"data": 1, "ttl": "30"}), (put, {"data": 1, "ttl": "30 parsecs"}),
            (put, {"data": 1, "ttl": "0s"}), (put, {"data": 1, "ttl": 10 ** 30}),
            (put, {"data": 1, "ttl": [1]}),
            (put, {"data": 1, "expires_at": "tomorrow"}), (put, {"data": 1, "expires_at": -1}),
            (put, {"data": 1, "expires_at": "2024-02-30T00:00:00Z"}),
            (put, {"data": 1, "expires_at": 10 ** 17}),
            (put, {"data": 1, "ttl": "1s", "expires_at": 4102444800000}),
            (put, {"data": 1, "mode": "gently"}), (put, {"data": 1, "mode": 1}),
            (name, {}), (name, {"id": {"prefix": "a"}}), (name, {"id": "x" * 513}),
            ("record.delete", {}), ("record.delete", {"id": "x", "ids": ["y"]}),
            ("record.delete", {"ids": []}), ("record.delete", {"ids": [1]}),
            ("record.delete", {"ids": "x"}), ("record.delete", {"ids": [""]}),
            ("record.delete", {"ids": ["x"], "if_seq": 1}),
            ("record.delete", {"where": {}}), ("record.delete", {"where": {}, "cursor": "1"}),
            *(("record.delete", {"category": "a", "where": {}, **with_it}) for with_it in (
                {"id": "x"}, {"ids": ["x"]}, {"if_seq": 1}, {"limit": 0}, {"limit": 1001},
                {"cursor": ""}, {"cursor": "n:9"}, {"cursor": 9})),
            ("record.delete", {"id": "x", "limit": 1}), ("record.delete", {"id": "x", "cursor": "1"}),
            ("record.put_many", {}), ("record.put_many", {"records": []}),
            ("record.put_many", {"records": {"id": "x", "data": 1}}),
            ("record.put_many", {"records": [{"data": 1}], "results": "yes"}),
            ("record.list", {"limit": 0}), ("record.list", {"limit": 1001}),
            ("record.list", {"limit": "10"}), ("record.list", {"order": "random"}),
            ("record.list", {"category": []}), ("record.list", {"category": {"prefix": 1}}),
            ("record.list", {"category": {"prefix": "a", "more": 1}}),
            ("record.list", {"category": {}}), ("record.list", {"category": "a*b"}),
            ("record.list", {"name": "a", "name_like": "b"}),
            ("record.list", {"cursor": "nonsense"}), ("record.list", {"cursor": 7}),
            ("record.list", {"offset": -1}), ("record.list", {"updated_after": "yesterday"}),
            ("record.count", {"id": 5}), ("category.list", {"order": "id"}),
            ("changes", {}), ("changes", {"since": -1}), ("changes", {"since": 1}),
            ("changes", {"since": 0, "limit": 0}),
            ("subscribe", {}), ("subscribe", {"categories": "a", "topics": "b"}),
            ("subscribe", {"categories": 7}), ("subscribe", {"categories": "a", "since": 1}),
            ("subscribe", {"topics": "a", "since": 0}), ("subscribe", {"topics": "a", "ids": "b"}),
            ("subscribe", {"categories": "a", "topics": "b", "ids": "c"}),
            ("unsubscribe", {}), ("unsubscribe", {"subscription": 0}),
            ("unsubscribe", {"subscription": "1"}),
            ("publish", {}), ("publish", {"topic": "a"}), ("publish", {"topic": "a*", "data": 1}),
            ("publish", {"topic": "$a", "data": 1}),
            ("ping", {"x": 1}), ("status", {"verbose": True}), ("methods", {"name": "ping"}),
        ]
        for method, params in invalid:
            with self.subTest(method=method, params=str(params)[:70]):
                error = self.refuse("INVALID_ARGUMENT", method, **params)
                named = [name for name in (*params, "data", "id", "records", "since",
                                           "categories", "subscription", "topic")
                         if name in error.message]
                self.assertTrue(named, f"no parameter is named: {error.message}")
        self.assertEqual(self.peer.call("record.count")["count"], 0)

    def test_limits(self):
        self.peer.call("record.put", id="fits", data="x" * (4096 - 2))
        self.refuse("LIMIT_EXCEEDED", "record.put", data="x" * (4096 - 1))
        self.refuse("LIMIT_EXCEEDED", "publish", topic="a", data="x" * 5000)
        self.refuse("LIMIT_EXCEEDED", "record.delete", ids=["x"] * 10_001)
        self.refuse("LIMIT_EXCEEDED", "record.list", category=["a"] * 101)
        for _ in range(5):
            self.peer.call("subscribe", categories="a")
        self.refuse("LIMIT_EXCEEDED", "subscribe", categories="a")

    def test_not_found(self):
        self.refuse("NOT_FOUND", "record.get", id="x")
        self.refuse("NOT_FOUND", "unsubscribe", subscription=1)
        self.assertIn("record.putt", self.refuse("METHOD_NOT_FOUND", "record.putt").message)
        for method in ("", "PING", "rpc.ping", "x" * 10_000, "record", "record.", "ping\0"):
            self.refuse("METHOD_NOT_FOUND", method)

    def test_positions(self):
        seq = self.peer.call("record.put", data=1)["seq"]
        epoch = self.peer.call("record.count")["epoch"]
        self.refuse("RESYNC_REQUIRED", "subscribe", categories="*", since=seq, epoch="never")
        self.refuse("RESYNC_REQUIRED", "changes", since=seq, epoch="never")
        self.refuse("RESYNC_REQUIRED", "subscribe", categories="*", since=seq + 10 ** 6,
                    epoch=epoch)

    def test_a_parameter_twice(self):
        message = self.refuse_text("INVALID_ARGUMENT", '{"jsonrpc":"2.0","id":5,"method":'
                                   r'"record.get","params":{"id":"a","\u0069d":"b"}}', 5)
        self.assertIn("id", message)

    def test_lone_surrogates(self):
        for params in (r'{"id":"\ud800","data":1}', r'{"id":"x","name":"\udfff","data":1}'):
            self.refuse_text("INVALID_ARGUMENT", '{"jsonrpc":"2.0","id":5,"method":"record.put",'
                             f'"params":{params}}}', 5)

    def test_envelopes(self):
        request = '{"jsonrpc":"2.0","id":5,"method":"ping"'
        for text, request_id in (
                ("7", None), ('"text"', None), ("null", None), ("[]", None), ("{}", None),
                (request.replace("2.0", "1.0") + "}", 5), ('{"id":5,"method":"ping"}', 5),
                ('{"jsonrpc":2.0,"id":5,"method":"ping"}', 5), ('{"jsonrpc":"2.0","id":5}', 5),
                (request.replace('"ping"', "7") + "}", 5), (request + ',"params":[]}', 5),
                (request + ',"params":null}', 5), (request + ',"params":1}', 5),
                (request + ',"extra":1}', 5), (request + ',"result":1}', 5),
                (request + ',"method":"ping"}', 5), (request + ',"id":5}', None),
                (request.replace("5", "null") + "}", None),
                (request.replace("5", "1.5") + "}", None), (request.replace("5", "{}") + "}", None),
                (request.replace("5", "true") + "}", None),
                (request.replace("5", '"' + "x" * 65 + '"') + "}", None)):
            with self.subTest(text=text):
                self.refuse_text("INVALID_REQUEST", text, request_id)

    def test_not_json(self):
        for text in ("nonsense", "{", '{"jsonrpc":"2.0","id":1,"method":"ping"}}', "[1,]",
                     '{"jsonrpc":"2.0","id":01,"method":"ping"}', "'a'", '{"a":"\t"}',
                     '"\\x41"', "NaN", "[" * 100_000):
            with self.subTest(text=text[:40]):
                self.assertIn("byte", self.refuse_text("PARSE_ERROR", text))

    def test_nested_too_deeply(self):
        """An error that says so, however deep it goes and whether it is closed again or not."""
        put = '{"jsonrpc":"2.0","id":1,"method":"record.put","params":{"data":%s}}'
        for text in ("[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000,
                     put % ("[" * 100_000 + "]" * 100_000),
                     put % ('{"a":' * 100_000 + "1" + "}" * 100_000), put % ("[" * 135 + "]" * 135)):
            self.assertIn("nested too deeply", self.refuse_text("PARSE_ERROR", text))

    def test_ids_are_echoed_token_for_token(self):
        for token in ("0", "-7", BIG_INTEGER, '"a"', r'"\u0041\n"', '""', '"' + "é" * 32 + '"'):
            self.peer.send_text(f'{{"jsonrpc":"2.0","id":{token},"method":"ping"}}')
            while '"method":"hello"' in (text := self.peer.recv_text()):
                pass
            self.assertIn(f'"id":{token},"result"', text)

    def test_notifications_get_no_answer(self):
        self.peer.send_text('{"jsonrpc":"2.0","method":"record.put","params":{"id":"x","data":1}}')
        self.peer.send_text('{"jsonrpc":"2.0","method":"nothing"}')
        self.peer.send_text('{"jsonrpc":"2.0","method":"record.get","params":{"id":"y"}}')
        self.assertEqual(self.peer.call("record.get", id="x")["record"]["data"], 1)
        self.assertEqual(self.peer.answers, {})


class Batches(Door):
    def batch(self, *requests):
        """Sends a batch of (id, method, params); the answers by id."""
        self.peer.send_text(json.dumps([
            {"jsonrpc": "2.0", **({} if i is None else {"id": i}), "method": method,
             "params": params} for i, method, params in requests]))
        answers = self.next_answer()
        self.assertIsInstance(answers, list)
        return {a["id"]: a for a in answers}

    def test_batch(self):
        answers = self.batch((1, "record.put", {"id": "a", "data": 1}), (2, "ping", {}),
                             (3, "record.get", {"id": "a"}), (4, "nothing", {}),
                             (None, "record.put", {"id": "b", "data": 2}),
                             (5, "record.put", {"id": "", "data": 2}))
        self.assertEqual(set(answers), {1, 2, 3, 4, 5})
        self.assertEqual(answers[3]["result"]["record"]["data"], 1)
        self.assertEqual(answers[4]["error"]["data"]["code"], "METHOD_NOT_FOUND")
        self.assertEqual(answers[5]["error"]["data"]["code"], "INVALID_ARGUMENT")
        self.assertEqual(self.peer.call("record.get", id="b")["record"]["data"], 2)

    def test_subscribe_is_not_possible(self):
        answers = self.batch((1, "subscribe", {"categories": "*"}), (2, "ping", {}))
        self.assertEqual(answers[1]["error"]["data"]["code"], "INVALID_REQUEST")
        self.assertIn("result", answers[2])

    def test_size(self):
        answers = self.batch(*((i, "ping", {}) for i in range(100)))
        self.assertEqual(len(answers), 100)
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        self.refuse_text("INVALID_REQUEST", json.dumps([ping] * 101))

    def test_only_notifications_get_no_answer(self):
        put = {"jsonrpc": "2.0", "method": "record.put", "params": {"id": "a", "data": 1}}
        self.peer.send_text(json.dumps([put, put]))
        self.assertEqual(self.peer.call("record.get", id="a")["record"]["rev"], 2)

    def test_what_is_no_request(self):
        self.peer.send_text('[1,{"jsonrpc":"2.0","id":"x","method":"ping"},{}, []]')
        answers = self.next_answer()
        self.assertEqual([a["id"] for a in answers].count(None), 3)
        self.still_works()

    def test_many_batches_at_once(self):
        for n in range(20):
            self.peer.send_text(json.dumps([
                {"jsonrpc": "2.0", "id": f"{n}-{i}", "method": "record.put",
                 "params": {"id": f"{n}-{i}", "data": i}} for i in range(50)]))
        seen = [a["id"] for _ in range(20) for a in self.next_answer()]
        self.assertEqual(len(set(seen)), 1000)
        self.assertEqual(self.peer.call("record.count")["count"], 1000)


class Streams(Door):
    def test_subscribe(self):
        old = self.peer.call("record.put", category="a", id="old", data=0)["seq"]
        first = self.peer.call("subscribe", categories=["a", "b*"], since=0)
        second = self.peer.call("subscribe", categories="a")
        self.assertEqual((first["subscription"], second["subscription"]), (1, 2))
        told = []
        while len(told) < 3:  # the second may be live first
            message = self.peer.notification()
            if message["method"] in ("change", "synced"):
                told.append(message)
        [change] = [m["params"] for m in told if m["method"] == "change"]
        self.assertEqual((change["subscription"], change["seq"], change["op"], change["data"]),
                         (1, old, "put", 0))
        synced = {m["params"]["subscription"] for m in told if m["method"] == "synced"}
        self.assertEqual(synced, {1, 2})
        seq = self.peer.call("record.put", category="a", id="new", data=1)["seq"]
        heard = {self.peer.notification("change")["subscription"] for _ in range(2)}
        self.assertEqual(heard, {1, 2})
        self.assertEqual(self.peer.call("unsubscribe", subscription=1), {})
        self.refuse("NOT_FOUND", "unsubscribe", subscription=1)
        deleted = self.peer.call("record.delete", category="a", id="new")["seq"]
        change = self.peer.notification("change")
        self.assertEqual({k: change[k] for k in ("subscription", "seq", "prev", "op", "id")},
                         {"subscription": 2, "seq": deleted, "prev": seq, "op": "delete",
                          "id": "new"})

    def test_reply_comes_before_the_echo(self):
        self.peer.call("subscribe", categories="*")
        self.peer.notification("synced")
        for i in range(20):
            request_id = self.peer.send("record.put", id="x", data=i)
            message = self.peer.recv()
            self.assertEqual(message["id"], request_id)
            self.assertEqual(self.peer.recv()["params"]["seq"], message["result"]["seq"])

    def test_id_patterns(self):
        self.peer.call("subscribe", categories="*", ids=["a*", {"prefix": "b"}, "c"])
        for name in ("a1", "b1", "c", "c1", "d"):
            self.peer.call("record.put", id=name, data=0)
        self.peer.call("record.put", id="c", data="last")
        heard = []
        while not heard or heard[-1] != "last":
            change = self.peer.notification("change")
            heard.append(change["id"] if change["data"] != "last" else "last")
        self.assertEqual(heard, ["a1", "b1", "c", "last"])

    def test_topics(self):
        self.assertEqual(self.peer.call("publish", topic="news/today", data=1), {"receivers": 0})
        self.peer.call("subscribe", topics="news/*")
        other = self.open()
        self.assertEqual(other.call("publish", topic="news/today", data={"a": [1, BIG_INTEGER]}),
                         {"receivers": 1})
        message = self.peer.notification("message")
        self.assertEqual(message, {"subscription": 1, "topic": "news/today",
                                   "data": {"a": [1, BIG_INTEGER]}})
        self.assertEqual(other.call("publish", topic="old", data=1), {"receivers": 0})

    def test_pipeline(self):
        """More than may be in flight, and more than fits into the sockets."""
        results = self.peer_in_thread([("record.put", {"id": str(i), "data": "x" * 200})
                                       for i in range(5000)])
        self.assertEqual(len({r["seq"] for r in results}), 5000)

    def test_pipelined_answers_larger_than_the_send_queue(self):
        """Answers made without the store: the queue passes its limit within one turn."""
        results = self.peer_in_thread([("methods", {})] * 600)
        self.assertEqual(len(results), 600)
        self.still_works()

    def peer_in_thread(self, requests):
        """Sends while it reads, as a client has to."""
        import threading
        texts = []
        for i, (method, params) in enumerate(requests):
            texts.append(json.dumps({"jsonrpc": "2.0", "id": i, "method": method,
                                     "params": params}))
        sender = threading.Thread(target=lambda: [self.peer.send_text(t) for t in texts])
        sender.start()
        answers = {}
        while len(answers) < len(requests):
            message = self.next_answer()
            answers[message["id"]] = message["result"]
        sender.join()
        return [answers[i] for i in range(len(requests))]


class About(Door):
    def test_ping_and_status(self):
        self.assertAlmostEqual(self.peer.call("ping")["time"], time.time() * 1000, delta=10_000)
        status = self.peer.call("status")
        self.assertEqual(status["protocol"], "1.0")
        self.assertEqual(status["state"], "serving")
        self.assertEqual(status["store"]["durability"], "full")
        self.assertEqual(status["limits"]["max_record"], 4096)
        self.assertEqual(status["limits"]["max_message"], 2 << 20)

    def test_methods(self):
        rows = self.peer.call("methods")["items"]
        names = [row["method"] for row in rows]
        self.assertEqual(names, sorted(set(names)))
        for row in rows:
            self.assertTrue(row["help"])
            self.assertIn(row["scope"], ("none", "read", "write", "publish", "admin", "secrets"))
            self.assertEqual([p for p in row["params"] if not p["help"]], [])
        self.assertEqual(names, re.findall(r'^\t\{"([\w.]+)",', source("daemon/api/gate.c"),
                                           re.MULTILINE))


class LargeBatch(unittest.TestCase):
    LIMIT = 16 << 20

    def test_what_failed_is_told_as_it_is(self):
        """Also behind answers that fill the batch to the last byte: only what was done may be said to
        have been done."""
        daemon = daemon_for(self)
        with daemon.control() as control:
            control.call("record.put", id="big", data="x" * ((1 << 20) - 2))
            control.call("record.put", id="end", data="x")
            whole = len(self.get(control, "big"))
            head = len('{"jsonrpc":"2.0","id":10,"result":}')
            room = self.LIMIT - 15 * (whole + 1) - (len(self.get(control, "end")) - head)
            control.call("record.put", id="end", data="x" * (1 + room))
            self.assertEqual(15 * (whole + 1) + len(self.get(control, "end")) - head, self.LIMIT)
            ids = ["big"] * 15 + ["end", "missing", "big"]
            control.send_text(json.dumps([self.request(10 + i, name) for i, name in enumerate(ids)]))
            answers = {a["id"]: a for a in control.recv()}
            self.assertEqual(answers.pop(26)["error"]["data"]["code"], "NOT_FOUND")
            # several readers answer: the one that finds no room need not be the last
            refused = [number for number, answer in answers.items() if "result" not in answer]
            self.assertEqual(len(refused), 1)
            self.assertNotEqual(refused, [25], "the one that fits to the byte")
            error = answers[refused[0]]["error"]
            self.assertEqual(error["data"]["code"], "LIMIT_EXCEEDED")
            self.assertIn("was done", error["message"])

    @staticmethod
    def request(number, name):
        return {"jsonrpc": "2.0", "id": number, "method": "record.get", "params": {"id": name}}

    def get(self, control, name):
        control.send_text(json.dumps(self.request(10, name)))
        return control.recv_text()


class RecordsOnControl(OnControl, Records, unittest.TestCase):
    pass


class RecordsOnWebSocket(OnWebSocket, Records, unittest.TestCase):
    pass


class RefusalsOnControl(OnControl, Refusals, unittest.TestCase):
    pass


class RefusalsOnWebSocket(OnWebSocket, Refusals, unittest.TestCase):
    pass


class BatchesOnControl(OnControl, Batches, unittest.TestCase):
    pass


class BatchesOnWebSocket(OnWebSocket, Batches, unittest.TestCase):
    pass


class StreamsOnControl(OnControl, Streams, unittest.TestCase):
    pass


class StreamsOnWebSocket(OnWebSocket, Streams, unittest.TestCase):
    pass


class AboutOnWebSocket(OnWebSocket, About, unittest.TestCase):
    def test_hello(self):
        hello = self.peer.notification("hello")
        self.assertEqual((hello["protocol"], hello["durability"], hello["seq"]),
                         ("1.0", "full", 0))
        self.assertEqual(hello["heartbeat_ms"], 30_000)
        self.assertEqual(hello["limits"]["max_message"], 2 << 20)
        self.assertTrue(hello["epoch"] and hello["version"])

    def test_admin_methods_are_denied(self):
        for method, params in (("session.list", {}), ("session.close", {"session": 1}),
                               ("system.config", {}), ("system.reload", {}),
                               ("system.log_level", {}), ("system.shutdown", {}),
                               ("system.stats", {})):
            self.assertIn("needs admin", self.refuse("PERMISSION_DENIED", method,
                                                        **params).message)
        self.still_works()


class AnonymousScopes(unittest.TestCase):
    def test_scopes(self):
        daemon = daemon_for(self, config='[websocket]\nanonymous = ["read"]\n')
        with daemon.ws() as ws:
            self.assertEqual(ws.call("record.count")["count"], 0)
            for method, params in (("record.put", {"data": 1}), ("record.delete", {"id": "x"}),
                                   ("publish", {"topic": "a", "data": 1})):
                with self.assertRaises(RpcError) as caught:
                    ws.call(method, **params)
                self.assertEqual(caught.exception.code, "PERMISSION_DENIED")
                self.assertIn("websocket.anonymous", caught.exception.message)


class AboutOnControl(OnControl, About, unittest.TestCase):
    def test_sessions(self):
        with self.daemon.ws() as ws:
            ws.call("subscribe", categories="a", ids="b*")
            items = self.peer.call("session.list")["items"]
            self.assertEqual(sorted(i["door"] for i in items), ["control", "websocket"])
            session = next(i for i in items if i["door"] == "websocket")
            self.assertEqual(session["state"], "open")
            self.assertEqual(session["subscriptions"][0]["categories"], ["a"])
            self.assertEqual(session["subscriptions"][0]["ids"], ["b*"])
            self.assertEqual(self.peer.call("session.close", session=session["session"]), {})
            closing = ws.notification("closing")
            self.assertTrue(closing["reason"])
            self.assertGreater(closing["retry_after_ms"], 0)
            self.assertEqual(ws.close_code(), 4000)
        self.refuse("NOT_FOUND", "session.close", session=10 ** 9)

    def test_a_session_closes_itself(self):
        """Alone, and in the middle of a batch: the connection ends, the daemon goes on."""
        own = self.peer.call("session.list")["items"][-1]["session"]
        close = {"jsonrpc": "2.0", "id": 1, "method": "session.close"}
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        put = {"jsonrpc": "2.0", "id": 3, "method": "record.put", "params": {"data": 1}}
        for step, message in enumerate(([close], [put, close, put, ping], [close, close])):
            other = self.open()
            other.call("ping")
            mine = own + 1 + step
            self.assertEqual(self.peer.call("session.list")["items"][-1]["session"], mine)
            for request in message:
                if request["method"] == "session.close":
                    request["params"] = {"session": mine}
            with self.assertRaises(Closed):
                other.send_text(json.dumps(message if step else message[0]))
                other.send_text(json.dumps(ping))
                while True:
                    other.recv(timeout=10)
            self.still_works()

    def test_a_stop_does_not_cut_answers_off(self):
        """What was answered is written to the end, however slowly it is read; reads that waited
        for the client to listen are given up. What was not read yet is not answered."""
        count = 20
        self.peer.call_all([("record.put", {"id": str(n), "data": "x" * 4000})
                            for n in range(300)])
        slow = self.open()
        slow.send_raw(b"".join(b'{"jsonrpc":"2.0","id":%d,"method":"record.list","params":'
                               b'{"limit":1000}}\n' % n for n in range(count)))
        wait_for(lambda: any(s["unsent"] > 1 << 17
                             for s in self.peer.call("session.list")["items"]))
        self.daemon.signal(signal.SIGTERM)
        with self.assertRaises(Closed):
            self.peer.recv()
        whole = 0
        for number in range(count):
            try:
                page = slow.answer(number)
                self.assertTrue(len(page["items"]) >= 300 or "cursor" in page,
                                "what is not in it is on another page")
                self.assertGreater(len(page["items"]), 0)
                whole += 1
            except RpcError as error:
                self.assertEqual(error.code, "UNAVAILABLE")
            except Closed:
                break
        self.assertGreater(whole, 0)
        with self.assertRaises(Closed):
            slow.recv()
        self.assertEqual(self.daemon.wait_exit(), 0)

    def test_config(self):
        items = {i["name"]: i for i in self.peer.call("system.config")["items"]}
        self.assertEqual(items["store.max_record"]["value"], "4KiB")
        self.assertIn("store.path", items)

    def test_log_level(self):
        before = self.peer.call("system.log_level")["filter"]
        self.assertEqual(self.peer.call("system.log_level", filter="warn,store=debug")["filter"],
                         "warn,store=debug")
        self.refuse("INVALID_ARGUMENT", "system.log_level", filter="loud")
        self.assertEqual(self.peer.call("system.log_level")["filter"], "warn,store=debug")
        self.peer.call("system.log_level", filter=before)

    def test_failed_notifications_are_counted(self):
        name = "sysrt_peers_notifications_failed_total"
        before = self.peer.call("system.stats")[name]
        for text in ('{"jsonrpc":"2.0","method":"nonsense"}',
                     '{"jsonrpc":"2.0","method":"record.get","params":{"id":"not there"}}',
                     '{"jsonrpc":"2.0","method":"ping"}'):
            self.peer.send_text(text)
        wait_for(lambda: self.peer.call("system.stats")[name] == before + 2)

    def test_names_are_compared_decoded(self):
        for text in (r"\u0070ing", r"pi\u006eg", "".join(rf"\u{ord(c):04x}" for c in "ping")):
            self.peer.send_text('{"jsonrpc":"2.0","id":77,"method":"%s"}' % text)
            self.assertIn("time", self.peer.answer(77))
        for text in (r"\ud800", r"ping\u0000", r"\u0070" * 60):
            self.peer.send_text('{"jsonrpc":"2.0","id":77,"method":"%s"}' % text)
            with self.assertRaises(RpcError) as caught:
                self.peer.answer(77)
            self.assertEqual(caught.exception.code, "METHOD_NOT_FOUND")

    def test_stats(self):
        stats = self.peer.call("system.stats")
        self.assertGreater(stats["sysrt_net_read_bytes_total"], 0)
        self.assertTrue(all(re.fullmatch(r"sysrt_[a-z0-9_]+", name) for name in stats))

    def test_lines(self):
        """Empty lines, CRLF, a line too long in one piece and in many, one without its end."""
        ping = b'{"jsonrpc":"2.0","id":"%s","method":"ping"}'
        self.peer.send_raw(b"\n\r\n" + ping % b"a" + b"\r\n")
        self.assertEqual(self.peer.recv()["id"], "a")
        for size in ((2 << 20) + 1, 5 << 20):
            self.peer.send_raw(b"x" * size + b"\n" + ping % b"b" + b"\n")
            refused = self.peer.recv()
            self.assertEqual((refused["id"], refused["error"]["data"]["code"]),
                             (None, "LIMIT_EXCEEDED"))
            self.assertIn("max_message", refused["error"]["message"])
            self.assertEqual(self.peer.recv()["id"], "b")
        for byte in ping % b"c" + b"\n":
            self.peer.send_raw(bytes([byte]))
        self.assertEqual(self.peer.recv()["id"], "c")
        self.peer.send_raw(b'{"jsonrpc":"2.0","id":"\xff","method":"ping"}\n')
        self.assertEqual(self.peer.recv()["error"]["data"]["code"], "PARSE_ERROR")
        self.still_works()

    def admitted(self):
        """A connection that was let in, or None: one that has just gone may still count."""
        control = Control(self.daemon.socket)
        with contextlib.suppress(Closed):
            control.send("ping")
            if control.recv()["id"] is not None:
                self.addCleanup(control.close)
                return control
        control.close()
        return None

    def test_connections_per_user(self):
        self.daemon.close()
        self.daemon = daemon_for(self, config="[control]\nmax_per_uid = 3\n")
        three = [wait_for(self.admitted) for _ in range(3)]
        refused = self.open()
        answer = refused.recv()
        self.assertEqual((answer["id"], answer["error"]["data"]["code"]),
                         (None, "LIMIT_EXCEEDED"))
        with self.assertRaises(Closed):
            refused.recv()
        three.pop().close()
        three[0].call("ping")
        wait_for(self.admitted)


NUMBERS = {
    "PARSE_ERROR": -32700, "INVALID_REQUEST": -32600, "METHOD_NOT_FOUND": -32601,
    "INVALID_ARGUMENT": -32602, "NOT_FOUND": -32001, "CONFLICT": -32002, "RESYNC_REQUIRED": -32003,
    "PERMISSION_DENIED": -32005, "LIMIT_EXCEEDED": -32007,
}

if __name__ == "__main__":
    unittest.main()

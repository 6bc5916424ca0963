"""Searching in a daemon that is written to: what a put's reply has told is found, in the index or
before it is there; and the index follows through restarts, kills, other settings and its own loss.

builds: tsan; in check-long: release asan
"""

import contextlib
import os
import shutil
import sqlite3
import unittest

from harness import LONG, RpcError, check_store, daemon_for, seeded, wait_for

WORDS = ["amber", "birch", "cedar", "delta", "ember", "flint", "grove", "heath", "iris", "juniper"]


def hits(client, query, **params):
    """(category, id) of all that match, page by page, newest first; totals agree with them."""
    found, cursor = [], {}
    while True:
        page = client.call("record.search", query=query, order="newest", snippet=0, **params,
                           **cursor)
        found += [(item["category"], item["id"]) for item in page["items"]]
        if "cursor" not in page:
            if not page["capped"]:
                assert page["total"] == len(found), (page["total"], found)
            return found
        cursor = {"cursor": page["cursor"]}


def index_of(daemon):
    return f"{daemon.store}.search"


def state(client):
    return client.call("status")["search"]


def wait_indexed(client):
    return wait_for(lambda: (s := state(client))["state"] == "ready" and s["lag"] == 0 and s,
                    what="the index to be complete")


class Searching(unittest.TestCase):
    def open(self, config="", **options):
        self.daemon = daemon_for(self, config=config, **options)
        self.reconnect()

    def reconnect(self):
        self.client = self.daemon.control()
        self.addCleanup(self.client.close)

    def put(self, record_id, data, category="c", **more):
        return self.client.call("record.put", category=category, id=record_id, data=data, **more)

    def ids(self, query, **params):
        return [record_id for _, record_id in hits(self.client, query, **params)]


class Truth(Searching):
    def setUp(self):
        self.open()

    def test_a_write_is_found_at_once_wherever_it_is(self):
        """The first is in the index when the others come, which are not."""
        self.put("1", {"text": "a red house", "n": 31})
        wait_indexed(self.client)
        self.assertEqual(self.ids("red"), ["1"])
        self.put("2", "the red sea", name="Ocean")
        self.assertEqual(self.ids("red"), ["2", "1"])
        self.assertEqual(self.ids("31"), ["1"])
        self.assertEqual(self.ids("ocean"), ["2"])
        self.assertEqual(self.ids("name:ocean red"), ["2"])
        self.put("1", "a blue house")
        self.assertEqual(self.ids("red"), ["2"])
        self.assertEqual(self.ids("house"), ["1"])
        self.client.call("record.delete", category="c", id="2")
        self.assertEqual(self.ids("red"), [])
        wait_indexed(self.client)
        self.assertEqual(self.ids("red OR house"), ["1"])

    def test_expired_records_are_not_found(self):
        self.put("short", "word", ttl="50ms")
        self.put("long", "word")
        wait_for(lambda: self.ids("word") == ["long"], what="the record to expire")
        wait_indexed(self.client)
        self.assertEqual(self.ids("word"), ["long"])

    def test_restricted_like_a_listing(self):
        for category in ("a.x", "a.y", "b"):
            self.put("1", "word", category=category)
        for _ in range(2):  # out of memory, then out of the index
            self.assertEqual(hits(self.client, "word", category="b"), [("b", "1")])
            self.assertEqual(hits(self.client, "word", category="a.*"),
                             [("a.y", "1"), ("a.x", "1")])
            self.assertEqual(hits(self.client, "word", category=["b", "a.x"]),
                             [("b", "1"), ("a.x", "1")])
            self.assertEqual(hits(self.client, "word", category="none"), [])
            middle = self.client.call("record.get", category="a.y", id="1")["record"]
            self.assertNotIn(("a.y", "1"), hits(self.client, "word",
                                                updated_after=middle["updated_at"]))
            self.assertNotIn(("a.y", "1"), hits(self.client, "word",
                                                updated_before=middle["updated_at"]))
            wait_indexed(self.client)

    def test_the_name_weighs_more_and_ranks_are_alike_in_memory(self):
        self.put("data", "granite slab of the old quarry")
        self.put("name", "something else of the same length", name="granite")
        self.put("other", "nothing")
        in_memory = self.client.call("record.search", query="granite")
        self.assertEqual([item["id"] for item in in_memory["items"]], ["name", "data"])
        wait_indexed(self.client)
        indexed = self.client.call("record.search", query="granite")
        for before, after in zip(in_memory["items"], indexed["items"]):
            self.assertEqual(before["id"], after["id"])
            self.assertAlmostEqual(before["score"], after["score"], places=6)
        item = indexed["items"][0]
        self.assertEqual(item["name_matches"], [[0, 7]])
        self.assertNotIn("data", item)
        item = self.client.call("record.search", query="slab", data=True)["items"][0]
        self.assertEqual(item["data"], "granite slab of the old quarry")
        self.assertEqual(item["snippet"], {"text": "granite slab of the old quarry",
                                           "matches": [[8, 12]]})

    def test_faults_are_named(self):
        for params, says in (({"query": ""}, "query: nothing to look for"),
                             ({"query": '""'}, "query: an empty phrase at 1"),
                             ({"query": "a", "cursor": "n:1:2"}, "cursor: "),
                             ({"query": "a", "cursor": "r:1"}, "cursor: "),
                             ({"query": "a", "cursor": "r:1:2x"}, "cursor: "),
                             ({"query": "a", "order": "newest", "cursor": "n::2"}, "cursor: ")):
            with self.assertRaises(RpcError) as caught:
                self.client.call("record.search", **params)
            self.assertEqual(caught.exception.code, "INVALID_ARGUMENT", params)
            self.assertIn(says, caught.exception.message)

    def test_against_a_model(self):
        """Random writes and searches between them: the same as looking at every record."""
        rng, model = seeded(), {}
        queries = (lambda: rng.choice(WORDS),
                   lambda: f"{rng.choice(WORDS)} -{rng.choice(WORDS)}",
                   lambda: f"{rng.choice(WORDS)} OR {rng.choice(WORDS)}",
                   lambda: f'"{rng.choice(WORDS)} {rng.choice(WORDS)}"',
                   lambda: rng.choice(WORDS)[:rng.randint(1, 3)] + "*")

        def matches(text, query):
            words = text.split()
            if query.startswith('"'):
                return query.strip('"') in text
            if " OR " in query:
                return any(word in words for word in query.split(" OR "))
            if query.endswith("*"):
                return any(word.startswith(query[:-1]) for word in words)
            first, *rest = query.split(" -")
            return first in words and not any(word in words for word in rest)

        for step in range(3000 if LONG else 400):
            record_id = str(rng.randrange(60))
            if rng.random() < 0.2:
                self.client.call("record.delete", category="c", id=record_id)
                model.pop(record_id, None)
            else:
                model[record_id] = " ".join(rng.choices(WORDS, k=4))
                self.put(record_id, model[record_id])
            query = rng.choice(queries)()
            self.assertEqual(set(self.ids(query)),
                             {r for r, text in model.items() if matches(text, query)}, query)
            if step % 100 == 50:
                wait_indexed(self.client)
        indexed = wait_indexed(self.client)
        self.assertEqual(indexed["rebuilds"], 0)


def large_records():
    """Ten of one word each, and of much that a condition has to look at."""
    return [{"id": str(i), "data": ["word"] + [None] * 40000} for i in range(10)]


class Limits(Searching):
    def test_only_the_newest_are_ranked_and_it_is_said(self):
        self.open('[search]\nrank_limit = 10\n')
        for i in range(25):
            self.put(str(i), "word")
        for _ in range(2):
            page = self.client.call("record.search", query="word", limit=4)
            self.assertEqual((page["total"], page["ranked"], page["capped"]), (10, 10, True))
            seen = page["items"]
            while "cursor" in page:
                page = self.client.call("record.search", query="word", limit=4,
                                        cursor=page["cursor"])
                seen += page["items"]
                self.put("new", "word")  # what comes later does not shift the pages
            self.assertEqual(sorted(int(item["id"]) for item in seen), list(range(15, 25)))
            self.client.call("record.delete", category="c", id="new")
            wait_indexed(self.client)
        page = self.client.call("record.search", query="word", order="newest", limit=3)
        self.assertEqual((page["total"], page["capped"]), (10, True))
        self.assertNotIn("ranked", page)
        self.assertEqual(self.ids("word", limit=3), [str(i) for i in range(24, -1, -1)])

    def test_a_search_that_takes_too_long(self):
        self.open('[search]\ntimeout = "1ms"\n')
        words = " ".join(WORDS * 20)
        records = [{"id": str(i), "data": f"{words} {i}"} for i in range(2000)]
        self.client.call("record.put_many", category="c", records=records)
        with self.assertRaises(RpcError) as caught:
            self.client.call("record.search", query="amber")
        self.assertEqual(caught.exception.code, "TIMEOUT")
        self.assertIn("search.timeout", caught.exception.message)
        self.assertEqual(state(self.client)["timeouts"], 1)

    def warm_up(self):
        """Everything is in the index, and whatever searches need is open."""
        wait_indexed(self.client)
        with contextlib.suppress(RpcError):
            self.ids("none")

    def test_few_large_records_take_time_too(self):
        self.open('[search]\ntimeout = "5ms"\n')
        records = large_records()
        for first in range(0, 40, 10):
            self.client.call("record.put_many", category=f"c{first}", records=records)
        self.warm_up()
        with self.assertRaises(RpcError) as caught:
            self.client.call("record.search", query="word", where={"": {"contains": 1}})
        self.assertEqual(caught.exception.code, "TIMEOUT")

    def pipeline(self, n):
        """Sends searches that each take a while, over a connection of its own."""
        self.client.call("record.put_many", category="c", records=large_records())
        self.put("only", "needle")
        self.warm_up()
        other = self.daemon.control()
        self.addCleanup(other.close)
        return other, [other.send("record.search", query="word", where={"": {"contains": 1}})
                       for _ in range(n)]

    def test_clients_search_in_turn(self):
        self.open()
        self.pipeline(100)
        wait_for(lambda: state(self.client)["searches"] > 3, what="some of them")
        before = state(self.client)["searches"]
        self.assertEqual(self.ids("needle"), ["only"])
        self.assertLess(state(self.client)["searches"] - before, 20)

    def test_a_search_that_waited_too_long(self):
        self.open('[search]\ntimeout = "20ms"\n')
        other, sent = self.pipeline(100)
        says = set()
        for request in sent:
            try:
                other.answer(request)
            except RpcError as error:
                self.assertEqual(error.code, "TIMEOUT")
                says.add(error.message)
        self.assertTrue(any("waited for its turn" in text for text in says), says)

    def test_a_writer_is_not_let_go_too_far_ahead(self):
        self.open('[search]\nmax_lag = 1000\n')
        records = [{"id": str(i), "data": " ".join(WORDS)} for i in range(2000)]

        def is_found():
            """A machine that leaves the indexer no time may have it come again."""
            try:
                return self.client.call("record.search", query="amber", limit=1)["items"]
            except RpcError as error:
                self.assertEqual(error.code, "UNAVAILABLE")
                return None
        for _ in range(4):
            self.client.call("record.put_many", category="c", records=records)
            wait_for(is_found)
        self.assertGreater(state(self.client)["waited_ms"], 0)
        wait_indexed(self.client)


KINDS = """
[category.part]
search = "trigram"
[category.none]
search = "off"
"""


class Kinds(Searching):
    def test_each_category_is_searched_in_its_way(self):
        self.open(KINDS)
        for category in ("part", "none", "words"):
            self.put("1", "searchlight", category=category)
        for _ in range(2):
            self.assertEqual(hits(self.client, "archli"), [("part", "1")])
            self.assertEqual(hits(self.client, "searchlight"), [("words", "1"), ("part", "1")])
            self.assertEqual(hits(self.client, "search*", category="words"), [("words", "1")])
            self.assertEqual(hits(self.client, "light", category="words"), [])
            with self.assertRaises(RpcError) as caught:
                hits(self.client, "searchlight", category="none")
            self.assertEqual(caught.exception.code, "INVALID_ARGUMENT")
            self.assertIn("category none is not searched", caught.exception.message)
            wait_indexed(self.client)

    def test_what_is_too_much_for_one_way_is_not_left_out(self):
        self.open(KINDS)
        query = " OR ".join(f"{word}light" for word in WORDS * 4)
        self.put("1", "amberlight", category="part")
        self.put("1", "amberlight", category="words")
        self.assertEqual(hits(self.client, query, category="words"), [("words", "1")])
        for more in ({}, {"category": "part"}):
            with self.assertRaises(RpcError) as caught:
                hits(self.client, query, **more)
            self.assertEqual(caught.exception.code, "LIMIT_EXCEEDED")
            self.assertRegex(caught.exception.message,
                             r"^query: more than 256 runs of three characters at \d+$")

    def test_other_settings_make_another_index(self):
        self.open()
        self.put("1", "searchlight", category="part")
        self.put("1", "searchlight", category="none")
        self.assertEqual(len(hits(self.client, "searchlight")), 2)
        self.assertEqual(hits(self.client, "archli"), [])
        self.daemon.config_path.write_text(KINDS)
        self.client.call("system.reload")
        wait_for(lambda: hits_or_none(self.client, "archli") == [("part", "1")],
                 what="the other index")
        self.assertEqual(hits(self.client, "searchlight"), [("part", "1")])

    def test_nothing_is_searched(self):
        off = '[category."*"]\nsearch = "off"\n'
        self.open(off)
        self.put("1", "word")
        with self.assertRaises(RpcError) as caught:
            hits(self.client, "word")
        self.assertEqual(caught.exception.code, "UNAVAILABLE")
        self.assertIn("no category is searched", caught.exception.message)
        self.assertEqual(state(self.client)["state"], "off")
        self.assertFalse(os.path.exists(index_of(self.daemon)))
        self.daemon.config_path.write_text("")
        self.client.call("system.reload")
        wait_for(lambda: hits_or_none(self.client, "word") == [("c", "1")], what="an index")
        self.daemon.config_path.write_text(off)
        self.client.call("system.reload")
        wait_for(lambda: not os.path.exists(index_of(self.daemon)), what="the index to go")


def hits_or_none(client, query):
    """None while the index is not there."""
    try:
        return hits(client, query)
    except RpcError as error:
        if error.code != "UNAVAILABLE":
            raise
        return None


class Lost(Searching):
    """The index may be anything at the start: searches tell the truth soon."""

    def setUp(self):
        self.open()
        for i in range(50):
            self.put(str(i), f"word {WORDS[i % 10]}")
        wait_indexed(self.client)

    def check(self, rebuilt):
        """What is found is what is stored."""
        self.reconnect()
        wait_for(lambda: hits_or_none(self.client, "word") is not None, what="the index")
        for query in ("word", *WORDS[:3]):
            stored = [r["id"] for r in self.client.list_all(category="c")
                      if query in r["data"].split()]
            self.assertEqual(self.ids(query), stored)
        self.assertEqual(wait_indexed(self.client)["rebuilds"] > 0, rebuilt)

    def test_a_restart_goes_on(self):
        self.daemon.restart()
        self.check(rebuilt=False)
        self.assertEqual(state(self.client)["indexed"], 0)

    def test_a_kill_leaves_the_mark_behind(self):
        for i in range(50, 90):
            self.put(str(i), "word")
        self.client.call("record.delete", category="c", id="3")
        self.daemon.kill()
        self.daemon.start()
        self.check(rebuilt=False)

    def test_kills_between_batches(self):
        """Again and again, wherever the index is."""
        for round_ in range(20 if LONG else 4):
            records = [{"id": str(i), "data": f"word {WORDS[(i + round_) % 10]}"}
                       for i in range(round_, 900, round_ + 1)]
            for _ in range(3):
                self.client.call("record.put_many", category="c", records=records)
            self.client.call("record.delete", category="c", ids=[str(round_), str(round_ + 7)])
            self.daemon.kill()
            self.daemon.start()
            self.reconnect()
        self.check(rebuilt=False)

    def test_the_file_is_gone(self):
        self.daemon.stop()
        os.unlink(index_of(self.daemon))
        self.daemon.start()
        self.check(rebuilt=False)
        self.assertEqual(state(self.client)["indexed"], 50)

    def test_the_file_is_something_else(self):
        for content in (b"", b"not a database" * 1000, b"SQLite format 3\0" + b"\1" * 8176):
            self.daemon.stop()
            with open(index_of(self.daemon), "wb") as file:
                file.write(content)
            self.daemon.start()
            self.check(rebuilt=False)

    def test_the_file_is_damaged_inside(self):
        self.daemon.stop()
        with open(index_of(self.daemon), "r+b") as file:
            file.seek(4096)
            file.write(os.urandom(os.path.getsize(index_of(self.daemon)) - 4096))
        self.daemon.start()
        self.reconnect()
        self.put("new", "word")
        wait_for(lambda: hits_or_fault(self.client, "word") == 51, what="the index to be mended")

    def test_the_store_is_an_older_one(self):
        """As restored from a backup, with the index of what came later beside it."""
        self.daemon.stop()
        backup = self.daemon.folder / "backup"
        shutil.copyfile(self.daemon.store, backup)
        self.daemon.start()
        self.reconnect()
        for i in range(40, 60):
            self.put(str(i), "word changed")
        self.client.call("record.delete", category="c", id="1")
        wait_indexed(self.client)
        self.daemon.stop()
        shutil.copyfile(backup, self.daemon.store)
        self.daemon.start()
        self.check(rebuilt=True)

    def test_the_store_is_another_one(self):
        self.daemon.stop()
        os.unlink(self.daemon.store)
        self.daemon.start()
        self.reconnect()
        self.put("only", "word")
        self.check(rebuilt=True)

    def test_deletions_are_forgotten_at_once(self):
        """The index sees each before it is pruned."""
        self.daemon.config_path.write_text('[store]\ntombstone_retention = "0s"\n'
                                           'tombstone_max = 0\n')
        self.client.call("system.reload")
        for i in range(30):
            self.client.call("record.delete", category="c", id=str(i))
        wait_for(lambda: self.client.call("status")["store"]["tombstones"] == 0, what="pruning")
        self.check(rebuilt=False)


class Batches(Searching):
    """An index that takes more than one batch: each is of at most 10,000 records, of categories
    that are not searched too. Deletions are forgotten soon."""

    RECORDS = 35000

    def setUp(self):
        self.open('[store]\ntombstone_retention = "0s"\ntombstone_max = 0\n'
                  '[category.none]\nsearch = "off"\n')
        for first in range(0, self.RECORDS, 5000):
            self.client.call("record.put_many", records=[
                {"category": "none" if i % 50 else "c", "id": str(i), "data": "word"}
                for i in range(first, first + 5000)])
        self.client.call("record.delete", category="none", ids=["1", "2"])
        wait_for(lambda: self.client.call("status")["store"]["tombstones"] == 0, what="pruning")

    def begin_anew(self):
        self.daemon.stop()
        os.unlink(index_of(self.daemon))
        self.daemon.start()
        self.reconnect()

    def check(self):
        indexed = wait_indexed(self.client)
        self.assertEqual(indexed["rebuilds"], 0)
        self.assertEqual(len(self.ids("word", limit=1000)), self.RECORDS // 50)
        return indexed

    def test_it_is_finished_whatever_was_forgotten_before(self):
        self.begin_anew()
        self.check()

    def test_a_kill_half_way(self):
        """Nothing is wrong with what is there, and it is gone on with."""
        def kill_between():
            self.begin_anew()
            wait_for(lambda: state(self.client)["mark"] > 0, what="the first batch")
            self.daemon.kill()
            with contextlib.closing(sqlite3.connect(index_of(self.daemon))) as db:
                mark, = db.execute("SELECT value FROM meta WHERE key = 'mark'").fetchone()
            if mark < self.RECORDS:
                return True
            self.daemon.start()
            return False
        wait_for(kill_between, what="a kill between two batches")
        self.assertTrue(check_store(self.daemon.store)["ok"])
        self.daemon.start()
        self.reconnect()
        self.assertLess(self.check()["indexed"], self.RECORDS // 50)


def hits_or_fault(client, query):
    try:
        return client.call("record.search", query=query)["total"]
    except RpcError as error:
        assert error.code in ("UNAVAILABLE", "DATABASE_ERROR"), error
        return None


if __name__ == "__main__":
    unittest.main()

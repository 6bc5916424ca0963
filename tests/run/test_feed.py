"""Feeds, the basics: a python3-websockets server sends, and what it sends is stored as mapped, and
told; a feed comes and goes by the configuration and by methods.

builds: release asan
"""

import contextlib
import json
import os
import signal
import threading
import time
import unittest

import websockets

from faults import Delaying
from feeds import section
from harness import TEXT, TIMEOUT_S, RpcError, encode_frame, wait_for
from trades import SECRET, TRADES, Basics, trade
from upstream import upstream_for


class Mapping(Basics):
    def test_messages_become_records(self):
        server = self.upstream()
        self.start(section("t", url=server.url, received_at="got", ttl="1h", time="{/at}",
                           name="{/product} trade", drop_unmapped=False, **TRADES))
        self.wait_state("t", "live")
        server.send(trade("BTC", "97123.10", "2026-01-02T03:04:05.678Z"),
                    '{"type":"heartbeat"}', 
                    trade("ETH", 12345678901234567890123, 1767323045678),
                    '{"type":"trade","price":1}', "no json")
        record = self.wait_record("ticker", "ETH", lambda d: True)
        self.assertEqual(record["data"]["price"], 12345678901234567890123)
        first = self.get("ticker", "BTC")
        self.assertEqual(first["name"], "BTC trade")
        self.assertEqual(first["updated_at"], 1767323045678)
        self.assertGreater(first["expires_at"], time.time() * 1000 + 3_000_000)
        self.assertAlmostEqual(first["data"].pop("got"), time.time() * 1000, delta=600_000)
        self.assertEqual(first["data"], {"type": "trade", "product": "BTC", "price": "97123.10",
                                         "at": "2026-01-02T03:04:05.678Z"})
        self.wait_metric("unmapped_total", "t", 2)
        shown = self.show("t")
        self.assertEqual((shown["messages"], shown["mapped"], shown["ignored"]), (5, 2, 1))
        self.assertEqual(shown["handshake"]["status"], 101)
        self.assertIn("not mapped", [e["what"] for e in
                                     self.control.call("feed.logs", name="t")["items"]])
        self.assertIn("/product", self.daemon.log())

    def test_topics_are_told(self):
        server = self.upstream()
        self.start(section("t", url=server.url, topic="news.{/type}"))
        self.wait_state("t", "live")
        self.control.call("subscribe", topics=["news.*"])
        server.send('{"type": "a", "n": 1}')
        message = self.control.notification("message")
        self.assertEqual((message["topic"], message["data"]), ("news.a", {"type": "a", "n": 1}))
        self.assertEqual(self.control.call("record.count")["count"], 0)

    def test_lists_are_split_and_ids_are_made(self):
        server = self.upstream()
        self.start(section("t", url=server.url, split="/items", data="{/v}"))
        self.wait_state("t", "live")
        server.send('{"items":[{"v":1},{"v":[2, 3]},{"w":1}]}')
        self.wait_metric("mapped_total", "t", 2)
        self.wait_metric("unmapped_total", "t", 1)
        items = wait_for(lambda: self.control.call("record.list", category="t", order="oldest")
                         ["items"], what="records")
        self.assertEqual([item["data"] for item in items], [1, [2, 3]])

    def test_order_is_kept_and_nothing_is_missed(self):
        server = self.upstream()
        self.start('[category."ticker"]\nhistory = 10000\n',
                   section("t", url=server.url, **TRADES))
        self.wait_state("t", "live")
        server.send(*(trade(f"p{i % 7}", i) for i in range(3000)))
        self.wait_record("ticker", f"p{2999 % 7}", lambda d: d["price"] == 2999)
        for p in range(7):
            page, seen = {}, []
            while True:
                page = self.control.call("record.history", category="ticker", id=f"p{p}",
                                         limit=1000, **page)
                seen += [v["data"]["price"] for v in page["items"]]
                if "cursor" not in page:
                    break
                page = {"cursor": page["cursor"]}
            self.assertEqual(seen[::-1], list(range(p, 3000, 7)))

    def test_a_record_that_is_too_large_is_left_out(self):
        server = self.upstream()
        self.start('[category."ticker"]\nmax_data = "1KiB"\n',
                   section("t", url=server.url, drop_unmapped=False, **TRADES))
        self.wait_state("t", "live")
        server.send(trade("a", 1), trade("b", "x" * 2000), trade("c", 3))
        self.wait_record("ticker", "c", lambda d: True)
        self.wait_metric("unmapped_total", "t", 1)
        self.assertEqual(self.control.call("record.count")["count"], 2)


class Connection(Basics):
    def test_greeting_with_secrets(self):
        server = self.upstream(greeting=['{"hello":1}', '{"ok":true}'])
        self.start(section("t", url=server.url, headers=["X-Key: k-${secret:key}"],
                           on_connect=[{"await": '{"/hello":1}'},
                                       '{"login":"${secret:key}","t":"${now_ms}"}',
                                       {"send": '{"subscribe":1}', "await": '{"/ok":true}'}],
                           **TRADES))
        paused = self.wait_state("t", "paused")
        self.assertIn("vault", paused["why"])
        self.control.call("vault.unlock", key="00" * 32)
        self.wait_state("t", "backoff")  # there is no such secret
        self.control.call("secret.set", name="key", value=SECRET)
        self.wait_state("t", "live")
        self.assertEqual(server.headers[-1]["X-Key"], "k-" + SECRET)
        wait_for(lambda: len(server.heard) == 2, what="the greeting")
        login = json.loads(server.heard[0])
        self.assertEqual(login["login"], SECRET)
        self.assertAlmostEqual(int(login["t"]), time.time() * 1000, delta=600_000)
        self.assertEqual(server.heard[1], '{"subscribe":1}')

    def test_what_cannot_be_said_ends_it_and_what_was_read_before_is_stored(self):
        server = self.upstream(greeting=[trade("a", 1), '{"go":1}'])
        self.start(section("t", url=server.url, on_connect=[
            {"await": '{"/go":1}'}, "${secret:bad}"], enabled=False, **TRADES))
        self.control.call("vault.unlock", key="00" * 32)
        self.control.call("secret.set", name="bad", value="/w==", encoding="base64")
        self.control.call("feed.start", name="t")
        self.wait_state("t", "backoff")
        self.wait_record("ticker", "a", lambda d: True)
        self.assertEqual(server.heard, [])

    def test_a_secret_that_is_in_the_handshake_by_chance(self):
        server = self.upstream()
        self.start(section("t", url=server.url, headers=["X-Key: ${secret:key}"], **TRADES))
        self.control.call("vault.unlock", key="00" * 32)
        self.control.call("secret.set", name="key", value="101")
        self.wait_state("t", "live")
        self.assertEqual(self.show("t")["handshake"], {})
        done = self.control.call("feed.test", name="t", timeout_ms=100)
        self.assertEqual((done["ok"], done["handshake"]), (True, {}))

    def test_what_was_read_is_stored_when_it_is_stopped(self):
        """Held back by the rate, it waits inside."""
        frames = b"".join(encode_frame(TEXT, trade(f"p{i}", i).encode(), mask=None) for i in range(25))
        upstream = upstream_for(self, lambda peer: (peer.read_head(), peer.switch(),
                                                    peer.send_raw(frames), peer.linger()))
        self.start(section("t", url=upstream.url(), rate="1/h burst 5", **TRADES))
        self.wait_metric("mapped_total", "t", 5)
        self.assertLess(self.metric("mapped_total", "t"), 25)
        self.control.call("feed.stop", name="t")
        wait_for(lambda: self.control.call("record.count")["count"] == 25, what="all records")

    def test_what_was_read_is_stored_when_it_is_stopped_while_it_records(self):
        """Some of it is being recorded, the rest is held back by the rate."""
        frames = b"".join(encode_frame(TEXT, trade(f"p{i}", i).encode(), mask=None) for i in range(25))
        upstream = upstream_for(self, lambda peer: (peer.read_head(), peer.switch(),
                                                    peer.send_raw(frames), peer.linger()))
        for end in ("stop", "replace", "remove", "shutdown"):
            with self.subTest(end=end):
                define = {"url": upstream.url(), "rate": "1/h burst 5", "record": end,
                          "enabled": False, **TRADES, "category": end}
                leaks = "0" if end == "shutdown" else "1"  # that is not judged under a tracer
                self.start(env={"ASAN_OPTIONS": f"detect_leaks={leaks}"})
                recording = self.daemon.folder / "recordings" / f"{end}.ndjson"
                recording.parent.mkdir(mode=0o700)
                recording.touch(mode=0o600)
                self.control.call("feed.add", name="t", definition=define)
                with Delaying(self.daemon, ["write"], 1000, [recording]):
                    self.control.call("feed.start", name="t")
                    self.wait_metric("messages_total", "t", 5)
                    self.assertEqual(self.metric("mapped_total", "t"), 0)
                    if end == "replace":
                        self.control.call("feed.add", name="t", replace=True,
                                          definition={**define, "ttl": "1h"})
                    elif end == "shutdown":
                        self.daemon.stop()
                    else:
                        self.control.call(f"feed.{end}", name="t")
                    wait_for(lambda: len(self.stored()) == 25, what="all records")
                lines = recording.read_text().splitlines()
                self.assertEqual([json.loads(line)["text"] for line in lines],
                                 [trade(f"p{i}", i) for i in range(25)])

    def test_headers_that_are_too_large(self):
        server = self.upstream()
        self.start(section("t", url=server.url, enabled=False, headers=[
            f"X-{i}: ${{secret:big}}" for i in range(6)], **TRADES))
        self.control.call("vault.unlock", key="00" * 32)
        self.control.call("secret.set", name="big", value="x" * 60000)
        self.control.call("feed.start", name="t")
        self.assertIn("the headers are larger than", self.wait_state("t", "backoff")["why"])
        self.assertEqual(server.headers, [])

    def test_it_comes_back(self):
        server = self.upstream()
        self.start(section("t", url=server.url, **TRADES))
        self.wait_state("t", "live")
        server.send(trade("a", 1))
        server.drop()
        wait_for(lambda: len(server.headers) == 2, what="another connection")
        self.wait_state("t", "live")
        server.close()
        self.wait_state("t", "backoff")
        server.open_again()
        self.wait_state("t", "live", timeout=60)
        server.send(trade("a", 2))
        self.wait_record("ticker", "a", lambda d: d["price"] == 2)
        self.assertGreaterEqual(self.metric("reconnects_total", "t"), 2)

    def test_subscribers_hear_of_it(self):
        server = self.upstream()
        self.start(section("t", url=server.url, stale_after="100ms", **TRADES))
        self.wait_state("t", "live")
        self.control.call("subscribe", categories=["tick*"])
        self.control.call("subscribe", categories=["other"])
        server.close()
        stale = self.control.notification("stale")
        self.assertEqual((stale["subscription"], stale["feed"]), (1, "t"))
        self.assertAlmostEqual(stale["since"], time.time() * 1000, delta=600_000)
        with self.daemon.ws() as late:
            late.call("subscribe", categories=["ticker"], since=0)
            self.assertEqual(late.notification("stale")["since"], stale["since"])
            server.open_again()
            self.assertEqual(self.control.notification("fresh"), {"subscription": 1, "feed": "t"})
            self.assertEqual(late.notification("fresh"), {"subscription": 1, "feed": "t"})

    def test_one_that_is_replaced_while_it_is_down_stays_stale(self):
        server = self.upstream()
        self.start()
        server.close()
        define = {"url": server.url, "stale_after": "100ms", **TRADES}
        self.control.call("subscribe", categories=["ticker"])
        self.control.call("feed.add", name="t", definition=define)
        since = self.control.notification("stale")["since"]
        self.control.call("feed.add", name="t", definition={**define, "ttl": "1h"}, replace=True)
        self.assertEqual(self.show("t")["stale_since"], since)
        with self.daemon.control() as late:
            late.call("subscribe", categories=["ticker"])
            self.assertEqual(late.notification("stale")["since"], since)
        self.assertNotIn("fresh", [n["method"] for n in self.control.notifications])
        server.open_again()
        self.control.call("feed.start", name="t")
        self.assertEqual(self.control.notification("fresh"), {"subscription": 1, "feed": "t"})
        self.control.call("feed.start", name="t")  # it is live: nothing comes of that
        self.assertNotIn("stale_since", self.show("t"))
        time.sleep(0.2)
        self.assertNotIn("stale_since", self.show("t"))

    def test_a_reload_opens_the_vault(self):
        server = self.upstream()
        feed = section("t", url=server.url, headers=["X-Key: ${secret:key}"], **TRADES)
        self.start(feed)
        key = self.daemon.folder / "key"
        key.write_text("00" * 32)
        key.chmod(0o600)
        self.control.call("vault.unlock", key="00" * 32)
        self.control.call("secret.set", name="key", value="x")
        self.daemon.restart()
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        self.wait_state("t", "paused")
        self.daemon.configure(feed + f'[vault]\nkey_file = "{key}"\n')
        self.wait_state("t", "live")

    def test_rate_holds_back_and_drops_nothing(self):
        server = self.upstream()
        self.start(section("t", url=server.url, rate="20/s burst 5", **TRADES))
        self.wait_state("t", "live")
        start = time.monotonic()
        server.send(*(trade(f"p{i}", i) for i in range(25)))
        self.wait_metric("mapped_total", "t", 25)
        self.assertGreater(time.monotonic() - start, 0.9)
        wait_for(lambda: self.control.call("record.count")["count"] == 25, what="all records")
        self.assertGreater(self.show("t")["paused_ms"], 0)

    def test_conflation_keeps_the_newest(self):
        server = self.upstream()
        self.start('[store]\nqueue = 8\n',
                   section("t", url=server.url, on_full="conflate", **TRADES))
        self.wait_state("t", "live")
        os.kill(self.daemon.pid, signal.SIGSTOP)
        try:
            self._flood(server)
        finally:
            os.kill(self.daemon.pid, signal.SIGCONT)
        for p in range(5):
            self.wait_record("ticker", f"p{p}", lambda d, p=p: d["n"] == 1995 + p)

    def test_taken_out_while_it_writes(self):
        server = self.upstream()
        self.start('[store]\nqueue = 8\n',
                   section("t", url=server.url, on_full="conflate", **TRADES))
        self.wait_state("t", "live")
        self._flood(server, 20000)
        self.wait_metric("conflated_total", "t", 1)
        self.daemon.configure('[store]\nqueue = 16\n')
        self.assertEqual(self.feeds(), {})
        self.daemon.configure("")
        self.connected(server, 0)
        self.assertGreaterEqual(self.control.call("status")["store"]["seq"], 1)

    def _flood(self, server, n=2000):
        """More than the daemon's sockets take: what is left is sent while it goes on."""
        pad = "x" * 2000
        messages = [json.dumps({"type": "trade", "product": f"p{i % 5}", "n": i, "pad": pad})
                    for i in range(n)]

        def send():
            with contextlib.suppress(websockets.ConnectionClosed):
                server.send(*messages)

        thread = threading.Thread(target=send)
        thread.start()
        self.addCleanup(thread.join, TIMEOUT_S)

    def test_stop_and_start(self):
        server = self.upstream()
        self.start(section("t", url=server.url, enabled=False, **TRADES))
        self.assertEqual(self.show("t")["state"], "idle")
        self.assertEqual(self.control.call("feed.start", name="t")["name"], "t")
        self.wait_state("t", "live")
        server.send(*(trade("a", i) for i in range(100)))
        self.assertEqual(self.control.call("feed.stop", name="t"), {"name": "t", "state": "idle"})
        self.connected(server, 0)
        with self.assertRaises(RpcError) as caught:
            self.control.call("feed.start", name="u")
        self.assertEqual(caught.exception.code, "NOT_FOUND")


class Definitions(Basics):
    def test_added_ones_are_kept(self):
        server = self.upstream()
        self.start(section("fixed", url=server.url, enabled=False))
        define = {"url": server.url, **TRADES}
        self.control.call("feed.add", name="t", definition=define)
        self.wait_state("t", "live")
        with self.assertRaises(RpcError) as caught:
            self.control.call("feed.add", name="t", definition=define)
        self.assertEqual(caught.exception.code, "CONFLICT")
        for method in ("feed.add", "feed.remove"):
            more = {"definition": define} if method == "feed.add" else {}
            with self.assertRaises(RpcError) as caught:
                self.control.call(method, name="fixed", **more)
            self.assertEqual(caught.exception.code, "CONFLICT")
            self.assertIn("configuration", caught.exception.message)
        self.daemon.restart()
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        self.wait_state("t", "live")
        self.control.call("feed.add", name="t", replace=True,
                          definition={**define, "category": "other"})
        self.wait_state("t", "live")
        self.connected(server)
        server.send(trade("a", 1))
        self.wait_record("other", "a", lambda d: True)
        self.control.call("feed.remove", name="t")
        self.connected(server, 0)
        self.assertEqual(list(self.feeds()), ["fixed"])

    def test_bad_ones_are_refused(self):
        self.start()
        for definition in ({}, {"url": "http://x/"}, {"url": "ws://x/", "catgory": "a"},
                           {"url": "ws://x/", "id": "{/a"}, [], "x"):
            with self.subTest(definition=definition), self.assertRaises(RpcError) as caught:
                self.control.call("feed.add", name="t", definition=definition)
            self.assertEqual(caught.exception.code, "INVALID_ARGUMENT")
        self.assertEqual(self.feeds(), {})
        for name, code in (("a", None), ("b", "CONFLICT")):
            try:
                self.control.call("feed.add", name=name, definition={
                    "url": "ws://127.0.0.1:1/", "enabled": False, "record": "r"})
            except RpcError as error:
                self.assertEqual(error.code, code)

    def test_the_longest_id_of_a_request(self):
        self.start(section("t", url="ws://127.0.0.1:1/", enabled=False, **TRADES))
        for method, params in (("feed.test", {"name": "t", "timeout_ms": 100}),
                               ("feed.replay", {"name": "t", "items": [
                                   {"at": 1, "text": trade("a", 1)}]})):
            number = "9" * 400
            self.control.send_text(f'{{"jsonrpc":"2.0","id":{number},"method":"{method}",'
                                   f'"params":{json.dumps(params)}}}')
            self.assertIn(f'"id":{number},"result"', self.control.recv_text())

    def test_what_is_done_is_in_the_audit_log(self):
        self.start()
        self.control.call("feed.add", name="aud", definition={"url": "ws://127.0.0.1:1/",
                                                              "enabled": False})
        self.control.call("feed.remove", name="aud")
        lines = [line for line in self.daemon.log().splitlines() if "part=audit" in line]
        self.assertEqual(len([line for line in lines if "name=aud" in line]), 2, lines)

    def test_reload(self):
        server = self.upstream()
        same = section("same", url=server.url, **TRADES)
        self.start(same, section("gone", url=server.url), section("other", url=server.url, id="a"))
        for name in ("same", "gone", "other"):
            self.wait_state(name, "live")
        self.daemon.configure(same + section("other", url=server.url, id="b") +
                              section("new", url=server.url))
        for name in ("other", "new"):
            self.wait_state(name, "live")
        self.assertEqual(sorted(self.feeds()), ["new", "other", "same"])
        self.assertEqual(self.feeds()["same"]["connects"], 1)
        self.connected(server, 3)

    def test_trial(self):
        server = self.upstream(greeting=[trade("a", 1), '{"type":"trade"}', '{"type":"x"}'])
        self.start()
        self.control.call("vault.unlock", key="00" * 32)
        self.control.call("secret.set", name="key", value=SECRET)
        done = self.control.call("feed.test", messages=3, definition={
            "url": server.url, "on_connect": ['{"login":"${secret:key}"}'], **TRADES})
        self.assertTrue(done["ok"])
        self.assertEqual(done["handshake"]["status"], 101)
        self.assertEqual(done["greeting"], ['{"login":"***"}'])
        first, second, third = done["messages"]
        self.assertEqual(first["records"][0]["id"], "a")
        self.assertEqual(first["records"][0]["data"]["price"], 1)
        self.assertEqual((second["unmapped"][0]["key"], second["unmapped"][0]["place"]),
                         ("id", "/product"))
        self.assertTrue(third["ignored"])
        self.assertEqual(self.control.call("record.count")["count"], 0)
        number = self.control.send("feed.test", definition={"url": server.url},
                                   timeout_ms=600000)
        self.connected(server)
        self.daemon.stop()
        done = self.control.answer(number)
        self.assertEqual((done["ok"], done["why"]), (False, "the daemon stops"))
        self.daemon.start()
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        server.close()
        done = self.control.call("feed.test", definition={"url": server.url})
        self.assertFalse(done["ok"])
        self.assertIn("refused", done["why"])
        with self.assertRaises(RpcError):
            self.control.call("feed.test", name="none")

    def test_who_waited_for_a_trial_is_served_when_it_is_over(self):
        """A peer with a batch under way is not read."""
        server = self.upstream(greeting=[trade("a", 1)])
        self.start()
        trial = {"jsonrpc": "2.0", "id": "trial", "method": "feed.test",
                 "params": {"messages": 1, "definition": {"url": server.url, **TRADES}}}
        self.control.send_text(json.dumps([trial]))
        ping = self.control.send("ping")
        self.assertTrue(json.loads(self.control.recv_text())[0]["result"]["ok"])
        self.control.answer(ping, timeout=10)


if __name__ == "__main__":
    unittest.main()

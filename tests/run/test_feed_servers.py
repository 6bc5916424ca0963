"""Feeds from servers that are not ours, each with its own habits: Node's ws, python3-websockets,
mosquitto, nginx with nchan, nats-server; plain and with TLS.

builds: release; in check-long: asan
"""

import asyncio
import base64
import json
import unittest

from certificates import Certificates
from feeds import PRICES, FeedTest, price, section
from harness import wait_for
from servers import Mosquitto, Nats, Nginx, NodeWs, PythonWs, held_port, mqtt_connect
from upstream import Peer, upstream_for

KEY = "let me in"


class Plain(FeedTest):
    certificates = None

    @classmethod
    def setUpClass(cls):
        if cls is not Plain:
            cls.certificates = Certificates()
            cls.certificates.make("server")
            cls.addClassCleanup(cls.certificates.close)

    def serve(self, kind, *args, **options):
        server = kind(*args, certificates=self.certificates, **options)
        self.addCleanup(server.close)
        return server

    def section(self, name, /, **keys):
        if self.certificates:
            keys["ca"] = str(self.certificates.ca)
        return section(name, **keys)

    def recording(self, name):
        """What the recorder wrote: payloads as bytes."""
        path = self.daemon.folder / "recordings" / f"{name}.ndjson"
        if not path.exists():
            return []
        return [line["text"].encode() if "text" in line else base64.b64decode(line["base64"])
                for line in map(json.loads, path.read_text().splitlines())]

    def expect_prices(self, market, n, data):
        """Exactly n records of a market, the number i of which has the text data(i)."""
        wanted = {(f"prices.{market}", str(i)): (f"{market} {i}", data(i), 1) for i in range(n)}
        wait_for(lambda: len(self.stored()) >= n, what=f"{n} records")
        self.assertEqual(self.stored(), wanted)

    def test_node(self):
        """It lets in who has a token, takes a subprotocol, subscribes, pings, and would compress."""
        login, subscribe = '{"op":"login","key":"k"}', '{"op":"subscribe","to":["node"]}'
        server = self.serve(NodeWs, protocol="prices.v2", subscribe=subscribe,
                            authorization=f"Bearer {KEY}")
        self.start(self.section("node", url=server.url, headers=[f"Authorization: Bearer {KEY}"],
                                subprotocols=["prices.v9", "prices.v2"],
                                on_connect=[login, {"send": subscribe,
                                                    "await": '{"/type":"subscribed"}'}], **PRICES))
        self.wait_state("node", "live")
        self.expect_prices("node", 50, lambda i: f'{{"n":{i},"at":"1.10"}}')
        wait_for(lambda: server.heard("pong"), what="a pong")
        self.assertEqual([m for m in server.told if "message" in m],
                         [{"message": text, "isBinary": False} for text in (login, subscribe)])
        self.assertEqual(server.heard("open"), ["prices.v2"])
        self.assertEqual(server.heard("extensions"), [""])
        server.ask(close=4321)
        wait_for(lambda: len(server.heard("open")) == 2, what="it to come again")
        self.expect_prices("node", 100, lambda i: f'{{"n":{i},"at":"1.10"}}')
        server.ask(terminate=True)
        wait_for(lambda: len(server.heard("open")) == 3, what="it to come again")
        self.expect_prices("node", 150, lambda i: f'{{"n":{i},"at":"1.10"}}')
        self.assertEqual([c for c in server.heard("close") if c != 1006], [4321])
        self.assertEqual(server.heard("error"), [])

    def test_node_refuses(self):
        """By 401 with a body in chunks; that is for good, and its text is told."""
        server = self.serve(NodeWs, authorization=f"Bearer {KEY}")
        self.start(self.section("node", url=server.url, **PRICES))
        told = self.wait_state("node", "backoff")
        self.assertIn("401", told["why"])
        self.assertIn("who are you then?", told["why"])
        self.assertGreater(told["next_try_ms"], 60_000)

    def test_python(self):
        """It pings and closes who does not answer; fragments; what it would compress; its close."""
        async def serve(ws):
            seen.append(ws)
            first = 60 * (len(seen) - 1)
            for i in range(first, first + 60):
                text = price("python", i, f'["ö",{i}e2]')
                await ws.send([text[:10], text[10:11], text[11:]] if i % 2 else text)
            await (await ws.ping(b"are you there?"))
            pongs.append(ws)
            await ws.wait_closed()

        seen, pongs = [], []
        server = self.serve(PythonWs, serve, ping_interval=0.1, ping_timeout=20,
                            compression="deflate", extra_headers=[("Set-Cookie", "a=b")] * 5)
        self.start(self.section("python", url=server.url, **PRICES))
        self.expect_prices("python", 60, lambda i: f'["ö",{i}e2]')
        wait_for(lambda: pongs, what="a pong")
        self.assertEqual(seen[0].extensions, [])
        server.call(seen[0].close(1012, "a restart"))
        self.assertEqual((seen[0].close_rcvd.code, seen[0].close_rcvd_then_sent), (1012, False))
        self.expect_prices("python", 120, lambda i: f'["ö",{i}e2]')
        self.daemon.stop()
        wait_for(lambda: len(pongs) == 2 and pongs[1].closed, what="a close")
        self.assertEqual(pongs[1].close_rcvd.code, 1000)

    def test_python_waits_for_what_it_was_told(self):
        """A greeting whose answers are awaited, one by one, among other messages."""
        async def serve(ws):
            heard.append(await ws.recv())
            for i in range(5):
                await ws.send(price("early", i, "0"))
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(ws.recv())), 0.2)
            await ws.send('{"type":"welcome","user":{"id":7}}')
            await asyncio.sleep(0)
            heard.append("welcomed")
            await ws.wait_closed()

        heard = []
        server = self.serve(PythonWs, serve)
        self.start(self.section("python", url=server.url, on_connect=[
            {"send": "hello", "await": '{"/user/id":{">":6}}', "timeout": "60s"}, "ready"], **PRICES))
        self.wait_state("python", "live")
        self.assertEqual(heard, ["hello", "welcomed"])
        self.expect_prices("early", 5, lambda i: "0")

    def test_mosquitto(self):
        """The subprotocol mqtt, and binary messages, which are none of JSON: counted and recorded."""
        server = self.serve(Mosquitto)
        server.subscribe_for("feed", "prices/#")
        self.start(self.section("mqtt", url=server.url, subprotocols=["mqtt"], record="mqtt",
                                on_connect=[{"send_base64": base64.b64encode(
                                    mqtt_connect("feed", is_clean=False)).decode()}],
                                **PRICES))
        self.wait_metric("messages_total", "mqtt", 1)
        self.assertEqual(self.show("mqtt")["handshake"]["subprotocol"], "mqtt")
        payloads = [b'{"n":%d}' % n for n in range(100)]
        server.publish("prices/x", payloads)
        wait_for(lambda: b"".join(self.recording("mqtt")).count(b"prices/x") == 100,
                 what="all to be recorded")
        stream = b"".join(self.recording("mqtt"))
        self.assertEqual(stream, b"\x20\x02\x01\0" + b"".join(
            bytes((0x30, 10 + len(p))) + b"\0\x08prices/x" + p for p in payloads))
        self.wait_metric("unmapped_total", "mqtt", len(self.recording("mqtt")))
        self.assertEqual(self.stored(), {})
        self.assertEqual(self.show("mqtt")["state"], "live")

    def test_mosquitto_that_is_silent(self):
        """Without its subprotocol it takes anybody, and never says a word: that is for idle_timeout."""
        server = self.serve(Mosquitto)
        self.start(self.section("mqtt", url=server.url, idle_timeout="200ms", **PRICES))
        self.wait_metric("reconnects_total", "mqtt", 3)
        self.assertTrue(any("idle_timeout" in str(item) for item in self.logs("mqtt")))

    def test_nchan(self):
        server = self.serve(Nginx)
        self.start(self.section("nchan", url=server.url + "sub?id=a", **PRICES))
        wait_for(lambda: server.subscribers("a") == 1, what="it to subscribe")
        for i in range(50):
            server.publish("a", price("nchan", i, '"\\u00e9"', white=" "))
        self.expect_prices("nchan", 50, lambda i: '"\\u00e9"')

    def test_nginx_redirects(self):
        """To a relative place, to an absolute one and on; not from TLS to plain, not in a circle."""
        server = self.serve(Nginx)
        targets = {"moved": "moved?id=a", "away": "away?id=a", "circle": "circle",
                   "down": "down?id=a"}
        self.start(*(self.section(name, url=server.url + target, **PRICES)
                     for name, target in targets.items()))
        is_down_fine = self.certificates is None
        wait_for(lambda: server.subscribers("a") == (3 if is_down_fine else 2),
                 what="them to subscribe")
        for name in ("moved", "away"):
            self.assertEqual(self.wait_state(name, "live")["handshake"]["url"],
                             server.url + "sub?id=a")
        self.assertIn("redirect", self.wait_state("circle", "backoff")["why"])
        if not is_down_fine:
            self.assertIn("wss", self.wait_state("down", "backoff")["why"])

    def test_nginx_guards(self):
        """By a header; without it 403."""
        server = self.serve(Nginx)
        self.start(self.section("known", url=server.url + "guarded?id=a", headers=[f"X-Key: {KEY}"],
                                **PRICES),
                   self.section("unknown", url=server.url + "guarded?id=a", **PRICES))
        self.wait_state("known", "live")
        told = self.wait_state("unknown", "backoff")
        self.assertIn("403", told["why"])
        self.assertIn("no key", told["why"])
        self.assertGreater(told["next_try_ms"], 60_000)

    def test_nginx_in_front(self):
        """Of a server that is not there at first, which is 502, and not for good."""
        async def serve(ws):
            await ws.send(price("behind", 0, "1"))
            await ws.wait_closed()

        behind = PythonWs(serve)
        self.addCleanup(behind.close)
        nobody, nobodys = held_port()
        self.addCleanup(nobody.close)
        for port, state in ((nobodys, "backoff"), (behind.port, "live")):
            server = self.serve(Nginx, behind=port)
            with self.subTest(state=state):
                self.start(self.section("behind", url=server.url + "behind", **PRICES))
                told = self.wait_state("behind", state)
                if state == "backoff":
                    self.assertIn("502", told["why"])
                else:
                    self.expect_prices("behind", 1, lambda i: "1")

    def test_nats(self):
        """It speaks first, in binary messages, which are none of JSON; it is answered by text, and wants
        a word of its own now and then."""
        server = self.serve(Nats)
        self.start(self.section("nats", url=server.url, record="nats", app_ping="PING\r\n",
                                app_ping_every="1s",
                                on_connect=['CONNECT {"verbose":false}\r\nSUB prices 1\r\nPING\r\n'],
                                **PRICES))
        wait_for(lambda: b"PONG" in b"".join(self.recording("nats")), what="it to subscribe")
        payloads = [b'{"n":%d}' % n for n in range(100)]
        server.publish("prices", payloads)
        wait_for(lambda: b"".join(self.recording("nats")).count(b"MSG prices") == 100,
                 what="all to be recorded")
        stream = b"".join(self.recording("nats"))
        self.assertEqual(stream.partition(b" ")[0], b"INFO")
        messages = b"".join(part for part in stream.partition(b"PONG\r\n")[2].split(b"PONG\r\n"))
        self.assertEqual(messages, b"".join(b"MSG prices 1 %d\r\n%s\r\n" % (len(p), p)
                                            for p in payloads))
        wait_for(lambda: b"".join(self.recording("nats")).count(b"PONG\r\n") >= 3, what="more pongs")
        self.assertEqual(self.show("nats")["state"], "live")


class WithTls(Plain):
    def test_who_is_trusted(self):
        """An authority that is not ours, another name, and one that is over are refused for good, with
        the reason."""
        others = Certificates()
        self.addCleanup(others.close)
        others.make("server")
        self.certificates.make_expired("expired")
        other = upstream_for(self, Peer.linger, tls=others.server())
        expired = upstream_for(self, Peer.linger, tls=self.certificates.server("expired"))
        elsewhere = upstream_for(self, Peer.linger, tls=self.certificates.server(),
                                 host="127.0.0.2")
        known = self.serve(NodeWs)
        self.start(self.section("other", url=other.url(), **PRICES),
                   section("system", url=known.url, **PRICES),
                   self.section("name", url=elsewhere.url(host="127.0.0.2"), **PRICES),
                   self.section("expired", url=expired.url(), **PRICES),
                   self.section("plain", url=known.url.replace("wss", "ws"), **PRICES),
                   self.section("good", url=known.url.replace("127.0.0.1", "localhost"), **PRICES))
        told = self.wait_state("good", "live")
        self.assertIn(told["handshake"]["tls"]["version"], ("TLSv1.2", "TLSv1.3"))
        for name, word in (("other", "authority"), ("system", "authority"), ("name", "localhost"),
                           ("expired", "expired")):
            told = self.wait_state(name, "backoff")
            self.assertIn(word, told["why"], name)
            self.assertGreater(told["next_try_ms"], 60_000, name)
        self.wait_state("plain", "backoff")


if __name__ == "__main__":
    unittest.main()

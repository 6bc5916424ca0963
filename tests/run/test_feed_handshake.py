"""How upstreams begin, refuse, redirect and end: what they really send, and what must not be taken.
Each is an upstream of our own making, down to the bytes.

builds: release asan
"""

import base64
import struct
import tempfile
import time
import unittest
from pathlib import Path

from certificates import Certificates
from feeds import PRICES, FeedTest, price, section, with_file
from harness import (BINARY, CLOSE, LONG, PING, PONG, TEXT, WRAP, encode_frame, wait_for)
from upstream import NO_CODE, Gone, accept_of, upstream_for

KIB = 1024
SECRET = "XK7-this-is-nobody-else's"
DEFLATED = b"\xaaV*I-.Q\xb2RP*JM\xce/JQ\xaa\x05\x00"  # raw deflate, as permessage-deflate has it


def one(data):
    return price("m", 0, data)


def heads(peer):
    """Good answers, by name: what is sent for each."""
    proof = peer.proof()
    usual = ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             f"Sec-WebSocket-Accept: {proof}\r\n")
    return {
        "usual": usual + "\r\n",
        "letter case": f"HTTP/1.1 101 x\r\nUPGRADE: WebSocket\r\nconnection: UPGRADE\r\n"
                       f"sec-websocket-ACCEPT: {proof}\r\n\r\n",
        "no reason": f"HTTP/1.1 101\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                     f"Sec-WebSocket-Accept: {proof}\r\n\r\n",
        "no space": f"HTTP/1.1 101 x\r\nUpgrade:websocket\r\nConnection:Upgrade\r\n"
                    f"Sec-WebSocket-Accept:{proof}\r\n\r\n",
        "more space": f"HTTP/1.1 101 x\r\nUpgrade:  \twebsocket \t\r\nConnection: \tUpgrade\r\n"
                      f"Sec-WebSocket-Accept: \t{proof}  \r\n\r\n",
        "a list of options": f"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
                             f"Sec-WebSocket-Accept: {proof}\r\n\r\n",
        "Connection twice": f"HTTP/1.1 101 x\r\nConnection: keep-alive\r\nUpgrade: websocket\r\n"
                            f"Connection: Upgrade\r\nSec-WebSocket-Accept: {proof}\r\n\r\n",
        "extra headers": usual + "".join(f"X-Extra-{i}: {'v' * i}\r\n" for i in range(50)) + "\r\n",
        "cookies": usual + "Set-Cookie: a=b; Path=/\r\n" * 12 + "Server: x\r\nDate: never\r\n\r\n",
        "one long header": usual + f"X-Long: {'l' * 6000}\r\n\r\n",
        "an empty header": usual + "X-Empty:\r\nSec-WebSocket-Extensions:\r\n\r\n",
        "interim": "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
                   + usual + "\r\n",
        "a body length": usual + "Content-Length: 0\r\n\r\n",
        "Latin 1": usual + "X-Text: gr\xfc\xdfe\r\n\r\n",
    }


NAMES = ["usual", "letter case", "no reason", "no space", "more space", "a list of options",
         "Connection twice", "extra headers", "cookies", "one long header", "an empty header",
         "interim", "a body length", "Latin 1"]


def bad_heads(peer):
    """Answers that must be refused, with a word that the reason has to have."""
    proof, usual = peer.proof(), "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    accept = f"Sec-WebSocket-Accept: {proof}\r\n"
    return {
        "another key": (usual + f"Sec-WebSocket-Accept: {accept_of('x')}\r\n\r\n", "Accept"),
        "letter case of the key": (usual + f"Sec-WebSocket-Accept: {proof.swapcase()}\r\n\r\n",
                                   "Accept"),
        "no key": (usual + "\r\n", "Accept"),
        "two keys": (usual + accept + f"Sec-WebSocket-Accept: {accept_of('x')}\r\n\r\n", "Accept"),
        "no Upgrade": (f"HTTP/1.1 101 x\r\nConnection: Upgrade\r\n{accept}\r\n", "Upgrade"),
        "another Upgrade": (f"HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n{accept}\r\n",
                            "Upgrade"),
        "no Connection": (f"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n{accept}\r\n", "Connection"),
        "a subprotocol": (usual + accept + "Sec-WebSocket-Protocol: other\r\n\r\n", "subprotocol"),
        "two subprotocols": (usual + accept + "Sec-WebSocket-Protocol: v1, v2\r\n\r\n",
                             "subprotocol"),
        "an extension": (usual + accept + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
                         "xtension"),
        "a page": ("HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nhello, <html>!", "200"),
        "a demand": ("HTTP/1.1 400 Bad Request\r\nContent-Length: 27\r\nConnection: close\r\n\r\n"
                     "permessage-deflate required", "permessage-deflate required"),
        "upgrade required": ("HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8\r\n"
                             "Content-Length: 0\r\n\r\n", "426"),
        "chunks": ("HTTP/1.1 503 Wait\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\ntoo\r\n"
                   "5\r\n much\r\n0\r\nTrailer: x\r\n\r\n", "too much"),
        "to the end": ("HTTP/1.1 500 Oh\r\nConnection: close\r\n\r\nsomething broke", "something broke"),
        "no HTTP": ("SSH-2.0-OpenSSH_9.2p1\r\n\r\n", "HTTP"),
        "nothing": ("", ""),
        "too long": (usual + accept + f"X-Long: {'l' * (300 * KIB)}", ""),
        "too many": (usual + accept + "X-A: b\r\n" * 20_000, ""),
        "half of one": (usual, ""),
        "bytes": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ""),
        "a smuggled line": (usual + accept + "X-A: b\rX-C: d\r\n\r\n", ""),
    }


class Handshake(FeedTest):
    def run_feeds(self, serve, names, **keys):
        """A feed for each name, whose target is its number; returns its upstream."""
        upstream = upstream_for(self, serve)
        self.start(*(section(f"f{i}", url=upstream.url(f"/{i}?a=b"), **{**PRICES, **keys})
                     for i in range(len(names))))
        return upstream

    def test_good_answers(self):
        """In one piece with the first message, byte by byte, and in two."""
        def serve(peer):
            peer.read_head()
            number, way = divmod(int(peer.target[1:].partition("?")[0]), 3)
            head = heads(peer)[NAMES[number]].encode("latin-1")
            first = encode_frame(TEXT, price(str(number), way, "1").encode(), mask=None)
            if way == 0:
                peer.send_raw(head + first)
            elif way == 1 and len(head) < KIB:
                for i in range(len(head + first)):
                    peer.send_raw((head + first)[i:i + 1])
            else:
                peer.send_raw(head[:-2])
                time.sleep(0.01)
                peer.send_raw(head[-2:])
                peer.send_raw(first)
            peer.linger()

        self.run_feeds(serve, NAMES * 3)
        wait_for(lambda: len(self.stored()) == 3 * len(NAMES) or None, what="all to be taken")

    def test_what_it_asks(self):
        """The request, to the letter that RFC 6455 wants."""
        def serve(peer):
            peer.read_head()
            seen.append(peer)
            peer.switch("Sec-WebSocket-Protocol: b.v1")
            peer.linger()

        seen = []
        upstream = upstream_for(self, serve)
        self.start(section("f", url=upstream.url("/a%20b/../c?d=e%2F&f"), subprotocols=["a", "b.v1"],
                           headers=["X-One: 1", "x-two: zwei"], **PRICES))
        self.wait_state("f", "live")
        headers = seen[0].headers
        self.assertEqual(seen[0].target, "/a%20b/../c?d=e%2F&f")
        self.assertEqual(headers["host"], f"127.0.0.1:{upstream.port}")
        self.assertEqual(headers["upgrade"].lower(), "websocket")
        self.assertEqual(headers["connection"].lower(), "upgrade")
        self.assertEqual(headers["sec-websocket-version"], "13")
        self.assertEqual(len(base64.b64decode(headers["sec-websocket-key"])), 16)
        self.assertEqual(headers["sec-websocket-protocol"].replace(" ", ""), "a,b.v1")
        self.assertNotIn("sec-websocket-extensions", headers)
        self.assertNotIn("origin", headers)
        self.assertEqual((headers["x-one"], headers["x-two"]), ("1", "zwei"))

    def test_addresses(self):
        """Of both families, written out or by a name of which not every address answers."""
        def serve(peer):
            peer.shake_hands()
            peer.send_text(price(peer.target[1:], 0, "1"))
            peer.linger()

        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        four, six = upstream_for(self, serve), upstream_for(self, serve, host="::1")
        self.start(section("four", url=four.url("/four"), **PRICES),
                   section("six", url=six.url("/six", host="[::1]"), **PRICES),
                   section("four-name", url=four.url("/four-name", host="Both.example"), **PRICES),
                   section("six-name", url=six.url("/six-name", host="both.example"), **PRICES),
                   wrap=[*with_file("/etc/hosts", "127.0.0.1 both.example\n::1 both.example\n",
                                    folder), *WRAP])
        wait_for(lambda: len(self.stored()) == 4, what="all to be there")
        self.assertEqual(self.show("six-name")["handshake"]["address"], f"[::1]:{six.port}")

    def test_keys_and_masks_are_never_the_same(self):
        def serve(peer):
            peer.read_head()
            keys.append(peer.headers["sec-websocket-key"])
            peer.switch()
            while len(peer.buffer) < 6:
                peer.fill()
            masks.append(bytes(peer.buffer[2:6]))

        keys, masks = [], []
        self.run_feeds(serve, range(5), on_connect=["hello"])
        wait_for(lambda: len(keys) > 20)
        self.assertEqual(len(set(keys)), len(keys))
        self.assertGreater(len(set(masks)), len(masks) - 2)

    def test_bad_answers(self):
        """None is taken; the reason is told, and no message of theirs is stored."""
        def serve(peer):
            peer.read_head()
            name = names[int(peer.target[1:].partition("?")[0])]
            head = bad_heads(peer)[name][0].encode("latin-1")
            peer.send_raw(head + encode_frame(TEXT, one("1").encode(), mask=None))
            if name in ("a page", "a demand", "upgrade required", "chunks"):
                peer.linger()

        class Nobody:
            @staticmethod
            def proof():
                return "x"

        wanted = bad_heads(Nobody)
        names = list(wanted)
        upstream = self.run_feeds(serve, names, connect_timeout="20s")
        for i, name in enumerate(names):
            with self.subTest(answer=name):
                told = self.wait_state(f"f{i}", "backoff")
                self.assertIn(wanted[name][1], told["why"])
        self.assertEqual(self.stored(), {})
        self.assertGreaterEqual(upstream.connections, len(names))

    def test_what_is_for_good(self):
        """These wait for minutes; others come again at once; and Retry-After is kept to."""
        def serve(peer):
            peer.read_head()
            status = statuses[int(peer.target[1:].partition("?")[0])]
            times.setdefault(status, []).append(time.monotonic())
            peer.answer(f"{status} x", "Retry-After: 2" if status == 429 else "X: y")

        statuses, times = [401, 403, 404, 410, 500, 502, 503, 429], {}
        self.run_feeds(serve, statuses)
        for i, status in enumerate(statuses):
            if status < 411:
                self.assertGreater(self.wait_state(f"f{i}", "backoff")["next_try_ms"], 60_000, status)
            else:
                wait_for(lambda s=status: len(times.get(s, ())) >= 2, what=f"more of {status}")
        self.assertGreater(times[429][1] - times[429][0], 1.9)
        self.assertEqual([len(times[s]) for s in statuses[:4]], [1] * 4)

    def test_frames_that_must_not_be_taken(self):
        """What came before them is stored, the connection is closed with the code, and comes again."""
        text = one('"late"').encode()
        bad = {
            "masked": (encode_frame(TEXT, text), 1002),
            "compressed": (encode_frame(TEXT, DEFLATED, rsv=4, mask=None), 1002),
            "reserved": (encode_frame(11, b"", mask=None), 1002),
            "a long ping": (encode_frame(PING, b"x" * 126, mask=None), 1002),
            "no text": (encode_frame(TEXT, b'{"type":"price\xff"}', mask=None), 1007),
            "half a character": (encode_frame(TEXT, b'"\xe2\x82', mask=None), 1007),
            "too large": (encode_frame(TEXT, b" " * (64 * KIB + 1), mask=None), 1009),
            "said to be too large": (encode_frame(BINARY, b"", mask=None, length=1 << 40), 1009),
            "a continuation of nothing": (encode_frame(0, text, mask=None), 1002),
            "a message in a message": (encode_frame(TEXT, text, fin=False, mask=None)
                                       + encode_frame(TEXT, text, mask=None), 1002),
            "a close of one byte": (encode_frame(CLOSE, b"\3", mask=None), 1002),
        }

        def serve(peer):
            peer.shake_hands()
            name = names[int(peer.target[1:].partition("?")[0])]
            peer.send_text(price(name.replace(" ", "-"), peer.number, "1"))
            peer.send_raw(bad[name][0])
            try:
                while (frame := peer.recv_frame()).opcode != CLOSE:
                    pass
                codes.setdefault(name, set()).add(struct.unpack(">H", frame.payload[:2])[0])
            except Gone:
                codes.setdefault(name, set()).add(None)

        names, codes = list(bad), {}
        self.run_feeds(serve, names, max_message="64KiB")
        for i, name in enumerate(names):
            wait_for(lambda f=f"f{i}": self.metric("reconnects_total", f) >= 2)
        self.assertEqual(codes, {name: {code} for name, (_, code) in bad.items()})
        stored = self.stored()
        self.assertEqual({data for _, data, _ in stored.values()}, {"1"})
        self.assertEqual({category for category, _ in stored},
                         {f"prices.{name.replace(' ', '-')}" for name in names})

    def test_fragments_and_control_frames(self):
        """Pings are answered in their place, also in the middle of a message; pongs nobody asked for
        change nothing."""
        def serve(peer):
            peer.shake_hands()
            text = price("m", peer.number, '"in three"').encode()
            peer.send_raw(encode_frame(TEXT, text[:9], fin=False, mask=None)
                          + encode_frame(PING, b"one", mask=None)
                          + encode_frame(0, text[9:20], fin=False, mask=None)
                          + encode_frame(PONG, b"unasked", mask=None)
                          + encode_frame(PING, b"", mask=None)
                          + encode_frame(0, text[20:], mask=None))
            got = [peer.recv_frame() for _ in range(2)]
            seen.append([(f.opcode, f.payload) for f in got])
            peer.settle()

        seen = []
        self.run_feeds(serve, [0])
        wait_for(lambda: self.stored() and seen)
        self.assertEqual(seen[0], [(PONG, b"one"), (PONG, b"")])


class CloseCodes(FeedTest):
    """Each code is answered, told, and followed by another connection."""

    def test_all(self):
        most = 5000 if LONG else 1020
        codes = [None, *range(1000, most), *range(2990, 3010 if not LONG else 2990),
                 *((3999, 4000, 4001, 4567, 4999) if not LONG else ())]
        valid = {c for c in codes if c is None or c in (1000, 1001, 1002, 1003) or 1007 <= c <= 1014
                 or c >= 3000}
        answers, whys, state = {}, {}, {"at": 0}

        def serve(peer):
            peer.shake_hands()
            if state["at"] < len(codes):
                code = codes[state["at"]]
                answers[code] = peer.close_with(code, b"" if code is None else b"so it is")
            peer.linger()

        upstream = upstream_for(self, serve)
        self.start(section("f", url=upstream.url(), **PRICES))
        for code in codes:
            wait_for(lambda c=code: c in answers, what=f"the answer to {code}")
            told = self.wait_state("f", "backoff", "resolving", "connecting", "handshake")
            whys[code] = told["why"]
            state["at"] += 1
            self.control.call("feed.start", name="f")
        self.wait_state("f", "live")
        for code in codes:
            with self.subTest(code=code):
                if code is None:
                    self.assertEqual(answers[code], NO_CODE)
                elif code in valid:
                    self.assertEqual(answers[code], code)
                    self.assertIn(str(code), whys[code])
                    self.assertIn("so it is", whys[code])
                else:
                    self.assertEqual(answers[code], 1002)


class Redirects(FeedTest):
    def setUp(self):
        self.certificates = Certificates()
        self.addCleanup(self.certificates.close)
        self.certificates.make("server")
        self.seen = []
        self.plain = upstream_for(self, lambda peer: self.serve(peer, self.plain))
        self.other = upstream_for(self, lambda peer: self.serve(peer, self.other))
        self.secure = upstream_for(self, lambda peer: self.serve(peer, self.secure),
                                   tls=self.certificates.server())

    def serve(self, peer, upstream):
        peer.read_head()
        self.seen.append((upstream, peer.target, peer.headers.get("authorization")))
        if peer.target.startswith("/to/"):
            self.redirect(peer, peer.target[4:])
        else:
            peer.switch()
            peer.linger()

    def redirect(self, peer, target):
        """/to/3/... counts down; else the name of a place, and what follows."""
        what, _, rest = target.partition("/")
        places = {"same": "/end", "relative": "../../end",
                  "plain": self.plain.url("/" + rest), "other": self.other.url("/" + rest),
                  "secure": self.secure.url("/" + rest), "circle": "/to/circle",
                  "http": self.plain.url("/end").replace("ws:", "http:"),
                  "https": self.secure.url("/end").replace("wss:", "https:"),
                  "ftp": "ftp://127.0.0.1/x", "nowhere": "", "bad": "ws://[::g]/",
                  "user": f"ws://user:pass@127.0.0.1:{self.plain.port}/end",
                  "other-scheme": "//" + self.other.url("/end").partition("//")[2]}
        if what.isdigit():
            location = f"/to/{int(what) - 1}/{rest}" if int(what) > 1 else "/end"
        else:
            location = places[what]
        status = (301, 302, 303, 307, 308)[len(self.seen) % 5]
        peer.answer(f"{status} Moved", f"Location: {location}", body=b"<a>moved</a>")

    def follow(self, wanted, secure=()):
        """wanted: what the feed is redirected by -> where it ends, or None when it must not."""
        starts = {**{n: self.plain for n in wanted}, **{n: self.secure for n in secure}}
        names = {f"f{i}": name for i, name in enumerate(starts)}
        self.start(*(section(n, url=starts[name].url(f"/to/{name}"), ca=str(self.certificates.ca),
                             headers=[f"Authorization: Bearer {SECRET}"], **PRICES)
                     for n, name in names.items()))
        ends = {**wanted, **dict(secure)}
        for feed, name in names.items():
            with self.subTest(redirect=name, start=starts[name].url()):
                if ends[name] is None:
                    told = self.wait_state(feed, "backoff")
                    self.assertRegex(told["why"], "redirects|answers 30")
                else:
                    told = self.wait_state(feed, "live")
                    self.assertEqual(told["handshake"]["url"], ends[name])

    def test_where_they_lead(self):
        end = self.plain.url("/end")
        self.follow({"1/": end, "2/": end, "3/": end, "4/": None, "circle": None, "same": end,
                     "relative": end, "http": end, "https": self.secure.url("/end"),
                     "secure/end": self.secure.url("/end"), "other/end": self.other.url("/end"),
                     "other-scheme": self.other.url("/end"), "ftp": None, "nowhere": None,
                     "bad": None, "user": None,
                     "secure/to/plain/end": None, "secure/to/https": self.secure.url("/end")},
                    {"plain/end": None, "secure/to/http": None, "same/": self.secure.url("/end")})

    def test_secrets_stay_with_their_server(self):
        """The headers go on to the same host and port, and nowhere else."""
        self.follow({"2/": self.plain.url("/end"), "other/end": self.other.url("/end"),
                     "secure/end": self.secure.url("/end"),
                     "other/to/plain/end": self.plain.url("/end")})
        for upstream, target, shown in self.seen:
            with self.subTest(upstream=upstream.url(), target=target):
                if upstream is not self.plain:
                    self.assertIsNone(shown)
                elif target != "/end":
                    self.assertEqual(shown, f"Bearer {SECRET}")
        self.assertEqual({s for u, t, s in self.seen if u is self.plain and t == "/to/1/"},
                         {f"Bearer {SECRET}"})


if __name__ == "__main__":
    unittest.main()

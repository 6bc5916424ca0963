"""RFC 6455 against /echo: raw frames, and two clients that are not ours, python3-websockets and
node-ws.

builds: release asan
valgrind: yes
"""

import asyncio
import os
import struct
import subprocess
import unittest

import websockets

from harness import (BINARY, CLOSE, LONG, PING, PONG, TEXT, TIMEOUT_S, Closed, Daemon, Frame,
                     connect_websockets, encode_frame, seeded)

MESSAGE_MAX = 1 << 20
CONFIG = """
[websocket]
echo = true
max_message = "1MiB"
"""


def close_payload(code, reason=b""):
    return struct.pack(">H", code) + reason


class Raw(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(config=CONFIG)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.close()

    def setUp(self):
        self.ws = self.open()

    def open(self):
        ws = self.daemon.ws(path="/echo", subprotocol=None)
        self.addCleanup(ws.close)
        return ws

    def expect(self, opcode, payload):
        self.assertEqual(self.ws.recv_frame(), Frame(True, 0, opcode, payload))

    def expect_echo(self, opcode, payload):
        """The message must come back, as one frame or as several."""
        frame = self.ws.recv_frame()
        self.assertEqual(frame.opcode, opcode)
        got = frame.payload
        while not frame.fin:
            frame = self.ws.recv_frame()
            self.assertEqual(frame.opcode, 0)
            got += frame.payload
        self.assertTrue(got == payload, f"{len(got)} bytes came back, {len(payload)} were sent")

    def expect_end(self, *codes):
        """Nothing but a close frame with one of these codes, then the end of the stream."""
        frame = self.ws.recv_frame()
        self.assertEqual(frame.opcode, CLOSE, frame)
        code = struct.unpack(">H", frame.payload[:2])[0] if frame.payload else None
        self.assertIn(code, codes)
        frame.payload[2:].decode()
        with self.assertRaises(Closed):
            self.ws.recv_frame()

    def each(self, cases):
        """A connection of its own for each case."""
        for case in cases:
            with self.subTest(case=str(case)[:60]):
                self.ws.close()
                self.ws = self.open()
                yield case

    def send_chopped(self, data, size):
        for at in range(0, len(data), size):
            self.ws.send_raw(data[at:at + size])


class Framing(Raw):
    def test_lengths(self):
        for n in (0, 1, 125, 126, 127, 128, 4095, 4096, 65535, 65536, 65537, MESSAGE_MAX):
            for opcode in (TEXT, BINARY):
                with self.subTest(n=n, opcode=opcode):
                    payload = b"*" * n if opcode == TEXT else bytes(range(256)) * (n // 256 + 1)
                    self.ws.send_frame(opcode, payload[:n])
                    self.expect_echo(opcode, payload[:n])

    def test_chopped(self):
        for n, size in ((0, 1), (125, 1), (126, 1), (70_000, 997), (70_000, 4096)):
            with self.subTest(n=n, size=size):
                payload = os.urandom(n)
                self.send_chopped(encode_frame(BINARY, payload), size)
                self.expect_echo(BINARY, payload)

    def test_many_in_one_write(self):
        payloads = [os.urandom(i) for i in range(300)]
        self.ws.send_raw(b"".join(encode_frame(BINARY, p, mask=os.urandom(4)) for p in payloads))
        for payload in payloads:
            self.expect(BINARY, payload)

    def test_masks(self):
        for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x00\xff\x00\xff"):
            self.ws.send_frame(TEXT, "Grüße".encode(), mask=mask)
            self.expect(TEXT, "Grüße".encode())

    def test_unmasked_is_refused(self):
        for opcode in self.each((TEXT, BINARY, PING, PONG)):
            self.ws.send_frame(opcode, b"x", mask=None)
            self.expect_end(1002)

    def test_lengths_not_in_their_shortest_form(self):
        mask = b"\1\2\3\4"
        for head in self.each((b"\xfe\x00\x00", b"\xfe\x00\x7d",
                               b"\xff" + struct.pack(">Q", 5), b"\xff" + struct.pack(">Q", 65535),
                               b"\xff" + struct.pack(">Q", 1 << 63),
                               b"\xff" + struct.pack(">Q", (1 << 64) - 1))):
            self.ws.send_raw(b"\x82" + head + mask + b"x" * 8)
            self.expect_end(1002, 1009)


class PingPong(Raw):
    def test_pings(self):
        for payload in (b"", b"Hello", b"\0\xff\xfe\xfd", b"x" * 125):
            self.ws.send_frame(PING, payload)
            self.expect(PONG, payload)
        self.send_chopped(encode_frame(PING, b"y" * 125), 1)
        self.expect(PONG, b"y" * 125)

    def test_too_long(self):
        for opcode in self.each((PING, PONG, CLOSE)):
            self.ws.send_frame(opcode, b"x" * 126)
            self.expect_end(1002)

    def test_pongs_that_nobody_asked_for(self):
        self.ws.send_frame(PONG)
        self.ws.send_frame(PONG, b"unasked")
        self.ws.send_frame(PING, b"asked")
        self.expect(PONG, b"asked")

    def test_many(self):
        for size in (None, 1):
            data = b"".join(encode_frame(PING, b"payload-%d" % i) for i in range(10))
            self.send_chopped(data, size or len(data))
            for i in range(10):
                self.expect(PONG, b"payload-%d" % i)


class ReservedBits(Raw):
    def test_each(self):
        for rsv, opcode in self.each([(r, o) for r in range(1, 8)
                                      for o in (TEXT, BINARY, PING, PONG, CLOSE)]):
            self.ws.send_frame(opcode, b"\x03\xe8" if opcode == CLOSE else b"x", rsv=rsv)
            self.expect_end(1002)

    def test_behind_good_ones(self):
        self.ws.send_raw(encode_frame(TEXT, b"good") + encode_frame(TEXT, b"bad", rsv=2)
                         + encode_frame(PING))
        self.expect(TEXT, b"good")
        self.expect_end(1002)

    def test_in_a_continuation(self):
        self.ws.send_frame(TEXT, b"a", fin=False)
        self.ws.send_frame(0, b"b", rsv=1)
        self.expect_end(1002)


class Opcodes(Raw):
    def test_unknown(self):
        for opcode, payload in self.each([(o, p) for o in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
                                          for p in (b"", b"x")]):
            self.ws.send_frame(TEXT, b"good")
            self.ws.send_frame(opcode, payload)
            self.ws.send_frame(PING)
            self.expect(TEXT, b"good")
            self.expect_end(1002)


class Fragmentation(Raw):
    def test_fragments(self):
        for opcode, parts in ((TEXT, [b"frag", b"ment"]), (BINARY, [b"", b"", b""]),
                              (TEXT, [b"", b"middle", b""]), (BINARY, [b"x"] * 1000),
                              (BINARY, [os.urandom(5000)] * 7),
                              (TEXT, [bytes([b]) for b in "Hello-µ@ßöäüàá-UTF-8!!".encode()])):
            for one_write in (True, False):
                frames = [encode_frame(opcode if i == 0 else 0, part, fin=i == len(parts) - 1)
                          for i, part in enumerate(parts)]
                if one_write:
                    self.ws.send_raw(b"".join(frames))
                else:
                    for frame in frames:
                        self.ws.send_raw(frame)
                self.expect_echo(opcode, b"".join(parts))

    def test_control_frames_between_fragments(self):
        for size in (None, 1):
            data = (encode_frame(TEXT, b"frag", fin=False) + encode_frame(PING, b"one")
                    + encode_frame(0, b"ment", fin=False) + encode_frame(PONG, b"unasked")
                    + encode_frame(PING, b"two") + encode_frame(0, b"ed"))
            self.send_chopped(data, size or len(data))
            frames = [self.ws.recv_frame() for _ in range(3)]
            self.assertEqual([f.payload for f in frames if f.opcode == PONG], [b"one", b"two"])
            self.assertEqual([f.payload for f in frames if f.opcode == TEXT], [b"fragmented"])

    def test_a_pong_does_not_wait_for_the_message(self):
        self.ws.send_frame(TEXT, b"frag", fin=False)
        self.ws.send_frame(PING, b"now")
        self.expect(PONG, b"now")
        self.ws.send_frame(0, b"ment")
        self.expect(TEXT, b"fragment")

    def test_fragmented_control_frames(self):
        for opcode in self.each((PING, PONG, CLOSE)):
            self.ws.send_frame(opcode, b"\x03\xe8", fin=False)
            self.expect_end(1002)

    def test_continuation_of_nothing(self):
        for before, fin in self.each([(b, f) for b in (False, True) for f in (False, True)]):
            if before:
                self.ws.send_frame(TEXT, b"whole")
                self.expect(TEXT, b"whole")
            self.ws.send_frame(0, b"of nothing", fin=fin)
            self.expect_end(1002)

    def test_message_inside_another(self):
        for first, second in self.each([(a, b) for a in (TEXT, BINARY) for b in (TEXT, BINARY)]):
            self.ws.send_frame(first, b"a", fin=False)
            self.ws.send_frame(second, b"b")
            self.expect_end(1002)


VALID = ["", "κόσμε", "\0", "\x7f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd",
         "\uffff", "\U00010000", "\U0010ffff", "Hello-µ@ßöäüàá-UTF-8!!", "\ufeff", "\ufffe"]
INVALID = [b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xc2", b"\xc3\x28", b"\xe0\x80\x80",
           b"\xe0\x9f\xbf", b"\xe2\x82", b"\xe2\x28\xa1", b"\xed\xa0\x80", b"\xed\xbf\xbf",
           b"\xed\xa0\xbd\xed\xb8\x80", b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xf0\x9f\x98",
           b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf8\x88\x80\x80\x80",
           b"\xfc\x84\x80\x80\x80\x80", b"\xfe", b"\xff",
           b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74"]


class Utf8(Raw):
    def test_valid(self):
        for text in VALID:
            payload = text.encode()
            self.ws.send_frame(TEXT, payload)
            self.expect(TEXT, payload)
            for i in range(len(payload) + 1):
                self.ws.send_frame(TEXT, payload[:i], fin=False)
                self.ws.send_frame(0, payload[i:])
                self.expect(TEXT, payload)

    def test_invalid(self):
        for payload in self.each(INVALID):
            self.ws.send_frame(TEXT, b"before " + payload)
            self.expect_end(1007)

    def test_invalid_in_fragments(self):
        for payload in self.each(INVALID):
            self.ws.send_frame(TEXT, b"", fin=False)
            for i in range(len(payload)):
                self.ws.send_frame(0, payload[i:i + 1], fin=i == len(payload) - 1)
            self.expect_end(1007)

    def test_refused_as_soon_as_it_is_known(self):
        """The message is not whole yet, and cannot become valid any more."""
        self.ws.send_frame(TEXT, b"good so far", fin=False)
        self.ws.send_frame(0, b"\xff and more", fin=False)
        self.expect_end(1007)

    def test_binary_may_be_anything(self):
        for payload in INVALID:
            self.ws.send_frame(BINARY, payload)
            self.expect(BINARY, payload)


class Closing(Raw):
    def test_plain(self):
        self.ws.send_frame(CLOSE)
        frame = self.ws.recv_frame()
        self.assertEqual((frame.opcode, frame.payload), (CLOSE, b""))
        with self.assertRaises(Closed):
            self.ws.recv_frame()

    def test_codes(self):
        for code in self.each((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999,
                               4000, 4999)):
            self.ws.send_frame(CLOSE, close_payload(code, "tschüß".encode()))
            self.expect_end(code)

    def test_codes_that_must_not_be_sent(self):
        for code in self.each((0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000,
                               65535)):
            self.ws.send_frame(CLOSE, close_payload(code))
            self.expect_end(1002)

    def test_half_a_code(self):
        self.ws.send_frame(CLOSE, b"\x03")
        self.expect_end(1002)

    def test_reasons(self):
        for reason in self.each((b"", b"x" * 123)):
            self.ws.send_frame(CLOSE, close_payload(1000, reason))
            self.expect_end(1000)
        for reason in self.each(INVALID[:6]):
            self.ws.send_frame(CLOSE, close_payload(1000, reason))
            self.expect_end(1002, 1007)

    def test_nothing_after_a_close(self):
        self.ws.send_raw(encode_frame(TEXT, b"before") + encode_frame(CLOSE, close_payload(1000))
                         + encode_frame(TEXT, b"behind") + encode_frame(PING))
        self.expect(TEXT, b"before")
        self.expect_end(1000)

    def test_close_inside_a_message(self):
        self.ws.send_frame(TEXT, b"never ", fin=False)
        self.ws.send_frame(CLOSE, close_payload(1000))
        self.expect_end(1000)

    def test_close_twice(self):
        self.ws.send_raw(encode_frame(CLOSE, close_payload(1000)) * 2)
        self.expect_end(1000)

    def test_chopped(self):
        self.send_chopped(encode_frame(CLOSE, close_payload(3000, b"a reason" * 10)), 1)
        self.expect_end(3000)

    def test_everything_sent_before_is_answered(self):
        self.ws.send_raw(b"".join(encode_frame(TEXT, b"%d" % i) for i in range(500))
                         + encode_frame(CLOSE, close_payload(1000)))
        for i in range(500):
            self.expect(TEXT, b"%d" % i)
        self.expect_end(1000)

    def test_end_without_a_close(self):
        """The other side is simply gone; the daemon forgets it."""
        for half in (b"", b"\x81", encode_frame(TEXT, b"half a frame")[:9]):
            ws = self.open()
            ws.send_raw(half)
            ws.close()
        self.ws.send_frame(PING)
        self.expect(PONG, b"")


class Limits(Raw):
    def test_largest_in_fragments(self):
        for size in (4096, 65536, MESSAGE_MAX // 2):
            payload = os.urandom(MESSAGE_MAX)
            for at in range(0, MESSAGE_MAX, size):
                self.ws.send_frame(0 if at else BINARY, payload[at:at + size],
                                   fin=at + size == MESSAGE_MAX)
            self.expect_echo(BINARY, payload)

    def test_too_large(self):
        """Refused by the header, before the payload has arrived."""
        self.ws.send_frame(BINARY, b"x", length=MESSAGE_MAX + 1)
        self.expect_end(1009)

    def test_too_large_in_fragments(self):
        self.ws.send_frame(BINARY, b"x" * (MESSAGE_MAX // 2), fin=False)
        self.ws.send_frame(0, b"x" * (MESSAGE_MAX // 2), fin=False)
        self.ws.send_frame(0, b"")
        self.expect_echo(BINARY, b"x" * MESSAGE_MAX)
        self.ws.send_frame(BINARY, b"x" * MESSAGE_MAX, fin=False)
        self.ws.send_frame(0, b"x")
        self.expect_end(1009)

    def test_many_messages(self):
        count = 2000 if LONG else 300
        for n in (0, 16, 256, 4096):
            payload = os.urandom(n)
            for _ in range(count):
                self.ws.send_frame(BINARY, payload)
                self.expect(BINARY, payload)


class ApiDoor(unittest.TestCase):
    def test_binary_is_refused(self):
        with Daemon() as daemon, daemon.ws() as ws:
            ws.send_frame(BINARY, b'{"jsonrpc":"2.0","id":1,"method":"ping"}')
            self.assertEqual(ws.close_code(), 1003)

    def test_fragmented_request(self):
        with Daemon() as daemon, daemon.ws() as ws:
            text = b'{"jsonrpc":"2.0","id":"whole","method":"ping"}'
            for i in range(len(text)):
                ws.send_frame(TEXT if i == 0 else 0, text[i:i + 1], fin=i == len(text) - 1)
                if i % 10 == 0:
                    ws.send_frame(PING, b"p")
            while (message := ws.recv()).get("id") != "whole":
                self.assertEqual(message["method"], "hello")

    def test_message_limit(self):
        with Daemon(config='[websocket]\nmax_message = "1KiB"\n') as daemon, daemon.ws() as ws:
            self.assertEqual(ws.call("ping").keys(), {"time"})
            ws.send_text('{"jsonrpc":"2.0","id":1,"method":"ping"' + " " * 1000 + "}")
            self.assertEqual(ws.close_code(), 1009)


class OtherClient(unittest.TestCase):
    """python3-websockets judges our frames, and we its."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(config=CONFIG)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.close()

    def connect(self, **options):
        return connect_websockets(self.daemon, path="/echo", subprotocols=None, **options)

    def test_random_messages(self):
        rng = seeded()

        async def run():
            async with self.connect(compression=None) as ws:
                for _ in range(1000 if LONG else 200):
                    n = rng.choice((0, 1, 125, 126, 127, rng.randrange(3000), 65535, 65536))
                    if rng.random() < 0.5:
                        message = rng.randbytes(n)
                    else:
                        message = "".join(rng.choice("aé€😀") for _ in range(n // 4))
                    parts = rng.randrange(1, 5)
                    step = len(message) // parts + 1
                    await ws.send([message[i:i + step] for i in range(0, len(message), step)]
                                  if parts > 1 and message else message)
                    self.assertEqual(await asyncio.wait_for(ws.recv(), 30), message)
        asyncio.run(run())

    def test_pings(self):
        async def run():
            async with self.connect() as ws:
                for n in (0, 5, 125):
                    await asyncio.wait_for(await ws.ping(os.urandom(n) if n else None), 30)
        asyncio.run(run())

    def test_closes(self):
        async def run():
            for code in (1000, 1001, 3000, 4999):
                ws = await self.connect()
                await ws.close(code, "a reason")
                self.assertEqual(ws.close_code, code)
            ws = await self.connect()
            await ws.send(b"x" * (MESSAGE_MAX + 1))
            with self.assertRaises(websockets.ConnectionClosed):
                await asyncio.wait_for(ws.recv(), 30)
            self.assertEqual(ws.close_code, 1009)
        asyncio.run(run())

    def test_extensions_are_declined(self):
        async def run():
            async with self.connect(compression="deflate") as ws:
                self.assertEqual(ws.extensions, [])
                await ws.send("plain")
                self.assertEqual(await ws.recv(), "plain")
        asyncio.run(run())

    def test_many_at_once(self):
        async def talk(number):
            async with self.connect(compression=None) as ws:
                for i in range(20):
                    message = f"{number} {i} " + "x" * (number * 37 % 5000)
                    await ws.send(message)
                    self.assertEqual(await asyncio.wait_for(ws.recv(), 60), message)

        async def run():
            await asyncio.gather(*(talk(n) for n in range(100)))
        asyncio.run(run())


NODE = r"""
const WebSocket = require("ws"), crypto = require("crypto");
const url = process.argv[1], max = Number(process.argv[2]);
const open = (options) => new Promise((resolve, reject) => {
    const ws = new WebSocket(url, options);
    ws.on("open", () => resolve(ws));
    ws.on("error", reject);
});
const next = (ws, event) => new Promise((resolve) => ws.once(event, (...args) => resolve(args)));
const check = (what, good) => { if (!good) { console.error("wrong:", what); process.exit(1); } };
const echo = async (ws, data, options) => {
    const back = next(ws, "message");
    ws.send(data, options || {});
    const [got, isBinary] = await back;
    check("echo of " + data.length, got.equals(Buffer.from(data)));
    check("kind", isBinary === (typeof data !== "string"));
};
(async () => {
    let ws = await open();
    check("no extension", ws.extensions === "");
    for (const n of [0, 1, 125, 126, 127, 65535, 65536, max]) {
        await echo(ws, crypto.randomBytes(n));
        await echo(ws, "x".repeat(n));
    }
    await echo(ws, "Grüße 😀");
    let back = next(ws, "message");
    for (let i = 0; i < 50; i++) ws.send("part " + i, { fin: i === 49 });
    check("fragments", (await back)[0].length === 50 * 7 - 10);
    for (const data of ["", "a ping", crypto.randomBytes(125)]) {
        const pong = next(ws, "pong");
        ws.ping(data);
        check("pong", (await pong)[0].equals(Buffer.from(data)));
    }
    for (const [code, reason] of [[1000, ""], [1001, "going"], [3000, "ä"], [4999, "x".repeat(123)]]) {
        const other = await open(), end = next(other, "close");
        other.close(code, reason);
        const [gotCode, gotReason] = await end;
        check("close code", gotCode === code);
        check("close reason", gotReason.toString() === reason);
    }
    const end = next(ws, "close");
    ws.send(crypto.randomBytes(max + 1));
    check("too large", (await end)[0] === 1009);
    console.log("good");
})();
"""


class NodeClient(unittest.TestCase):
    def test_everything(self):
        with Daemon(config=CONFIG) as daemon:
            out = subprocess.run(
                ["node", "-e", NODE, f"ws://127.0.0.1:{daemon.port}/echo", str(MESSAGE_MAX)],
                env={**os.environ, "NODE_PATH": "/usr/share/nodejs"}, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S * 4, check=False)
        self.assertEqual(out.stdout, "good\n")


if __name__ == "__main__":
    unittest.main()

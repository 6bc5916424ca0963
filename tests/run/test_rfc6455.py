"""RFC 6455 against /echo, judged by raw frames and by two clients that are not ours,
python3-websockets and node-ws: the table of rfc6455.py, and what does not fit into a table.

builds: asan; in check-long: release
valgrind: yes
"""

import asyncio
import json
import os
import socket
import struct
import subprocess
import tempfile
import threading
import unittest

import websockets

from certificates import Certificates
from harness import (BINARY, CLOSE, LONG, PING, PONG, TEXT, TIMEOUT_S, Closed, Daemon, Frame,
                     connect_websockets, encode_frame, seeded, wait_for)
from rfc6455 import KIB, MIB, NO_CODE, all_cases, close_frame, cut

LARGEST = 16 * MIB if LONG else MIB
OCTETS_MAX = 70 * KIB if LONG else 4 * KIB  # what is sent byte by byte
CASES = list(all_cases(LARGEST))
CONFIG = """
[websocket]
echo = true
max_message = "16MiB"
"""
STILL_THERE = b"still there?"


class Echo(unittest.TestCase):
    config = CONFIG

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(config=cls.config)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.close()

    def open(self, **options):
        ws = self.daemon.ws(path="/echo", subprotocol=None, **options)
        self.addCleanup(ws.close)
        return ws

    def expect(self, ws, opcode, payload):
        frame = ws.recv_frame()
        if frame != Frame(True, 0, opcode, payload):
            self.fail(f"opcode {opcode} with {payload[:40]} was expected, not {str(frame)[:100]}")

    def expect_end(self, ws, code, reason=None):
        """Nothing but a close frame with this code, then the end of the stream."""
        frame = ws.recv_frame()
        got = struct.unpack(">H", frame.payload[:2])[0] if frame.payload else NO_CODE
        self.assertEqual((frame.opcode, got), (CLOSE, code), str(frame)[:100])
        frame.payload[2:].decode()
        if reason is not None:
            self.assertEqual(frame.payload[2:], reason)
        with self.assertRaises(Closed):
            ws.recv_frame()


def send_quietly(ws, pieces):
    """The other side may have closed already."""
    try:
        for piece in pieces:
            ws.send_raw(piece)
    except Closed:
        pass


class RawFrames(Echo):
    """The table, down to the bytes."""

    def judge(self, case, pieces):
        with self.open() as ws:
            sender = threading.Thread(target=send_quietly, args=(ws, pieces))
            sender.start()
            try:
                for answer in case.answers:
                    self.expect(ws, *answer)
                if case.code is None:
                    sender.join()
                    ws.send_frame(PING, STILL_THERE)
                    self.expect(ws, PONG, STILL_THERE)
                    ws.send_raw(close_frame(1000))
                self.expect_end(ws, case.code or 1000, case.reason)
            finally:
                sender.join()

    def judge_all(self, pieces_of):
        for case in CASES:
            pieces = pieces_of(case)
            if pieces is not None:
                with self.subTest(case=case.name):
                    self.judge(case, pieces)

    def test_in_one_write(self):
        self.judge_all(lambda case: [case.data])

    def test_frame_by_frame(self):
        self.judge_all(lambda case: case.frames if 1 < len(case.frames) <= 2000 else None)

    def test_byte_by_byte(self):
        self.judge_all(lambda case: cut(case.data, 1) if len(case.data) <= OCTETS_MAX else None)

    def test_in_pieces(self):
        self.judge_all(lambda case: cut(case.data, case.chop) if case.chop else None)


class PythonClient(Echo):
    """python3-websockets judges our frames: the table, written to its socket, and its own."""

    def connect(self, **options):
        return connect_websockets(self.daemon, path="/echo", subprotocols=None, **options)

    async def judge(self, case):
        wanted = [payload.decode() if opcode == TEXT else payload
                  for opcode, payload in case.answers if opcode in (TEXT, BINARY)]
        async with self.connect(compression=None) as ws:
            ws.transport.write(case.data)
            for message in wanted:
                self.assertTrue(await asyncio.wait_for(ws.recv(), TIMEOUT_S) == message)
            if case.code is None:
                await asyncio.wait_for(await ws.ping(STILL_THERE), TIMEOUT_S)
                await ws.close()
            else:
                with self.assertRaises(websockets.ConnectionClosed):
                    await asyncio.wait_for(ws.recv(), TIMEOUT_S)
            self.assertEqual(ws.close_code, case.code or 1000)
            if case.reason is not None:
                self.assertEqual(ws.close_reason, case.reason.decode())

    def test_table(self):
        async def run():
            for case in CASES:
                with self.subTest(case=case.name):
                    await self.judge(case)
        asyncio.run(run())

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
                    self.assertEqual(await asyncio.wait_for(ws.recv(), TIMEOUT_S), message)
        asyncio.run(run())

    def test_pings(self):
        async def run():
            async with self.connect() as ws:
                for n in (0, 5, 125):
                    await asyncio.wait_for(await ws.ping(os.urandom(n) if n else None), TIMEOUT_S)
        asyncio.run(run())

    def test_closes(self):
        async def run():
            for code in (1000, 1001, 3000, 4999):
                ws = await self.connect()
                await ws.close(code, "a reason")
                self.assertEqual(ws.close_code, code)
            ws = await self.connect()
            await ws.send(b"x" * (16 * MIB + 1))
            with self.assertRaises(websockets.ConnectionClosed):
                await asyncio.wait_for(ws.recv(), TIMEOUT_S)
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
const WebSocket = require("ws"), crypto = require("crypto"), fs = require("fs");
const [url, max, table] = [process.argv[1], Number(process.argv[2]), process.argv[3]];
const open = (options) => new Promise((resolve, reject) => {
    const ws = new WebSocket(url, options);
    ws.on("open", () => resolve(ws));
    ws.on("error", reject);
});
const next = (ws, event) => new Promise((resolve) => ws.once(event, (...args) => resolve(args)));
let faults = 0;
const check = (what, good) => { if (!good) { console.log("wrong:", what); faults++; } };
const echo = async (ws, data, options) => {
    const back = next(ws, "message");
    ws.send(data, options || {});
    const [got, isBinary] = await back;
    check("echo of " + data.length, got.equals(Buffer.from(data)));
    check("kind", isBinary === (typeof data !== "string"));
};
const judge = async (one, data, answers) => {
    const ws = await open({perMessageDeflate: false}), events = [];
    let wake = () => {};
    const heard = (opcode, payload) => { events.push([opcode, payload]); wake(); };
    ws.on("message", (payload, isBinary) => heard(isBinary ? 2 : 1, payload));
    ws.on("pong", (payload) => heard(10, payload));
    const end = next(ws, "close");
    ws._socket.write(data);
    if (one.code === null) {
        while (events.length < answers.length) await new Promise((resolve) => { wake = resolve; });
        const pong = next(ws, "pong");
        ws.ping("still there?");
        check(one.name + ": still there", (await pong)[0].equals(Buffer.from("still there?")));
        events.pop();
        ws.close(1000);
    }
    const [code, reason] = await end;
    check(one.name + ": " + code, code === (one.code || 1000));
    check(one.name + ": reason", one.reason === null || one.reason === reason.toString());
    check(one.name + ": answers", events.length === answers.length && events.every(
        ([opcode, payload], i) => opcode === answers[i][0] && payload.equals(answers[i][1])));
};
const judgeAll = async () => {
    const file = fs.openSync(table);
    const read = (n) => { const b = Buffer.alloc(n); if (n) fs.readSync(file, b, 0, n); return b; };
    for (let n; (n = read(4).readUInt32BE()) > 0;) {
        const one = JSON.parse(read(n)), data = read(one.data);
        await judge(one, data, one.answers.map(([opcode, size]) => [opcode, read(size)]));
    }
};
(async () => {
    await judgeAll();
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
    for (const [code, reason] of [[1000, ""], [1001, "going"], [1013, "later"], [3000, "ä"],
                                  [4999, "x".repeat(123)]]) {
        const other = await open(), end = next(other, "close");
        other.close(code, reason);
        const [gotCode, gotReason] = await end;
        check("close code", gotCode === code);
        check("close reason", gotReason.toString() === reason);
    }
    const end = next(ws, "close");
    ws.send(crypto.randomBytes(max + 1));
    check("too large", (await end)[0] === 1009);
    console.log(faults === 0 ? "good" : faults + " faults");
})();
"""


def write_table(file):
    """The cases for node: a head of JSON with the lengths of what follows, then those bytes."""
    for case in CASES:
        head = json.dumps({
            "name": case.name, "data": len(case.data), "code": case.code,
            "answers": [[opcode, len(payload)] for opcode, payload in case.answers],
            "reason": None if case.reason is None else case.reason.decode()}).encode()
        file.write(struct.pack(">I", len(head)) + head + case.data)
        file.writelines(payload for _, payload in case.answers)
    file.write(b"\0\0\0\0")
    file.flush()


class NodeClient(Echo):
    scheme = "ws"
    ca = ""  # that node trusts besides those it knows

    def test_everything(self):
        with tempfile.NamedTemporaryFile(prefix="sysrt-table-") as table:
            write_table(table)
            out = subprocess.run(
                ["node", "-e", NODE, f"{self.scheme}://127.0.0.1:{self.daemon.port}/echo",
                 str(16 * MIB), table.name],
                env={**os.environ, "NODE_PATH": "/usr/share/nodejs",
                     "NODE_EXTRA_CA_CERTS": self.ca},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                timeout=TIMEOUT_S * (20 if LONG else 4), check=False)
        self.assertEqual(out.stdout, "good\n")


class Encrypted:
    """The same, by wss://."""

    @classmethod
    def setUpClass(cls):
        certificates = Certificates()
        cls.addClassCleanup(certificates.close)
        certificates.make("server")
        cls.daemon = Daemon(config=cls.config + certificates.options(), tls=certificates.client())
        cls.ca = str(certificates.ca)


@unittest.skipUnless(LONG, "test_tls has some of it")
class EncryptedPythonClient(Encrypted, PythonClient):
    pass


@unittest.skipUnless(LONG, "test_tls has some of it")
class EncryptedNodeClient(Encrypted, NodeClient):
    scheme = "wss"


class BeyondTheTable(Echo):
    """Timing, masks, and ends."""

    def setUp(self):
        self.ws = self.open()

    def test_masks(self):
        for mask in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x00\xff\x00\xff", None):
            for n in (0, 1, 7, 8, 9, 300):
                payload = os.urandom(n)
                self.ws.send_frame(BINARY, payload, mask=mask or os.urandom(4))
                self.expect(self.ws, BINARY, payload)

    def test_many_in_one_write(self):
        payloads = [os.urandom(i) for i in range(300)]
        self.ws.send_raw(b"".join(encode_frame(BINARY, p, mask=os.urandom(4)) for p in payloads))
        for payload in payloads:
            self.expect(self.ws, BINARY, payload)

    def test_cut_at_every_place(self):
        for text in ("Grüße, κόσμε 😀", "\0\x7f\u0080\u07ff\u0800\ud7ff\ue000\uffff\U0010ffff"):
            payload = text.encode()
            for i in range(len(payload) + 1):
                self.ws.send_frame(TEXT, payload[:i], fin=False)
                self.ws.send_frame(0, payload[i:])
                self.expect(self.ws, TEXT, payload)

    def test_a_pong_does_not_wait_for_the_message(self):
        self.ws.send_frame(TEXT, b"frag", fin=False)
        self.ws.send_frame(PING, b"now")
        self.expect(self.ws, PONG, b"now")
        self.ws.send_frame(0, b"ment")
        self.expect(self.ws, TEXT, b"fragment")

    def test_everything_sent_before_a_close_is_answered(self):
        """However slowly it is read, and though the client has shut its side down behind it."""
        for n, payload in ((500, b"small"), (64, os.urandom(64 * KIB))):
            with self.open(receive_buffer=4096) as ws:
                frames = [encode_frame(BINARY, payload)] * n + [close_frame(1000)]
                sender = threading.Thread(target=lambda: (ws.send_raw(b"".join(frames)),
                                                          ws.sock.shutdown(socket.SHUT_WR)))
                sender.start()
                for _ in range(n):
                    self.expect(ws, BINARY, payload)
                self.expect_end(ws, 1000)
                sender.join()

    def test_end_without_a_close(self):
        """The other side is simply gone; the daemon forgets it."""
        with self.daemon.control() as control:
            for half in (b"", b"\x81", encode_frame(TEXT, b"half a frame")[:9],
                         encode_frame(TEXT, b"half a message", fin=False)):
                ws = self.open()
                ws.send_raw(half)
                ws.close()
            wait_for(lambda: control.call("status")["websocket"]["connections"] == 1)
        self.ws.send_frame(PING)
        self.expect(self.ws, PONG, b"")


class SmallLimit(Echo):
    config = "[websocket]\necho = true\nmax_message = \"1MiB\"\n"

    def setUp(self):
        self.ws = self.open()

    def test_largest_in_fragments(self):
        payload = os.urandom(MIB)
        for size in (4096, 65536, MIB // 2):
            for at in range(0, MIB, size):
                self.ws.send_frame(0 if at else BINARY, payload[at:at + size],
                                   fin=at + size == MIB)
            self.expect(self.ws, BINARY, payload)

    def test_too_large(self):
        """Refused by the header, before the payload has arrived."""
        self.ws.send_frame(BINARY, b"x", length=MIB + 1)
        self.expect_end(self.ws, 1009)

    def test_too_large_in_fragments(self):
        self.ws.send_frame(BINARY, b"x" * (MIB // 2), fin=False)
        self.ws.send_frame(0, b"x" * (MIB // 2), fin=False)
        self.ws.send_frame(0, b"")
        self.expect(self.ws, BINARY, b"x" * MIB)
        self.ws.send_frame(BINARY, b"x" * MIB, fin=False)
        self.ws.send_frame(0, b"x")
        self.expect_end(self.ws, 1009)


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


if __name__ == "__main__":
    unittest.main()

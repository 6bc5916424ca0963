"""An upstream that treats its feeds badly, and keeps book: which messages the daemon has accepted for
sure, and which it may have.

A message is accepted when something that was sent behind it on the same connection has been answered,
a ping or a close. What was sent whole without that may be stored or not; anything else must not be.
"""

import collections
import contextlib
import dataclasses
import json
import random
import socket
import threading
import time

from feeds import price
from harness import BINARY, CLOSE, PING, PONG, TEXT, encode_frame
from upstream import Gone, Upstream, accept_of

KIB = 1024
MESSAGE_MAX = 64 * KIB  # the feeds' max_message
FLOOD = 500
NUMBERS = ("0", "-0.0", "1e400", "1E-7", "0.10", "123456789012345678901234567890", "-17")
STRINGS = ('"\\u0041"', '"\\ud83d\\ude00"', '"ö€😀"', '"a\\/b"', '""', '"\\t\\u0001"', '"x"')


class Values:
    """Random JSON: the text as it is sent, with white space anywhere, and as it is stored."""

    def __init__(self, rng):
        self.rng = rng

    def space(self):
        return self.rng.choice(("", "", "", " ", "\n\t", "\r\n  "))

    def value(self, depth=0):
        kind = self.rng.randrange(6 if depth < 3 else 3)
        if kind < 3:
            token = self.rng.choice((NUMBERS, STRINGS, ("true", "false", "null"))[kind])
            return token, token
        items = [self.value(depth + 1) for _ in range(self.rng.randrange(4))]
        keys = [f'"k{i}":' if kind > 3 else "" for i in range(len(items))]
        start, end = "{}" if kind > 3 else "[]"
        spaced = ",".join(f"{self.space()}{key}{self.space()}{sent}{self.space()}"
                          for key, (sent, _) in zip(keys, items))
        return (f"{start}{self.space()}{spaced}{end}",
                start + ",".join(key + kept for key, (_, kept) in zip(keys, items)) + end)


@dataclasses.dataclass
class Book:
    """What one feed was sent. A connection that the daemon has given up may still be there beside the
    next one."""
    name: str
    rng: random.Random
    quota: int  # of incidents
    incidents: int = 0
    sent: int = 0
    accepted: dict = dataclasses.field(default_factory=dict)  # number -> data
    maybe: dict = dataclasses.field(default_factory=dict)
    peer: object = None  # of the newest connection
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    ended: float = None  # when the last connection did
    waits: list = dataclasses.field(default_factory=list)  # until the next one came, seconds
    kinds: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    is_live: bool = False


class Torture:
    """`books` by the feeds' names, which are the targets of their URLs."""

    def __init__(self, names, rng, quota, tls=None):
        self.books = {name: Book(name, random.Random(rng.random()), quota) for name in names}
        self.before = [self.reset_at_once, self.end_at_once, self.stall, self.refuse, self.garbage_head,
                       self.half_head, self.wrong_key, self.wrong_kind]
        self.after = [self.close_at_once, self.reset_in_a_frame, self.end_in_a_frame,
                      self.stall_in_a_frame, self.garbage, self.giant, self.giant_in_pieces,
                      self.invalid_utf8, self.never_pong, self.flood, self.flood_and_reset, self.masked,
                      self.reserved, self.close_politely, self.fragments, self.what_maps_to_nothing,
                      self.half_close, self.reset_settled]
        self.slow = {self.stall, self.stall_in_a_frame, self.never_pong}
        self.upstream = Upstream(self.serve, tls=tls)

    def url(self, name):
        return self.upstream.url(f"/{name}", host="localhost")

    def raise_quota(self, more):
        """More incidents for all, beginning with the end of what they have."""
        for book in self.books.values():
            book.quota += more
            book.is_live = False
        self.upstream.hang_up()

    def are_live(self):
        return all(book.is_live for book in self.books.values())

    def close(self):
        self.upstream.close()

    def serve(self, peer):
        began = time.monotonic()
        book = None
        try:
            peer.read_head()
            book = self.books[peer.target[1:]]
            book.peer = peer
            peer.pending = {}  # number -> data: sent, and nothing came back yet
            if book.ended is not None:
                book.waits.append(began - book.ended)
            if book.incidents >= book.quota:
                self.live(peer, book)
            else:
                self.misbehave(peer, book)
        finally:
            if book is not None:
                book.maybe.update(peer.pending)
            if book is not None and book.peer is peer:
                book.ended = time.monotonic()
                book.is_live = False

    def misbehave(self, peer, book):
        kind = book.rng.choice(self.before if book.rng.random() < 0.3 else self.after)
        if kind in self.slow and book.rng.random() < 0.5:
            kind = self.reset_settled
        book.incidents += 1
        book.kinds[kind.__name__] += 1
        if kind not in self.before:
            peer.switch()
        with contextlib.suppress(Gone):
            kind(peer, book)

    def live(self, peer, book):
        """It behaves until it is over."""
        peer.switch()
        self.send_some(peer, book)
        self.settle(peer, book)
        book.is_live = True
        peer.linger()

    # Messages.

    @staticmethod
    def message(peer, book):
        """The text of the next one, which is pending from here on."""
        with book.lock:
            number = book.sent
            book.sent += 1
        sent, peer.pending[number] = Values(book.rng).value()
        return price(book.name, number, sent, white=book.rng.choice(("", " ", "\n")))

    def send_some(self, peer, book, most=5):
        for _ in range(book.rng.randrange(1, most)):
            peer.send_text(self.message(peer, book))

    def settle(self, peer, book):
        peer.settle()
        self.accept(peer, book)

    @staticmethod
    def accept(peer, book):
        """All that was sent on this connection so far."""
        book.accepted.update(peer.pending)
        peer.pending.clear()

    # Incidents before the handshake is done.

    def reset_at_once(self, peer, book):
        peer.reset()

    def end_at_once(self, peer, book):
        pass

    def stall(self, peer, book):
        peer.linger()

    def refuse(self, peer, book):
        status = book.rng.choice(("500 Oh", "502 Bad Gateway", "503 Wait"))
        peer.send_raw(f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
                      + b"4\r\nnot \r\n3\r\nnow\r\n0\r\n\r\n")
        peer.linger()

    def garbage_head(self, peer, book):
        peer.send_raw(book.rng.randbytes(book.rng.randrange(1, 2000)))

    def half_head(self, peer, book):
        peer.send_raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: webso")
        if book.rng.random() < 0.5:
            peer.reset()

    def wrong_key(self, peer, book):
        peer.switch(accept=accept_of("another"))
        peer.send_text(price(book.name, "never", "0"))
        peer.linger()

    def wrong_kind(self, peer, book):
        peer.answer("200 OK", "Content-Type: text/html", body=b"<html>" + b"x" * 5000)

    # Incidents of a WebSocket.

    def close_at_once(self, peer, book):
        if book.rng.random() < 0.5:
            peer.close_with(book.rng.choice((None, 1000, 1011, 3000, 4999)))

    def half_frame(self, book):
        frame = encode_frame(TEXT, price(book.name, "never", '"' + "x" * 2000 + '"').encode(), mask=None)
        return frame[:book.rng.randrange(1, len(frame))]

    def reset_in_a_frame(self, peer, book):
        self.send_some(peer, book)
        peer.send_raw(self.half_frame(book))
        peer.reset()

    def end_in_a_frame(self, peer, book):
        self.send_some(peer, book)
        self.settle(peer, book)
        self.send_some(peer, book)
        peer.send_raw(self.half_frame(book))

    def stall_in_a_frame(self, peer, book):
        self.send_some(peer, book)
        self.settle(peer, book)
        peer.send_raw(self.half_frame(book))
        while True:  # it hears pings and says no more
            peer.recv_frame()

    def expect_end(self, peer, book, bad):
        """After what must not be taken. A close with the reason says that all before it was."""
        self.send_some(peer, book)
        self.settle(peer, book)
        self.send_some(peer, book)
        peer.send_raw(bad)
        with contextlib.suppress(Gone):
            peer.send_text(price(book.name, "never", "1"))
        if peer.linger() in (1002, 1007, 1009):
            self.accept(peer, book)

    def garbage(self, peer, book):
        self.expect_end(peer, book, b"\xf3" + book.rng.randbytes(3000))

    def giant(self, peer, book):
        self.expect_end(peer, book, encode_frame(TEXT, b"", mask=None,
                                                 length=book.rng.choice((MESSAGE_MAX + 1, 1 << 62))))

    def giant_in_pieces(self, peer, book):
        part = b" " * (MESSAGE_MAX // 4)
        self.expect_end(peer, book, b"".join(
            encode_frame(0 if i else TEXT, part, fin=False, mask=None) for i in range(5)))

    def invalid_utf8(self, peer, book):
        text = price(book.name, "never", '"\xff"').encode("latin-1")
        self.expect_end(peer, book, encode_frame(TEXT, text, mask=None))

    def masked(self, peer, book):
        self.expect_end(peer, book, encode_frame(TEXT, price(book.name, "never", "1").encode()))

    def reserved(self, peer, book):
        self.expect_end(peer, book, encode_frame(book.rng.randrange(3, 8), b"{}", mask=None))

    def never_pong(self, peer, book):
        """It answers no ping, and talks on."""
        with contextlib.suppress(Gone):
            while True:
                self.send_some(peer, book)
                mark = b"still here %d" % book.sent
                peer.send_frame(PING, mark)
                while (frame := peer.recv_frame()).opcode != PONG or frame.payload != mark:
                    if frame.opcode == CLOSE:
                        raise Gone()
                self.accept(peer, book)
                time.sleep(0.05)

    def flood(self, peer, book):
        self.flood_with(peer, book)
        self.settle(peer, book)

    def flood_and_reset(self, peer, book):
        self.flood_with(peer, book)
        peer.reset()

    def flood_with(self, peer, book):
        frames = bytearray()
        for _ in range(FLOOD):
            frames += encode_frame(TEXT, self.message(peer, book).encode(), mask=None)
        peer.send_raw(bytes(frames))

    def close_politely(self, peer, book):
        self.send_some(peer, book)
        code = book.rng.choice((1000, 1001, 1012, 3999, 4000))
        if peer.close_with(code, b"that was all") == code:
            self.accept(peer, book)

    def fragments(self, peer, book):
        payload = self.message(peer, book).encode()
        cuts = sorted(book.rng.sample(range(len(payload)), 3))
        parts = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)])]
        for i, part in enumerate(parts):
            peer.send_frame(0 if i else TEXT, part, fin=i == len(parts) - 1)
            if book.rng.random() < 0.5:
                peer.send_frame(PING, b"between")
        self.settle(peer, book)
        peer.reset()

    def what_maps_to_nothing(self, peer, book):
        """Each is counted, and the ones between them are taken."""
        for opcode, payload in ((TEXT, b"not JSON"), (TEXT, b""), (TEXT, b"[" * 5000), (TEXT, b"null"),
                                (BINARY, b"\0\xff"), (TEXT, b'{"type":"price"}'),
                                (TEXT, price(book.name, "never", "01").encode()),
                                (TEXT, b'{"type":"price","market":"a b","id":"never","data":1}'),
                                (TEXT, b'{"type":"price","market":"a","id":null,"data":1}'),
                                (TEXT, json.dumps({"type": "other", "market": "a"}).encode())):
            peer.send_frame(opcode, payload)
            self.send_some(peer, book, most=3)
        self.settle(peer, book)

    def half_close(self, peer, book):
        self.send_some(peer, book)
        self.settle(peer, book)
        if self.upstream.tls is None:
            peer.sock.shutdown(socket.SHUT_WR)
            peer.linger()

    def reset_settled(self, peer, book):
        self.send_some(peer, book)
        self.settle(peer, book)
        peer.reset()

"""Cases for an echo server, after RFC 6455 and by the numbers of the public Autobahn suite: what a
client sends, frame by frame, what must come back, and how it must end."""

import struct
from dataclasses import dataclass, field

from harness import BINARY, CLOSE, PING, PONG, TEXT, encode_frame

KIB, MIB = 1 << 10, 1 << 20
NO_CODE = 1005  # a close frame without one


@dataclass
class Case:
    name: str
    frames: list
    answers: list = field(default_factory=list)  # (opcode, payload) of messages and pongs
    code: int = None  # None: the connection goes on
    reason: bytes = None  # of the close frame, where it is the client's own
    chop: int = None  # bytes of one write, where the case is about that

    @property
    def data(self):
        return b"".join(self.frames)


def close_frame(code, reason=b""):
    return encode_frame(CLOSE, struct.pack(">H", code) + reason)


def fragments(opcode, parts, between=b""):
    """A message in frames, with the bytes of other frames between them."""
    last = len(parts) - 1
    return [encode_frame(0 if i else opcode, part, fin=i == last) + (between if i < last else b"")
            for i, part in enumerate(parts)]


def octets(payload):
    return [payload[i:i + 1] for i in range(len(payload))]


def cut(payload, size):
    return [payload[at:at + size] for at in range(0, len(payload), size)] or [b""]


def echo(name, opcode, payload, parts=None, **how):
    """A message that must come back."""
    frames = fragments(opcode, parts or [payload])
    return Case(name, frames, [(opcode, payload)], **how)


def framing():
    for n in (0, 125, 126, 127, 128, 65535, 65536):
        yield echo(f"1.1 text of {n}", TEXT, b"*" * n)
        yield echo(f"1.2 binary of {n}", BINARY, b"\xfe" * n)
    yield echo("1.1.8 text in pieces", TEXT, b"*" * 65536, chop=997)
    yield echo("1.2.8 binary in pieces", BINARY, b"\xfe" * 65536, chop=997)
    for first, payload in ((TEXT, b"x"), (BINARY, b"x"), (PING, b""), (PONG, b""), (CLOSE, b"")):
        yield Case(f"1 unmasked {first}", [encode_frame(first, payload, mask=None)], code=1002)
    for length in (b"\xfe\0\0", b"\xfe\0\x7d", b"\xff" + struct.pack(">Q", 5),
                   b"\xff" + struct.pack(">Q", 65535), b"\xff" + struct.pack(">Q", 1 << 63),
                   b"\xff" + struct.pack(">Q", (1 << 64) - 1)):
        yield Case(f"1 length {length.hex()}", [b"\x82" + length + b"\1\2\3\4" + b"x" * 8],
                   code=1002)


def pings():
    for i, payload in enumerate((b"", b"Hello, world!", b"\0\xff\xfe\xfd\xfc\xfb\0\xff",
                                 b"\xfe" * 125)):
        yield Case(f"2.{i + 1}", [encode_frame(PING, payload)], [(PONG, payload)])
    yield Case("2.5", [encode_frame(PING, b"\xfe" * 126)], code=1002)
    yield Case("2.5 pong", [encode_frame(PONG, b"\xfe" * 126)], code=1002)
    yield Case("2.7", [encode_frame(PONG)])
    yield Case("2.8", [encode_frame(PONG, b"unsolicited")])
    yield Case("2.9", [encode_frame(PONG, b"unsolicited"), encode_frame(PING, b"asked")],
               [(PONG, b"asked")])
    yield Case("2.10", [encode_frame(PING, b"payload-%d" % i) for i in range(10)],
               [(PONG, b"payload-%d" % i) for i in range(10)])


def reserved_bits():
    good, ping = encode_frame(TEXT, b"good"), encode_frame(PING)
    for rsv in range(1, 8):
        for opcode, payload in ((TEXT, b"x"), (BINARY, b"x"), (PING, b"x"), (PONG, b"x"),
                                (CLOSE, b"\x03\xe8"), (TEXT, b"")):
            bad = encode_frame(opcode, payload, rsv=rsv)
            yield Case(f"3 rsv {rsv} opcode {opcode}", [good, bad, ping], [(TEXT, b"good")], 1002)
        yield Case(f"3 rsv {rsv} in a continuation",
                   [encode_frame(TEXT, b"a", fin=False), encode_frame(0, b"b", rsv=rsv)], code=1002)


def opcodes():
    good, ping = encode_frame(TEXT, b"good"), encode_frame(PING)
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        for payload in (b"", b"x"):
            yield Case(f"4 opcode {opcode} of {len(payload)}",
                       [good, encode_frame(opcode, payload), ping], [(TEXT, b"good")], 1002)


def fragmentation():
    parts = [b"fragment%d" % i for i in range(1, 6)]
    hello = encode_frame(TEXT, b"Hello")
    more, last = encode_frame(0, b"more", fin=False), encode_frame(0, b"last")
    for opcode in (PING, PONG, CLOSE):
        yield Case(f"5.1 fragmented {opcode}", [encode_frame(opcode, b"\x03\xe8", fin=False),
                                                encode_frame(0, b"rest")], code=1002)
    yield echo("5.3", TEXT, b"".join(parts[:2]), parts[:2])
    yield echo("5.3 binary", BINARY, b"".join(parts), parts)
    for name, size in (("5.6", 2), ("5.19", 5)):
        yield Case(name, fragments(TEXT, parts[:size], encode_frame(PING, b"between")),
                   [(PONG, b"between")] * (size - 1) + [(TEXT, b"".join(parts[:size]))])
    yield Case("5.7 pongs between", fragments(TEXT, parts, encode_frame(PONG, b"nobody asked")),
               [(TEXT, b"".join(parts))])
    for name, frame in (("5.9", last), ("5.12", more)):
        yield Case(name, [frame, hello], code=1002)
        yield Case(f"{name} behind a message", [hello, frame, hello], [(TEXT, b"Hello")], 1002)
    yield Case("5.15", fragments(TEXT, parts[:2]) + [more, hello],
               [(TEXT, b"".join(parts[:2]))], 1002)
    yield Case("5.16", [more, encode_frame(TEXT, b"start", fin=False), last] * 2, code=1002)
    for first in (TEXT, BINARY):
        for second in (TEXT, BINARY):
            for fin in (True, False):
                yield Case(f"5.18 {second} inside {first} {fin}",
                           [encode_frame(first, b"a", fin=False),
                            encode_frame(second, b"b", fin=fin)], code=1002)
    yield echo("5 empty ones", BINARY, b"", [b"", b"", b""])
    yield echo("5 a thousand", BINARY, b"x" * 1000, [b"x"] * 1000)


HELLO = "Hello-µ@ßöäüàá-UTF-8!!".encode()
COSMOS = "κόσμε".encode()
BROKEN = COSMOS + b"\xed\xa0\x80edited"


def utf8_sequences():
    """(number of the section, bytes). Whether they are UTF-8 is asked of Python."""
    yield from (("6.2", HELLO), ("6.3", BROKEN), ("6.5", COSMOS), ("6.5", "😀 ".encode() * 9))
    yield from (("6.6", COSMOS[:n]) for n in range(1, len(COSMOS) + 1))
    yield from (("6.7", s) for s in (b"\0", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"))
    yield from (("6.8", s) for s in (b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"))
    yield from (("6.9", s) for s in (b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"))
    yield from (("6.10", s) for s in (b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf",
                                      b"\xfd\xbf\xbf\xbf\xbf\xbf"))
    yield from (("6.11", s) for s in (b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd",
                                      b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80"))
    yield from (("6.12", s) for s in (b"\x80", b"\xbf", *((b"\x80\xbf" * 4)[:n]
                                                          for n in range(2, 8)),
                                      bytes(range(0x80, 0xc0))))
    yield from (("6.13", b"".join(bytes([lead, 0x20]) for lead in leads))
                for leads in (range(0xc0, 0xe0), range(0xe0, 0xf0), range(0xf0, 0xf8),
                              range(0xf8, 0xfc), (0xfc, 0xfd)))
    missing = (b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xf8\x80\x80\x80", b"\xfc\x80\x80\x80\x80",
               b"\xdf", b"\xef\xbf", b"\xf7\xbf\xbf", b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf",
               b"\xc2", b"\xe2\x82", b"\xf0\x9f\x98")
    yield from (("6.14", s) for s in missing)
    yield ("6.15", b"".join(missing))
    yield from (("6.16", s) for s in (b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"))
    yield from (("6.17", s) for s in (b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf",
                                      b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf"))
    yield from (("6.18", s) for s in (b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf",
                                      b"\xf8\x87\xbf\xbf\xbf", b"\xfc\x83\xbf\xbf\xbf\xbf"))
    yield from (("6.19", s) for s in (b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80",
                                      b"\xf8\x80\x80\x80\x80", b"\xfc\x80\x80\x80\x80\x80"))
    highs, lows = (0xd800, 0xdb7f, 0xdb80, 0xdbff), (0xdc00, 0xdf80, 0xdfff)
    surrogate = {code: chr(code).encode(errors="surrogatepass") for code in highs + lows}
    yield from (("6.20", surrogate[code]) for code in highs + lows)
    yield from (("6.21", surrogate[high] + surrogate[low]) for high in highs for low in lows)
    yield from (("6.22", chr(plane << 16 | end).encode())
                for plane in range(17) for end in (0xfffe, 0xffff))
    yield from (("6.23", chr(code).encode()) for code in range(0xfff9, 0xfffe))


def is_utf8(payload):
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def utf8():
    yield echo("6.1.1", TEXT, b"")
    yield echo("6.1.2", TEXT, b"", [b"", b"", b""])
    yield echo("6.1.3", TEXT, b"middle", [b"", b"middle", b""])
    for name, text in utf8_sequences():
        answers, code = ([(TEXT, text)], None) if is_utf8(text) else ([], 1007)
        for how, parts in (("whole", [text]), ("in octets", octets(text)),
                           ("behind good ones", [HELLO, b"more " + text])):
            got = [(TEXT, b"".join(parts))] if answers else []
            yield Case(f"{name} {text[:24].hex()} {how}", fragments(TEXT, parts), got, code)
        yield Case(f"{name} {text[:24].hex()} binary", fragments(BINARY, [text]), [(BINARY, text)])
    # Refused as soon as it is known, while the message is not at its end.
    late = encode_frame(TEXT, COSMOS + b"\xf4\x90\x80\x80edited")
    yield Case("6.4.1", fragments(TEXT, [COSMOS, b"\xf4\x90\x80\x80", b"edited"])[:2], code=1007)
    yield Case("6.4.2", fragments(TEXT, [COSMOS + b"\xf4", b"\x90", b""])[:2], code=1007)
    yield Case("6.4.3", [late[:-6]], code=1007)
    yield Case("6.4.4", [late[:-8]], code=1007)


def closing():
    bye, text, ping = close_frame(1000, b"bye"), encode_frame(TEXT, b"Hello"), encode_frame(PING)
    large = b"*" * (256 * KIB)
    for name, behind in (("7.1.1", []), ("7.1.2", [bye]), ("7.1.3", [ping]), ("7.1.4", [text]),
                         ("7.1 nonsense", [b"\xff" * 50])):
        yield Case(name, [bye, *behind], code=1000, reason=b"bye")
    yield Case("7.1.5", [encode_frame(TEXT, b"a", fin=False), bye, encode_frame(0, b"b")],
               code=1000, reason=b"bye")
    yield Case("7.1.6", [encode_frame(TEXT, large), text, bye, ping],
               [(TEXT, large), (TEXT, b"Hello")], 1000, b"bye")
    yield Case("7.3.1", [encode_frame(CLOSE)], code=NO_CODE, reason=b"")
    yield Case("7.3.2", [encode_frame(CLOSE, b"\x03")], code=1002)
    for name, reason in (("7.3.3", b""), ("7.3.4", "tschüß".encode()), ("7.3.5", b"*" * 123),
                         ("7.3 to the last byte", "ä".encode() * 61 + b"a")):
        yield Case(name, [close_frame(1000, reason)], code=1000, reason=reason)
    for reason in (b"*" * 124, b"*" * 1000):
        yield Case(f"7.3.6 {len(reason)}", [close_frame(1000, reason)], code=1002)
    for section, reason in utf8_sequences():
        if not is_utf8(reason) and len(reason) <= 123:
            yield Case(f"7.5 {section} {reason[:24].hex()}", [close_frame(1000, reason)], code=1007)
    for code in (*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999):
        yield Case(f"7.7 {code}", [close_frame(code, b"why")], code=code, reason=b"why")
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 32768, 65535):
        yield Case(f"7.9 {code}", [close_frame(code, b"why")], code=1002)


def limits(largest):
    """Messages up to this size; the suite goes to 16 MiB."""
    sizes = [n for n in (64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB) if n <= largest]
    whole = min(4 * MIB, largest)
    for section, opcode, unit in (("9.1", TEXT, b"*"), ("9.2", BINARY, b"\xfe")):
        for n in sizes:
            yield echo(f"{section} {n}", opcode, unit * n)
    for section, opcode, unit in (("9.3", TEXT, b"*"), ("9.4", BINARY, b"\xfe")):
        for n in (64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB):
            if n <= whole:
                yield echo(f"{section} in frames of {n}", opcode, unit * whole,
                           cut(unit * whole, n))
    for section, opcode, unit in (("9.5", TEXT, b"*"), ("9.6", BINARY, b"\xfe")):
        for n in (64, 128, 256, 512, KIB, 2 * KIB):
            yield echo(f"{section} in pieces of {n}", opcode, unit * min(MIB, largest), chop=n)
    for section, opcode, unit in (("9.7", TEXT, b"*"), ("9.8", BINARY, b"\xfe")):
        for n in (0, 16, 64, 256, KIB, 4 * KIB):
            yield Case(f"{section} a thousand of {n}", [encode_frame(opcode, unit * n)] * 1000,
                       [(opcode, unit * n)] * 1000)


def all_cases(largest):
    for group in (framing(), pings(), reserved_bits(), opcodes(), fragmentation(), utf8(),
                  closing(), limits(largest)):
        yield from group

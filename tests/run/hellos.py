"""Hellos of TLS clients, made byte by byte, so that they may ask for what no library asks for."""

import contextlib
import os
import socket
import struct

from harness import TIMEOUT_S


def vector(data, size):
    """Behind its length in so many bytes."""
    return len(data).to_bytes(size, "big") + data


def extension(number, data):
    return struct.pack(">H", number) + vector(data, 2)


def words(*numbers):
    return b"".join(struct.pack(">H", n) for n in numbers)


GROUPS = extension(10, vector(words(29, 23, 24, 25), 2))
SIGNATURES = (0x0403, 0x0503, 0x0603, 0x0807, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601)
POINTS = extension(11, b"\x01\x00")
ONLY_1_3 = extension(43, b"\x02\x03\x04") + extension(
    51, vector(words(29) + vector(b"\x09" + bytes(31), 2), 2))


def hello(suites, version=0x0303, signatures=SIGNATURES, more=b"", compressions=b"\0"):
    """A client's hello as bytes of records."""
    extensions = GROUPS + POINTS + extension(13, vector(words(*signatures), 2)) + more
    body = (struct.pack(">H", version) + os.urandom(32) + b"\0" + vector(words(*suites), 2) +
            vector(compressions, 1) + vector(extensions, 2))
    message = b"\x01" + vector(body, 3)
    return b"".join(b"\x16\x03\x01" + vector(message[i:i + 16384], 2)
                    for i in range(0, len(message), 16384))


def ask(port, data):
    """The first record that comes back: ("alert", code), ("hello", {...}) or ("end", None)."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as sock:
        sock.sendall(data)
        record = b""
        with contextlib.suppress(ConnectionResetError):
            while len(record) < 5 or len(record) < 5 + int.from_bytes(record[3:5], "big"):
                if not (piece := sock.recv(65536)):
                    break
                record += piece
    if not record:
        return "end", None
    if record[0] == 21:
        return "alert", record[6]
    assert record[0] == 22 and record[5] == 2, record[:8]
    at = 44 + record[43]
    suite, compression = struct.unpack_from(">HB", record, at)
    return "hello", {"version": int.from_bytes(record[9:11], "big"), "suite": suite,
                     "compression": compression, "extensions": record[at + 5:]}

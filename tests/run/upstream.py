"""An upstream of our own making, down to the bytes: a server of WebSockets each of whose connections is
what a test's function does with it, in a thread of its own."""

import base64
import contextlib
import hashlib
import itertools
import socket
import struct
import threading

from harness import BINARY, CLOSE, PING, PONG, TEXT, TIMEOUT_S, Frame, encode_frame

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
HEAD_MAX = 65536
NO_CODE = 1005  # a close frame without one


class Gone(Exception):
    """The other side has ended the connection. code: of its close frame, else None."""

    def __init__(self, code=None):
        self.code = code
        super().__init__(f"gone {code}")


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def close_payload(code, reason=b""):
    return b"" if code is None else struct.pack(">H", code) + reason


class Peer:
    """One connection. `target` and `headers` are what the handshake asked for; `number` counts the
    upstream's connections from 0."""

    def __init__(self, sock, number):
        self.sock = sock
        self.number = number
        self.buffer = bytearray()
        self.headers = {}
        self.target = None
        self.marks = itertools.count()
        self.pongs = set()
        self.texts = []  # that came while something else was waited for

    def read_head(self):
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if len(self.buffer) > HEAD_MAX:
                raise AssertionError("a head without an end")
            self.fill()
        first, *lines = bytes(self.buffer[:end]).decode("latin-1").split("\r\n")
        del self.buffer[:end + 4]
        method, self.target, version = first.split(" ")
        if (method, version) != ("GET", "HTTP/1.1"):
            raise AssertionError(f"the request is {first}")
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()

    def proof(self):
        """What Sec-WebSocket-Accept has to be."""
        return accept_of(self.headers["sec-websocket-key"])

    def switch(self, *lines, accept=None):
        """Answers 101, with these lines besides."""
        self.send_raw("\r\n".join(["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket",
                                   "Connection: Upgrade",
                                   f"Sec-WebSocket-Accept: {accept or self.proof()}",
                                   *lines, "", ""]).encode("latin-1"))

    def shake_hands(self, *lines):
        self.read_head()
        self.switch(*lines)

    def answer(self, status, *lines, body=b""):
        """A whole answer that is no 101."""
        self.send_raw("\r\n".join([f"HTTP/1.1 {status}", *lines, f"Content-Length: {len(body)}",
                                   "Connection: close", "", ""]).encode("latin-1") + body)

    def fill(self):
        try:
            data = self.sock.recv(65536)
        except OSError as error:
            raise Gone() from error
        if not data:
            raise Gone()
        self.buffer += data

    def send_raw(self, data):
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Gone() from error

    def send_frame(self, opcode, payload=b"", **how):
        how.setdefault("mask", None)
        self.send_raw(encode_frame(opcode, payload, **how))

    def send_text(self, text):
        self.send_frame(TEXT, text.encode())

    def take_frame(self):
        """A whole frame out of the buffer, unmasked, or None."""
        have = self.buffer
        if len(have) < 2:
            return None
        if not have[1] & 0x80:
            raise AssertionError("a client must mask")
        n, at = have[1] & 0x7f, 2
        if n >= 126:
            size, form = (2, ">H") if n == 126 else (8, ">Q")
            if len(have) < 2 + size:
                return None
            n, at = struct.unpack_from(form, have, 2)[0], 2 + size
        if len(have) < at + 4 + n:
            return None
        mask = bytes(have[at:at + 4])
        payload = bytes(b ^ mask[i & 3] for i, b in enumerate(have[at + 4:at + 4 + n]))
        frame = Frame(bool(have[0] & 0x80), have[0] >> 4 & 7, have[0] & 15, payload)
        del have[:at + 4 + n]
        return frame

    def recv_frame(self):
        while not (frame := self.take_frame()):
            self.fill()
        return frame

    def take(self, frame):
        """Notes what a frame is; answers pings and closes."""
        if frame.opcode == PING:
            self.send_frame(PONG, frame.payload)
        elif frame.opcode == PONG:
            self.pongs.add(frame.payload)
        elif frame.opcode == CLOSE:
            code = struct.unpack(">H", frame.payload[:2])[0] if frame.payload else NO_CODE
            with contextlib.suppress(Gone):
                self.send_frame(CLOSE, frame.payload[:2])
            raise Gone(code)
        elif frame.opcode in (TEXT, BINARY):
            self.texts.append(frame.payload.decode())

    def recv_text(self):
        while not self.texts:
            self.take(self.recv_frame())
        return self.texts.pop(0)

    def settle(self):
        """Returns when the daemon has taken all that was sent before: it answers a ping behind it."""
        mark = b"mark %d" % next(self.marks)
        self.send_frame(PING, mark)
        while mark not in self.pongs:
            self.take(self.recv_frame())
        self.pongs.clear()

    def linger(self):
        """Until the other side ends it; the code of its close frame, None without one."""
        try:
            while True:
                self.take(self.recv_frame())
        except Gone as gone:
            return gone.code

    def close_with(self, code, reason=b""):
        """Closes; the code that comes back, None when the connection just ends."""
        self.send_frame(CLOSE, close_payload(code, reason))
        try:
            while (frame := self.recv_frame()).opcode != CLOSE:
                pass
        except Gone:
            return None
        return struct.unpack(">H", frame.payload[:2])[0] if frame.payload else NO_CODE

    def reset(self):
        """Ends it by RST: what the other side has not read is gone."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Upstream:
    """Calls serve(peer) for each connection. What goes wrong in it, but for a peer that is gone, is
    told by close(). tls: an ssl.SSLContext."""

    def __init__(self, serve, tls=None, host="127.0.0.1", send_buffer=None):
        self.serve = serve
        self.tls = tls
        self.faults = []
        self.lock = threading.Lock()
        self.threads = {}  # thread -> its socket
        self.is_closing = False
        self.connections = 0
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, 0), family=family, backlog=512)
        if send_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.port = self.listener.getsockname()[1]
        self.acceptor = threading.Thread(target=self.accept_all)
        self.acceptor.start()

    def url(self, target="/", host="127.0.0.1"):
        return f"{'wss' if self.tls else 'ws'}://{host}:{self.port}{target}"

    def accept_all(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self.run, args=(sock, self.connections))
            self.connections += 1
            with self.lock:
                self.threads[thread] = sock
                if self.is_closing:
                    sock.shutdown(socket.SHUT_RDWR)
            thread.start()

    def run(self, sock, number):
        try:
            sock.settimeout(2 * TIMEOUT_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                sock = self.wrap(sock)
            self.serve(Peer(sock, number))
        except (Gone, OSError):
            pass
        except BaseException as error:  # told by close()
            self.faults.append(error)
        finally:
            with self.lock:
                self.threads.pop(threading.current_thread()).close()

    def wrap(self, sock):
        sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        with self.lock:
            self.threads[threading.current_thread()] = sock
        sock.do_handshake()
        return sock

    def hang_up(self):
        """Ends all connections that there are."""
        with self.lock:
            for sock in self.threads.values():
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.is_closing = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.acceptor.join()
        self.listener.close()
        self.hang_up()
        with self.lock:
            threads = list(self.threads)
        for thread in threads:
            thread.join()
        if self.faults:
            raise self.faults[0]


def upstream_for(test, serve, **options):
    """One that ends with the test, and is judged then."""
    upstream = Upstream(serve, **options)
    test.addCleanup(upstream.close)
    return upstream

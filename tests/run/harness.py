"""What the black-box tests stand on: a real sysrtd in a folder of its own, and clients of both
doors that are not ours.

    SYSRT_BUILD=build   where the programs are
    SYSRT_WRAP=         a command to run the daemon under (valgrind -q ...)
    SYSRT_LONG=1        full counts
    SYSRT_SEED=         repeats a random test
"""

import base64
import collections
import contextlib
import hashlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = (TOP / os.environ.get("SYSRT_BUILD", "build")).resolve()
LONG = bool(os.environ.get("SYSRT_LONG"))
WRAP = shlex.split(os.environ.get("SYSRT_WRAP", ""))
TIMEOUT_S = 120 if WRAP else 30
NEWEST = len(list((TOP / "migrations").glob("*.up.sql")))  # version of the schema

SANITIZER = re.compile(
    r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|==\d+== .*(Invalid|definitely)")

# Ours, without what a user has set for sysrt.
ENV = {name: value for name, value in os.environ.items() if not name.startswith("SYSRT_")}
DAMAGED = 65  # exit status


def wait_for(condition, timeout=TIMEOUT_S, what="the condition"):
    """Asks until condition() is true and returns what it answered."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s in vain for {what}")
        time.sleep(0.002)


def source(path):
    """The text of a file of the tree."""
    return (TOP / path).read_text()


def error_table():
    """[(name, JSON-RPC code, HTTP status, exit status)] in the order of the protocol."""
    rows = re.findall(r"\[(ERR_\w+)\]\s*= \{\"(\w+)\",\s*(-?\d+),\s*(\d+),\s*(\d+)\}",
                      source("common/err.c"))
    order = re.findall(r"^\t(ERR_\w+),", source("common/err.h"), re.MULTILINE)
    by_enum = {row[0]: row[1:] for row in rows}
    return [by_enum[name] for name in order]


def seeded():
    """A random.Random whose seed is printed, to be repeated with SYSRT_SEED."""
    seed = int(os.environ.get("SYSRT_SEED", time.time_ns() % 1_000_000_000))
    print(f"SYSRT_SEED={seed}", flush=True)
    return random.Random(seed)


class RpcError(Exception):
    """An error answer. code: "NOT_FOUND", number: -32001, message, data: the object."""

    def __init__(self, error):
        self.number = error["code"]
        self.message = error["message"]
        self.data = error.get("data", {})
        self.code = self.data.get("code")
        super().__init__(f"{self.code}: {self.message}")


class Closed(Exception):
    """The other side has closed. code and reason: of a WebSocket's close frame, else None."""

    def __init__(self, code=None, reason=""):
        self.code = code
        self.reason = reason
        super().__init__(f"closed {code} {reason}".strip())


class Rpc:
    """JSON-RPC over what sends and takes whole texts. One thread uses it."""

    def __init__(self):
        self.next_id = 1
        self.answers = {}
        self.notifications = collections.deque()

    def send_text(self, text):
        raise NotImplementedError

    def recv_text(self, timeout=TIMEOUT_S):
        raise NotImplementedError

    def send(self, method, **params):
        """Sends a request and returns its id; answer() waits for what comes back."""
        request_id = self.next_id
        self.next_id += 1
        self.send_text(json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method,
                                   "params": params}, separators=(",", ":")))
        return request_id

    def recv(self, timeout=TIMEOUT_S):
        """The next message of any kind."""
        return json.loads(self.recv_text(timeout))

    def sort_one(self, timeout=TIMEOUT_S):
        """Takes one message and puts it where answer() and notification() look."""
        message = self.recv(timeout)
        if "method" in message:
            self.notifications.append(message)
        else:
            self.answers[message["id"]] = message

    def answer(self, request_id, timeout=TIMEOUT_S):
        """The result of a request that was sent; RpcError when it was refused."""
        deadline = time.monotonic() + timeout
        while request_id not in self.answers:
            self.sort_one(max(0.001, deadline - time.monotonic()))
        message = self.answers.pop(request_id)
        if "error" in message:
            raise RpcError(message["error"])
        return message["result"]

    def call(self, method, /, timeout=TIMEOUT_S, **params):
        return self.answer(self.send(method, **params), timeout)

    def notification(self, method=None, timeout=TIMEOUT_S):
        """The params of the next notification (of that method; others are dropped)."""
        deadline = time.monotonic() + timeout
        while True:
            while self.notifications:
                message = self.notifications.popleft()
                if method in (None, message["method"]):
                    return message if method is None else message["params"]
            self.sort_one(max(0.001, deadline - time.monotonic()))

    def call_all(self, requests, timeout=TIMEOUT_S):
        """Pipelines (method, params) pairs; their results, or RpcErrors, in the same order."""
        ids = [self.send(method, **params) for method, params in requests]
        results = []
        for request_id in ids:
            try:
                results.append(self.answer(request_id, timeout))
            except RpcError as error:
                results.append(error)
        return results

    def list_all(self, **params):
        """All records of a listing, page by page."""
        items, cursor = [], {}
        while True:
            page = self.call("record.list", **params, **cursor)
            items += page["items"]
            if "cursor" not in page:
                return items
            cursor = {"cursor": page["cursor"]}


class Control(Rpc):
    """The Unix socket: a message a line."""

    def __init__(self, path, timeout=TIMEOUT_S):
        super().__init__()
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.buffer = bytearray()
        try:
            self.sock.connect(str(path))
        except OSError:
            self.sock.close()
            raise

    def send_raw(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed() from error

    def send_text(self, text):
        self.send_raw(text.encode() + b"\n")

    def recv_text(self, timeout=TIMEOUT_S):
        deadline = time.monotonic() + timeout
        start = 0
        while (end := self.buffer.find(b"\n", start)) < 0:
            start = len(self.buffer)
            self.sock.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self.sock.recv(262144)
            except ConnectionResetError as error:
                raise Closed() from error
            if not data:
                raise Closed()
            self.buffer += data
        line = bytes(self.buffer[:end])
        del self.buffer[:end + 1]
        return line.decode()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
Frame = collections.namedtuple("Frame", "fin rsv opcode payload")


def encode_frame(opcode, payload=b"", fin=True, rsv=0, mask=b"\x11\x22\x33\x44", length=None):
    """A client's frame as bytes. mask None: not masked (a fault); length: a false one."""
    n = len(payload) if length is None else length
    head = bytearray([(0x80 if fin else 0) | rsv << 4 | opcode])
    masked = 0 if mask is None else 0x80
    if n < 126:
        head.append(masked | n)
    elif n < 65536:
        head += bytes([masked | 126]) + struct.pack(">H", n)
    else:
        head += bytes([masked | 127]) + struct.pack(">Q", n)
    if mask is None:
        return bytes(head) + payload
    if mask != b"\0\0\0\0" and payload:
        key = (mask * (len(payload) // 4 + 1))[:len(payload)]
        payload = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(
            len(payload), "big")
    return bytes(head) + mask + payload


class Ws(Rpc):
    """A WebSocket of our own making, down to the frames. `status` and `headers` are what the
    handshake answered; with accept_any a refused handshake is no exception. preface: what a proxy
    sends first. tls: an ssl.SSLContext to speak TLS with."""

    def __init__(self, port, path="/ws", headers=None, subprotocol="sysrt.v1", host=None,
                 accept_any=False, mask=b"\x11\x22\x33\x44", receive_buffer=None,
                 timeout=TIMEOUT_S, preface=b"", slowly=False, tls=None):
        super().__init__()
        self.mask = mask
        self.buffer = bytearray()
        self.message = bytearray()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:  # small segments, so that the other end's buffer stays small too
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self.sock.settimeout(timeout)
        try:
            self.sock.connect(("127.0.0.1", port))
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._send_preface(preface, slowly)
            if tls is not None:
                self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
            self._shake_hands(path, host or f"127.0.0.1:{port}", headers or {}, subprotocol)
            if self.status != 101 and not accept_any:
                raise AssertionError(f"handshake answered {self.status}")
        except BaseException:
            self.sock.close()
            raise

    def _send_preface(self, preface, slowly):
        """What comes before the head; slowly: a byte a packet."""
        for i in range(0, len(preface), 1 if slowly else max(1, len(preface))):
            self.sock.sendall(preface[i:i + 1] if slowly else preface)

    def _shake_hands(self, path, host, headers, subprotocol):
        key = base64.b64encode(os.urandom(16)).decode()
        lines = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade",
                 "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13"}
        if subprotocol:
            lines["Sec-WebSocket-Protocol"] = subprotocol
        lines.update(headers)
        head = f"GET {path} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in lines.items() if value is not None) + "\r\n"
        self.sock.sendall(head.encode())
        while b"\r\n\r\n" not in self.buffer:
            self._fill(TIMEOUT_S)
        text, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        self.buffer = bytearray(rest)
        first, *others = text.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.strip().lower(): value.strip()
                        for name, _, value in (line.partition(":") for line in others)}
        if self.status == 101:
            proof = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
            if self.headers.get("sec-websocket-accept") != base64.b64encode(proof).decode():
                raise AssertionError("the handshake's proof is wrong")

    def _fill(self, timeout):
        self.sock.settimeout(max(0.001, timeout))
        try:
            data = self.sock.recv(262144)
        except ConnectionResetError as error:
            raise Closed() from error
        if not data:
            raise Closed()
        self.buffer += data

    def _take_frame(self):
        """A whole frame out of the buffer, or None."""
        have = self.buffer
        if len(have) < 2:
            return None
        n, at = have[1] & 0x7f, 2
        if have[1] & 0x80:
            raise AssertionError("a server must not mask")
        if n == 126:
            n, at = (struct.unpack_from(">H", have, 2)[0], 4) if len(have) >= 4 else (0, 1 << 62)
        elif n == 127:
            n, at = (struct.unpack_from(">Q", have, 2)[0], 10) if len(have) >= 10 else (0, 1 << 62)
        if len(have) < at + n:
            return None
        frame = Frame(bool(have[0] & 0x80), have[0] >> 4 & 7, have[0] & 15,
                      bytes(have[at:at + n]))
        del have[:at + n]
        return frame

    def send_raw(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed() from error

    def send_frame(self, opcode, payload=b"", **how):
        how.setdefault("mask", self.mask)
        self.send_raw(encode_frame(opcode, payload, **how))

    def recv_frame(self, timeout=TIMEOUT_S):
        """The next frame as it came; Closed at the end of the stream."""
        deadline = time.monotonic() + timeout
        while not (frame := self._take_frame()):
            self._fill(deadline - time.monotonic())
        return frame

    def send_text(self, text):
        self.send_frame(TEXT, text.encode())

    def recv_text(self, timeout=TIMEOUT_S):
        """The next whole text; answers pings; Closed with the code of a close frame."""
        deadline = time.monotonic() + timeout
        while True:
            frame = self.recv_frame(deadline - time.monotonic())
            if frame.opcode == PING:
                self.send_frame(PONG, frame.payload)
            elif frame.opcode == CLOSE:
                self._answer_close(frame.payload)
            elif frame.opcode in (0, TEXT, BINARY):
                self.message += frame.payload
                if frame.fin:
                    text = bytes(self.message)
                    self.message.clear()
                    return text.decode()

    def _answer_close(self, payload):
        code = struct.unpack(">H", payload[:2])[0] if payload else None
        try:
            self.send_frame(CLOSE, payload[:2])
        except Closed:
            pass
        raise Closed(code, payload[2:].decode())

    def close_code(self, timeout=TIMEOUT_S):
        """Reads to the close frame and returns its code; None if there was none."""
        try:
            while True:
                self.recv_text(timeout)
        except Closed as closed:
            return closed.code

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def http_get(port, path, headers=None, host=None, tls=None):
    """(status, headers, body) of a plain GET."""
    lines = {"Host": host or f"127.0.0.1:{port}", "Connection": "close", **(headers or {})}
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(
            socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S))
        if tls is not None:
            sock = stack.enter_context(tls.wrap_socket(sock, server_hostname="localhost"))
        sock.sendall((f"GET {path} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n").encode())
        answer = b""
        while data := sock.recv(65536):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *others = head.decode("latin-1").split("\r\n")
    return (int(first.split()[1]),
            {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in others)},
            body)


class OnControl:
    """Mixed into tests that run on both doors: open() is a client of the Unix socket."""

    def open(self):
        control = self.daemon.control()
        self.addCleanup(control.close)
        return control

    open_slow = open


class OnWebSocket:
    def open(self):
        ws = self.daemon.ws()
        self.addCleanup(ws.close)
        return ws

    def open_slow(self):
        """One whose kernel keeps little for it."""
        ws = self.daemon.ws(receive_buffer=4096)
        self.addCleanup(ws.close)
        return ws


def idle(pid, for_s=0.1):
    """A condition for wait_for(): the process sleeps, and has used no time for so long."""
    seen, since = None, 0

    def is_idle():
        nonlocal seen, since
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        state, used = fields[0], fields[11:13]
        if state != "S" or used != seen:
            seen, since = used, time.monotonic()
        return time.monotonic() - since >= for_s
    return is_idle


def open_files(pid):
    """What the process has open, as the links below /proc say it."""
    links = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            links.add(os.readlink(fd))
    return links


def connect_websockets(daemon, path="/ws", **options):
    """A connection of python3-websockets, to be used with `async with`."""
    import websockets
    options.setdefault("subprotocols", ["sysrt.v1"])
    options.setdefault("max_size", None)
    if daemon.tls is not None:
        options.setdefault("ssl", daemon.tls)
    scheme = "ws" if daemon.tls is None else "wss"
    return websockets.connect(f"{scheme}://127.0.0.1:{daemon.port}{path}", **options)


class Daemon:
    """A sysrtd. The store lies in its own folder unless `store` names one; `config` is TOML.
    A daemon that ends when nobody asked it to, or whose log holds a sanitizer's report, is a
    failure. tls: an ssl.SSLContext, with which its clients speak TLS."""

    def __init__(self, store=None, config="", args=(), env=None, wrap=None, start=True, tls=None):
        self.tls = tls
        self.folder = Path(tempfile.mkdtemp(prefix="sysrt-"))
        self.store = Path(store) if store else self.folder / "sysrt.db"
        self.socket = self.folder / "control.sock"
        self.log_path = self.folder / "log"
        self.config_path = self.folder / "config.toml"
        self.config_path.write_text(config)
        self.args = list(args)
        self.wrap = WRAP if wrap is None else list(wrap)
        self.env = {**ENV, "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1",
                    "TSAN_OPTIONS": "second_deadlock_stack=1", **(env or {})}
        self.process = None
        self.port = None
        if start:
            try:
                self.start()
            except BaseException:
                self.close(check=False)
                raise

    @property
    def pid(self):
        return self.process.pid

    def command(self):
        return [*self.wrap, str(BUILD / "sysrtd"), "--config", str(self.config_path),
                "--store", str(self.store), "--listen", "127.0.0.1:0",
                "--socket", str(self.socket), *self.args]

    def launch(self):
        """Starts the process without waiting for it to be ready."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=self.env)

    def start(self):
        """Starts and waits until the control socket answers."""
        self.launch()
        status = wait_for(self._ask_status, what="the daemon to answer")
        listen = status["websocket"]["listen"]
        first = listen if isinstance(listen, str) else listen[0]
        self.port = int(first.rpartition(":")[2])

    def _ask_status(self):
        if self.process.poll() is not None:
            raise AssertionError(
                f"sysrtd ended with {self.process.returncode} at its start:\n{self.log()}")
        try:
            with Control(self.socket) as control:
                return control.call("status")
        except (FileNotFoundError, ConnectionRefusedError, Closed):
            return None

    def stop(self, timeout=60):
        """SIGTERM; it must end cleanly."""
        self.expect_running()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        self.process = None
        if code != 0:
            raise AssertionError(f"sysrtd ended with {code} when asked to stop:\n{self.log()}")
        self.check_log()

    def kill(self):
        """SIGKILL."""
        self.expect_running()
        self.process.kill()
        self.process.wait()
        self.process = None
        self.check_log()

    def restart(self):
        self.stop()
        self.start()

    def configure(self, config):
        """Puts another configuration in force, as far as that works without a restart."""
        self.config_path.write_text(config)
        with self.control() as control:
            return control.call("system.reload")

    def wait_exit(self, timeout=60):
        """For tests that make it end in another way: its exit status."""
        code = self.process.wait(timeout)
        self.process = None
        return code

    def signal(self, number):
        self.process.send_signal(number)

    def expect_running(self):
        if self.process is None:
            raise AssertionError("the daemon is not running")
        if self.process.poll() is not None:
            code, self.process = self.process.returncode, None
            raise AssertionError(f"sysrtd ended by itself with {code}:\n{self.log()}")

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def check_log(self):
        if SANITIZER.search(self.log()):
            raise AssertionError(f"a fault was reported:\n{self.log()}")

    def control(self, **options):
        return Control(self.socket, **options)

    def ws(self, **options):
        options.setdefault("tls", self.tls)
        return Ws(self.port, **options)

    def cpu_s(self):
        """What the process has used of a processor."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_kib(self):
        """Private memory of the process."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Anonymous:"):
                return int(line.split()[1])
        raise AssertionError("no figure for memory")

    def close(self, check=True):
        """Stops it if it runs, and removes its folder."""
        try:
            if self.process is not None and check:
                self.stop()
        finally:
            if self.process is not None:
                self.process.kill()
                self.process.wait()
                self.process = None
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *exc):
        if kind is not None:
            print(f"--- log of sysrtd\n{self.log()[-8000:]}---", flush=True)
        self.close(check=kind is None)


def daemon_for(test, **options):
    """A daemon for one unittest, stopped and judged when the test is over."""
    daemon = Daemon(**options)
    test.addCleanup(daemon.close)
    return daemon


def sysrtctl(daemon, *args, check=True, **options):
    """Runs sysrtctl against the daemon; the CompletedProcess with texts."""
    options.setdefault("timeout", TIMEOUT_S * 2)
    return subprocess.run([str(BUILD / "sysrtctl"), "--socket", str(daemon.socket), *args],
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=check,
                          **options)


def run_store(*args, program=BUILD / "sysrtd"):
    """Runs `sysrtd store ...` to its end; the CompletedProcess with texts. A crash or a sanitizer's
    report is a failure."""
    done = subprocess.run([*WRAP, str(program), "store", *map(str, args)], text=True, env=ENV,
                          timeout=TIMEOUT_S, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          errors="surrogateescape", check=False)
    assert done.returncode >= 0 and not SANITIZER.search(done.stderr), done.stderr
    return done


def check_store(path, program=BUILD / "sysrtd"):
    """The report of `store check`, whose exit status says the same."""
    done = run_store("check", "-o", "json", path, program=program)
    assert done.returncode in (0, DAMAGED), done.stderr
    report = json.loads(done.stdout)
    assert report["ok"] == (done.returncode == 0), report
    return report

"""What the HTTP port answers before there is a WebSocket: paths, Host and Origin, handshakes,
limits of the head, probes.

builds: asan; in check-long: release
valgrind: yes
"""

import select
import socket
import threading
import time
import unittest

from harness import BUILD, TIMEOUT_S, WRAP, Closed, Daemon, Ws, http_get, wait_for

CONFIG = """
[websocket]
echo = false
max_header = "2KiB"
origins = ["https://app.example", "http://dev.example:3000"]
hosts = ["sysrt.example"]
"""
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def read_all(sock):
    """What comes until the end of the stream."""
    parts = []
    while got := sock.recv(1 << 20):
        parts.append(got)
    return b"".join(parts)


class Shared(unittest.TestCase):
    config = CONFIG

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon(config=cls.config)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.close()

    def exchange(self, data, chop=None):
        """Sends bytes on a connection of their own; all that comes back until the end."""
        with socket.create_connection(("127.0.0.1", self.daemon.port), TIMEOUT_S) as sock:
            for at in range(0, len(data), chop or len(data)):
                try:
                    sock.sendall(data[at:at + (chop or len(data))])
                except (BrokenPipeError, ConnectionResetError):
                    break  # it was answered before the end
            answer = b""
            try:
                while got := sock.recv(65536):
                    answer += got
            except ConnectionResetError:
                pass
            return answer

    def status_of(self, data, chop=None):
        answer = self.exchange(data, chop)
        self.assertTrue(answer.startswith(b"HTTP/1.1 "), answer[:80])
        head, _, body = answer.partition(b"\r\n\r\n")
        self.assertIn(b"Connection: close", head)
        self.assertIn(b"Content-Length: %d" % len(body), head)
        return int(answer.split()[1])

    def handshake(self, **changes):
        """The status of a handshake whose headers are changed; None leaves one out."""
        with self.open(**changes) as ws:
            return ws.status

    def open(self, path="/ws", host=None, **changes):
        headers = {name.replace("_", "-"): value for name, value in changes.items()}
        return Ws(self.daemon.port, path=path, host=host, headers=headers, accept_any=True)


class Paths(Shared):
    def test_paths(self):
        for path, status in (("/livez", 200), ("/readyz", 200), ("/", 404), ("/ws/", 404),
                             ("/echo", 404), ("/metrics", 404), ("/livez/", 404),
                             ("/%77s", 404), ("/LIVEZ", 404)):
            with self.subTest(path=path):
                answer = http_get(self.daemon.port, path)
                self.assertEqual(answer[0], status)
                self.assertTrue(answer[2].endswith(b"\n"))
                self.assertTrue(answer[1]["content-type"].startswith("text/plain"))

    def test_probes(self):
        self.assertEqual(http_get(self.daemon.port, "/livez")[2], b"ok\n")
        self.assertEqual(http_get(self.daemon.port, "/readyz?verbose=1")[2], b"ready\n")

    def test_methods(self):
        for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"):
            with self.subTest(method=method):
                head = f"{method} /livez HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
                answer = self.exchange(head)
                self.assertTrue(answer.startswith(b"HTTP/1.1 405 "))
                self.assertIn(b"Allow: GET", answer)
                self.assertEqual(answer.endswith(b"\r\n\r\n"), method == "HEAD", "no body for it")

    def test_bodies(self):
        for line in ("Content-Length: 5", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip",
                     "Transfer-Encoding: identity", "Transfer-Encoding:"):
            self.assertEqual(self.status_of(
                f"GET /livez HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\nhello".encode()), 400)

    def test_several_requests_on_one_connection(self):
        one = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        for chop in (None, 1, 7):
            answer = self.exchange(one * 3 + last, chop)
            self.assertEqual(answer.count(b"HTTP/1.1 200 OK"), 4)
            self.assertEqual(answer.count(b"ok\n"), 4)

    def test_half_closed_behind_the_requests(self):
        """The end of the input is the end of the requests, not of the answers."""
        one = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for count in (1, 20_000):
            with socket.create_connection(("127.0.0.1", self.daemon.port), TIMEOUT_S) as sock:
                sender = threading.Thread(target=lambda: (sock.sendall(one * count),
                                                          sock.shutdown(socket.SHUT_WR)))
                sender.start()
                self.assertEqual(read_all(sock).count(b"ok\n"), count)
                sender.join()

    def test_who_does_not_read_the_answers_is_not_read(self):
        one = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
        before = self.daemon.memory_kib()
        with socket.create_connection(("127.0.0.1", self.daemon.port), TIMEOUT_S) as sock:
            sock.setblocking(False)
            sent, stuck_since = 0, None
            while stuck_since is None or time.monotonic() - stuck_since < 1:
                try:
                    sent += sock.send((one * 1000)[sent % len(one):])
                    stuck_since = None
                except BlockingIOError:
                    stuck_since = stuck_since or time.monotonic()
                    select.select([], [sock], [], 0.1)
                self.assertLess(sent, 1 << 28, "it takes any number of requests")
            if not WRAP and "asan" not in BUILD.name:  # which keep what was freed
                self.assertLess(self.daemon.memory_kib() - before, 4096)
            sock.settimeout(TIMEOUT_S)
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(read_all(sock).count(b"ok\n"), sent // len(one))

    def test_http_1_0(self):
        answer = self.exchange(b"GET /livez HTTP/1.0\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "))


class HostAndOrigin(Shared):
    def test_hosts(self):
        port = self.daemon.port
        for host, status in ((f"127.0.0.1:{port}", 101), ("127.0.0.1", 101), ("localhost", 101),
                             (f"LocalHost:{port}", 101), (f"[::1]:{port}", 101), ("10.1.2.3", 101),
                             ("sysrt.example", 101), ("SYSRT.example:99", 101),
                             ("evil.example", 403), ("localhost.evil.example", 403),
                             ("127.0.0.1.evil.example", 403), ("evil.example:7117", 403),
                             ("2130706433", 403), ("0x7f.1", 403),
                             ("a b", 400), ("localhost:99999", 400), ("[::1", 400),
                             ("http://localhost", 400)):
            with self.subTest(host=host):
                self.assertEqual(self.handshake(host=host), status)

    def test_one_host(self):
        rest = ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: {KEY}\r\n\r\n")
        for lines in ("", "Host: localhost\r\nHost: localhost\r\n", "Host:\r\n"):
            self.assertEqual(self.status_of(f"GET /ws HTTP/1.1\r\n{lines}{rest}".encode()), 400)

    def test_origins(self):
        port = self.daemon.port
        own = f"127.0.0.1:{port}"
        for origin, host, status in (
                (f"http://{own}", own, 101), (f"HTTP://{own}", own, 101),
                (f"http://localhost:{port}", f"localhost:{port}", 101),
                ("https://app.example", own, 101), ("https://app.example:443", own, 101),
                ("http://dev.example:3000", own, 101),
                (f"http://localhost:{port}", own, 403), (f"https://{own}", own, 403),
                ("http://127.0.0.1", own, 403), (f"http://127.0.0.1:{port + 1}", own, 403),
                ("http://app.example", own, 403), ("https://app.example:444", own, 403),
                ("http://dev.example", own, 403), ("https://app.example.evil", own, 403),
                ("https://evil.example", own, 403), ("null", own, 403), ("", own, 403),
                ("file://", own, 403), (f"http://{own}/path", own, 403),
                ("https://app.example https://evil.example", own, 403)):
            with self.subTest(origin=origin, host=host):
                self.assertEqual(self.handshake(Origin=origin, host=host), status)

    def test_the_refusal_says_what_to_do(self):
        status, _, body = http_get(self.daemon.port, "/ws", host="evil.example")
        self.assertEqual(status, 403)
        self.assertIn(b"websocket.hosts", body)
        status, _, body = http_get(self.daemon.port, "/ws", {"Origin": "https://evil.example"})
        self.assertEqual(status, 403)
        self.assertIn(b"websocket.origins", body)

    def test_probes_come_with_any_host(self):
        self.assertEqual(http_get(self.daemon.port, "/livez", host="whatever.example")[0], 200)
        self.assertEqual(http_get(self.daemon.port, "/readyz", host="whatever.example")[0], 200)


class Handshakes(Shared):
    def test_headers(self):
        for changes, status in (
                ({}, 101), ({"Upgrade": "WebSocket"}, 101), ({"Connection": "keep-alive, Upgrade"},
                                                             101),
                ({"Upgrade": None}, 426), ({"Upgrade": "h2c"}, 426), ({"Connection": None}, 400),
                ({"Connection": "close"}, 400), ({"Sec_WebSocket_Version": "8"}, 426),
                ({"Sec_WebSocket_Version": None}, 426), ({"Sec_WebSocket_Key": None}, 400),
                ({"Sec_WebSocket_Key": "short"}, 400), ({"Sec_WebSocket_Key": "x" * 24}, 400)):
            with self.subTest(changes=changes):
                self.assertEqual(self.handshake(**changes), status)

    def test_the_example_of_the_rfc(self):
        head = (f"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n"
                "Sec-WebSocket-Version: 13\r\n\r\n").encode()
        with socket.create_connection(("127.0.0.1", self.daemon.port), TIMEOUT_S) as sock:
            sock.sendall(head + b"\x88\x80\0\0\0\0")
            answer = b""
            while got := sock.recv(65536):
                answer += got
        self.assertTrue(answer.startswith(b"HTTP/1.1 101 "))
        self.assertIn(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", answer)
        self.assertTrue(answer.endswith(b"\x88\x00"), "frames right behind the head are read")

    def test_old_version_is_told_ours(self):
        with self.open(Sec_WebSocket_Version="8") as ws:
            self.assertEqual(ws.headers["sec-websocket-version"], "13")

    def test_subprotocols(self):
        for offered, status, chosen in ((None, 101, None), ("sysrt.v1", 101, "sysrt.v1"),
                                        ("other, sysrt.v1", 101, "sysrt.v1"),
                                        ("other", 400, None), ("SYSRT.V1", 400, None)):
            with Ws(self.daemon.port, subprotocol=offered, accept_any=True) as ws:
                self.assertEqual((ws.status, ws.headers.get("sec-websocket-protocol")),
                                 (status, chosen))
                if status == 101:
                    self.assertEqual(ws.recv()["method"], "hello")

    def test_without_upgrade(self):
        status, headers, body = http_get(self.daemon.port, "/ws")
        self.assertEqual(status, 426)
        self.assertEqual(headers["upgrade"], "websocket")
        self.assertIn(b"Upgrade", body)


class Heads(Shared):
    def head(self, filler):
        return f"GET /livez HTTP/1.1\r\nHost: localhost\r\n{filler}\r\n".encode()

    def test_limits(self):
        fits = "X: " + "x" * (2048 - len(self.head("")) - 5 - len("Connection: close\r\n")) + "\r\n"
        self.assertEqual(len(self.head(fits + "Connection: close\r\n")), 2048)
        self.assertEqual(self.status_of(self.head(fits + "Connection: close\r\n")), 200)
        self.assertEqual(self.status_of(self.head("x" + fits + "Connection: close\r\n")), 431)
        self.assertEqual(self.status_of(self.head("A: b\r\n" * 65)), 431)
        self.assertEqual(self.status_of(b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n"), 431)
        self.assertEqual(self.status_of(b"GET /" + b"x" * 5000, chop=100), 431)

    def test_nonsense(self):
        for data in (b"nonsense\r\n\r\n", b"\0\1\2\3", b"GET /livez\r\n\r\n",
                     b"GET /livez HTTP/2.0\r\n\r\n", b"GET /livez HTTP/9\r\n\r\n",
                     b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3",
                     b"GET /livez HTTP/1.1\r\nHost : a\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n",
                     b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n',
                     b"GET /livez HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
                     b"GET /livez HTTP/1.1\r\nA: b\0c\r\n\r\n"):
            with self.subTest(data=data[:30]):
                self.assertIn(self.status_of(data), (400, 405))
        self.assertEqual(http_get(self.daemon.port, "/livez")[0], 200)

    def test_ends_early(self):
        for data in (b"", b"GET", b"GET /livez HTTP/1.1\r\nHost: a\r\n"):
            with socket.create_connection(("127.0.0.1", self.daemon.port), TIMEOUT_S) as sock:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(sock.recv(100), b"")


class Crowds(Shared):
    config = """
[websocket]
max_sessions = 2
header_timeout = "1h"
"""

    def test_connections_without_a_head(self):
        """There may be some more than sessions; then the oldest has to go, and the next is served."""
        def connect():
            sock = socket.create_connection(("127.0.0.1", self.daemon.port), TIMEOUT_S)
            self.addCleanup(sock.close)
            return sock
        with self.daemon.ws() as session, self.daemon.control() as control:
            crowd = [connect() for _ in range(66)]
            wait_for(lambda: control.call("status")["websocket"]["connections"] == 67)
            self.assertEqual(http_get(self.daemon.port, "/livez")[0], 200)
            self.assertEqual(crowd[0].recv(1), b"")
            crowd[1].sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertTrue(crowd[1].recv(1000).startswith(b"HTTP/1.1 200 "))
            with self.daemon.ws() as another:
                another.call("ping")
                with Ws(self.daemon.port, accept_any=True) as third:
                    self.assertEqual(third.status, 503)
            session.call("ping")
            self.assertGreaterEqual(control.call("system.stats")["sysrt_session_cut_total"], 1)


class Clocks(Shared):
    config = """
[websocket]
header_timeout = "300ms"
heartbeat = "200ms"
max_sessions = 3
"""

    def test_head_in_time(self):
        for data in (b"", b"GET /livez HT"):
            start = time.monotonic()
            answer = self.exchange(data) if data else self.exchange_nothing()
            self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)
            self.assertGreater(time.monotonic() - start, 0.25)

    def exchange_nothing(self):
        with socket.create_connection(("127.0.0.1", self.daemon.port), TIMEOUT_S) as sock:
            answer = b""
            while got := sock.recv(1000):
                answer += got
            return answer

    def test_slow_byte_after_byte(self):
        """Each byte is progress, the head is late all the same."""
        with socket.create_connection(("127.0.0.1", self.daemon.port), TIMEOUT_S) as sock:
            sock.sendall(b"GET /")
            sock.settimeout(0.02)
            answer = None
            while answer is None:
                sock.sendall(b"x")
                try:
                    answer = sock.recv(1000)
                except socket.timeout:
                    pass
            self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)

    def test_heartbeat(self):
        with self.daemon.ws() as silent, self.daemon.ws() as answers:
            answers.call("subscribe", categories="a")
            self.assertEqual(answers.notification("progress")["subscription"], 1)
            start = time.monotonic()
            pings = 0
            with self.assertRaises(Closed):
                while True:
                    frame = silent.recv_frame()
                    pings += frame.opcode == 9
                    if frame.opcode == 8:
                        self.assertEqual(frame.payload[:2], (4000).to_bytes(2, "big"))
            self.assertEqual(pings, 3)
            self.assertGreater(time.monotonic() - start, 0.5)
            for _ in range(5):
                answers.notification("progress")
            answers.call("ping")

    def test_sessions(self):
        three = [self.daemon.ws() for _ in range(3)]
        try:
            with Ws(self.daemon.port, accept_any=True) as fourth:
                self.assertEqual(fourth.status, 503)
                self.assertIn("retry-after", fourth.headers)
            three.pop().close()
            with self.daemon.control() as control:
                wait_for(lambda: control.call("status")["websocket"]["sessions"] == 2)
            with self.daemon.ws() as again:
                again.call("ping")
        finally:
            for ws in three:
                ws.close()


class Addresses(unittest.TestCase):
    def test_both_families(self):
        with Daemon(args=["--listen", "[::1]:0"]) as daemon:
            with daemon.control() as control:
                listen = control.call("status")["websocket"]["listen"]
            self.assertEqual(len(listen), 2)
            self.assertRegex(listen[0], r"^127\.0\.0\.1:[1-9]\d*$")
            self.assertRegex(listen[1], r"^\[::1\]:[1-9]\d*$")
            port = int(listen[1].rpartition(":")[2])
            with socket.create_connection(("::1", port), TIMEOUT_S) as sock:
                sock.sendall(b"GET /livez HTTP/1.1\r\nHost: [::1]\r\n\r\n")
                self.assertTrue(sock.recv(1000).startswith(b"HTTP/1.1 200 "))

    def test_no_listener_at_all(self):
        with Daemon(config="[websocket]\nlisten = []\n", start=False) as daemon:
            daemon.command = lambda: [c for c in Daemon.command(daemon)
                                      if c not in ("--listen", "127.0.0.1:0")]
            daemon.launch()
            status = wait_for(daemon._ask_status)
            self.assertEqual(status["websocket"]["listen"], [])


if __name__ == "__main__":
    unittest.main()

"""Servers of WebSockets that are not ours, for feeds to connect to: Node's ws, python3-websockets,
mosquitto, nginx with nchan, nats-server; plain or with TLS, each on a port that the kernel chose."""

import asyncio
import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
from pathlib import Path

import websockets

from harness import TIMEOUT_S, wait_for

NODE = r"""
const fs = require("fs"), { WebSocketServer } = require("ws");
const o = JSON.parse(process.argv[1]);
const server = o.cert
    ? require("https").createServer({ cert: fs.readFileSync(o.cert), key: fs.readFileSync(o.key) })
    : require("http").createServer();
const wss = new WebSocketServer({
    noServer: true, perMessageDeflate: { threshold: 0 },
    handleProtocols: (offered) => [...offered].find((p) => p === o.protocol) ?? false });
const send = (ws, from, n) => {
    for (let i = from; i < from + n; i++)
        ws.send(JSON.stringify({ type: "price", market: o.market, id: i, data: { n: i, at: "1.10" } }));
};
server.on("upgrade", (request, sock, head) => {
    if (request.headers.authorization !== o.authorization) {
        sock.end("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nTransfer-Encoding: chunked\r\n"
            + "Connection: close\r\n\r\n5\r\nwho a\r\nC;x=y\r\nre you then?\r\n0\r\n\r\n");
        return;
    }
    wss.handleUpgrade(request, sock, head, (ws) => {
        const tell = (what) => console.log(JSON.stringify(what));
        tell({ open: ws.protocol, extensions: ws.extensions, agent: request.headers["user-agent"] });
        ws.isAlive = true;
        ws.on("pong", () => { ws.isAlive = true; tell({ pong: true }); });
        ws.on("error", (error) => tell({ error: error.message }));
        ws.on("close", (code, reason) => tell({ close: code, reason: reason.toString() }));
        ws.on("message", (data, isBinary) => {
            const text = data.toString();
            tell({ message: text, isBinary });
            if (text === o.subscribe) {
                ws.send('{"type":"subscribed"}');
                send(ws, o.first, o.count);
                o.first += o.count;
                ws.ping();
            }
        });
    });
});
process.stdin.on("data", (line) => {
    for (const ws of wss.clients) {
        const { close, terminate } = JSON.parse(line);
        if (terminate) ws.terminate(); else ws.close(close, "as asked");
    }
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""


def held_port():
    """A port that the kernel chose and gives nobody else while the socket is there, but to who binds to
    it as servers do."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), TIMEOUT_S).close()
        return True
    except ConnectionRefusedError:
        return False


class Server:
    """What all have: a folder, an end, an address. `certificates` has a pair `server`, or is None."""

    path = "/"

    def __init__(self, certificates=None):
        self.certificates = certificates
        self.stack = contextlib.ExitStack()
        self.folder = Path(self.stack.enter_context(
            tempfile.TemporaryDirectory(prefix="sysrt-upstream-")))
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self):
        return f"{'wss' if self.certificates else 'ws'}://127.0.0.1:{self.port}{self.path}"

    def run(self, name, *args, **options):
        """Starts a program that is killed at the end."""
        program = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if program is None:
            raise AssertionError(f"{name} is missing: sh packaging/deps check")
        process = subprocess.Popen([program, *map(str, args)], **options)
        self.stack.callback(self.end, process)
        return process

    @staticmethod
    def end(process):
        """Politely, since nginx has to end its worker."""
        process.terminate()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()

    def close(self):
        self.stack.close()


class NodeWs(Server):
    """Tells what it saw: `told`."""

    def __init__(self, certificates=None, **options):
        self.options = {"market": "node", "first": 0, "count": 50, "subscribe": "", **options}
        self.told = []
        super().__init__(certificates)

    def start(self):
        if self.certificates:
            self.options |= {"cert": str(self.certificates.cert("server")),
                             "key": str(self.certificates.key("server"))}
        self.process = self.run("node", "-e", NODE, json.dumps(self.options), text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                env={**os.environ, "NODE_PATH": "/usr/share/nodejs"})
        self.port = int(self.process.stdout.readline())
        thread = threading.Thread(target=self.listen, daemon=True)
        thread.start()

    def listen(self):
        with contextlib.suppress(ValueError):  # closed under us: it is over
            for line in self.process.stdout:
                self.told.append(json.loads(line))

    def ask(self, **what):
        print(json.dumps(what), file=self.process.stdin, flush=True)

    def heard(self, key):
        return [told[key] for told in self.told if key in told]


class PythonWs(Server):
    """python3-websockets in a thread of its own; serve(ws) is a coroutine."""

    def __init__(self, serve, certificates=None, **options):
        self.serve = serve
        self.options = options
        super().__init__(certificates)

    def start(self):
        context = self.certificates.server() if self.certificates else None
        self.loop = asyncio.new_event_loop()
        self.is_over = asyncio.Event()
        started = threading.Event()

        async def main():
            async with websockets.serve(self.serve, "127.0.0.1", 0, ssl=context, **self.options) as server:
                self.port = server.sockets[0].getsockname()[1]
                started.set()
                await self.is_over.wait()

        thread = threading.Thread(target=lambda: self.loop.run_until_complete(main()))
        thread.start()

        def stop():
            self.loop.call_soon_threadsafe(self.is_over.set)
            thread.join()
            self.loop.close()
        self.stack.callback(stop)
        if not started.wait(TIMEOUT_S):
            raise AssertionError("python3-websockets did not start")

    def call(self, coroutine):
        """Runs it in the server's thread; its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(TIMEOUT_S)


def mqtt_text(text):
    return struct.pack(">H", len(text)) + text.encode()


def mqtt_packet(kind, body):
    assert len(body) < 128
    return bytes((kind, len(body))) + body


def mqtt_connect(client_id, is_clean):
    """The packet that a client begins with."""
    return mqtt_packet(0x10, mqtt_text("MQTT") + bytes((4, 2 if is_clean else 0)) +
                       struct.pack(">H", 0) + mqtt_text(client_id))


class Mosquitto(Server):
    """Two listeners: `port` for WebSockets with the subprotocol mqtt, `plain` for MQTT itself."""

    def start(self):
        held = [held_port(), held_port()]
        for sock, _ in held:
            self.stack.callback(sock.close)
        self.port, self.plain = (port for _, port in held)
        tls = ""
        if self.certificates:
            tls = (f"certfile {self.certificates.cert('server')}\n"
                   f"keyfile {self.certificates.key('server')}\n")
        config = self.folder / "config"
        config.write_text(f"allow_anonymous true\nuser root\nper_listener_settings false\n"
                          f"listener {self.plain} 127.0.0.1\n"
                          f"listener {self.port} 127.0.0.1\nprotocol websockets\n{tls}")
        log = self.stack.enter_context(open(self.folder / "log", "wb"))
        self.process = self.run("mosquitto", "-v", "-c", config, stdout=log, stderr=log)
        wait_for(lambda: accepts(self.plain) and accepts(self.port), what="mosquitto to listen")

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    @contextlib.contextmanager
    def client(self, name, is_clean=True):
        """A client of MQTT itself, which has been let in."""
        with socket.create_connection(("127.0.0.1", self.plain), TIMEOUT_S) as sock:
            sock.sendall(mqtt_connect(name, is_clean))
            assert sock.recv(4)[:2] == b"\x20\x02"
            yield sock
            sock.sendall(mqtt_packet(0xe0, b""))

    def subscribe_for(self, name, topic):
        """Leaves a session behind, in which whoever comes with that name is subscribed."""
        with self.client(name, is_clean=False) as sock:
            sock.sendall(mqtt_packet(0x82, struct.pack(">H", 1) + mqtt_text(topic) + b"\0"))
            assert sock.recv(5)[:1] == b"\x90"

    def publish(self, topic, payloads):
        with self.client("publisher") as sock:
            for payload in payloads:
                sock.sendall(mqtt_packet(0x30, mqtt_text(topic) + payload))


NGINX = """
daemon off;
user root;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/log info;
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_x_key $is_known {{ default 0; "let me in" 1; }}
    server {{
        listen 127.0.0.1:{port}{tls};
        {pair}
        location /sub {{
            nchan_subscriber websocket;
            nchan_channel_id $arg_id;
            nchan_subscriber_first_message newest;
            nchan_websocket_ping_interval 1;
        }}
        location /pub {{
            nchan_publisher http;
            nchan_channel_id $arg_id;
        }}
        location /guarded {{
            if ($is_known = 0) {{ return 403 "no key"; }}
            nchan_subscriber websocket;
            nchan_channel_id $arg_id;
        }}
        location /moved {{ return 302 /sub?id=$arg_id; }}
        location /away {{ return 307 {scheme}://127.0.0.1:{port}/moved?id=$arg_id; }}
        location /down {{ return 302 http://127.0.0.1:{port}/sub?id=$arg_id; }}
        location /circle {{ return 301 /circle; }}
        location /behind {{
            proxy_pass http://127.0.0.1:{behind};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }}
    }}
}}
"""


class Nginx(Server):
    """With nchan: /sub?id=X subscribes, publish() publishes; and /behind is a proxy of another port."""

    def __init__(self, certificates=None, behind=1):
        self.behind = behind
        super().__init__(certificates)

    def start(self):
        """It takes over a socket that listens, as from a former self."""
        listener = self.stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512))
        self.port = listener.getsockname()[1]
        pair = ""
        if self.certificates:
            pair = (f"ssl_certificate {self.certificates.cert('server')};"
                    f"ssl_certificate_key {self.certificates.key('server')};")
        config = self.folder / "config"
        config.write_text(NGINX.format(folder=self.folder, port=self.port, pair=pair,
                                       tls=" ssl" if self.certificates else "", behind=self.behind,
                                       scheme="https" if self.certificates else "http"))
        process = self.run("nginx", "-e", self.folder / "log", "-p", self.folder, "-c", config,
                 pass_fds=[listener.fileno()],
                 env={**os.environ, "NGINX": f"{listener.fileno()};"}, stderr=subprocess.DEVNULL)
        wait_for(lambda: self.is_up(process), what="nginx to serve")

    def is_up(self, process):
        """The socket listens before nginx does: it says that it serves by serving."""
        if process.poll() is not None:
            raise AssertionError(f"nginx did not start:\n{self.log()}")
        try:
            return self.ask("GET", "/circle").status == 301
        except TimeoutError:
            return False

    def log(self):
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def ask(self, method, target, body=None, **headers):
        """The answer to a plain request, read to its end (`body`)."""
        if self.certificates:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=TIMEOUT_S,
                                                     context=self.certificates.client())
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        with contextlib.closing(connection):
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            answer.body = answer.read()
            return answer

    def publish(self, channel, text):
        answer = self.ask("POST", f"/pub?id={channel}", text.encode())
        assert answer.status in (201, 202), answer.status

    def subscribers(self, channel):
        answer = self.ask("GET", f"/pub?id={channel}", Accept="text/json")
        return json.loads(answer.body)["subscribers"] if answer.status == 200 else 0


class Nats(Server):
    """nats-server: `port` is that of its WebSocket, `plain` that of its clients."""

    def start(self):
        tls = "no_tls: true"
        if self.certificates:
            tls = (f'tls {{ cert_file: "{self.certificates.cert("server")}", '
                   f'key_file: "{self.certificates.key("server")}" }}')
        config = self.folder / "config"
        config.write_text("host: 127.0.0.1\nport: -1\n"
                          f'websocket {{ host: "127.0.0.1", port: -1, compression: true, {tls} }}\n')
        process = self.run("nats-server", "-c", config, "--ports_file_dir", self.folder,
                           stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for line in process.stderr:
            if found := re.search(r"websocket clients on wss?://127.0.0.1:(\d+)", line):
                self.port = int(found[1])
            elif found := re.search(r"client connections on 127.0.0.1:(\d+)", line):
                self.plain = int(found[1])
            elif "Server is ready" in line:
                break
        else:
            raise AssertionError("nats-server did not start")
        threading.Thread(target=self.drain, args=(process.stderr,), daemon=True).start()

    @staticmethod
    def drain(stream):
        with contextlib.suppress(ValueError):
            for _ in stream:
                pass

    def publish(self, subject, payloads):
        """Returns when the server has taken all of them."""
        with socket.create_connection(("127.0.0.1", self.plain), TIMEOUT_S) as sock:
            text = b'CONNECT {"verbose":false}\r\n' + b"".join(
                b"PUB %s %d\r\n%s\r\n" % (subject.encode(), len(p), p) for p in payloads)
            sock.sendall(text + b"PING\r\n")
            seen = b""
            while b"PONG\r\n" not in seen:
                seen += sock.recv(4096)

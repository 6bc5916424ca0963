"""The browser's own WebSocket: it works for pages that are listed and for no others, and it resumes.
Pages come from a server of the test's own and do what the test tells them: open a WebSocket, send,
report what happens.

long: yes
"""

import base64
import hashlib
import http.server
import json
import os
import queue
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from certificates import Certificates, openssl
from harness import TIMEOUT_S, Daemon, wait_for

CHROMIUM = "chromium"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage")
FOREIGN = "evil.example"
# Names that are not ours lead nowhere; the foreign one leads here, as after DNS rebinding.
NAMES = f"MAP {FOREIGN} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"

PAGE = """<!doctype html><meta charset="utf-8"><title>sysrt</title><script>
const server = "SERVER";
let ws, last = Promise.resolve();
const report = (event) => {
    last = last.then(() => fetch(server + "/report", {method: "POST", body: JSON.stringify(event)}));
};
const run = {
    open: (url) => {
        ws = new WebSocket(url, "sysrt.v1");
        ws.onopen = () => report({event: "open", protocol: ws.protocol});
        ws.onmessage = (e) => report({event: "message", message: JSON.parse(e.data)});
        ws.onclose = (e) => report({event: "close", code: e.code, reason: e.reason});
    },
    send: (message) => ws.send(JSON.stringify(message)),
};
(async () => {
    report({event: "page", origin: self.origin});
    for (;;) {
        const [what, argument] = await (await fetch(server + "/command")).json();
        run[what](argument);
    }
})();
</script>"""
FRAME = """<!doctype html><iframe sandbox="allow-scripts" src="/page"></iframe>"""


class Pages(http.server.ThreadingHTTPServer):
    """Serves the page, hands it commands, takes its reports."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.commands = queue.Queue()
        self.events = queue.Queue()
        self.thread = threading.Thread(target=self.serve_forever)
        self.thread.start()

    @property
    def port(self):
        return self.server_address[1]

    @property
    def page(self):
        return PAGE.replace("SERVER", f"http://127.0.0.1:{self.port}")

    def hang_up(self):
        """Answers the page that waits for a command, if one does; the next one starts afresh."""
        self.commands.put(None)
        self.commands = queue.Queue()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):  # a browser that is gone
            super().handle_error(request, client_address)

    def close(self):
        self.hang_up()
        self.shutdown()
        self.thread.join()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, text, kind="text/html", status=200):
        body = text.encode()
        self.close_connection = status != 200
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/page":
            self.answer(self.server.page)
        elif self.path == "/frame":
            self.answer(FRAME)
        elif self.path == "/command":
            command = self.server.commands.get()
            self.answer(json.dumps(command), "application/json", 200 if command else 410)
        else:
            self.answer("", status=404)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.events.put(json.loads(body))
        self.answer("")

    def log_message(self, format, *args):
        pass


class Browser:
    """A chromium with a profile of its own that shows one page."""

    def __init__(self, pages, url, *flags):
        self.pages = pages
        self.folder = Path(tempfile.mkdtemp(prefix="sysrt-browser-"))
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(
            [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={self.folder}/profile",
             f"--host-resolver-rules={NAMES}", url],
            env={**os.environ, **dict.fromkeys(("HOME", "TMPDIR", "XDG_RUNTIME_DIR"),
                                              str(self.folder))},
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)

    def do(self, what, argument):
        self.pages.commands.put([what, argument])

    def event(self):
        """The next thing that happened to the page."""
        try:
            return self.pages.events.get(timeout=TIMEOUT_S * 2)
        except queue.Empty:
            log = (self.folder / "log").read_text(errors="replace")
            raise AssertionError(f"the page reports nothing:\n{log[-4000:]}") from None

    def message(self):
        event = self.event()
        if event["event"] != "message":
            raise AssertionError(f"a message was expected, not {event}")
        return event["message"]

    def close(self):
        if self.log.closed:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # it and what it started
        except ProcessLookupError:
            pass
        self.process.wait()
        self.pages.hang_up()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class BrowserTest(unittest.TestCase):
    def setUp(self):
        self.pages = Pages()
        self.addCleanup(self.pages.close)

    def start_daemon(self, origins=(), hosts=(), config=""):
        daemon = Daemon(config=config + f"[log]\nfilter = \"info,session=debug\"\n[websocket]\n"
                               f"origins = {json.dumps(list(origins))}\n"
                               f"hosts = {json.dumps(list(hosts))}\n")
        self.addCleanup(daemon.close)
        return daemon

    def show(self, url, origin, *flags):
        """A browser on this page, which says that it has that origin."""
        browser = Browser(self.pages, url, *flags)
        self.addCleanup(browser.close)
        self.assertEqual(browser.event(), {"event": "page", "origin": origin})
        return browser

    def expect_open(self, browser):
        self.assertEqual(browser.event(), {"event": "open", "protocol": "sysrt.v1"})
        hello = browser.message()
        self.assertEqual(hello["method"], "hello")
        return hello["params"]

    def refuse(self, browser, daemon, host, why):
        """The page cannot see why it is refused; the daemon's log says that it was us."""
        before = daemon.log().count(why)
        browser.do("open", f"ws://{host}:{daemon.port}/ws")
        self.assertEqual(browser.event(), {"event": "close", "code": 1006, "reason": ""})
        wait_for(lambda: daemon.log().count(why) > before, what=why)


class Allowed(BrowserTest):
    def change_of(self, message):
        self.assertEqual(message["method"], "change", message)
        return message["params"]

    def test_subscribe_put_and_resume(self):
        page = f"http://127.0.0.1:{self.pages.port}"
        daemon = self.start_daemon(origins=[page])
        browser = self.show(f"{page}/page", page)
        browser.do("open", f"ws://127.0.0.1:{daemon.port}/ws")
        epoch = self.expect_open(browser)["epoch"]
        browser.do("send", {"jsonrpc": "2.0", "id": 1, "method": "subscribe",
                            "params": {"categories": ["news"]}})
        self.assertEqual(browser.message()["result"]["epoch"], epoch)
        self.assertEqual(browser.message()["method"], "synced")

        browser.do("send", {"jsonrpc": "2.0", "id": 2, "method": "record.put",
                            "params": {"category": "news", "id": "own", "data": "grüße"}})
        self.assertTrue(browser.message()["result"]["created"])
        own = self.change_of(browser.message())
        self.assertEqual((own["id"], own["data"]), ("own", "grüße"))
        with daemon.control() as control:
            control.call("record.put", category="news", id="other", data=[1])
            control.call("record.put", category="quiet", id="not asked for", data=0)
        other = self.change_of(browser.message())
        self.assertEqual((other["id"], other["prev"]), ("other", own["seq"]))

        daemon.stop()
        self.assertEqual(browser.message()["method"], "closing")
        self.assertEqual(browser.event()["code"], 1001)
        daemon.start()
        with daemon.control() as control:
            control.call("record.put", category="news", id="while away", data=2)
            control.call("record.delete", category="news", id="own")
        browser.do("open", f"ws://127.0.0.1:{daemon.port}/ws")
        self.assertNotEqual(self.expect_open(browser)["epoch"], epoch)
        browser.do("send", {"jsonrpc": "2.0", "id": 3, "method": "subscribe",
                            "params": {"categories": ["news"], "since": other["seq"],
                                       "epoch": epoch}})
        self.assertEqual(browser.message()["id"], 3)
        missed = [self.change_of(browser.message()) for _ in range(2)]
        self.assertEqual([(m["op"], m["id"]) for m in missed],
                         [("put", "while away"), ("delete", "own")])
        self.assertEqual(browser.message()["method"], "synced")
        with daemon.control() as control:
            control.call("record.put", category="news", id="live again", data=3)
        last = self.change_of(browser.message())
        self.assertEqual((last["id"], last["prev"]), ("live again", missed[-1]["seq"]))

    def test_a_foreign_name_that_is_listed(self):
        """What the refusals below are compared with: the same page and name, both listed."""
        page = f"http://{FOREIGN}:{self.pages.port}"
        daemon = self.start_daemon(origins=[page], hosts=[FOREIGN])
        browser = self.show(f"{page}/page", page)
        browser.do("open", f"ws://{FOREIGN}:{daemon.port}/ws")
        self.expect_open(browser)


class Encrypted(BrowserTest):
    """By wss://, with a certificate whose key the browser was told of, and with one that it was
    not."""

    def test_it(self):
        certificates = Certificates()
        self.addCleanup(certificates.close)
        page = f"http://127.0.0.1:{self.pages.port}"
        certificates.make("server")
        daemon = self.start_daemon(origins=[page], config=certificates.options())
        url = f"wss://127.0.0.1:{daemon.port}/ws"
        stranger = self.show(f"{page}/page", page)
        stranger.do("open", url)
        self.assertEqual(stranger.event(), {"event": "close", "code": 1006, "reason": ""})
        stranger.close()
        key = openssl("x509", "-in", certificates.cert("server"), "-noout", "-pubkey").stdout
        der = ssl.PEM_cert_to_DER_cert(key.replace("PUBLIC KEY", "CERTIFICATE"))
        known = base64.b64encode(hashlib.sha256(der).digest()).decode()
        browser = self.show(f"{page}/page", page,
                            f"--ignore-certificate-errors-spki-list={known}")
        browser.do("open", url)
        self.expect_open(browser)
        text = "grüße " * 100_000
        browser.do("send", {"jsonrpc": "2.0", "id": 1, "method": "record.put",
                            "params": {"category": "news", "id": "large", "data": text}})
        self.assertTrue(browser.message()["result"]["created"])
        browser.do("send", {"jsonrpc": "2.0", "id": 2, "method": "record.get",
                            "params": {"category": "news", "id": "large"}})
        self.assertEqual(browser.message()["result"]["record"]["data"], text)


class Refused(BrowserTest):
    def test_a_page_that_is_not_listed(self):
        """One by its name (the same server under another), one by its port."""
        listed = f"http://127.0.0.1:{self.pages.port}"
        daemon = self.start_daemon(origins=[listed])
        page = f"http://localhost:{self.pages.port}"
        browser = self.show(f"{page}/page", page)
        for host in ("127.0.0.1", "localhost"):
            self.refuse(browser, daemon, host, f'Origin \\"{page}\\" is not allowed')
        browser.close()
        others = self.start_daemon(origins=["http://127.0.0.1:1"])
        browser = self.show(f"{listed}/page", listed)
        self.refuse(browser, others, "127.0.0.1", f'Origin \\"{listed}\\" is not allowed')
        browser.do("open", f"ws://127.0.0.1:{daemon.port}/ws")
        self.expect_open(browser)

    def test_pages_without_an_origin(self):
        """A frame in a sandbox and a file: "null" is everybody."""
        listed = f"http://127.0.0.1:{self.pages.port}"
        daemon = self.start_daemon(origins=[listed])
        file = daemon.folder / "page.html"
        file.write_text(self.pages.page)
        for url in (f"{listed}/frame", file.as_uri()):
            with self.subTest(url=url):
                browser = self.show(url, "null")
                self.refuse(browser, daemon, "127.0.0.1", 'Origin \\"null\\" is not allowed')
                browser.close()

    def test_dns_rebinding(self):
        """A foreign name that leads here, though its page is listed: the Host tells."""
        page = f"http://{FOREIGN}:{self.pages.port}"
        daemon = self.start_daemon(origins=[page])
        browser = self.show(f"{page}/page", page)
        self.refuse(browser, daemon, FOREIGN, f'Host \\"{FOREIGN}\\" is neither')
        browser.do("open", f"ws://127.0.0.1:{daemon.port}/ws")
        self.expect_open(browser)


if __name__ == "__main__":
    unittest.main()

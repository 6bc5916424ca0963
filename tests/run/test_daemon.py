"""The process: its options, signals, reload, and every way in which it must refuse to start.

builds: release; in check-long: asan
valgrind: yes
"""

import contextlib
import grp
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import tempfile
import time
import tomllib
import unittest
from pathlib import Path

from harness import (BUILD, NEWEST, TIMEOUT_S, TOP, WRAP, Closed, Control, Daemon, RpcError,
                     daemon_for, http_get, wait_for)

USAGE, UNAVAILABLE, CONFIG = 64, 69, 78


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sysrt-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def run_sysrtd(self, *args, config=None, env=None):
        """Runs it to its end: (status, output, errors)."""
        if config is not None:
            path = self.folder / "config.toml"
            path.write_text(config)
            args = ("--config", str(path), *args)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SYSRT_")}
        done = subprocess.run([*WRAP, str(BUILD / "sysrtd"), *args], text=True, timeout=TIMEOUT_S,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              env={**clean, **(env or {})})
        return done.returncode, done.stdout, done.stderr

    def expect_refusal(self, status, *words, args=(), config="", env=None):
        """It must end with this status and one line that says what is wrong; returns the line."""
        got, out, err = self.run_sysrtd(*args, config=config, env=env)
        lines = [line for line in err.splitlines() if line.startswith("sysrtd: ")]
        self.assertEqual((got, len(lines), out), (status, 1, ""), err)
        for word in words:
            self.assertIn(word, lines[0])
        return lines[0]

    def start_args(self, store=None, control=None):
        return ("--store", str(store or self.folder / "sysrt.db"), "--listen", "127.0.0.1:0",
                "--socket", str(control or self.folder / "control.sock"))


class Options(Folder):
    def test_help_and_version(self):
        status, out, err = self.run_sysrtd("--help")
        self.assertEqual((status, err), (0, ""))
        for option in ("--config", "--store", "--listen", "--socket", "--check",
                       "--print-defaults", "--print-effective", "-v", "--version"):
            self.assertIn(option, out)
        status, out, err = self.run_sysrtd("--version")
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"^sysrtd \d+\.\d+\.\d+ ")

    def test_usage(self):
        for args in (["--nonsense"], ["extra"], ["--store"], ["-x"], ["--check=7"]):
            status, out, err = self.run_sysrtd(*args)
            self.assertEqual((status, out), (USAGE, ""), args)
            self.assertIn("--help", err)

    def test_check(self):
        self.assertEqual(self.run_sysrtd("--check", config="[store]\nreaders = 4\n")[0], 0)
        line = self.expect_refusal(CONFIG, args=["--check"], config='[stor]\npath = "x"\n')
        self.assertIn('unknown key "stor.path" in line 2, did you mean "store.path"?', line)
        for config, words in (('[store]\nreaders = "two"\n', ("store.readers", ":2")),
                              ("[store]\nreaders = 0\n", ("between 1 and 64",)),
                              ('[websocket]\nheartbeat = "30 parsecs"\n', ("heartbeat",)),
                              ('[log]\nformat = "xml"\n', ("logfmt json",)),
                              ('[log]\nfilter = "loud"\n', ("log.filter", "loud", ":2")),
                              ("[store\n", ("config.toml",)),
                              ("store = 1\n", ("store",)),
                              ('[websocket]\nanonymous = ["admin"]\n', ("anonymous",))):
            with self.subTest(config=config):
                self.expect_refusal(CONFIG, *words, args=["--check"], config=config)

    def test_config_that_is_not_there(self):
        missing = str(self.folder / "missing.toml")
        status, _, err = self.run_sysrtd("--config", missing, "--check")
        self.assertEqual(status, CONFIG)
        self.assertIn(missing, err)

    def test_print_defaults(self):
        status, out, _ = self.run_sysrtd("--print-defaults")
        self.assertEqual(status, 0)
        defaults = tomllib.loads(out)
        self.assertEqual(defaults["store"]["max_record"], "1MiB")
        self.assertEqual(defaults["websocket"]["listen"], ["127.0.0.1:7117", "[::1]:7117"])
        self.assertEqual(self.run_sysrtd("--check", config=out)[0], 0)
        effective = self.run_sysrtd("--print-effective", config=out)[1]
        self.assertEqual(tomllib.loads(effective), defaults)
        example = tomllib.loads((TOP / "config.example.toml").read_text())
        self.assertEqual(example, defaults)

    def test_order_of_precedence(self):
        (self.folder / "conf.d").mkdir()
        (self.folder / "conf.d" / "10.toml").write_text(
            "[hub]\nrecent = 10\n[store]\nqueue = 10\nreaders = 10\n")
        (self.folder / "conf.d" / "20.toml").write_text("[hub]\nrecent = 20\n")
        (self.folder / "conf.d" / "not-read").write_text("nonsense")
        config = '[store]\nqueue = 9\nmax_record = "9KiB"\npath = "/from/file"\n'
        status, out, err = self.run_sysrtd(
            "--print-effective", "--store", "/from/flag", config=config,
            env={"SYSRT_STORE_READERS": "7", "SYSRT_STORE_PATH": "/from/env",
                 "SYSRT_NONSENSE_KEY": "1", "SYSRT_LOG": "warn"})
        self.assertEqual(status, 0, err)
        self.assertIn("SYSRT_NONSENSE_KEY", err)
        got = tomllib.loads(out)
        self.assertEqual((got["store"]["max_record"], got["store"]["queue"], got["hub"]["recent"],
                          got["store"]["readers"], got["store"]["path"], got["log"]["filter"]),
                         ("9KiB", 10, 20, 7, "/from/flag", "warn"))
        for origin in ("config.toml:3", "10.toml:4", "20.toml:2", "SYSRT_STORE_READERS",
                       "command line", "default"):
            self.assertRegex(out, rf"  # \S*{re.escape(origin)}")
        self.expect_refusal(CONFIG, "SYSRT_STORE_READERS", args=["--check"],
                            env={"SYSRT_STORE_READERS": "many"})

    def test_log_options(self):
        for args, expected in (([], False), (["-v"], True), (["-vv"], True)):
            daemon = daemon_for(self, args=args)
            self.assertEqual("level=debug" in daemon.log(), expected)
        daemon = daemon_for(self, config='[log]\nformat = "json"\n')
        for line in daemon.log().splitlines():
            self.assertIn("level", json.loads(line))


class Refusals(Folder):
    """Each cause: one clear line, the right status, and nothing is broken."""

    def expect_no_start(self, status, *words, store=None, control=None, config="", args=()):
        return self.expect_refusal(status, *words, config=config,
                                   args=(*self.start_args(store, control), *args))

    def test_second_daemon_on_the_store(self):
        with Daemon() as daemon:
            self.expect_no_start(UNAVAILABLE, str(daemon.store), f"process {daemon.pid}",
                                 store=daemon.store)
            with daemon.control() as control:
                control.call("record.put", data=1)

    def test_second_daemon_on_the_socket(self):
        with Daemon() as daemon:
            self.expect_no_start(UNAVAILABLE, str(daemon.socket), control=daemon.socket)
            with daemon.control() as control:
                control.call("ping")

    def test_stale_socket(self):
        """What a killed daemon left is no obstacle."""
        daemon = daemon_for(self)
        with daemon.control() as control:
            seq = control.call("record.put", id="x", data=1)["seq"]
        daemon.kill()
        self.assertTrue(daemon.socket.exists())
        daemon.start()
        with daemon.control() as control:
            self.assertEqual(control.call("record.get", id="x")["record"]["seq"], seq)

    def test_something_else_at_the_socket(self):
        path = self.folder / "precious"
        path.write_text("not a socket")
        self.expect_no_start(CONFIG, str(path), control=path)
        self.assertEqual(path.read_text(), "not a socket")
        long = self.folder / ("x" * 110)
        self.expect_no_start(CONFIG, "control.socket", control=long)

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            self.expect_no_start(UNAVAILABLE, address, args=["--listen", address])

    def test_addresses(self):
        for address in ("127.0.0.1", "127.0.0.1:99999", ":7117"):
            with self.subTest(address=address):
                line = self.expect_no_start(CONFIG, "", args=["--listen", address])
                self.assertIn(address, line)
        named = daemon_for(self, args=["--listen", "localhost:0"])
        with named.control() as control:
            for address in control.call("status")["websocket"]["listen"]:
                self.assertRegex(address, r"^(127\.0\.0\.1|\[::1\]):\d+$")

    def test_store_from_the_future(self):
        daemon = daemon_for(self)
        daemon.stop()
        db = sqlite3.connect(daemon.store)
        db.execute("INSERT INTO migrations VALUES (9999, 'of_the_future', 'x', 1)")
        db.commit()
        db.close()
        before = daemon.store.read_bytes()
        self.expect_no_start(UNAVAILABLE, "newer", store=daemon.store)
        self.assertEqual(daemon.store.read_bytes(), before)

    def test_corrupt_store(self):
        daemon = daemon_for(self)
        daemon.stop()
        whole = daemon.store.read_bytes()
        for name, data in (("no database", b"this is no database" * 1000),
                           ("header gone", b"\0" * 100 + whole[100:]),
                           ("pages gone", whole[:4096] + os.urandom(len(whole) - 4096))):
            with self.subTest(name):
                daemon.store.write_bytes(data)
                self.expect_no_start(UNAVAILABLE, str(daemon.store), store=daemon.store)
                self.assertEqual(daemon.store.read_bytes(), data, "it is left as it was")

    def test_somebody_elses_database(self):
        path = self.folder / "other.db"
        db = sqlite3.connect(path)
        db.executescript("CREATE TABLE records (a, b); INSERT INTO records VALUES (1, 2);")
        db.close()
        self.expect_no_start(UNAVAILABLE, store=path)
        db = sqlite3.connect(path)
        self.assertEqual(db.execute("SELECT * FROM records").fetchall(), [(1, 2)])
        db.close()

    def test_folder_that_is_not_there(self):
        path = self.folder / "missing" / "sysrt.db"
        self.expect_no_start(UNAVAILABLE, str(path), store=path)
        self.expect_no_start(UNAVAILABLE, "missing", control=self.folder / "missing" / "c.sock")

    def test_store_is_a_folder(self):
        self.expect_no_start(UNAVAILABLE, str(self.folder), store=self.folder)

    @unittest.skipIf(os.geteuid() != 0, "only root can become somebody else")
    def test_unwritable_folder(self):
        self.folder.chmod(0o755)
        program = shutil.copy(BUILD / "sysrtd", self.folder)
        done = subprocess.run([program, *self.start_args()], text=True, timeout=TIMEOUT_S,
                              stderr=subprocess.PIPE, check=False, user=65534, group=65534,
                              extra_groups=[], cwd="/", env={"ASAN_OPTIONS": "detect_leaks=0"})
        self.assertEqual(done.returncode, UNAVAILABLE)
        self.assertIn("Permission denied", done.stderr)
        self.assertIn(str(self.folder / "sysrt.db"), done.stderr)


class Migrate(Folder):
    """`sysrtd store migrate`: a store that no daemon holds."""

    def test_a_store_that_is_there(self):
        daemon = daemon_for(self)
        store = ("--store", str(daemon.store))
        line = self.expect_refusal(UNAVAILABLE, "process", args=("store", "migrate", *store))
        self.assertIn(str(daemon.store), line)
        daemon.stop()
        status, out, err = self.run_sysrtd("store", "migrate", *store)
        self.assertEqual((status, err), (0, ""))
        self.assertIn(f"at version {NEWEST} of the schema already", out)
        self.assertEqual(self.run_sysrtd("store", "migrate", *store, "--to", str(NEWEST))[0], 0)
        self.expect_refusal(UNAVAILABLE, "no version 99",
                            args=("store", "migrate", *store, "--to", "99"))
        daemon.start()

    def test_one_that_is_not(self):
        path = self.folder / "missing.db"
        self.expect_refusal(UNAVAILABLE, str(path), "No such file",
                            args=("store", "migrate", "--store", str(path)))
        self.assertEqual(list(self.folder.glob("missing*")), [])

    def test_usage(self):
        for args in (["store"], ["store", "mend"], ["migrate"], ["--to", "1"],
                     ["store", "migrate", "--to", "0"], ["store", "migrate", "--to", "x"]):
            status, out, err = self.run_sysrtd(*args)
            self.assertEqual((status, out), (USAGE, ""), args)
            self.assertIn("sysrtd: ", err)


class Signals(unittest.TestCase):
    def test_clean_stop(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = daemon_for(self)
            with daemon.ws() as ws, daemon.control() as control:
                ws.call("subscribe", categories="*")
                control.call("subscribe", categories="*")
                control.call("record.put", id="x", data=1)
                daemon.signal(number)
                closing = ws.notification("closing")
                self.assertTrue(closing["reason"])
                self.assertGreater(closing["retry_after_ms"], 0)
                self.assertEqual(ws.close_code(), 1001)
                self.assertTrue(control.notification("closing")["reason"])
                with self.assertRaises(Closed):
                    control.recv()
            self.assertEqual(daemon.wait_exit(), 0)
            daemon.check_log()
            self.assertFalse(daemon.socket.exists())
            wal = Path(f"{daemon.store}-wal")
            self.assertEqual(wal.stat().st_size if wal.exists() else 0, 0)
            db = sqlite3.connect(f"file:{daemon.store}?mode=ro", uri=True)
            self.assertEqual(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            db.close()

    def test_what_was_sent_is_answered(self):
        """A stop in the middle of a pipeline: an answer means a record, and the other way round."""
        daemon = daemon_for(self)
        with daemon.control() as control, daemon.control() as other:
            for i in range(3000):
                control.send("record.put", id=str(i), data="x" * 100)
            other.call("system.shutdown")
            answered = set()
            try:
                while True:
                    message = control.recv()
                    if "result" in message:
                        answered.add(message["result"]["id"])
                    elif "error" in message:
                        self.assertEqual(message["error"]["data"]["code"], "UNAVAILABLE")
            except Closed:
                pass
        self.assertEqual(daemon.wait_exit(), 0)
        daemon.start()
        with daemon.control() as control:
            stored = {r["id"] for r in control.list_all(limit=1000)}
        self.assertEqual(stored, answered)

    def test_new_work_is_refused_while_it_stops(self):
        daemon = daemon_for(self, config='[websocket]\nshutdown_delay = "20s"\n')
        with daemon.control() as control:
            self.assertEqual(http_get(daemon.port, "/readyz")[0], 200)
            daemon.signal(signal.SIGTERM)
            status, _, body = wait_for(lambda: (a := http_get(daemon.port, "/readyz"))[0] == 503
                                       and a)
            self.assertEqual(body, b"stopping\n")
            self.assertEqual(http_get(daemon.port, "/livez")[0], 200)
            self.assertEqual(control.call("status")["state"], "stopping")
            control.call("record.put", id="x", data=1)
            started = time.monotonic()
            daemon.signal(signal.SIGTERM)  # a second one: at once
            self.assertEqual(daemon.wait_exit(), 0)
            self.assertLess(time.monotonic() - started, 10)

    def test_stop_does_not_wait_for_ever(self):
        """A client that reads nothing cannot hold the daemon."""
        daemon = daemon_for(self, config='[daemon]\nshutdown_timeout = "500ms"\n')
        with daemon.ws(receive_buffer=4096) as ws:
            for _ in range(2000):
                ws.send("methods")
            with daemon.control() as control:
                wait_for(lambda: any(s["unsent"] > 0 for s in
                                     control.call("session.list")["items"]))
            started = time.monotonic()
            daemon.stop()
            self.assertLess(time.monotonic() - started, 10 if not WRAP else 60)

    def test_other_signals(self):
        daemon = daemon_for(self)
        daemon.signal(signal.SIGPIPE)
        with daemon.control() as control:
            control.call("ping")


class Reload(unittest.TestCase):
    def setUp(self):
        self.daemon = daemon_for(self, config="[store]\nreaders = 2\n")
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)

    def write(self, text):
        self.daemon.config_path.write_text(text)

    def test_answers(self):
        self.write('[store]\nreaders = 3\nmax_record = "2KiB"\n[websocket]\nmax_subscriptions = 1\n'
                   '[log]\nfilter = "debug"\n')
        answer = self.control.call("system.reload")
        self.assertEqual(sorted(answer["applied"]),
                         ["log.filter", "store.max_record", "websocket.max_subscriptions"])
        self.assertEqual(answer["needs_restart"], ["store.readers"])
        limits = self.control.call("status")["limits"]
        self.assertEqual((limits["max_record"], limits["max_subscriptions"]), (2048, 1))
        with self.assertRaises(RpcError) as caught:
            self.control.call("record.put", data="x" * 3000)
        self.assertEqual(caught.exception.code, "LIMIT_EXCEEDED")
        self.control.call("subscribe", categories="a")
        with self.assertRaises(RpcError) as caught:
            self.control.call("subscribe", categories="b")
        self.assertEqual(caught.exception.code, "LIMIT_EXCEEDED")
        self.assertEqual(self.control.call("system.log_level")["filter"], "debug")
        self.assertEqual(self.control.call("system.reload"),
                         {"applied": [], "needs_restart": ["store.readers"]})

    def test_message_limit(self):
        with self.daemon.ws() as before:
            before.call("ping")
            self.write('[websocket]\nmax_message = "1KiB"\necho = true\n')
            self.control.call("system.reload")
            before.send_text(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})
                             + " " * 2000)
            self.assertEqual(before.close_code(), 1009)
        with self.daemon.ws(path="/echo", subprotocol=None) as echo:
            self.assertEqual(echo.status, 101)

    def test_a_bad_file_changes_nothing(self):
        for text, word in (("[store]\nmax_recor = 1\n", "max_record"), ("[[[", "config.toml:1:3"),
                           ('[log]\nfilter = "loud"\n', "filter"),
                           ('[store]\nmax_record = "2KiB"\nreaders = -1\n', "readers")):
            with self.subTest(text=text):
                self.write(text)
                with self.assertRaises(RpcError) as caught:
                    self.control.call("system.reload")
                self.assertEqual(caught.exception.code, "CONFIG_ERROR")
                self.assertIn(word, caught.exception.message)
                self.assertEqual(self.control.call("status")["limits"]["max_record"], 1 << 20)
        self.daemon.config_path.unlink()
        with self.assertRaises(RpcError) as caught:
            self.control.call("system.reload")
        self.assertIn("config.toml", caught.exception.message)

    def test_hangup(self):
        self.write('[store]\nmax_record = "3KiB"\n')
        self.daemon.signal(signal.SIGHUP)
        wait_for(lambda: self.control.call("status")["limits"]["max_record"] == 3072)
        self.write("[nonsense]\n")
        self.daemon.signal(signal.SIGHUP)
        wait_for(lambda: "level=error" in self.daemon.log())
        self.assertEqual(self.control.call("status")["limits"]["max_record"], 3072)


@contextlib.contextmanager
def as_nobody(groups):
    """What is connected meanwhile comes from another user, with these groups."""
    before = os.getgroups()
    os.setgroups(groups)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)


class Files(unittest.TestCase):
    def test_modes(self):
        daemon = daemon_for(self)
        self.assertEqual(stat.S_IMODE(daemon.socket.stat().st_mode), 0o660)
        self.assertEqual(stat.S_IMODE(daemon.store.stat().st_mode) & 0o007, 0)

    def test_a_group_that_is_not_there(self):
        """It is told; that there is to be none is no mistake."""
        for name, is_told in (("no-such-group", True), ("", False)):
            daemon = daemon_for(self, config=f'[control]\nadmin_group = "{name}"\n')
            self.assertEqual("there is no such group" in daemon.log(), is_told)

    @unittest.skipIf(WRAP, "valgrind keeps RLIMIT_NOFILE itself, and for itself")
    def test_out_of_descriptors(self):
        """Accepting pauses, nobody who is there is hurt, and it comes back."""
        daemon = daemon_for(self, wrap=["prlimit", "--nofile=64:64"])
        held = []
        with daemon.control() as control:
            try:
                for _ in range(100):
                    held.append(socket.create_connection(("127.0.0.1", daemon.port), TIMEOUT_S))
                wait_for(lambda: "accepting paused" in daemon.log())
                for i in range(50):
                    control.call("record.put", id=str(i), data=i)
            finally:
                for sock in held:
                    sock.close()
            wait_for(lambda: http_get_or_none(daemon.port) == 200)
            self.assertEqual(control.call("record.count")["count"], 50)
        with Control(daemon.socket) as again:
            again.call("ping")

    @unittest.skipIf(os.geteuid() != 0, "only root can become somebody else")
    def test_strangers(self):
        """Another user is told what he lacks; the group lets him in."""
        daemon = daemon_for(self, config='[control]\nadmin_group = "games"\n')
        daemon.folder.chmod(0o755)
        daemon.socket.chmod(0o666)
        # A refusal comes unasked; who is let in is told nothing before he asks.
        script = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
                  't = sys.argv[2].encode(); t and (s.sendall(t), s.shutdown(socket.SHUT_WR)); '
                  "print(s.makefile().read(), end='')")

        def ask(groups, text):
            done = subprocess.run(["/usr/bin/python3", "-c", script, str(daemon.socket), text],
                                  user=65534, group=65534, extra_groups=groups, cwd="/",
                                  stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=True)
            return json.loads(done.stdout)
        refused = ask([4242], "")
        self.assertEqual(refused["error"]["data"]["code"], "PERMISSION_DENIED")
        for word in ("65534", "4242", "games", "control.admin_group"):
            self.assertIn(word, refused["error"]["message"])
        games = int(next(line.split(":")[2] for line in Path("/etc/group").read_text().splitlines()
                         if line.startswith("games:")))
        text = '{"jsonrpc":"2.0","id":1,"method":"system.stats"}\n'
        self.assertIn("result", ask([4242, games], text))
        self.assertIn("result", ask([*range(10_000, 11_000), games], text))
        self.assertEqual(ask(range(10_000, 11_000), "")["error"]["data"]["code"],
                         "PERMISSION_DENIED")

    @unittest.skipIf(os.geteuid() != 0, "only root can become somebody else")
    def test_readers(self):
        """Members of the group may read, as long as it is set; everybody else is sent away."""
        daemon = daemon_for(self)
        daemon.folder.chmod(0o755)
        reading = '[control]\nread_group = "games"\n'
        games = grp.getgrnam("games").gr_gid
        self.assertEqual(stat.S_IMODE(daemon.socket.stat().st_mode), 0o660)
        daemon.configure(reading)
        self.assertEqual(stat.S_IMODE(daemon.socket.stat().st_mode), 0o666)
        with as_nobody([4242]), Control(daemon.socket) as refused:
            message = refused.recv()["error"]["message"]
        for word in ("uid 65534", "4242", "control.admin_group", '"games" (control.read_group)'):
            self.assertIn(word, message)
        with as_nobody([games]):
            reader = Control(daemon.socket)
        with reader:
            self.assertEqual(reader.call("record.count")["count"], 0)
            for method, need in (("record.put", "write:general"), ("system.stats", "admin")):
                with self.assertRaises(RpcError) as caught:
                    reader.call(method, **({"data": 1} if need != "admin" else {}))
                self.assertIn(f"needs {need}, which this session does not have "
                              "(control.read_group)", caught.exception.message)
            reader.call("subscribe", categories="*")
            daemon.configure("")
            self.assertEqual(reader.notification("unsubscribed")["subscription"], 1)
            with self.assertRaises(Closed):
                reader.recv()
        self.assertEqual(stat.S_IMODE(daemon.socket.stat().st_mode), 0o660)
        with daemon.control() as control:
            control.call("ping")

    @unittest.skipIf(os.geteuid() != 0, "only root can become somebody else")
    def test_who_shuts_himself_out(self):
        """An administrator whose reload takes his own right away is answered, and goes."""
        daemon = daemon_for(self, config='[control]\nadmin_group = "games"\n')
        daemon.folder.chmod(0o755)
        daemon.socket.chmod(0o666)
        with as_nobody([grp.getgrnam("games").gr_gid]):
            admin = Control(daemon.socket)
        with admin:
            admin.call("ping")
            daemon.config_path.write_text('[control]\nadmin_group = "root"\n')
            admin.send_raw(b'{"jsonrpc":"2.0","id":"first","method":"system.reload"}\n'
                           b'{"jsonrpc":"2.0","id":2,"method":"system.stats"}\n')
            self.assertIn("applied", json.dumps(admin.answer("first")))
            with self.assertRaises(Closed):
                while True:
                    admin.recv()
        with daemon.control() as control:
            control.call("ping")

    def test_a_read_group_that_is_not_there(self):
        daemon = daemon_for(self, config='[control]\nread_group = "no-such-group"\n')
        self.assertIn("nobody reads by it", daemon.log())


def http_get_or_none(port):
    try:
        return http_get(port, "/livez")[0]
    except (OSError, IndexError, ValueError):
        return None


if __name__ == "__main__":
    unittest.main()

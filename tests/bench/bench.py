#!/usr/bin/python3
"""The speed of sysrt, as ratios: each figure is run as ceiling, sysrt, ceiling again, and is judged
by the median of the pairs. The ceiling is a bare C program (bench_bare) that does only the
essential work on the same data, on this machine, in the same minute.

    bench.py [FIGURE...]        all but the peers', or those whose name starts so

    BENCH_RUNS=5      pairs a figure
    BENCH_SECONDS=3   of each run
    BENCH_RECORDS=1000000   in the large store
"""

import contextlib
import csv
import json
import os
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "run"))
from certificates import Certificates  # noqa: E402
from harness import BUILD, Closed, Daemon, wait_for  # noqa: E402
from market import MAPPINGS, Market  # noqa: E402

RUNS = int(os.environ.get("BENCH_RUNS", "5"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "3"))
RECORDS = int(os.environ.get("BENCH_RECORDS", "1000000"))
BARE = BUILD / "bench" / "bench_bare"
LOAD = BUILD / "bench" / "bench_load"
FLOOD = BUILD / "bench" / "bench_flood"
SEARCHED = """
[websocket]
max_sessions = 20000
[log]
filter = "warn"
"""
CONFIG = SEARCHED + """
[category."*"]
search = "off"
"""  # the figures are those of what is measured: the search has its own

fresh_ids = RECORDS  # numbers of new records go on from here, so that no run meets another's


def run_json(*args):
    out = subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, check=True)
    return json.loads(out.stdout)


def load(mode, door, **options):
    return run_json(LOAD, mode, door, f"seconds={SECONDS}",
                    *(f"{k}={v}" for k, v in options.items()))


def bare(mode, path, **options):
    return run_json(BARE, mode, path, f"seconds={SECONDS}",
                    *(f"{k}={v}" for k, v in options.items()))


class BareServer:
    """bench_bare as a server; `door` is where to reach it."""

    def __init__(self, *args):
        self.process = subprocess.Popen([str(BARE), *args], stdout=subprocess.PIPE, text=True)
        self.where = self.process.stdout.readline().strip()

    def __enter__(self):
        return self.where

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def show(name, unit, pairs, wanted, higher_is_better=True):
    """Prints a figure: each (ceiling, sysrt, ceiling) and the median of the ratios. wanted None:
    nothing is."""
    ratios = sorted(ours / ((before + after) / 2) for before, ours, after in pairs)
    middle = statistics.median(ratios)
    met = wanted is None or (middle >= wanted if higher_is_better else middle <= wanted)
    target = ("" if wanted is None else
              f", wanted {'at least' if higher_is_better else 'at most'} {wanted}")
    print(f"{name}: {middle:.2f} of the ceiling ({ratios[0]:.2f} to {ratios[-1]:.2f}){target}"
          f"{'' if met else '  NOT REACHED'}")
    for before, ours, after in pairs:
        print(f"    ceiling {before:,.0f}  sysrt {ours:,.0f}  ceiling {after:,.0f} {unit}")
    sys.stdout.flush()


def pairs_of(ceiling, ours):
    """RUNS times: ceiling, sysrt, ceiling again. Each ceiling serves both its neighbours."""
    pairs = []
    before = ceiling()
    for _ in range(RUNS):
        value = ours()
        after = ceiling()
        pairs.append((before, value, after))
        before = after
    return pairs


def new_ids(n):
    global fresh_ids
    first = fresh_ids
    fresh_ids += n
    return first


def doors(daemon):
    return f"ws:{daemon.port}", f"unix:{daemon.socket}"


class Stores:
    """The stores that figures run on: an empty one, and one of RECORDS records made by import."""

    def __init__(self, where):
        self.where = Path(where)
        self.large = self.where / "large" / "sysrt.db"
        self.import_rate = None

    def empty(self, name):
        path = self.where / name / "sysrt.db"
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        return path

    def copy(self, source, name):
        path = self.empty(name)
        shutil.copyfile(source, path)
        os.sync()  # what is written now is not to be paid by the run
        return path

    def need_large(self):
        if self.large.exists():
            return self.large
        self.empty("large")
        print(f"making a store of {RECORDS:,} records", file=sys.stderr)
        with Daemon(store=self.large, config=CONFIG) as daemon:
            self.import_rate = import_generated(daemon, RECORDS)
        return self.large


def import_lines(daemon, source, n, *options):
    """Records/s of `sysrtctl import` of a file, or of what a process prints."""
    piped = source.stdout if isinstance(source, subprocess.Popen) else None
    start = time.monotonic()
    subprocess.run([str(BUILD / "sysrtctl"), "--socket", str(daemon.socket), "import", "-q", *options,
                    "-" if piped else str(source)],
                   stdin=piped, check=True, stdout=subprocess.DEVNULL)
    return n / (time.monotonic() - start)


def import_generated(daemon, n):
    with subprocess.Popen([str(LOAD), "lines", "-", f"count={n}"], stdout=subprocess.PIPE) as lines:
        return import_lines(daemon, lines, n)


SHAPES = (
    ("256 in flight on one WebSocket", 0, {"conns": 1, "flight": 256}),
    ("32 x 32 on WebSocket", 0, {"conns": 32, "flight": 32}),
    ("256 in flight on the Unix socket", 1, {"conns": 1, "flight": 256}),
)


def counters(daemon):
    return daemon.control().call("status")["store"]


def puts_on(title, make_store, existing):
    """Every run on a store of its own: a log that has its room on the disk already is faster."""
    for name, door, shape in SHAPES:
        state = {"batch": 100}

        def ours():
            with Daemon(store=make_store("ours"), config=CONFIG) as daemon:
                before = counters(daemon)
                result = load("puts", doors(daemon)[door], existing=existing,
                              first=new_ids(5_000_000), **shape)
                after = counters(daemon)
            commits = after["commits"] - before["commits"]
            state["batch"] = max(1, round((after["writes"] - before["writes"]) / commits))
            state["commit"] = after.get("commit_ms")
            return result["answers_per_s"]

        def ceiling():
            return bare("store", make_store("bare"), batch=state["batch"], existing=existing,
                        first=new_ids(5_000_000))["rows_per_s"]

        ours()
        show(f"durable puts, {title}, {name} (batches of {state['batch']})", "puts/s",
             pairs_of(ceiling, ours), 0.75)
        print(f"    commits under this load: {json.dumps(state['commit'])}")


def made_empty(stores, name):
    path = stores.empty(name)
    with Daemon(store=path, config=CONFIG):
        pass
    return path


def figure_puts_empty(stores):
    puts_on("empty store", lambda name: made_empty(stores, name), 0)


def figure_puts_large(stores):
    large = stores.need_large()
    puts_on(f"store of {RECORDS:,}", lambda name: stores.copy(large, name), RECORDS)


def figure_one_put(stores):
    ours_path, bare_path = made_empty(stores, "ours"), made_empty(stores, "bare")

    def ours():
        with Daemon(store=ours_path, config=CONFIG) as daemon:
            return load("puts", doors(daemon)[1], flight=1, first=new_ids(1_000_000))["p50_us"]

    def ceiling():
        return bare("store", bare_path, batch=1, first=new_ids(1_000_000))["p50_us"]

    show("one put in flight, p50", "us", pairs_of(ceiling, ours), 1.8, higher_is_better=False)


def figure_fan(stores):
    """Through the commit: so no faster than a bare SQLite loop in the same batches can feed it."""
    for n in (100, 1000, 10000):
        state = {}

        def ours():
            with Daemon(store=stores.empty("ours"), config=CONFIG) as daemon:
                before = counters(daemon)
                result = load("fan", doors(daemon)[0], flight=64, subscribers=n)
                after = counters(daemon)
            state["batch"] = max(1, round((after["writes"] - before["writes"])
                                          / (after["commits"] - before["commits"])))
            return result["deliveries_per_s"]

        def ceiling():
            with BareServer("fanout") as port:
                return load("fan", f"ws:{port}", flight=64, subscribers=n)["deliveries_per_s"]

        show(f"fan-out to {n:,}, 64 puts in flight", "deliveries/s", pairs_of(ceiling, ours), 0.5)
        rate = bare("store", made_empty(stores, "bare"), batch=state["batch"])["rows_per_s"]
        print(f"    a bare SQLite loop in batches of {state['batch']} makes {rate:,} puts/s: "
              f"{rate * n:,} deliveries/s at most")


def figure_paced(stores):
    """Where the time goes: what the bare server needs is the fan-out; the commit is the store's."""
    commits = []

    def ours(n):
        with Daemon(store=stores.empty("ours"), config=CONFIG) as daemon:
            result = load("paced", doors(daemon)[0], subscribers=n, rate=100)
            commits.append(counters(daemon)["commit_ms"])
            return result

    def ceiling(n):
        with BareServer("fanout") as port:
            return load("paced", f"ws:{port}", subscribers=n, rate=100)

    def middle(results, key):
        return statistics.median(r[key] for r in results)

    for n in (100, 1000):
        commits.clear()
        pairs = pairs_of(lambda: ceiling(n), lambda: ours(n))
        bares, results = [p[0] for p in pairs], [p[1] for p in pairs]
        print(f"put to subscriber, {n:,} subscribers at 100 puts/s: p50 {middle(results, 'p50_us'):,} "
              f"us, p99 {middle(results, 'p99_us'):,} us"
              f"{', wanted at most 5,000 us' if n == 100 else ''}\n"
              f"    of it the commit: p50 {middle(commits, 'p50') * 1000:,.0f} us, "
              f"p99 {middle(commits, 'p99') * 1000:,.0f} us; "
              f"the fan-out of a bare server: p50 {middle(bares, 'p50_us'):,} us, "
              f"p99 {middle(bares, 'p99_us'):,} us")
    show("put to subscriber, 1,000 subscribers at 100 puts/s, p99", "us",
         [tuple(r["p99_us"] for r in pair) for pair in pairs], 1.8, higher_is_better=False)


def figure_ping(stores):
    echo_path = str(stores.where / "echo.sock")

    def ours():
        with Daemon(store=stores.empty("ours"), config=CONFIG) as daemon:
            return load("ping", doors(daemon)[1], flight=1)["p50_us"]

    def ceiling():
        with BareServer("echo", echo_path) as path:
            return load("echo", f"unix:{path}", flight=1)["p50_us"]

    show("ping on the Unix socket, p50", "us", pairs_of(ceiling, ours), 1.3, higher_is_better=False)


def figure_get(stores):
    large = stores.need_large()
    ours_path, bare_path = stores.copy(large, "ours"), stores.copy(large, "bare")

    def ours():
        with Daemon(store=ours_path, config=CONFIG) as daemon:
            return load("get", doors(daemon)[1], flight=64, existing=RECORDS)["answers_per_s"]

    def ceiling():
        return bare("get", bare_path, existing=RECORDS)["reads_per_s"]

    show("get, 64 in flight", "reads/s", pairs_of(ceiling, ours), 0.6)


SEARCHES = (
    # name, queries, order, wanted p99 in ms
    ("a selective word", lambda n: str(10000 + n * 7919 % 90000), "rank", 10),
    ("a selective phrase", lambda n: f'"10 {n * 7 % 60:02} {n * 11 % 60:02}"', "rank", 10),
    ("a prefix", lambda n: f"{10000 + n * 7919 % 90000}"[:4] + "*", "rank", 25),
    ("the most common word", lambda n: "words", "rank", 25),
    ("the most common phrase", lambda n: '"a few more words"', "rank", 25),
    ("the most common word, newest first", lambda n: "words", "newest", 25),
)


def answer_times(ask, query_of):
    """(p50, p99) in milliseconds, of 500 queries, or of as many as there is time for."""
    taken = []
    end = time.monotonic() + 3 * SECONDS
    while len(taken) < 500 and (time.monotonic() < end or not taken):
        query = query_of(len(taken))
        begun = time.monotonic()
        ask(query)
        taken.append((time.monotonic() - begun) * 1000)
    taken.sort()
    return taken[len(taken) // 2], taken[len(taken) * 99 // 100]


def make_bare_index(large, path):
    """A table of FTS5 alone with the names and texts of the records."""
    bare_db = sqlite3.connect(path)
    bare_db.execute("CREATE VIRTUAL TABLE docs USING fts5(name, data, content = '', "
                    "tokenize = 'unicode61 remove_diacritics 2')")
    with sqlite3.connect(f"file:{large}?mode=ro", uri=True) as db, bare_db:
        bare_db.executemany("INSERT INTO docs (rowid, name, data) VALUES (?, ?, ?)",
                            ((seq, name, " ".join(map(str, texts_of(json.loads(data)))))
                             for seq, name, data in db.execute("SELECT seq, name, data FROM records")))
    return bare_db


def texts_of(value):
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_of(item)
    else:
        yield value


class PutsBeside:
    """256 puts in flight for as long as the block lasts; half of them to records that are there."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.argv = [str(LOAD), "puts", doors(daemon)[0], "conns=1", "flight=256", "seconds=3600",
                     f"existing={RECORDS}", f"first={new_ids(50_000_000)}"]

    def __enter__(self):
        self.before, self.begun = counters(self.daemon)["writes"], time.monotonic()
        self.process = subprocess.Popen(self.argv, stdout=subprocess.DEVNULL)
        return self

    def rate(self):
        return (counters(self.daemon)["writes"] - self.before) / (time.monotonic() - self.begun)

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()


def figure_search(stores):
    """While puts come as fast as they can; the bare table has nothing else to do."""
    large = stores.need_large()
    bare_db = make_bare_index(large, stores.where / "bare-index.db")
    bare_sql = {"rank": "SELECT rowid FROM docs WHERE docs MATCH ? ORDER BY rank LIMIT 20",
                "newest": "SELECT rowid FROM docs WHERE docs MATCH ? ORDER BY rowid DESC LIMIT 20"}
    with Daemon(store=stores.copy(large, "ours"), config=SEARCHED) as daemon:
        wait_indexed(daemon)
        with PutsBeside(daemon) as puts, daemon.control() as control:
            for name, query_of, order, wanted in SEARCHES:
                p50, p99 = answer_times(
                    lambda query: control.call("record.search", query=query, order=order), query_of)
                times = [*answer_times(
                    lambda query: bare_db.execute(bare_sql[order], (query,)).fetchall(), query_of)]
                print(f"search of {RECORDS:,}, {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, wanted "
                      f"below {wanted}{'' if p99 < wanted else '  NOT REACHED'}; bare FTS5 without "
                      f"writes: p50 {times[0]:.2f} ms, p99 {times[1]:.2f} ms", flush=True)
            print(f"    puts beside it: {puts.rate():,.0f}/s")
    bare_db.close()


def show_import(name, n, rate, ceiling):
    print(f"import of {name}, {n:,} records: {rate:,.0f}/s, a bare loop over the same in batches of "
          f"1,000: {ceiling:,.0f}/s, {rate / ceiling:.2f} of it, wanted at least 0.5")


def read_catalogue(path):
    """Writes Debian's package catalogue as JSON lines; the records."""
    with subprocess.Popen(["apt-cache", "dumpavail"], stdout=subprocess.PIPE) as listing:
        with open(path, "wb") as out:
            subprocess.run(["sh", str(TOP / "packaging" / "scripts" / "catalogue")],
                           stdin=listing.stdout, stdout=out, check=True)
    return [json.loads(line) for line in path.read_text().splitlines()]


def bare_given(records, path):
    fields = "".join(f"{r['category']}\0{r['id']}\0{r['name']}\0"
                     f"{json.dumps(r['data'], separators=(',', ':'), ensure_ascii=False)}\0"
                     for r in records)
    out = subprocess.run([str(BARE), "store", str(path), "batch=1000", "given=1"], check=True,
                         input=fields.encode(), stdout=subprocess.PIPE)
    return json.loads(out.stdout)["rows_per_s"]


def write_table(path, n):
    """Writes records as CSV; the records."""
    records = []
    with open(path, "w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(["id", "title", "price", "note"])
        for i in range(n):
            row = [f"id-{i * 7919 % n}", f"Title, {i}", f"{i / 100:.2f}", f'said "{i}"' if i % 10 == 0 else "x" * (i % 60)]
            table.writerow(row)
            records.append({"category": "general", "id": row[0], "name": row[1],
                            "data": dict(zip(("id", "title", "price", "note"), row))})
    return records


def figure_import(stores):
    stores.need_large()
    if stores.import_rate is None:
        with Daemon(store=stores.empty("ours"), config=CONFIG) as daemon:
            stores.import_rate = import_generated(daemon, RECORDS)
    ceiling = bare("store", made_empty(stores, "bare"), batch=1000, count=RECORDS)["rows_per_s"]
    show_import("generated records, ids in no order", RECORDS, stores.import_rate, ceiling)
    table = stores.where / "table.csv"
    records = write_table(table, RECORDS // 4)
    with Daemon(store=stores.empty("ours"), config=CONFIG) as daemon:
        rate = import_lines(daemon, table, len(records), "--id", "id", "--name", "title")
    show_import("a table (CSV)", len(records), rate, bare_given(records, made_empty(stores, "bare")))
    lines = stores.where / "catalogue.jsonl"
    records = read_catalogue(lines)
    with Daemon(store=stores.empty("ours"), config=CONFIG) as daemon:
        rate = import_lines(daemon, lines, len(records))
    show_import("Debian's package catalogue", len(records), rate,
                bare_given(records, made_empty(stores, "bare")))


class FeedServer:
    """bench_feed, which says a file's lines to whoever comes; its URL."""

    def __init__(self, path):
        self.process = subprocess.Popen([str(BUILD / "bench" / "bench_feed"), str(path)],
                                        stdout=subprocess.PIPE, text=True)
        self.url = f"ws://127.0.0.1:{int(self.process.stdout.readline())}/"

    def __enter__(self):
        return self.url

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def figure_feed(stores):
    """Trades of a market, made of real flights, through a feed into records of their own, beside a loop
    that parses and inserts the same lines, in batches as large as the daemon's were."""
    path, state = stores.where / "messages", {"batch": 1000}
    market = Market(is_real=True)
    with open(path, "w", encoding="utf-8") as out:
        out.writelines(text + "\n" for text in market.messages(RECORDS))
    n = len(market.records["trades"])

    def ours(**keys):
        with FeedServer(path) as url, Daemon(store=stores.empty("ours"), config=CONFIG) as daemon:
            with daemon.control() as control:
                begun = time.monotonic()
                control.call("feed.add", name="trades",
                             definition={"url": url, **MAPPINGS["trades"], **keys})
                while (after := control.call("status")["store"])["writes"] < n:
                    time.sleep(0.02)
                took_s = time.monotonic() - begun
        state["batch"] = max(1, round(after["writes"] / after["commits"] * RECORDS / n))
        return RECORDS / took_s

    def ceiling():
        with open(path, "rb") as lines:
            out = subprocess.run([str(BARE), "store", str(made_empty(stores, "bare")),
                                  f"batch={state['batch']}", "messages=1"], stdin=lines, check=True,
                                 stdout=subprocess.PIPE)
        return json.loads(out.stdout)["rows_per_s"]

    ours()
    show(f"messages of a feed, {n:,} of {RECORDS:,} become records (batches of {state['batch']} messages)",
         "messages/s", pairs_of(ceiling, ours), 0.6)
    print(f"    with the recorder: {ours(record='trades'):,.0f} messages/s")


def wait_indexed(daemon):
    """Waits until the search index is as far as the store."""
    def is_complete():
        search = control.call("status")["search"]
        return search["state"] == "ready" and search["lag"] == 0

    with daemon.control() as control:
        wait_for(is_complete, timeout=600, what="the index")


def search_writes(name, make_store, existing, seconds):
    """Writes with the search on, beside the same with it off."""
    commits = {}

    def run(config):
        with Daemon(store=make_store("ours"), config=config) as daemon:
            if config is SEARCHED:
                wait_indexed(daemon)
            before = counters(daemon)["writes"]
            begun = time.monotonic()
            run_json(LOAD, "puts", doors(daemon)[1], "conns=1", "flight=256",
                     f"seconds={seconds}", f"existing={existing}", f"first={new_ids(5_000_000)}")
            commits.setdefault(config, []).append(counters(daemon)["commit_ms"]["p99"])
            return (counters(daemon)["writes"] - before) / (time.monotonic() - begun)

    show(f"puts with the search on, {name}", "puts/s",
         pairs_of(lambda: run(CONFIG), lambda: run(SEARCHED)), 0.3 if existing else 0.75)
    off, on = (statistics.median(commits[config]) for config in (CONFIG, SEARCHED))
    print(f"    p99 of commits: {on:.1f} ms, without the search {off:.1f} ms: {on / off:.2f} of it, "
          "wanted at most 2")


def figure_search_writes(stores):
    """The ceilings are the daemon itself with every category's search off. A store's index is made
    once and copied with it, as a restart would find it."""
    with Daemon(store=stores.empty("searched"), config=SEARCHED) as daemon:
        begun = time.monotonic()
        import_generated(daemon, RECORDS)
        wait_indexed(daemon)
        rate = RECORDS / (time.monotonic() - begun)
        searched = daemon.store
    print(f"import of {RECORDS:,} records, with the search complete at the end: {rate:,.0f}/s, "
          "wanted at least 30,000")

    def copy(name):
        path = stores.copy(searched, name)
        shutil.copyfile(f"{searched}.search", f"{path}.search")
        return path

    search_writes(f"{SECONDS} s into an empty store", lambda name: made_empty(stores, name),
                  0, SECONDS)
    search_writes(f"{10 * SECONDS} s on a store of {RECORDS:,}", copy, RECORDS,
                  10 * SECONDS)


def memory_kib(pid):
    """Memory of the process's own (not the page cache's)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1])
    raise RuntimeError("no Anonymous in smaps_rollup")


def processor_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def resident_kib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("no VmRSS")


def open_idle_session(port, tls=None):
    s = socket.create_connection(("127.0.0.1", port))
    if tls is not None:
        s = tls.wrap_socket(s, server_hostname="localhost")
    s.sendall(b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    text = (b'{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"categories":["idle"]}}')
    s.sendall(bytes((0x81, 0x80 | len(text))) + bytes(4) + text)
    seen = b""
    while b"synced" not in seen:
        seen += s.recv(4096)
    return s


def figure_memory(stores):
    sessions = 5000
    with Daemon(store=stores.empty("ours"), config=CONFIG) as daemon:
        resident = resident_kib(daemon.pid)
        before = memory_kib(daemon.pid)
        socks = [open_idle_session(daemon.port) for _ in range(sessions)]
        each = (memory_kib(daemon.pid) - before) / sessions
        for s in socks:
            s.close()
    print(f"idle daemon: {resident / 1024:.1f} MiB resident, {before / 1024:.1f} MiB of its own, "
          "wanted at most 8 MiB")
    print(f"idle WebSocket session with one subscription: {each:.2f} KiB (of {sessions:,}), "
          "wanted at most 1.5 KiB")
    measure_tls(stores, sessions)


def measure_tls(stores, sessions):
    """What an idle session with TLS holds besides, and how many hands are shaken in a second of the
    daemon's processor."""
    for kind in ("ec", "rsa"):
        certificates = Certificates()
        certificates.make("server", kind=kind)
        tls = certificates.client()
        with Daemon(store=stores.empty("ours"), config=CONFIG + certificates.options()) as daemon:
            open_idle_session(daemon.port, tls).close()
            before, used_s = memory_kib(daemon.pid), processor_s(daemon.pid)
            socks = [open_idle_session(daemon.port, tls) for _ in range(sessions)]
            each = (memory_kib(daemon.pid) - before) / sessions
            used_s = processor_s(daemon.pid) - used_s
            version, cipher = socks[0].version(), socks[0].cipher()[0]
            for s in socks:
                s.close()
        certificates.close()
        print(f"idle session with TLS ({kind}, {version}, {cipher}): {each:.2f} KiB, wanted at "
              f"most 16 KiB; {sessions / used_s:,.0f} sessions opened in a second of a processor")


def figure_start(stores):
    path = stores.copy(stores.need_large(), "ours")
    clean = []
    for _ in range(RUNS):
        daemon = Daemon(store=path, config=CONFIG, start=False)
        begun = time.monotonic()
        daemon.start()
        clean.append((time.monotonic() - begun) * 1000)
        daemon.stop()
    print(f"start with {RECORDS:,} records after a clean stop: {statistics.median(clean):.0f} ms, "
          "wanted below 50 ms")
    daemon = Daemon(store=path, config=CONFIG)
    load("puts", doors(daemon)[0], flight=256, existing=RECORDS, first=new_ids(5_000_000))
    daemon.kill()
    log_bytes = os.stat(f"{path}-wal").st_size
    begun = time.monotonic()
    daemon.start()
    print(f"start after a kill under load: {(time.monotonic() - begun) * 1000:.0f} ms, "
          f"log of {log_bytes / 1048576:.0f} MiB")
    daemon.stop()


class BackingUp:
    """Backups into the folder, one after the other, while the context lasts; `speed` is how fast
    they copied, in MB/s."""

    def __init__(self, daemon):
        self.control = daemon.control()
        self.copied = 0

    def begin(self):
        self.done = 0
        self.control.send("system.backup")

    def follow(self):
        """Reads what is told until the socket is shut down."""
        try:
            while True:
                message = self.control.recv(3600)
                if message.get("method") != "job":
                    continue
                job = message["params"]
                self.copied += job["done"] - self.done
                self.done = job["done"]
                if "result" in job:
                    self.begin()
        except Closed:
            pass

    def __enter__(self):
        self.begin()
        self.thread = threading.Thread(target=self.follow)
        self.started = time.monotonic()
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.speed = self.copied / (time.monotonic() - self.started) / 1e6
        self.control.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.control.close()


def figure_backup(stores):
    """What a backup costs those who write meanwhile, and how fast it is: under load and alone."""
    source, last, speeds, rates = stores.need_large(), {}, [], {True: [], False: []}
    config = CONFIG + f'[backup]\nfolder = "{stores.where}"\nkeep = 1\n'

    def p99(backs_up):
        with Daemon(store=stores.copy(source, "ours"), config=config) as daemon:
            backup = BackingUp(daemon) if backs_up else None
            with backup or contextlib.nullcontext():
                result = load("puts", doors(daemon)[0], flight=256, existing=RECORDS,
                              first=new_ids(5_000_000))
            if backup:
                speeds.append(backup.speed)
            rates[backs_up].append(result["answers_per_s"])
            last[backs_up] = counters(daemon)["commit_ms"]
        return result["p99_us"]

    show("p99 of durable puts while a backup is made, 256 in flight on one WebSocket, beside the "
         "same without", "us", pairs_of(lambda: p99(False), lambda: p99(True)), 2, False)
    print(f"    puts/s {statistics.median(rates[True]):,.0f} with, "
          f"{statistics.median(rates[False]):,.0f} without; commits in ms with {last[True]}, "
          f"without {last[False]}; the copy: {statistics.median(speeds):,.0f} MB/s")
    with Daemon(store=stores.copy(source, "ours"), config=config) as daemon:
        for options in ([], ["--verify"]):
            done = subprocess.run([str(BUILD / "sysrtctl"), "--socket", str(daemon.socket),
                                   "-o", "json", "backup", *options],
                                  stdout=subprocess.PIPE, check=True)
            result = json.loads(done.stdout)
            print(f"    alone{' and verified' if options else ''}: {result['bytes'] / 1e6:,.0f} MB "
                  f"in {result['took_ms']:,} ms, {result['bytes'] / 1e3 / result['took_ms']:,.0f} "
                  "MB/s")


def figure_growth(stores):
    for n in (10_000, 100_000, 1_000_000):
        with Daemon(store=stores.empty("ours"), config=CONFIG) as daemon:
            import_generated(daemon, n)
            result = load("puts", doors(daemon)[0], flight=256, existing=n,
                          first=new_ids(5_000_000))
        print(f"puts on a store of {n:,}: {result['answers_per_s']:,}/s")
    out = subprocess.run([str(BUILD / "bench" / "bench_match")], check=True,
                         stdout=subprocess.PIPE, text=True)
    print(out.stdout, end="")


def figure_limits(stores):
    """A decision of the limiter."""
    out = subprocess.run([str(BUILD / "bench" / "bench_limit")], check=True,
                         stdout=subprocess.PIPE, text=True)
    print(out.stdout, end="")


class Flood:
    """A client that sends as fast as it can, while the context lasts."""

    def __init__(self, door, method):
        self.argv = [str(FLOOD), "flood", door, method]

    def __enter__(self):
        self.process = subprocess.Popen(self.argv)

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()


RATES = {"ping": 500, "put": 100}  # of the modest client, a second


def show_flood(stores, asks, floods, door, wanted):
    """p99 of the one who asks at a modest rate, without the other and with it."""
    config = CONFIG + "[limits]\nexempt = []\n"
    held = []

    def p99(is_flooded):
        with Daemon(store=stores.empty("ours"), config=config) as daemon:
            flood = Flood(doors(daemon)[door], floods) if is_flooded else contextlib.nullcontext()
            with flood, daemon.control() as control:
                result = run_json(FLOOD, "modest", doors(daemon)[0], asks, RATES[asks], 2 * SECONDS)
                if is_flooded:
                    held.append(control.call("system.stats")["sysrt_limits_held_total"])
        return result["p99_us"]

    show(f"p99 of {RATES[asks]} {asks}s a second on a WebSocket, beside a flood of {floods}s on "
         f"{'the control socket' if door else 'another'}", "us",
         pairs_of(lambda: p99(False), lambda: p99(True)), wanted, higher_is_better=False)
    print(f"    the floods were held back {held} times")


def figure_flood(stores):
    """What a client that sends as fast as it can costs another one, with the rates at their
    defaults: nobody is exempt here, as no client of a network is. The control socket has no limits,
    so that nothing is promised beside a flood there: it is shown."""
    for asks in RATES:
        for floods in RATES:
            show_flood(stores, asks, floods, 0, 1.5)
    for asks in RATES:
        show_flood(stores, asks, asks, 1, None)


class NatsServer:
    """A nats-server with a WebSocket listener on a port that the kernel chose."""

    def __init__(self, where):
        config = Path(where) / "nats.conf"
        config.write_text('host: 127.0.0.1\nport: -1\n'
                          'websocket { host: "127.0.0.1", port: -1, no_tls: true }\n')
        self.process = subprocess.Popen(["nats-server", "-c", str(config)], text=True,
                                        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for line in self.process.stderr:
            if "websocket clients on ws://" in line:
                self.port = line.strip().rpartition(":")[2]
            if "Server is ready" in line:
                return
        raise RuntimeError("nats-server did not start")

    def __enter__(self):
        return self.port

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


def figure_nats(stores):
    for n in (100, 1000, 10000):
        def ours():
            with Daemon(store=stores.empty("ours"), config=CONFIG) as daemon:
                return load("fan", doors(daemon)[0], flight=64, subscribers=n)["deliveries_per_s"]

        def peer():
            with NatsServer(stores.where) as port:
                return run_json(BUILD / "bench" / "bench_nats", port, f"seconds={SECONDS}",
                                f"subscribers={n}", "flight=64", "size=430")["deliveries_per_s"]

        show(f"fan-out to {n:,}, 64 in flight, against nats-server (not stored there)",
             "deliveries/s", pairs_of(peer, ours), 2)


FIGURES = {
    "puts_empty": figure_puts_empty,
    "puts_large": figure_puts_large,
    "one_put": figure_one_put,
    "fan": figure_fan,
    "paced": figure_paced,
    "ping": figure_ping,
    "get": figure_get,
    "search": figure_search,
    "import": figure_import,
    "feed": figure_feed,
    "memory": figure_memory,
    "start": figure_start,
    "backup": figure_backup,
    "search_writes": figure_search_writes,
    "growth": figure_growth,
    "limits": figure_limits,
    "flood": figure_flood,
}
PEER_FIGURES = {"nats": figure_nats}  # need a peer installed: only when asked for


def main():
    wanted = sys.argv[1:]
    known = {**FIGURES, **PEER_FIGURES}
    unknown = [w for w in wanted if not any(name.startswith(w) for name in known)]
    if unknown:
        sys.exit(f"bench: no figure {unknown[0]}; there are {', '.join(known)}")
    chosen = {n: f for n, f in known.items() if any(n.startswith(w) for w in wanted)} or FIGURES
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="bench-store-") as where:
        stores = Stores(where)
        for figure in chosen.values():
            figure(stores)


if __name__ == "__main__":
    main()

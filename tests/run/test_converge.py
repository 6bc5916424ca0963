"""Whatever happens, every subscriber ends with what the store has.

A list of steps is made from a seed and carried out on a real daemon: writers and deleters on both
doors, expiry, pruning, readers that stop and go on, hang up and come back, restarts, somebody else
who writes to the file. In between and at the end what each reader knows is compared with the store.
SYSRT_SEED repeats a run. Of a run that fails the shortest failing prefix that can be found is
printed.

builds: asan tsan; in check-long: release
"""

import contextlib
import os
import random
import sqlite3
import sys
import tempfile
import time
import unittest
from pathlib import Path

from follow import Follower, View, stored_records
from harness import LONG, Closed, Daemon, RpcError, wait_for

RUNS = 40 if LONG else 2
STEPS = 500 if LONG else 160
SETTLE_S = 60
CATEGORIES = ("a", "b.x", "b.y", "c")
IDS = [f"{letter}{n}" for letter in "kl" for n in range(24)]
QUICK_BEAT = "300ms"  # closes who stops reading for a second
KEYS = [(category, name) for category in CATEGORIES for name in IDS]

# What each reader asks for, and by which door.
READERS = (("ws", {"categories": "*"}),
           ("control", {"categories": "*"}),
           ("ws", {"categories": "a"}),
           ("control", {"categories": ["a", "b.*"]}),
           ("ws", {"categories": "*", "ids": ["k*", "l3"]}),
           ("control", {"categories": "b.x", "ids": "l*"}))

LAST_SEQ = """SELECT max(coalesce((SELECT max(seq) FROM records), 0),
    coalesce((SELECT max(seq) FROM tombstones), 0),
    coalesce((SELECT value FROM meta WHERE key = 'last_seq'), 0),
    coalesce((SELECT max(first_seq) - 1 FROM epochs), 0))"""
PUT = """INSERT INTO records (seq, category, id, name, data, rev, created_at, updated_at)
    VALUES (?1, ?2, ?3, ?3, ?4, 1, 1, 1)
    ON CONFLICT (category, id) DO UPDATE SET seq = ?1, data = ?4, rev = rev + 1, expires_at = NULL"""


def matches_one(text, terms):
    terms = [terms] if isinstance(terms, str) else terms
    return any(text.startswith(t[:-1]) if t.endswith("*") else text == t for t in terms)


def matches(key, patterns):
    return matches_one(key[0], patterns["categories"]) and \
        matches_one(key[1], patterns.get("ids", "*"))


# --- what happens ---

def make_config(rng):
    """Options that are told to lie where things happen."""
    return (f'[store]\ndurability = "{rng.choice(["full", "normal"])}"\n'
            f"tombstone_max = {rng.choice([0, 3, 20, 1000])}\n"
            f'tombstone_retention = "{rng.choice(["0s", "7d"])}"\n'
            f"queue = {rng.choice([8, 256])}\n"
            f'[websocket]\nheartbeat = "{rng.choice([QUICK_BEAT, "30s"])}"\n'
            f"{make_hub(rng)}")


def make_hub(rng):
    """The end of the configuration, which a reload may change."""
    return (f'send_queue = "{rng.choice([4, 16, 64])}KiB"\n'
            f"[hub]\nrecent = {rng.choice([0, 8, 64, 1024])}\n")


def make_put(rng):
    """(key, bytes of data, ttl or None)"""
    return (rng.choice(KEYS), rng.choice([1, 50, 300, 3000, 12000]),
            rng.choice([None] * 6 + ["1h", 20, 200]))


MAKERS = (
    (12, lambda rng: ("put", *make_put(rng))),
    (8, lambda rng: ("delete", rng.choice(KEYS))),
    (3, lambda rng: ("put_many", [make_put(rng) for _ in range(rng.randrange(1, 80))])),
    (1, lambda rng: ("put_many_refused", [make_put(rng) for _ in range(rng.randrange(1, 20))])),
    (3, lambda rng: ("delete_many", rng.sample(IDS, 8), rng.choice(CATEGORIES))),
    (6, lambda rng: ("burst", [make_put(rng) for _ in range(rng.randrange(20, 150))])),
    (8, lambda rng: ("stop", rng.randrange(len(READERS)))),
    (5, lambda rng: ("go_on", rng.randrange(len(READERS)))),
    (3, lambda rng: ("hang_up", rng.randrange(len(READERS)))),
    (4, lambda rng: ("come_back", rng.randrange(len(READERS)))),
    (2, lambda rng: ("stranger", rng.choice(KEYS), rng.choice(["put", "delete"]))),
    (1, lambda rng: ("reload", make_hub(rng))),
    (1, lambda rng: ("term", rng.randrange(50))),
    (1, lambda rng: ("kill", rng.randrange(50))),
    (1, lambda rng: ("expire_while_down", rng.randrange(1, 400))),
    (4, lambda rng: ("settle",)),
)


def make_plan(seed, n):
    """(configuration, steps)"""
    rng = random.Random(seed)
    weights, makers = zip(*MAKERS)
    return make_config(rng), [maker(rng) for maker in rng.choices(makers, weights, k=n)]


class Run:
    """Carries steps out on a daemon of its own."""

    def __init__(self, config, settle_s=SETTLE_S):
        self.folder = tempfile.TemporaryDirectory(prefix="sysrt-converge-")
        self.config = config
        self.settle_s = settle_s
        self.daemon = Daemon(store=Path(self.folder.name) / "sysrt.db", config=config)
        self.views = [View(f"reader {i} {door} {patterns}", may_resync=True, **patterns)
                      for i, (door, patterns) in enumerate(READERS)]
        self.followers = [None] * len(READERS)
        self.writers = []
        self.written = 0

    def close(self):
        for follower in self.followers:
            if follower is not None:
                follower.hang_up()
        for writer in self.writers:
            writer.close()
        self.daemon.close(check=False)
        self.folder.cleanup()

    def carry_out(self, steps):
        self.open_writers()
        for i in range(len(READERS)):
            self.come_back(i)
        for step in steps:
            getattr(self, step[0])(*step[1:])
        for i in range(len(READERS)):
            self.come_back(i)
            self.go_on(i)
        self.settle()
        for i in range(len(READERS)):
            self.hang_up(i)
        self.daemon.stop()
        print(f"{len(steps)} steps, {sum(v.changes for v in self.views)} changes told, "
              f"{sum(v.lags for v in self.views)} lags, {sum(v.resyncs for v in self.views)} "
              "resyncs", flush=True)

    # writing

    def open_writers(self):
        for writer in self.writers:
            writer.close()
        # a WebSocket that reads only when it waits for an answer misses quick beats
        second = self.daemon.control if QUICK_BEAT in self.config else self.daemon.ws
        self.writers = [self.daemon.control(), second()]

    def record(self, key, size, ttl):
        self.written += 1
        record = {"category": key[0], "id": key[1], "data": [self.written, "x" * size]}
        if ttl is not None:
            record["ttl"] = ttl
        return record

    def call(self, method, **params):
        return self.writers[self.written % 2].call(method, **params)

    def put(self, *put):
        self.call("record.put", **self.record(*put))

    def delete(self, key):
        self.call("record.delete", category=key[0], id=key[1])

    def put_many(self, puts):
        self.call("record.put_many", records=[self.record(*put) for put in puts])

    def put_many_refused(self, puts):
        records = [self.record(*put) for put in puts]
        records[-1]["if_seq"] = 2 ** 50
        with contextlib.suppress(RpcError):
            self.call("record.put_many", records=records)
            raise AssertionError("a put_many with a wrong if_seq was done")

    def delete_many(self, ids, category):
        self.call("record.delete", ids=ids, category=category)

    def send_burst(self, puts):
        """Pipelined over all writers; (writer, request id) of each."""
        return [(writer, writer.send("record.put", **self.record(*put)))
                for i, put in enumerate(puts) for writer in [self.writers[i % 2]]]

    def burst(self, puts):
        for writer, request_id in self.send_burst(puts):
            writer.answer(request_id)

    def stranger(self, key, what):
        """Another program writes to the file."""
        db = sqlite3.connect(self.daemon.store, timeout=30, isolation_level=None)
        with contextlib.closing(db):
            db.execute("BEGIN IMMEDIATE")
            seq = db.execute(LAST_SEQ).fetchone()[0] + 1
            self.written += 1
            if what == "put":
                db.execute("DELETE FROM tombstones WHERE category = ? AND id = ?", key)
                db.execute(PUT, (seq, *key, f'[{self.written},"stranger"]'))
            elif db.execute("DELETE FROM records WHERE category = ? AND id = ?", key).rowcount:
                db.execute("INSERT INTO tombstones (seq, category, id, rev, deleted_at) "
                           "VALUES (?, ?, ?, 1, ?)",
                           (seq, *key, time.time_ns() // 1_000_000))
            db.execute("COMMIT")
        self.put(KEYS[0], 1, None)  # the daemon looks when it writes

    # reading

    def is_following(self, i):
        return self.followers[i] is not None and self.followers[i].is_alive()

    def stop(self, i):
        if self.is_following(i):
            self.followers[i].reading.clear()

    def go_on(self, i):
        if self.is_following(i):
            self.followers[i].reading.set()

    def hang_up(self, i):
        if self.followers[i] is not None:
            self.followers[i].hang_up()
            self.followers[i].finish()
        self.followers[i] = None

    def come_back(self, i):
        """Connects again where nobody follows: it hung up, or was closed."""
        if self.is_following(i):
            return
        if self.followers[i] is not None:
            self.followers[i].finish()
            if QUICK_BEAT not in self.config:
                raise AssertionError(f"{self.views[i].name} was closed for no reason")
        door = READERS[i][0]
        client = self.daemon.control() if door == "control" else self.daemon.ws(receive_buffer=4096)
        self.followers[i] = Follower(self.views[i], client)
        self.followers[i].start()

    # the daemon

    def reload(self, hub):
        self.config = self.config[:self.config.index("send_queue")] + hub
        self.daemon.config_path.write_text(self.config)
        with self.daemon.control() as control:
            control.call("system.reload")

    def restart(self, end, n):
        """In the middle of writes; those who followed come back."""
        following = [i for i in range(len(READERS)) if self.is_following(i)]
        self.send_burst([(KEYS[i], 300, None) for i in range(n)])
        end()
        for i in following:
            self.followers[i].reading.set()
            self.followers[i].finish()
            self.followers[i] = None
        self.daemon.start()
        self.open_writers()
        for i in following:
            self.come_back(i)

    def expire_while_down(self, n):
        """It deletes them when it starts."""
        expires_at = time.time_ns() // 1_000_000 + 300
        records = [{"category": CATEGORIES[i % 4], "id": f"k{i}", "data": self.written,
                    "expires_at": expires_at} for i in range(n)]
        self.call("record.put_many", records=records)

        def end():
            self.daemon.kill()
            wait_for(lambda: time.time_ns() // 1_000_000 > expires_at, what="them to expire")
        self.restart(end, 0)

    def term(self, n):
        self.restart(self.daemon.stop, n)

    def kill(self, n):
        self.restart(self.daemon.kill, n)

    # the judgement

    def settle(self):
        """Those who read now know what the store has."""
        wait_for(self.all_know, timeout=self.settle_s, what="all readers to know what is stored")

    def all_know(self):
        self.raise_faults()
        self.put(KEYS[0], 1, None)
        records, _ = stored_records(self.daemon)
        deadline = time.monotonic() + 1
        unknowing = [i for i in range(len(READERS)) if self.must_know(i)]
        while unknowing and time.monotonic() < deadline:
            unknowing = [i for i in unknowing if self.must_know(i) and not self.knows(i, records)]
            time.sleep(0.002)
        return not unknowing

    def must_know(self, i):
        follower = self.followers[i]
        if follower is None or not follower.reading.is_set():
            return False
        if not follower.is_alive():  # closed by the heartbeat while it did not read
            self.come_back(i)
        return True

    def knows(self, i, records):
        view = self.views[i]
        wanted = {key: data for key, data in records.items() if matches(key, view.patterns)}
        return view.synced_to >= 0 and view.records == wanted

    def raise_faults(self):
        for follower in self.followers:
            if follower is not None and follower.fault is not None:
                raise AssertionError(f"{follower.name} failed") from follower.fault

    def explain(self):
        """What the readers lack, for who reads the failure."""
        with contextlib.suppress(Exception):
            records, seq = stored_records(self.daemon)
            for i, view in enumerate(self.views):
                wanted = {key: data for key, data in records.items()
                          if matches(key, view.patterns)}
                wrong = [key for key in wanted.keys() | view.records.keys()
                         if wanted.get(key) != view.records.get(key)]
                print(f"{view.name}: at {view.seq} of {seq}, synced to {view.synced_to}, "
                      f"following {self.is_following(i)}, wrong in {wrong[:5]}", flush=True)


def fails(config, steps, settle_s=SETTLE_S):
    """What went wrong, or None."""
    run = Run(config, settle_s)
    try:
        run.carry_out(steps)
        return None
    except (AssertionError, RpcError, Closed, OSError) as error:
        run.explain()
        print(f"--- log of sysrtd\n{run.daemon.log()[-4000:]}---", flush=True)
        return error
    finally:
        run.close()


def shortest_failing(steps, is_failing):
    """The shortest failing prefix that halving finds; the whole of it is known to fail."""
    passing, failing = 0, len(steps)
    while failing - passing > 1:
        middle = (passing + failing) // 2
        if is_failing(steps[:middle]):
            failing = middle
        else:
            passing = middle
    return steps[:failing]


class ConvergeTest(unittest.TestCase):
    def test_everybody_ends_with_what_is_stored(self):
        named = os.environ.get("SYSRT_SEED")
        seeds = [int(named)] if named else \
            [random.SystemRandom().randrange(1_000_000_000) for _ in range(RUNS)]
        for seed in seeds:
            print(f"SYSRT_SEED={seed}", flush=True)
            config, steps = make_plan(seed, STEPS)
            error = fails(config, steps)
            if error is not None:
                self.tell(seed, config, steps, error)

    def tell(self, seed, config, steps, error):
        print(f"failed: {error!r}; looking for a shorter way", flush=True)
        short = shortest_failing(
            steps, lambda part: fails(config, part, settle_s=10) is not None)
        print(config, *short, sep="\n", flush=True)
        raise AssertionError(f"SYSRT_SEED={seed} fails, {len(short)} of {len(steps)} steps are "
                             "enough") from error


class ShorteningTest(unittest.TestCase):
    def test_finds_the_step_that_breaks_it(self):
        for culprit in (0, 1, 57, 99):
            tried = []

            def is_failing(part):
                tried.append(len(part))
                return culprit in part
            self.assertEqual(shortest_failing(list(range(100)), is_failing),
                             list(range(culprit + 1)))
            self.assertLessEqual(len(tried), 7)


if __name__ == "__main__":
    sys.setswitchinterval(0.001)
    unittest.main()

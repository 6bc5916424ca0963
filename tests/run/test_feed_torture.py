"""An upstream that refuses, resets, stalls, sends garbage, floods (torture.py): after all of it each
feed is live again within its back-off, memory is where it was, and every message that the upstream saw
accepted is stored exactly as mapped, and nothing else.

Two thirds of the incidents come first, so that everything has the size that it needs, what each feed
remembers of its past too; then memory is measured.

builds: release; in check-long: asan
"""

import collections
import itertools
import json
import time
import unittest

from certificates import Certificates
from feeds import PRICES, FeedTest, section
from harness import BUILD, LONG, seeded, wait_for
from torture import MESSAGE_MAX, Torture

KIB = 1024
FEEDS, INCIDENTS = (200, 50) if LONG else (60, 6)  # of each
FIRST = INCIDENTS * 2 // 3
BACKOFF_S = 30
BACKOFF_DOUBLINGS = 9  # until it is that
JOURNAL_MAX = 200  # what a feed remembers
SLACK_S = 10  # of a machine with other things to do
STABLE_S = 60
GROWTH_KIB = 2 * KIB
CONFIG = """
[store]
durability = "normal"
cache = "1MiB"
wal_limit = "4MiB"
[hub]
recent = 64
recent_bytes = "64KiB"
[category."*"]
search = "off"
[log]
filter = "warn"
"""
NOTHING_TO_SPARE = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_TOP_PAD_": "0"}


class TortureTest(FeedTest):
    def setUp(self):
        rng = seeded()
        certificates = Certificates()
        self.addCleanup(certificates.close)
        certificates.make("server")
        names = [f"f{i}" for i in range(FEEDS)]
        self.tortures = [Torture(names[FEEDS // 5:], rng, FIRST),
                         Torture(names[:FEEDS // 5], rng, FIRST, tls=certificates.server())]
        for torture in self.tortures:
            self.addCleanup(torture.close)
        self.books = {name: book for t in self.tortures for name, book in t.books.items()}
        self.start(*(section(name, url=torture.url(name), ca=str(certificates.ca),
                             heartbeat="1s", connect_timeout="2s", max_message=f"{MESSAGE_MAX}",
                             **({"record": name} if i % 2 else {}), **PRICES)
                     for torture in self.tortures for i, name in enumerate(torture.books)),
                   config=CONFIG, env=NOTHING_TO_SPARE)

    def wait_live(self):
        """Each in its time: those incidents that wait for the daemon take as long as it does."""
        each_s = BACKOFF_S + 10 if LONG else 10
        try:
            wait_for(lambda: all(t.are_live() for t in self.tortures),
                     timeout=each_s * FIRST + 2 * BACKOFF_S, what="all to be live")
        except AssertionError:
            for name, book in self.books.items():
                if not book.is_live:
                    print(self.show(name), self.logs(name)[-5:], book.kinds, flush=True)
            raise

    def test_torture(self):
        started = time.monotonic()
        self.wait_live()
        self.expect_stored()
        self.assertGreater(self.check_backoff(), FEEDS / 2)
        before_kib = self.daemon.memory_kib()
        for torture in self.tortures:
            torture.raise_quota(INCIDENTS - FIRST)
        self.wait_live()
        self.expect_stored()
        growth_kib = self.daemon.memory_kib() - before_kib
        kinds = sum((book.kinds for book in self.books.values()), collections.Counter())
        print(f"{kinds.total()} incidents in {time.monotonic() - started:.0f} s, memory grew by "
              f"{growth_kib} KiB of {before_kib}: {dict(kinds)}", flush=True)
        self.assertEqual(kinds.total(), FEEDS * INCIDENTS)
        if "asan" not in BUILD.parts:
            self.assertLess(growth_kib, GROWTH_KIB)
        self.check_backoff()
        self.check_recordings()
        if LONG:
            self.check_reset_of_backoff()

    def missing(self, stored):
        """What was accepted for sure and is not stored."""
        return [(name, number) for name, book in self.books.items() for number in book.accepted
                if (f"prices.{name}", str(number)) not in stored]

    def expect_stored(self):
        """What was accepted is there in a moment: a pong says that it was taken, which is before its
        commit. So this waits for the very records; their count says nothing beside those that only
        may have been accepted."""
        try:
            wait_for(lambda: not self.missing(self.stored()), what="all that was accepted")
        except AssertionError:
            print(self.missing(self.stored()), flush=True)
            raise
        stored = self.stored()
        for (category, key), (title, data, rev) in stored.items():
            book = self.books[category.removeprefix("prices.")]
            number = int(key) if key.isdigit() else -1
            kept = book.accepted.get(number, book.maybe.get(number))
            self.assertEqual((title, data, rev), (f"{book.name} {key}", kept, 1), (category, key))
        sure = sum(len(book.accepted) for book in self.books.values())
        print(f"{len(stored)} records, {sure} of them surely accepted", flush=True)

    def check_backoff(self):
        """Before the k-th try in a row it waits at most 100 ms doubled k times, and 30 s. The feed
        tells, which counts those tries too that a busy upstream did not answer in time. Returns how
        many feeds remember all of their past."""
        whole = 0
        for name in self.books:
            items = self.control.call("feed.logs", name=name, limit=JOURNAL_MAX)["items"]
            whole += len(items) < JOURNAL_MAX
            ends = 0 if len(items) < JOURNAL_MAX else BACKOFF_DOUBLINGS
            moves = [item for item in items if item["what"] in ("connecting", "live", "backoff")]
            for end, after in itertools.pairwise(moves):
                if end["what"] != "backoff":
                    continue
                self.assertEqual(after["what"], "connecting", (name, end))
                most_s = min(BACKOFF_S, 0.1 * 2 ** ends)
                self.assertLess((after["at"] - end["at"]) / 1000, most_s + SLACK_S, (name, end, items))
                ends = min(ends + 1, BACKOFF_DOUBLINGS)
        return whole

    def check_recordings(self):
        """They have what was accepted too, in its order."""
        for path in (self.daemon.folder / "recordings").glob("*.ndjson"):
            book = self.books[path.stem]
            numbers = []
            for line in map(json.loads, path.read_text().splitlines()):
                if '"type":"price"' in line.get("text", ""):
                    message = json.loads(line["text"].replace("01}", "1}"))
                    if str(message.get("id", "")).isdigit():
                        numbers.append(int(message["id"]))
            self.assertEqual(numbers, sorted(set(numbers)), path.name)
            self.assertLessEqual(set(book.accepted), set(numbers), path.name)

    def check_reset_of_backoff(self):
        """After a minute live they come again as at first."""
        time.sleep(STABLE_S + 5)
        for torture in self.tortures:
            torture.upstream.hang_up()
        for book in self.books.values():
            book.is_live = False
            book.waits.clear()
        wait_for(lambda: all(book.waits for book in self.books.values()), what="all to come again")
        waits = sorted(book.waits[0] for book in self.books.values())
        print(f"after a minute they came again in {waits[0]:.3f} to {waits[-1]:.3f} s", flush=True)
        self.assertLess(waits[len(waits) // 2], 1)


if __name__ == "__main__":
    unittest.main()

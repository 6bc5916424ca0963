"""A day of a market: a million messages made of real flights (market.py) and sent at speed by Node's ws
to three feeds go in, and every record is right at the end, as sqlite3 sees it outside of the daemon. And
the daemon is killed again and again: what the recorder has and the store has not, a replay puts there.

In the short form there are fewer of them, and they are invented.

builds: release; in check-long: asan
"""

import contextlib
import json
import os
import subprocess
import time
import unittest

from faults import Delaying
from feeds import FeedTest, section
from harness import BUILD, LONG, TEXT, TIMEOUT_S, encode_frame, seeded, sysrtctl, wait_for
from market import MAPPINGS, Market
from upstream import Gone, upstream_for

IS_ASAN = "asan" in BUILD.parts
MESSAGES = (200_000 if IS_ASAN else 1_000_000) if LONG else 20_000
KILLED_MESSAGES = 200_000 if LONG else 20_000
KILLS = 12 if LONG else 3
LONGEST_S = 1800 if LONG else 2 * TIMEOUT_S
BATCH = 500  # messages of one write
CONFIG = """
[store]
durability = "normal"
[category."*"]
search = "off"
[log]
filter = "warn"
"""
NODE = r"""
const fs = require("fs"), { WebSocketServer } = require("ws");
const wss = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false });
wss.on("connection", async (ws) => {
    const drained = () => new Promise((resolve) => ws._socket.once("drain", resolve));
    let rest = "";
    for await (const chunk of fs.createReadStream(process.argv[1], { encoding: "utf8" })) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop();
        ws._socket.cork();
        for (const line of lines)
            ws.send(line);
        ws._socket.uncork();
        if (ws.bufferedAmount > 1 << 20)
            await drained();
    }
    ws.ping();
    ws.on("pong", () => console.log("done"));
});
wss.on("listening", () => console.log(wss.address().port));
"""


class Million(FeedTest):
    def test_every_record(self):
        market = Market(is_real=LONG)
        self.start(config=CONFIG)
        source = self.daemon.folder / "messages"
        with open(source, "w", encoding="utf-8") as out:
            out.writelines(text + "\n" for text in market.messages(MESSAGES))
        node = subprocess.Popen(["node", "-e", NODE, str(source)], stdout=subprocess.PIPE, text=True,
                                env={**os.environ, "NODE_PATH": "/usr/share/nodejs"})
        self.addCleanup(node.stdout.close)
        self.addCleanup(node.wait)
        self.addCleanup(node.kill)
        url = f"ws://127.0.0.1:{int(node.stdout.readline())}/"
        started = time.monotonic()
        for name, mapping in MAPPINGS.items():
            self.control.call("feed.add", name=name, definition={"url": url, **mapping})
        for name in MAPPINGS:
            wait_for(lambda n=name: self.metric("messages_total", n) >= MESSAGES, LONGEST_S,
                     f"all messages to {name}")
        wanted = {}
        for records in market.records.values():
            wanted.update(records)
        wait_for(lambda: self.control.call("record.count")["count"] >= len(wanted), LONGEST_S)
        took_s = time.monotonic() - started
        self.daemon.stop()
        print(f"{MESSAGES} messages to each of {len(MAPPINGS)} feeds in {took_s:.1f} s: "
              f"{len(MAPPINGS) * MESSAGES / took_s:,.0f}/s, {len(wanted)} records", flush=True)
        self.expect(wanted)

    def expect(self, wanted):
        """Exactly these records."""
        stored = {key: (name, data) for key, (name, data, _) in self.stored().items()}
        wrong = [key for key in wanted if stored.get(key) != wanted[key]]
        self.assertEqual((wrong[:5], len(wrong)), ([], 0), [stored.get(key) for key in wrong[:5]])
        self.assertEqual(len(stored), len(wanted))


class Killed(FeedTest):
    """The upstream goes on where it was when the last connection ended, as a market does; a message is
    lost only if the daemon never read it."""

    def setUp(self):
        self.rng = seeded()
        self.market = Market(is_real=LONG)
        self.messages = [text for text in self.market.messages(KILLED_MESSAGES)
                         if '"type":"match"' in text]
        self.at = self.limit = 0  # in messages
        self.peer = None  # the newest, which alone goes on
        self.upstream = upstream_for(self, self.serve)
        self.mapping = {"url": self.upstream.url(), "record": "trades", "record_max": "1GiB",
                        **MAPPINGS["trades"]}
        self.start(section("trades", **self.mapping), config=CONFIG)

    def serve(self, peer):
        """Says all that is left, as far as it may."""
        peer.shake_hands()
        self.peer = peer
        try:
            while self.at < len(self.messages) and self.peer is peer:
                if self.at >= self.limit:
                    time.sleep(0.002)
                    continue
                batch = self.messages[self.at:self.at + BATCH]
                self.at += len(batch)
                peer.send_raw(b"".join(encode_frame(TEXT, text.encode(), mask=None)
                                       for text in batch))
                peer.settle()  # what it runs ahead is lost at a kill
        except Gone:
            return
        peer.linger()

    def slow_recorder(self):
        """What it writes comes late, so that what is stored before would be seen."""
        return Delaying(self.daemon, ["write"], 100, [self.recording()])

    def recording(self):
        return self.daemon.folder / "recordings" / "trades.ndjson"

    def recorded(self):
        """The messages of the recording, in order. A kill may have left half a line."""
        lines = self.recording().read_bytes().split(b"\n")
        texts, broken = [], 0
        for line in filter(None, lines):
            try:
                texts.append(json.loads(line)["text"])
            except ValueError:
                broken += 1
        self.assertLessEqual(broken, KILLS)
        return texts

    def test_kills(self):
        for n in range(KILLS):
            self.limit = len(self.messages) * (n + 2) // (KILLS + 2)
            wait_for(lambda g=len(self.messages) * (n + 1) // (KILLS + 2): self.at >= g, LONGEST_S,
                     "messages to be sent")
            wait_for(lambda m=self.rng.randrange(2 * BATCH): self.metric("mapped_total", "trades") > m)
            with self.slow_recorder() if n % 3 == 0 else contextlib.nullcontext():
                time.sleep(self.rng.uniform(0.2, 0.5) if n % 3 == 0 else self.rng.random() * 0.02)
                self.control.close()
                self.daemon.kill()
            recorded = self.recorded()
            stored = self.stored()
            ids = {str(json.loads(text)["sequence"]) for text in recorded}
            more = {key for _, key in stored} - ids
            self.assertEqual(more, set(), "stored, and not recorded")
            print(f"kill {n}: {len(ids)} recorded, {len(stored)} stored", flush=True)
            self.daemon.start()
            self.control = self.daemon.control()
        self.limit = len(self.messages)
        wait_for(lambda: self.at >= self.limit, LONGEST_S, "all to be sent")
        last = str(json.loads(self.messages[-1])["sequence"])
        wait_for(lambda: ("trades", last) in self.stored(), what="the last of them")
        self.control.call("feed.stop", name="trades")
        recorded = self.recorded()
        self.check_order(recorded)
        before = self.stored()
        sysrtctl(self.daemon, "feed", "replay", str(self.recording()), "--feed", "trades", timeout=LONGEST_S)
        ids = {("trades", str(json.loads(text)["sequence"])) for text in recorded}
        wanted = {key: self.market.records["trades"][key] for key in ids}
        stored = {key: (name, data) for key, (name, data, _) in self.stored().items()}
        print(f"{len(self.messages)} messages, {KILLS} kills: {len(before)} were stored, "
              f"{len(recorded)} recorded, {len(stored)} stored after the replay", flush=True)
        self.assertEqual(stored, wanted)
        self.control.close()

    def check_order(self, recorded):
        """Each was sent, none comes twice, and between two kills nothing is left out."""
        numbers = [json.loads(text)["sequence"] for text in recorded]
        place = {json.loads(text)["sequence"]: i for i, text in enumerate(self.messages)}
        self.assertLessEqual(set(recorded), set(self.messages))
        self.assertEqual(numbers, sorted(set(numbers)))
        gaps = sum(1 for a, b in zip(numbers, numbers[1:]) if place[b] != place[a] + 1)
        self.assertLessEqual(gaps, KILLS)


if __name__ == "__main__":
    unittest.main()

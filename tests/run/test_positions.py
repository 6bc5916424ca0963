"""Positions, and what makes them invalid: a tail that was lost, a store that was restored, pruning
while a client was away or in the middle of its replay, a replay from 0 that broke off. Each is valid
exactly when the store can still tell all that the client missed.

builds: release; in check-long: asan
valgrind: yes
"""

import shutil
import unittest
from pathlib import Path

from follow import RESYNC, Follower, View, stored_records
from harness import OnControl, OnWebSocket, RpcError, daemon_for, wait_for

SMALL = """
[websocket]
send_queue = "4KiB"
[hub]
recent = 0
"""


class Positions:
    """Asked on one door, of `subscribe` and of `changes`."""

    config = SMALL

    def setUp(self):
        self.daemon = daemon_for(self, config=self.config)
        self.connect()

    def open(self, **options):
        raise NotImplementedError

    def connect(self):
        self.peer = self.open()
        self.addCleanup(self.peer.close)

    def restart(self, between=None):
        self.daemon.kill()
        if between is not None:
            between()
        self.daemon.start()
        self.connect()

    def epoch(self):
        return self.peer.call("record.count")["epoch"]

    def put(self, name, data=0):
        return self.peer.call("record.put", category="c", id=name, data=data)["seq"]

    def delete(self, name):
        return self.peer.call("record.delete", category="c", id=name)["seq"]

    def ask(self, method, since, epoch, base=None):
        """None when the position is good, else the refusal."""
        more = {} if base is None else {"base": base}
        try:
            answer = self.peer.call(method, categories="*", since=since, epoch=epoch, **more)
        except RpcError as error:
            if error.number != RESYNC:
                raise
            self.assertIn("since 0" if method == "subscribe" else "0", error.message)
            return error
        if method == "subscribe":
            self.peer.call("unsubscribe", subscription=answer["subscription"])
        return None

    def assert_valid(self, since, epoch, base=None):
        for method in ("subscribe", "changes"):
            refusal = self.ask(method, since, epoch, base)
            self.assertIsNone(refusal, f"{method} {epoch}:{since}:{base}: {refusal}")

    def assert_invalid(self, since, epoch, base=None):
        for method in ("subscribe", "changes"):
            refusal = self.ask(method, since, epoch, base)
            self.assertIsNotNone(refusal, f"{method} {epoch}:{since}:{base} was taken")

    def follow(self, view):
        """One connection of a view, until it has caught up; then it hangs up."""
        follower = Follower(view, self.open())
        follower.start()
        records, seq = stored_records(self.daemon)
        wait_for(lambda: follower.fault or view.has_reached(seq), what="the view to catch up")
        follower.hang_up()
        follower.finish()
        self.assertEqual(view.records, records)

    def copy_store(self, to):
        """The file and its log, as they are on the disk now."""
        for end in ("", "-wal"):
            shutil.copy(f"{self.daemon.store}{end}", f"{to}{end}")

    def put_back(self, copy):
        for end in ("-wal", "-shm"):
            Path(f"{self.daemon.store}{end}").unlink(missing_ok=True)
        for end in ("", "-wal"):
            if Path(f"{copy}{end}").exists():
                shutil.copy(f"{copy}{end}", f"{self.daemon.store}{end}")


class Histories(Positions):
    def test_restarts_keep_positions(self):
        epochs = []
        for n in range(4):
            epochs.append((self.epoch(), self.put(f"r{n}")))
            (self.restart if n % 2 else self.clean_restart)()
        for epoch, seq in epochs:
            self.assert_valid(seq, epoch)
        for (epoch, seq), (_, later) in zip(epochs, epochs[1:]):
            self.assert_valid(seq, epoch)
            self.assert_invalid(later, epoch)

    def clean_restart(self):
        self.daemon.restart()
        self.connect()

    def test_a_tail_that_was_lost(self):
        """What power failure leaves of a store: its file as it was a moment before."""
        view = View("away", may_resync=True, categories="*")
        copy = self.daemon.folder / "copy.db"
        epoch = self.epoch()
        for n in range(5):
            kept = self.put(f"r{n}", "kept")
        self.copy_store(copy)
        for n in range(3, 8):
            lost = self.put(f"r{n}", "lost")
        self.delete("r0")
        self.follow(view)
        self.restart(lambda: self.put_back(copy))
        self.assertEqual(self.peer.call("record.count")["seq"], kept)
        self.assert_valid(kept, epoch)
        for seq in range(kept + 1, lost + 2):
            self.assert_invalid(seq, epoch)
        again = [self.put(f"r{n}", "again") for n in (1, 9)]
        self.assertEqual(again, [kept + 1, kept + 2], "the seqs that were lost are given again")
        self.assert_valid(kept, epoch)
        for seq in again:
            self.assert_invalid(seq, epoch)
            self.assert_valid(seq, self.epoch())
        self.follow(view)
        self.assertEqual(view.resyncs, 1)

    def test_a_store_that_was_restored(self):
        """A backup of an earlier run: positions from before it are good, later ones are not."""
        view = View("away", may_resync=True, categories="*")
        backup = self.daemon.folder / "backup.db"
        first, at_backup = self.epoch(), self.put("a", "old")
        self.daemon.stop()
        shutil.copy(self.daemon.store, backup)
        self.daemon.start()
        self.connect()
        second = self.epoch()
        later = self.put("b", "new")
        self.follow(view)
        self.restart(lambda: self.put_back(backup))
        third = self.epoch()
        self.assertEqual(len({first, second, third}), 3)
        self.assert_valid(at_backup, first)
        self.assert_invalid(at_backup, second)
        self.assert_invalid(later, second)
        self.put("c", "newer")
        self.assert_valid(at_backup, first)
        self.assert_invalid(at_backup + 1, first)
        self.assert_valid(at_backup + 1, third)
        self.follow(view)
        self.assertEqual((view.resyncs, view.records), (1, {("c", "a"): "old",
                                                            ("c", "c"): "newer"}))


class Prunings(Positions):
    config = SMALL.replace("[websocket]", "[store]\ntombstone_max = 3\n[websocket]")

    def pruned_to(self, seq):
        with self.daemon.control() as control:
            return control.call("status")["store"]["pruned_to"] >= seq

    def delete_some(self, *names):
        """Deletes records; all but three tombstones are forgotten. Their seqs."""
        seqs = [self.delete(name) for name in names]
        wait_for(lambda: self.pruned_to(seqs[-4]), what="tombstones to be pruned")
        return seqs

    def test_while_away(self):
        view = View("away", may_resync=True, categories="*")
        names = [f"r{n}" for n in range(10)]
        for name in names:
            self.put(name)
        epoch = self.epoch()
        self.follow(view)
        seqs = self.delete_some(*names[:8])
        for seq in seqs:
            (self.assert_valid if seq >= seqs[-4] else self.assert_invalid)(seq, epoch)
        self.assertEqual(self.ask("subscribe", 1, epoch).data["seq"], seqs[-4],
                         "the refusal says what is the first good one")
        self.restart()
        self.assert_valid(seqs[-4], epoch)
        self.assert_invalid(seqs[-4] - 1, epoch)
        self.follow(view)
        self.assertEqual((view.resyncs, set(view.records)), (1, {("c", "r8"), ("c", "r9")}))

    def test_a_base_stands_for_what_came_before_it(self):
        for n in range(10):
            self.put(f"r{n}")
        epoch = self.epoch()
        seqs = self.delete_some(*[f"r{n}" for n in range(8)])
        pruned_to = seqs[-4]
        self.assert_invalid(5, epoch)
        self.assert_invalid(5, epoch, base=pruned_to - 1)
        self.assert_valid(5, epoch, base=pruned_to)
        self.assert_valid(5, epoch, base=seqs[-1])
        self.assert_invalid(5, epoch, base=seqs[-1] + 1)
        self.assert_valid(0, epoch)
        self.assert_valid(0, "never", base=5)

    def begin(self, view):
        """Subscribes, and reads as much as shows that the replay is under way."""
        client = self.open_slow()
        follower = Follower(view, client)
        while view.changes < 10:
            view.take(client.notification())
        return follower

    def fill(self):
        """More than the queue and the kernel take at once."""
        records = [{"category": "c", "id": f"r{n}", "data": "x" * 5000} for n in range(600)]
        for at in range(0, 600, 100):
            self.peer.call("record.put_many", records=records[at:at + 100])

    def end(self, follower):
        """It reads on, until it has what the store has."""
        follower.start()
        records, seq = stored_records(self.daemon)
        wait_for(lambda: follower.fault or follower.view.has_reached(seq),
                 what="the replay to end")
        follower.hang_up()
        follower.finish()
        self.assertEqual(follower.view.records, records)

    def test_during_a_replay(self):
        """The subscription hears `resync` and ends; it starts over."""
        self.put("first")
        view = View("behind", may_resync=True, categories="*")
        self.follow(view)
        self.fill()
        follower = self.begin(view)
        self.assertLess(view.seq, 500)
        self.delete_some(*[f"r{n}" for n in range(8)])
        self.end(follower)
        self.assertEqual(view.resyncs, 1)

    def test_during_a_replay_from_0(self):
        """Deletions up to its base do not concern it, those behind it do."""
        self.fill()
        self.delete_some(*[f"r{n}" for n in range(10)])
        view = View("cold", may_resync=True, categories="*")
        follower = self.begin(view)
        self.delete("r500")
        self.delete("r501")
        self.end(follower)
        self.assertEqual(view.resyncs, 0)
        view = View("cold", may_resync=True, categories="*")
        follower = self.begin(view)
        base = view.base
        seqs = self.delete_some(*[f"r{n}" for n in range(510, 518)])
        self.assertGreater(seqs[-4], base)
        self.end(follower)
        self.assertEqual(view.resyncs, 1)

    def test_a_replay_from_0_that_broke_off(self):
        """It goes on from where it was, over restarts, as long as its base is not pruned."""
        self.fill()
        self.delete_some(*[f"r{n}" for n in range(10)])
        view = View("cold", may_resync=True, categories="*")
        for n in range(3):
            follower = self.begin(view)
            self.assertLess(view.seq, view.base)
            self.delete(f"r{20 + n}")
            follower.hang_up()
            follower.client.close()
            view.changes = 0
            self.restart()
        without = {**view.params(), "base": 0}
        with self.assertRaises(RpcError) as caught:
            self.peer.call("subscribe", **without)
        self.assertEqual(caught.exception.number, RESYNC)
        self.end(Follower(view, self.open()))
        self.assertEqual(view.resyncs, 0)
        self.assertIsNone(view.base, "it is over")

    def test_one_that_broke_off_too_long_ago(self):
        self.fill()
        view = View("cold", may_resync=True, categories="*")
        follower = self.begin(view)
        follower.hang_up()
        follower.client.close()
        self.delete_some(*[f"r{n}" for n in range(8)])
        self.assert_invalid(view.seq, view.epoch, view.base)
        self.end(Follower(view, self.open()))
        self.assertEqual(view.resyncs, 1)

    def test_a_poller_that_broke_off(self):
        """The same with `changes`: base is given as long as it is needed."""
        self.fill()
        self.delete_some(*[f"r{n}" for n in range(10)])
        known, position, pages = {}, {"since": 0}, 0
        while True:
            page = self.peer.call("changes", categories="*", limit=100, **position)
            for change in page["items"]:
                if change["op"] == "put":
                    known[change["category"], change["id"]] = change["data"]
                else:
                    known.pop((change["category"], change["id"]), None)
            pages += 1
            if not page["more"]:
                break
            position = {"since": page["seq"], "epoch": page["epoch"], "base": page["base"]}
            if pages < 3:
                self.delete(f"r{500 + pages}")
                self.restart()
        self.assertNotIn("base", page)
        self.assertEqual(known, stored_records(self.daemon)[0])


class HistoriesOnControl(OnControl, Histories, unittest.TestCase):
    pass


class HistoriesOnWebSocket(OnWebSocket, Histories, unittest.TestCase):
    pass


class PruningsOnControl(OnControl, Prunings, unittest.TestCase):
    pass


class PruningsOnWebSocket(OnWebSocket, Prunings, unittest.TestCase):
    pass


class Ends(unittest.TestCase):
    def test_positions_that_cannot_be(self):
        daemon = daemon_for(self)
        with daemon.control() as control:
            seq = control.call("record.put", data=1)["seq"]
            epoch = control.call("record.count")["epoch"]
            for since, name in ((seq + 1, epoch), (2 ** 53 - 1, epoch), (seq, ""),
                                (seq, epoch[:-1]), (seq, epoch.upper() + "x")):
                with self.assertRaises(RpcError) as caught:
                    control.call("subscribe", categories="*", since=since, epoch=name)
                self.assertIn(caught.exception.code, ("RESYNC_REQUIRED", "INVALID_ARGUMENT"))
            self.assertEqual(control.call("session.list")["items"][0]["subscriptions"], [])


if __name__ == "__main__":
    unittest.main()

"""sysrtctl watch: nothing missed and nothing twice over kills of the daemon, positions that are good
after kills of sysrtctl itself, programs run on changes.

builds: release; in check-long: asan
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

from harness import BUILD, TIMEOUT_S, Closed, daemon_for, idle, seeded, wait_for
from played import Played
from terminal import Terminal

CTL = str(BUILD / "sysrtctl")
HINT = re.compile(r"go on with: --since (\S+)\n")


class Watch:
    """A running `sysrtctl watch`, what it prints in files."""

    def __init__(self, daemon, *args, number=[0], **options):
        number[0] += 1
        self.out_path = daemon.folder / f"watch-{number[0]}.out"
        self.err_path = daemon.folder / f"watch-{number[0]}.err"
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            options = {"stdout": out, "stderr": err, "stdin": subprocess.DEVNULL, **options}
            self.process = subprocess.Popen(
                [CTL, "--socket", daemon.socket, "watch", *map(str, args)], **options)

    def lines(self):
        """The whole lines so far."""
        return [json.loads(line) for line in self.out_path.read_bytes().split(b"\n")[:-1]]

    def seqs(self):
        return [line.get("seq") for line in self.lines()]

    def err(self):
        return self.err_path.read_text()

    def wait_for_seq(self, seq):
        wait_for(lambda: seq in self.seqs()[-1:] or self.process.poll() is not None and self.fail(),
                 what=f"the watcher to tell {seq}")

    def fail(self):
        raise AssertionError(f"the watcher ended with {self.process.returncode}: {self.err()}")

    def wait(self):
        return self.process.wait(TIMEOUT_S)

    def stop(self, signal_number=signal.SIGINT):
        """Interrupts it; the position that it tells to go on from."""
        self.process.send_signal(signal_number)
        status = self.wait()
        if status != 128 + signal_number:
            raise AssertionError(f"the watcher ended with {status}: {self.err()}")
        return HINT.search(self.err())[1]

    def kill(self):
        self.process.kill()
        self.process.wait()


class WatchTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.daemon = daemon_for(self)

    def watch(self, *args, **options):
        watch = Watch(self.daemon, *args, **options)
        self.addCleanup(lambda: watch.process.poll() is None and watch.kill())
        return watch

    def put(self, category, record_id, data=1):
        """The seq of a write."""
        with self.daemon.control() as control:
            return control.call("record.put", category=category, id=record_id, data=data)["seq"]

    def put_some(self, n, category="w"):
        """The seqs of n writes of new records."""
        with self.daemon.control() as control:
            last = control.call("record.count")["seq"]
            return [r["seq"] for r in control.call(
                "record.put_many", results=True, records=[
                    {"category": category, "id": f"{last}-{i}", "data": i} for i in range(n)])["results"]]

    def wait_until_live(self):
        """Until a subscription has caught up."""
        with self.daemon.control() as control:
            wait_for(lambda: control.call("status")["hub"]["subscriptions"]["live"] > 0)


class Following(WatchTest):
    def test_everything_then_live(self):
        seqs = self.put_some(300)
        watch = self.watch("--since", "0")
        watch.wait_for_seq(seqs[-1])
        live = self.put("w", "live", {"a": [1, "ü"]})
        watch.wait_for_seq(live)
        self.assertEqual(watch.seqs(), seqs + [live])
        change = watch.lines()[-1]
        self.assertEqual((change["op"], change["category"], change["id"], change["data"]),
                         ("put", "w", "live", {"a": [1, "ü"]}))
        with self.daemon.control() as control:
            epoch = control.call("status")["store"]["epoch"]
        self.assertEqual(watch.stop(), f"{epoch}:{live}")

    def test_starting_points(self):
        seqs = self.put_some(10)
        first = self.watch("--since", seqs[3])
        first.wait_for_seq(seqs[-1])
        self.assertEqual(first.seqs(), seqs[4:])
        position = first.stop()
        more = self.put_some(5)
        second = self.watch("--since", position)
        second.wait_for_seq(more[-1])
        self.assertEqual(second.seqs(), more)
        now = self.watch()
        self.wait_until_live()
        wait_for(lambda: self.live_count() == 2)
        last = self.put("w", "last")
        now.wait_for_seq(last)
        self.assertEqual(now.seqs(), [last], "without --since only what comes from now on")

    def live_count(self):
        with self.daemon.control() as control:
            return control.call("status")["hub"]["subscriptions"]["live"]

    def test_what_is_watched(self):
        watch = self.watch("a", "b.*", "--id", "i*", "--since", "0")
        self.wait_until_live()
        for category, record_id in (("a", "i1"), ("a", "x"), ("c", "i1"), ("b", "i1"), ("b.c", "i2")):
            last = self.put(category, record_id)
        watch.wait_for_seq(last)
        self.assertEqual([(c["category"], c["id"]) for c in watch.lines()], [("a", "i1"), ("b.c", "i2")])
        with self.daemon.control() as control:
            gone = control.call("record.delete", category="a", id="i1")["seq"]
        watch.wait_for_seq(gone)
        self.assertEqual(watch.lines()[-1]["op"], "delete")

    def test_topics(self):
        watch = self.watch("--topic", "news.*")
        with self.daemon.control() as control:
            wait_for(lambda: control.call("publish", topic="news.a", data={"n": 1})["receivers"] == 1)
            wait_for(lambda: len(watch.lines()) == 1)
            self.daemon.kill()
            self.daemon.start()
        with self.daemon.control() as control:
            wait_for(lambda: control.call("publish", topic="news.b", data=2)["receivers"] == 1)
            wait_for(lambda: len(watch.lines()) == 2)
        self.assertEqual([(m["topic"], m["data"]) for m in watch.lines()],
                         [("news.a", {"n": 1}), ("news.b", 2)])
        watch.process.send_signal(signal.SIGINT)
        self.assertEqual(watch.wait(), 130)
        self.assertNotIn("--since", watch.err(), "a topic has no positions")

    def test_it_tells_of_the_connection(self):
        watch, quiet = self.watch(), self.watch("-q")
        wait_for(lambda: self.live_count() == 2)
        self.daemon.restart()
        wait_for(lambda: self.live_count() == 2)
        last = self.put("w", "x")
        watch.wait_for_seq(last)
        quiet.wait_for_seq(last)
        self.assertEqual(watch.err(), "sysrtctl: the connection ended, connecting again\n"
                                      "sysrtctl: connected again\n")
        self.assertEqual(quiet.err(), "")


class Resuming(WatchTest):
    def write_on(self, stop, acknowledged):
        """Writes new records one after the other, through deaths of the daemon."""
        n = 0
        while not stop.is_set():
            try:
                with self.daemon.control() as control:
                    while not stop.is_set():
                        n += 1
                        acknowledged.append(control.call(
                            "record.put", category=f"k.{n % 3}", id=f"{n}", data=n)["seq"])
            except (Closed, ConnectionRefusedError, FileNotFoundError):
                time.sleep(0.01)

    def writer(self):
        stop, acknowledged = threading.Event(), []
        thread = threading.Thread(target=self.write_on, args=(stop, acknowledged))
        thread.start()

        def end():
            stop.set()
            thread.join()
            return acknowledged

        self.addCleanup(end)
        return acknowledged, end

    def stored_seqs(self):
        with self.daemon.control() as control:
            return sorted(item["seq"] for item in control.list_all(order="oldest", limit=1000))

    def test_the_daemon_is_killed(self):
        watch = self.watch("k.*", "--since", "0")
        acknowledged, end = self.writer()
        rng = seeded()
        wait_for(watch.seqs, what="the first connection")
        for _ in range(5):
            before = len(acknowledged)
            wait_for(lambda: len(acknowledged) > before + rng.randrange(20, 200))
            self.daemon.kill()
            self.daemon.start()
        end()
        last = self.put("k.end", "end")
        watch.wait_for_seq(last)
        stored = self.stored_seqs()
        self.assertEqual(watch.seqs(), stored, "no change is missed, none is told twice")
        self.assertLessEqual(set(acknowledged), set(stored))
        self.assertIn("connected again", watch.err())

    @staticmethod
    def kept(state):
        """The seq in a file of --state, which is whole at any time, once it is there."""
        if not state.exists():
            return 0
        return int(re.fullmatch(r"[0-9a-f]+:(\d+)(:\d+)?\n", state.read_text())[1])

    def test_sysrtctl_is_killed(self):
        state = self.daemon.folder / "state"
        acknowledged, end = self.writer()
        rng = seeded()
        told, runs = [], 12
        for run in range(runs):
            start = self.kept(state)
            watch = self.watch("k.*", "--since", "0", "--state", state)
            wanted = len(acknowledged) + rng.randrange(5, 60)
            if run == runs - 1:
                end()
                watch.wait_for_seq(self.put("k.end", "end"))
                watch.stop()
            else:
                wait_for(lambda: len(acknowledged) > wanted and (run > 0 or watch.seqs()))
                watch.kill()
            seqs = watch.seqs()
            self.assertEqual(seqs, sorted(set(seqs)))
            self.assertGreater(min(seqs, default=start + 1), start, "it goes on behind the state")
            told += seqs
            self.assertLessEqual(self.kept(state), max(told, default=0),
                                 "the state is not ahead of what was told")
        self.assertEqual(sorted(set(told)), self.stored_seqs(), "no change is missed")

    def test_both_are_killed(self):
        state = self.daemon.folder / "state"
        acknowledged, end = self.writer()
        told = []
        for _ in range(3):
            watch = self.watch("--since", "0", "--state", state)
            before = len(acknowledged)
            wait_for(lambda: len(acknowledged) > before + 30 and watch.seqs())
            self.daemon.kill()
            watch.kill()
            told += watch.seqs()
            self.daemon.start()
        end()
        watch = self.watch("--since", "0", "--state", state)
        watch.wait_for_seq(self.put("k.end", "end"))
        self.assertEqual(sorted(set(told + watch.seqs())), self.stored_seqs())

    def test_state_comes_before_since(self):
        state = self.daemon.folder / "state"
        seqs = self.put_some(6)
        first = self.watch("--since", seqs[2], "--state", state)
        first.wait_for_seq(seqs[-1])
        position = first.stop()
        self.assertEqual(state.read_text(), position + "\n")
        more = self.put_some(2)
        second = self.watch("--since", "0", "--state", state)
        second.wait_for_seq(more[-1])
        self.assertEqual(second.seqs(), more)

    def test_a_quiet_watcher_keeps_up(self):
        """Changes that it does not hear of move its position too, with each heartbeat."""
        self.daemon.config_path.write_text('[websocket]\nheartbeat = "100ms"\n')
        self.daemon.restart()
        state = self.daemon.folder / "state"
        watch = self.watch("nothing", "--state", state)
        wait_for(state.exists)
        epoch = state.read_text().split(":")[0]
        last = self.put_some(20)[-1]
        wait_for(lambda: state.read_text() == f"{epoch}:{last}\n")
        self.assertEqual(watch.lines(), [])

    def test_states_that_are_none(self):
        state = self.daemon.folder / "state"
        for text in ("", "nonsense\n", "7\n", "feed:x\n", "feed:1:\n", ":resync\n"):
            state.write_text(text)
            watch = self.watch("--state", state)
            self.assertEqual(watch.wait(), 1)
            self.assertEqual(watch.err(), f"sysrtctl: {state} holds no position: remove it to begin anew\n")
            self.assertEqual(state.read_text(), text)
        watch = self.watch("--state", self.daemon.folder)
        self.assertEqual(watch.wait(), 1)
        self.assertRegex(watch.err(), r"\Asysrtctl: [^\n]*\n\Z")

    def test_a_state_that_cannot_be_written(self):
        state = self.daemon.folder / "missing" / "state"
        watch = self.watch("--since", "0", "--state", state)
        self.assertEqual(watch.wait(), 1)
        self.assertRegex(watch.err(), rf"\Asysrtctl: writing {state}: No such file or directory\n"
                                      r"go on with: --since \S+\n\Z")


class Resync(WatchTest):
    def assert_anew(self, lines, seqs):
        """resync, everything, synced."""
        self.assertEqual(lines[0], {"op": "resync"})
        self.assertEqual([c["seq"] for c in lines[1:-1]], seqs)
        self.assertEqual(lines[-1], {"op": "synced", "seq": seqs[-1]})

    def test_unknown_epoch(self):
        seqs = self.put_some(3)
        state = self.daemon.folder / "state"
        state.write_text("feedfeed:1\n")
        watch = self.watch("--state", state)
        wait_for(lambda: len(watch.lines()) == 5)
        self.assert_anew(watch.lines(), seqs)
        self.assertRegex(watch.err(), r'\Asysrtctl: [^\n]*epoch[^\n]*starting anew[^\n]*"synced"[^\n]*\n\Z')
        wait_for(lambda: state.read_text().endswith(f":{seqs[-1]}\n"))

    def test_the_store_was_put_back(self):
        early = self.put_some(3)
        self.daemon.stop()
        shutil.copy(self.daemon.store, self.daemon.folder / "copy")
        self.daemon.start()
        watch = self.watch("--since", "0")
        watch.wait_for_seq(self.put_some(4)[-1])
        self.daemon.stop()
        shutil.copy(self.daemon.folder / "copy", self.daemon.store)
        self.daemon.start()
        wait_for(lambda: watch.lines()[-1]["op"] == "synced")
        self.assert_anew(watch.lines()[7:], early)
        last = self.put("w", "after")
        watch.wait_for_seq(last)
        self.assertEqual(watch.lines()[-1]["prev"], early[-1])

    def test_fallen_behind_what_was_pruned(self):
        """While it does not read, deletions are forgotten that it has not heard of."""
        self.daemon.config_path.write_text(
            "[store]\ntombstone_max = 1\n[hub]\nrecent = 1\n[websocket]\nsend_queue = '64KiB'\n")
        self.daemon.restart()
        first = self.put_some(2)
        watch = self.watch("--since", "0")
        watch.wait_for_seq(first[-1])
        watch.process.send_signal(signal.SIGSTOP)
        with self.daemon.control() as control:
            for n in range(40):
                control.call("record.put", category="w", id=f"big-{n}", data="x" * 50_000)
            for n in range(20, 40):
                control.call("record.delete", category="w", id=f"big-{n}")
            wait_for(lambda: control.call("status")["store"]["pruned_to"] > first[-1])
            stored = [item["seq"] for item in control.list_all(order="oldest")]
        watch.process.send_signal(signal.SIGCONT)
        wait_for(lambda: watch.lines()[-1].get("op") == "synced")
        lines = watch.lines()
        anew = next(n for n, line in enumerate(lines) if line["op"] == "resync")
        self.assertEqual([c["seq"] for c in lines[anew + 1:-1] if c["op"] == "put"], stored)
        self.assertIn('fell behind what the store still knows of deletions; starting anew', watch.err())

    def test_an_end_within_it_is_no_end_of_it(self):
        """Whoever was told "resync" is told "synced", by the next run if need be."""
        seqs = self.put_some(3)
        state = self.daemon.folder / "state"
        state.write_text("feedfeed:1\n")
        script = 'read -r line; printf "%s\\n" "$line" >>"$0"; case $line in *\'"data":1\'*) exit 1; esac'
        out = self.daemon.folder / "out"
        program = ("--", "sh", "-c", script, out)
        self.assertEqual(self.watch("--state", state, *program).wait(), 1)
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        self.assertEqual([line.get("seq") for line in lines], [None, seqs[0], seqs[1]])
        self.assertRegex(state.read_text(), rf"\A[0-9a-f]+:{seqs[0]}:{seqs[-1]}:resync\n\Z")
        watch = self.watch("--state", state)
        wait_for(lambda: len(watch.lines()) == 3)
        self.assert_anew(lines[:2] + watch.lines(), seqs)
        # and when it had only just begun
        watch.kill()
        state.write_text("0:resync\n")
        watch = self.watch("--state", state)
        wait_for(lambda: len(watch.lines()) == 4)
        self.assert_anew([{"op": "resync"}, *watch.lines()], seqs)

    def test_a_failing_program_does_not_swallow_it(self):
        self.put_some(1)
        state = self.daemon.folder / "state"
        state.write_text("feedfeed:1\n")
        self.assertEqual(self.watch("--state", state, "--", "false").wait(), 1)
        self.assertEqual(state.read_text(), "feedfeed:1\n")


class Programs(WatchTest):
    def script(self, text):
        """Words that run a shell script, whose $0 is the file `out`."""
        self.out = self.daemon.folder / "out"
        return ("--", "sh", "-euc", text, str(self.out))

    def test_one_at_a_time_in_order(self):
        seqs = self.put_some(30)
        watch = self.watch("--since", "0", *self.script(
            'mkdir "$0.busy"; cat >>"$0"; rmdir "$0.busy"'))
        wait_for(lambda: self.out.exists() and self.out.read_text().count("\n") == 30
                 or watch.process.poll() is not None)
        position = watch.stop()
        self.assertEqual([json.loads(line)["seq"] for line in self.out.read_text().splitlines()], seqs)
        self.assertEqual(position.split(":")[1], str(seqs[-1]))
        self.assertEqual(watch.lines(), [], "what the program printed, and nothing else")

    def test_no_shell(self):
        """Arguments reach the program as they are, and it has its signals as usual."""
        last = self.put("w", "a")
        text = ("import json, sys; status = open('/proc/self/status').read(); "
                "print(json.dumps([sys.argv[1:], json.load(sys.stdin)['seq'], "
                "[line.split()[1] for line in status.splitlines() if line[:6] in ('SigIgn', 'SigBlk')]]))")
        words = ["a b", "$(id)", ";", "*", "", "--since"]
        watch = self.watch("--since", "0", "--", sys.executable, "-Ssc", text, *words)
        wait_for(lambda: watch.lines())
        argv, seq, (blocked, ignored) = watch.lines()[0]
        self.assertEqual((argv, seq), (words, last))
        self.assertEqual(int(blocked, 16), 0)
        # Python ignores SIGPIPE and SIGXFSZ by itself: ask a program that does not.
        watch.kill()
        watch = self.watch("--since", "0", "-q", "--", "grep", "-h", "SigIgn", "/proc/self/status")
        wait_for(lambda: watch.out_path.read_text())
        self.assertEqual(int(watch.out_path.read_text().split()[1], 16) >> (signal.SIGPIPE - 1) & 1, 0)

    def test_it_need_not_read(self):
        self.put("w", "big", "x" * 500_000)
        last = self.put("w", "small")
        watch = self.watch("--since", "0", *self.script('exec <&-; echo x >>"$0"'))
        wait_for(lambda: self.out.exists() and self.out.read_text() == "x\nx\n")
        self.assertTrue(watch.stop().endswith(f":{last}"))

    def test_it_gets_large_changes_whole(self):
        self.put("w", "big", "x" * 500_000)
        watch = self.watch("--since", "0", *self.script('cat >"$0.new"; mv "$0.new" "$0"'))
        wait_for(self.out.exists)
        self.assertEqual(json.loads(self.out.read_text())["data"], "x" * 500_000)
        watch.kill()

    def test_it_fails(self):
        seqs = self.put_some(6)
        state = self.daemon.folder / "state"
        fails = self.script('read -r line; case $line in *\'"data":3\'*) exit 7; esac; echo "$line" >>"$0"')
        for _ in range(2):
            watch = self.watch("--since", "0", "--state", state, *fails)
            self.assertEqual(watch.wait(), 1)
            self.assertRegex(watch.err(), r"\Asysrtctl: sh ended with 7: stopping before this change\n"
                                          r"go on with: --since \S+\n\Z")
            self.assertEqual(int(state.read_text().split(":")[1]), seqs[2])
        good = self.watch("--since", "0", "--state", state, *self.script('cat >>"$0"'))
        wait_for(lambda: self.out.read_text().count("\n") == 6)
        good.stop()
        self.assertEqual([json.loads(line)["seq"] for line in self.out.read_text().splitlines()], seqs)

    def test_other_ways_to_fail(self):
        self.put("w", "a")
        state = self.daemon.folder / "state"
        for program, wanted in (
                (["/nowhere/program"], "running /nowhere/program: No such file or directory"),
                (["no-such-program-here"], "running no-such-program-here: No such file or directory"),
                ([str(self.daemon.config_path)], "running .*: Permission denied"),
                (["sh", "-c", "kill -9 $$"], "sh ended with 137: stopping before this change")):
            with self.subTest(program=program):
                watch = self.watch("--since", "0", "--state", state, "--", *program)
                self.assertEqual(watch.wait(), 1)
                self.assertRegex(watch.err(), rf"\Asysrtctl: {wanted}\ngo on with: [^\n]*\n\Z")
                self.assertRegex(state.read_text(), r"\A[0-9a-f]+:0:1\n\Z")

    def test_children_ignored_by_whoever_started_it(self):
        """How the program ended is known even where SIGCHLD came ignored."""
        self.put("w", "a")
        done = subprocess.run(["bash", "-c", 'trap "" CHLD; exec "$@"', "bash", CTL, "--socket",
                               self.daemon.socket, "watch", "--since", "0", "--", "false"],
                              stderr=subprocess.PIPE, text=True, timeout=TIMEOUT_S)
        self.assertEqual(done.returncode, 1)
        self.assertIn("false ended with 1", done.stderr)


class Away(unittest.TestCase):
    """A daemon that ends the connection."""

    def watch(self, daemon, *args):
        watch = Watch(daemon, *args)
        self.addCleanup(lambda: watch.process.poll() is None and watch.kill())
        return watch

    def test_what_came_before_is_printed_meanwhile(self):
        """Whoever reads need not wait for a daemon that stays away."""
        def serve(peer):
            request = peer.take()
            daemon.close()
            watch.process.send_signal(signal.SIGSTOP)
            peer.send(peer.answer_to(request, epoch="e", seq=0),
                      peer.notice("change", op="put", category="c", id="i", seq=7, prev=0, data=1))
            threading.Timer(0.2, watch.process.send_signal, [signal.SIGCONT]).start()  # it is closed then

        daemon = Played(self, serve)
        state = daemon.folder / "state"
        watch = self.watch(daemon, "--since", "0", "--state", state)
        wait_for(lambda: watch.seqs() == [7], timeout=5)
        wait_for(lambda: state.exists() and state.read_text() == "e:7\n")
        self.assertEqual(watch.stop(), "e:7")

    def test_it_comes_back_when_it_is_told_to(self):
        asked, came = (1, 700, 700), []

        def serve(peer):
            request = peer.take()
            came.append(time.monotonic())
            peer.send(peer.answer_to(request, epoch="e", seq=0))
            if len(came) <= len(asked):
                peer.send(peer.notice("closing", reason="r", retry_after_ms=asked[len(came) - 1]))
            else:
                peer.take()

        watch = self.watch(Played(self, serve))
        wait_for(lambda: len(came) == len(asked) + 1)
        for before, after, ms in zip(came, came[1:], asked):
            self.assertGreaterEqual(after - before, max(ms, 50) / 1000)
        watch.stop()


class Interrupted(WatchTest):
    def test_nothing_of_it_could_be_printed(self):
        """Then it goes on from where it began."""
        seqs = self.put_some(3)
        with open("/dev/full", "wb") as full:
            watch = self.watch("w", stdout=full)
            self.wait_until_live()
            self.put("w", "a")
            self.assertEqual(watch.wait(), 1)
        self.assertEqual(HINT.search(watch.err())[1].split(":")[1:], [str(seqs[-1])])


    def test_control_c(self):
        seqs = self.put_some(2)
        with Terminal([CTL, "--socket", self.daemon.socket, "watch", "--since", "0"]) as terminal:
            terminal.read_until(rb'"seq":%d,[^\n]*\n' % seqs[-1])
            terminal.press(b"\x03")
            self.assertEqual(terminal.wait(), 130)
            lines = terminal.text().splitlines()
        self.assertEqual([json.loads(line)["seq"] for line in lines[:-1]], seqs)
        self.assertRegex(lines[-1], rf"\Ago on with: --since [0-9a-f]+:{seqs[-1]}\Z")

    def test_control_c_while_a_program_runs(self):
        """The program is interrupted too: its change is not done."""
        seqs = self.put_some(2)
        state = self.daemon.folder / "state"
        script = 'read -r line; case $line in *\'"data":1\'*) echo now; exec sleep 60; esac'
        argv = [CTL, "--socket", self.daemon.socket, "watch", "--since", "0", "--state", state, "--", "sh",
                "-c", script]
        with Terminal(argv) as terminal:
            terminal.read_until(b"now\n")
            terminal.press(b"\x03")
            self.assertEqual(terminal.wait(), 130)
            self.assertRegex(terminal.text(), rf"\Anow\ngo on with: --since \S+:{seqs[0]}(:\d+)?\n\Z")
        self.assertEqual(int(state.read_text().split(":")[1]), seqs[0])

    def test_only_sysrtctl_is_told(self):
        """It waits for the program's end, whose change then counts."""
        seqs = self.put_some(2)
        flag = self.daemon.folder / "flag"
        script = 'echo now; until test -e "$0"; do sleep 0.01; done'
        watch = self.watch("--since", "0", "--", "sh", "-c", script, flag)
        wait_for(lambda: watch.out_path.read_text() == "now\n")
        watch.process.send_signal(signal.SIGTERM)
        flag.touch()
        self.assertEqual(watch.wait(), 128 + signal.SIGTERM)
        self.assertEqual(HINT.search(watch.err())[1].split(":")[1], str(seqs[0]))
        self.assertEqual(watch.out_path.read_text(), "now\n")

    def test_while_the_daemon_is_away(self):
        watch = self.watch("--since", "0")
        last = self.put("w", "a")
        watch.wait_for_seq(last)
        self.daemon.stop()
        wait_for(lambda: "connecting again" in watch.err())
        self.assertTrue(watch.stop().endswith(f":{last}"))
        self.daemon.start()

    def test_nobody_reads(self):
        """A reader that hangs does not keep it from ending, and what it is told to go on from is not
        ahead of what the reader can get."""
        seqs = self.put_some(5000)
        read, write = os.pipe()
        watch = self.watch("--since", "0", stdout=write)
        os.close(write)
        wait_for(idle(watch.process.pid))
        position = watch.stop(signal.SIGTERM)
        seq = 0 if position == "0" else int(position.split(":")[1])  # it may not have written all of any
        with open(read, "rb") as pipe:
            whole = [json.loads(line)["seq"] for line in pipe.read().split(b"\n")[:-1]]
        self.assertEqual(whole, seqs[:len(whole)])
        self.assertLessEqual(set(range(seqs[0], seq + 1)), set(whole))

    def test_the_reader_goes_away(self):
        """It ends although nothing more comes to be written."""
        watch = self.watch("--since", "0", stdout=subprocess.PIPE)
        self.put("w", "a")
        self.assertIn(b'"id":"a"', watch.process.stdout.readline())
        watch.process.stdout.close()
        self.assertEqual(watch.wait(), -signal.SIGPIPE)
        self.assertEqual(watch.err(), "")

    def test_what_was_ignored_stays_so(self):
        """As shells have it for what they run in the background."""
        watch = self.watch("--since", "0",
                           preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        watch.wait_for_seq(self.put("w", "a"))
        watch.process.send_signal(signal.SIGINT)
        watch.wait_for_seq(self.put("w", "b"))
        watch.stop(signal.SIGTERM)


if __name__ == "__main__":
    unittest.main()

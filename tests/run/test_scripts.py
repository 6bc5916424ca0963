"""What a shell script can do with the control socket: socat, a pipe, a file of requests.

builds: release; in check-long: asan
valgrind: yes
"""

import json
import os
import shlex
import subprocess
import time
import unittest

from harness import TIMEOUT_S, WRAP, daemon_for

LINES = 10_000


def shell(script, **variables):
    """Runs a script with sh; its standard output."""
    return subprocess.run(["sh", "-euc", script], stdout=subprocess.PIPE, check=True,
                          timeout=TIMEOUT_S * 4, env={**os.environ, **variables}).stdout


class ScriptTest(unittest.TestCase):
    def setUp(self):
        self.daemon = daemon_for(self)
        self.socat = f"socat -t 60 - UNIX:{shlex.quote(str(self.daemon.socket))}"

    def test_one_line(self):
        out = shell(rf"""printf '{{"jsonrpc":"2.0","id":1,"method":"status"}}\n' | {self.socat}""")
        answer = json.loads(out)
        self.assertEqual(answer["id"], 1)
        self.assertIn("store", answer["result"])
        self.assertEqual(out.count(b"\n"), 1, "one answer, one line, no greeting")

    def test_the_end_comes_with_the_answer(self):
        """A script waits for the end of the connection: it comes when all is answered, not when
        somebody looks at the clock."""
        request = """'{"jsonrpc":"2.0","id":1,"method":"record.count"}'"""
        started = time.monotonic()
        shell(rf"i=0; while [ $i -lt 50 ]; do printf '%s\n' {request} | {self.socat}; i=$((i+1)); done")
        self.assertLess(time.monotonic() - started, 25 if WRAP else 10)

    def test_last_line_without_end(self):
        """The end of the input ends a line too."""
        out = shell(rf"""printf '{{"jsonrpc":"2.0","id":"x","method":"ping"}}' | {self.socat}""")
        self.assertEqual(json.loads(out)["id"], "x")

    def test_a_bad_line_among_good_ones(self):
        out = shell(rf"""printf '%s\n' '{{"jsonrpc":"2.0","id":1,"method":"ping"}}' 'nonsense' \
            '{{"jsonrpc":"2.0","id":2,"method":"ping"}}' | {self.socat}""")
        first, bad, last = map(json.loads, out.splitlines())
        self.assertEqual((first["id"], last["id"]), (1, 2))
        self.assertIsNone(bad["id"])
        self.assertEqual(bad["error"]["code"], -32700)

    def test_file_of_requests(self):
        path = self.daemon.folder / "requests"
        with open(path, "w") as requests:
            for n in range(LINES):
                json.dump({"jsonrpc": "2.0", "id": n, "method": "record.put",
                           "params": {"category": "file", "id": f"r{n % 1000}",
                                      "data": {"n": n}}}, requests)
                requests.write("\n")
        out = shell(f"{self.socat} <{shlex.quote(str(path))}")
        answers = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(sorted(a["id"] for a in answers), list(range(LINES)))
        self.assertEqual([a for a in answers if "error" in a], [])
        by_id = sorted(answers, key=lambda a: a["id"])
        seqs = [a["result"]["seq"] for a in by_id]
        self.assertEqual(seqs, sorted(set(seqs)), "writes of one session run in order")
        with self.daemon.control() as control:
            self.assertEqual(control.call("record.count", category="file")["count"], 1000)
            record = control.call("record.get", category="file", id="r7")["record"]
            self.assertEqual(record["data"], {"n": LINES - 1000 + 7})
            self.assertEqual(record["rev"], LINES // 1000)

    def test_subscription_outlives_the_input(self):
        """The end of the input is no hang-up: what comes later still arrives."""
        request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "subscribe",
                              "params": {"categories": ["news"]}})
        script = rf"printf '%s\n' {shlex.quote(request)} | {self.socat}"
        reader = subprocess.Popen(["sh", "-euc", script], stdout=subprocess.PIPE)
        try:
            self.assertEqual(json.loads(reader.stdout.readline())["id"], 1)
            with self.daemon.control() as control:
                control.call("record.put", category="news", id="a", data=1)
            lines = iter(reader.stdout.readline, b"")
            changes = (m["params"] for m in map(json.loads, lines) if m["method"] == "change")
            self.assertEqual(next(changes)["id"], "a")
        finally:
            self.daemon.kill()
            reader.wait(TIMEOUT_S)
            reader.stdout.close()
            self.daemon.start()


if __name__ == "__main__":
    unittest.main()

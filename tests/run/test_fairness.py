"""What one peer does is not what others wait for.

builds: release
"""

import os
import signal
import subprocess
import sys
import unittest
from pathlib import Path

from harness import daemon_for

RECORDS = 20_000

# Sends what goes into the connection at once, says how many requests that is, goes on, and reads
# all answers.
FLOOD = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from harness import TEXT, Control, Ws, encode_frame
door, where = sys.argv[2:]
request = b'{"jsonrpc":"2.0","id":1,"method":"methods"}'
if door == "control":
    peer, wrapped = Control(where), request + b"\\n"
else:
    peer, wrapped = Ws(int(where)), encode_frame(TEXT, request)
peer.call("ping")
print("ready", flush=True)
sys.stdin.readline()
sent, blob = 0, wrapped * 10_000
peer.sock.setblocking(False)
try:
    while True:
        sent += peer.sock.send(blob[sent % len(wrapped):])
except BlockingIOError:
    print(sent // len(wrapped), flush=True)
peer.sock.setblocking(True)
def read():
    while peer.sock.recv(1 << 20):
        pass
threading.Thread(target=read, daemon=True).start()
blob = blob[sent % len(wrapped):] + blob[:sent % len(wrapped)]
while True:
    peer.sock.sendall(blob)
"""


class Fairness(unittest.TestCase):
    def setUp(self):
        self.daemon = daemon_for(self)

    def start_flood(self, door, where):
        flood = subprocess.Popen([sys.executable, "-c", FLOOD, Path(__file__).parent, door,
                                  str(where)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 text=True)
        self.addCleanup(flood.stdout.close)
        self.addCleanup(flood.stdin.close)
        self.addCleanup(flood.wait)
        self.addCleanup(flood.kill)
        self.assertEqual(flood.stdout.readline(), "ready\n")
        return flood

    def judge(self, door, where):
        """All of it lies there before another one asks, who hears how much of it came first."""
        with self.daemon.control() as control:
            flood = self.start_flood(door, where)
            number = max(s["session"] for s in control.call("session.list")["items"])
            os.kill(self.daemon.pid, signal.SIGSTOP)
            try:
                flood.stdin.write("\n")
                flood.stdin.flush()
                n = int(flood.stdout.readline())
                request = control.send("session.list")
            finally:
                os.kill(self.daemon.pid, signal.SIGCONT)
            sessions = {s["session"]: s for s in control.answer(request)["items"]}
            done = sessions[number]["requests"]
            print(f"{door}: {done} of {n} requests came first", flush=True)
            self.assertGreater(n, 1000)
            self.assertLess(done, n / 10)

    def test_a_flood_of_requests(self):
        """Everybody has a share of each turn."""
        self.judge("websocket", self.daemon.port)
        self.judge("control", self.daemon.socket)

    def test_a_flood_of_reads(self):
        """They wait for each other, nobody's writes do; a read of somebody else has its turn."""
        with self.daemon.ws() as writer, self.daemon.ws() as one, self.daemon.ws() as other:
            for first in range(0, RECORDS, 1000):
                writer.call("record.put_many", records=[
                    {"category": "c", "id": str(i), "data": {"n": i}}
                    for i in range(first, first + 1000)])
            for i in range(2 * 256):
                (one, other)[i % 2].send("record.count", category="c", where={"/n": {"<": i}})
            one.recv()
            other.recv()
            for i in range(20):
                writer.call("record.put", category="d", id=str(i), data=i)
                writer.call("record.get", category="d", id=str(i))
            self.assertEqual(writer.call("record.count", category="d")["count"], 20)
            left = writer.call("status")["store"]["queue"]
            print(f"{left} reads still waited", flush=True)
            self.assertGreater(left, 256)


if __name__ == "__main__":
    unittest.main()

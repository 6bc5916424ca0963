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


if __name__ == "__main__":
    unittest.main()

"""What one peer does is not what others wait for.

builds: release
"""

import statistics
import subprocess
import sys
import time
import unittest
from pathlib import Path

from harness import daemon_for

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
peer.sock.settimeout(None)
def read():
    while peer.sock.recv(1 << 20):
        pass
threading.Thread(target=read, daemon=True).start()
blob = wrapped * 10_000
print("ready", flush=True)
while True:
    peer.sock.sendall(blob)
"""


class Fairness(unittest.TestCase):
    def setUp(self):
        self.daemon = daemon_for(self)

    def test_a_flood_of_requests(self):
        """Everybody has a share of each turn: a call takes a few milliseconds beside it, not the
        time that all of what is there takes."""
        for door, where in (("websocket", self.daemon.port), ("control", self.daemon.socket)):
            flood = subprocess.Popen([sys.executable, "-c", FLOOD, Path(__file__).parent, door,
                                      str(where)], stdout=subprocess.PIPE)
            try:
                self.assertEqual(flood.stdout.readline(), b"ready\n")
                with self.daemon.ws() as ws, self.daemon.control() as control:
                    for peer in (ws, control):
                        times = []
                        for _ in range(50):
                            start = time.monotonic()
                            peer.call("ping")
                            times.append(time.monotonic() - start)
                        self.assertLess(statistics.median(times), 0.03, door)
            finally:
                flood.kill()
                flood.wait()
                flood.stdout.close()


if __name__ == "__main__":
    unittest.main()

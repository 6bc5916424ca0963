"""A daemon of our own making: what sysrtctl does when it is told this and that."""

import contextlib
import json
import socket
import tempfile
import threading
from pathlib import Path

from harness import TIMEOUT_S


class Peer:
    """The daemon's end of a connection."""

    def __init__(self, peer):
        self.peer = peer
        self.lines = peer.makefile("rb")

    def take(self):
        """The next request, or None at the end of the connection."""
        line = self.lines.readline()
        return json.loads(line) if line else None

    @staticmethod
    def answer_to(request, **result):
        return {"jsonrpc": "2.0", "id": request["id"], "result": result}

    @staticmethod
    def notice(method, **params):
        return {"jsonrpc": "2.0", "method": method, "params": params}

    def send(self, *messages):
        """All of them in one write."""
        self.peer.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))


class Played:
    """Calls serve(peer) for each connection, one after the other. It is over when the test is."""

    def __init__(self, test, serve):
        folder = tempfile.TemporaryDirectory(prefix="sysrt-")
        test.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.socket = str(self.folder / "socket")
        self.serve = serve
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.socket)
        self.server.listen(8)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        test.addCleanup(self.close)

    def run(self):
        with contextlib.suppress(OSError):  # it was closed
            while True:
                peer, _ = self.server.accept()
                with peer, contextlib.suppress(ConnectionError):
                    self.serve(Peer(peer))

    def close(self):
        """Nobody listens any more."""
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        Path(self.socket).unlink(missing_ok=True)
        if threading.current_thread() is not self.thread:
            self.thread.join(TIMEOUT_S)

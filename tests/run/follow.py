"""What a subscriber knows, kept by the rules of the protocol: over all its connections, restarts of
the daemon, lag, and starting over. Whatever breaks a rule is an AssertionError."""

import json
import threading

from harness import Closed, RpcError

RESYNC = -32003


class View:
    """The records that a follower has been told of, and where it stands. Feed it the answer to
    `subscribe` (begin) and every notification (take)."""

    def __init__(self, name, may_resync=False, **patterns):
        self.name = name
        self.may_resync = may_resync
        self.patterns = patterns
        self.seq = 0
        self.epoch = None
        self.base = None
        self.records = {}       # (category, id) -> data
        self.unconfirmed = set()  # known from before it started over, and not told since
        self.told = {}          # seq -> what was told: a seq means one change for ever
        self.synced_to = -1     # the last `synced` or `progress` of this connection
        self.changes = 0
        self.lags = 0
        self.resyncs = 0

    def params(self):
        """Of the next `subscribe`: from where it stands."""
        position = {"since": self.seq}
        if self.seq > 0:
            position["epoch"] = self.epoch
            if self.base is not None:
                position["base"] = self.base
        return {**self.patterns, **position}

    def start_over(self):
        """Its position was not valid any more: all of it once more, from 0."""
        if not self.may_resync:
            raise AssertionError(f"{self.name}: told to start over at {self.seq}")
        self.resyncs += 1
        self.seq = 0
        self.base = None
        self.told.clear()
        self.unconfirmed = set(self.records)

    def begin(self, answer):
        self.epoch = answer["epoch"]
        if self.seq == 0:
            self.base = answer["base"]
            self.unconfirmed = set(self.records)
        self.synced_to = -1

    def take(self, message):
        """False when the subscription has ended and must be made again from 0."""
        params = message["params"]
        if message["method"] == "change":
            self.change(params)
        elif message["method"] == "resync":
            self.start_over()
            return False
        elif message["method"] in ("synced", "progress", "lagged"):
            self.position(message["method"], params["seq"])
        return True

    def position(self, method, seq):
        if seq < self.seq:
            raise AssertionError(f"{self.name}: {method} went back from {self.seq} to {seq}")
        self.seq = seq
        if method == "lagged":
            self.lags += 1
            self.synced_to = -1
            return
        if method == "synced":
            self.base = None
            for key in self.unconfirmed:
                del self.records[key]
            self.unconfirmed = set()
        self.synced_to = seq

    def change(self, params):
        if not params["prev"] <= self.seq < params["seq"]:
            raise AssertionError(f"{self.name}: a gap or a repetition: at {self.seq}, "
                                 f"told seq {params['seq']} after {params['prev']}")
        self.seq = params["seq"]
        self.changes += 1
        key = (params["category"], params["id"])
        what = (key, params["op"], json.dumps(params.get("data"), sort_keys=True))
        if self.told.setdefault(self.seq, what) != what:
            raise AssertionError(f"{self.name}: seq {self.seq} was {self.told[self.seq]} "
                                 f"and is {what}")
        self.unconfirmed.discard(key)
        if params["op"] == "put":
            self.records[key] = params["data"]
        else:
            self.records.pop(key, None)

    def has_reached(self, seq):
        """True when it is live, and knows that it has seen everything up to seq."""
        return self.synced_to >= 0 and self.seq >= seq


class Follower(threading.Thread):
    """Keeps a view up to date over one connection, until that ends. It reads only while `reading`
    is set."""

    def __init__(self, view, client, delay=None):
        super().__init__(name=view.name, daemon=True)
        self.view = view
        self.client = client
        self.fault = None
        self.delay = delay
        self.reading = threading.Event()
        self.reading.set()
        self.is_hung_up = False
        self.subscribe()

    def subscribe(self):
        try:
            answer = self.client.call("subscribe", **self.view.params())
        except RpcError as error:
            if error.number != RESYNC:
                raise
            self.view.start_over()
            answer = self.client.call("subscribe", **self.view.params())
        self.view.begin(answer)

    def run(self):
        try:
            while True:
                self.reading.wait()
                if not self.view.take(self.client.notification()):
                    self.subscribe()
                if self.delay is not None:
                    self.delay()
        except Closed:
            pass
        except (OSError, ValueError) as error:  # its socket was closed under it
            if not self.is_hung_up:
                self.fault = error
        except BaseException as error:  # told by whoever joins it
            self.fault = error

    def hang_up(self):
        """Ends the connection; the view stays as it is."""
        import socket
        self.is_hung_up = True
        self.reading.set()
        try:
            self.client.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def finish(self, timeout=60):
        """Waits for its end and tells what went wrong in it."""
        self.join(timeout)
        if self.is_alive():
            raise AssertionError(f"{self.name}: hangs")
        self.client.close()
        if self.fault is not None:
            raise AssertionError(f"{self.name} failed") from self.fault


def stored_records(daemon, **patterns):
    """((category, id) -> data of all that the store has, and the seq that it was read at). Reads
    again when something was written meanwhile."""
    with daemon.control() as control:
        while True:
            seq = control.call("record.count")["seq"]
            records = {(r["category"], r["id"]): r["data"]
                       for r in control.list_all(order="oldest", limit=1000, **patterns)}
            if control.call("record.count")["seq"] == seq:
                return records, seq

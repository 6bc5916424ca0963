"""Conditions: generated ones over generated records choose the same by a list, by a count, by a
subscription (replayed, live, resumed after more was written) and by an evaluation in Python.
SYSRT_SEED repeats a run.

builds: asan; in check-long: release
"""

import json
import os
import random
import time
import unittest
from decimal import Decimal

from follow import View
from harness import LONG, Daemon, daemon_for

CONDITIONS = 1000 if LONG else 200
RECORDS = 150
PER_CONNECTION = 50
WRITES = 120
CONFIG = '[websocket]\nheartbeat = "400ms"\nsend_queue = "64KiB"\n[hub]\nrecent = 64\n'
WAIT_S = 60

# As they are written in JSON.
NUMBERS = ["0", "-0", "0.0e9", "1", "1.0", "10e-1", "1.00000000000000000001", "-3.5", "-35E-1", "2",
           "9007199254740992", "9007199254740993", "9007199254740993.0", "18446744073709551616",
           "0.1", "0.10", "1e400", "1E+400", "1e-400", "123456789.123456789123456789"]
STRINGS = ['""', '"a"', r'"\u0061"', '"ab"', r'"a\u0062"', '"aab"', r'"\naabaabaaa"', '"A"', '"é"',
           r'"\u00e9"', r'"e\u0301"', '"😀"', r'"\ud83d\ude00"', r'"\ud83d"', r'"\uffff"', '"10"',
           r'"\u0000"', r'"\"\\\/"', '"/"', '"日本語"', '"日本"']
WORDS = ["null", "true", "false"]
KEYS = ['"a"', '"b"', '"c"', '"x/y"', '"é"', '"~"', '""', '"0"']
POINTERS = ['""', '"/a"', '"/b"', '"/c"', '"/a/0"', '"/a/1"', '"/a/b"', '"/b/a"', '"/b/a/0"', '"/c/c"',
            '"/x~1y"', r'"/\u00e9"', '"/~0"', '"/"', '"/0"', '"/a/-"', '"/a/01"', '"/a/0/a"']
ORDERED = ("<", "<=", ">", ">=")
MISSING = object()


# --- what is generated: JSON texts ---

def make_value(rng, depth=3):
    kind = rng.randrange(8 if depth > 0 else 5)
    if kind < 2:
        return rng.choice(NUMBERS)
    if kind < 4:
        return rng.choice(STRINGS)
    if kind == 4:
        return rng.choice(WORDS)
    if kind == 5:
        return "[" + ",".join(make_value(rng, depth - 1) for _ in range(rng.randrange(4))) + "]"
    return make_object(rng, depth - 1)


def make_object(rng, depth=3):
    keys = rng.sample(KEYS, rng.randrange(5))
    return "{" + ",".join(f"{key}: {make_value(rng, depth)}" for key in keys) + "}"


def make_data(rng):
    return make_object(rng) if rng.random() < 0.8 else make_value(rng)


def make_operator(rng):
    op = rng.choice(["=", "!=", *ORDERED, *ORDERED, "in", "contains", "prefix", "exists"])
    if op in ORDERED:
        value = rng.choice(NUMBERS + STRINGS)
    elif op == "in":
        value = "[" + ",".join(make_value(rng, 1) for _ in range(rng.randrange(5))) + "]"
    elif op == "prefix":
        value = rng.choice(STRINGS)
    elif op == "exists":
        value = rng.choice(["true", "false"])
    else:
        value = make_value(rng, 2)
    return op, value


def make_condition(rng, depth=2):
    members = {}
    for pointer in rng.sample(POINTERS, rng.choice([0, 1, 1, 1, 2])):
        value = make_value(rng, 1)
        if value.startswith("{") or rng.random() < 0.8:
            ops = dict(make_operator(rng) for _ in range(rng.choice([1, 1, 2])))
            value = "{" + ",".join(f'"{op}":{operand}' for op, operand in ops.items()) + "}"
        members[pointer] = value
    for word in ("and", "or"):
        if depth > 0 and rng.random() < 0.25:
            some = [make_condition(rng, depth - 1) for _ in range(rng.randrange(1, 4))]
            members[f'"{word}"'] = "[" + ",".join(some) + "]"
    if depth > 0 and rng.random() < 0.15:
        members['"not"'] = make_condition(rng, depth - 1)
    return "{" + ",".join(f"{key}:{value}" for key, value in members.items()) + "}"


# --- what conditions mean, once more ---

def parse(text):
    """JSON with all its numbers as they are."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def equal(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    return a == b


def find(data, pointer):
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(data, dict) and name in data:
            data = data[name]
        elif isinstance(data, list) and name in map(str, range(len(data))):
            data = data[int(name)]
        else:
            return MISSING
    return data


def order(a, b):
    """-1, 0, 1, or None."""
    if isinstance(a, str) and isinstance(b, str):
        a, b = (text.encode("utf-8", "surrogatepass") for text in (a, b))
    elif not (isinstance(a, Decimal) and isinstance(b, Decimal)):
        return None
    return (a > b) - (a < b)


def holds_operator(value, op, operand):
    if op == "!=":
        return value is MISSING or not equal(value, operand)
    if op == "exists":
        return (value is not MISSING) == operand
    if value is MISSING:
        return False
    if op == "=":
        return equal(value, operand)
    if op == "in":
        return any(equal(value, one) for one in operand)
    if op == "prefix":
        return isinstance(value, str) and value.startswith(operand)
    if op == "contains":
        if isinstance(value, str):
            return isinstance(operand, str) and operand in value
        return isinstance(value, list) and any(equal(one, operand) for one in value)
    return order(value, operand) in {"<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (1, 0)}[op]


def holds(condition, data):
    for key, value in condition.items():
        if key == "and":
            one = all(holds(part, data) for part in value)
        elif key == "or":
            one = any(holds(part, data) for part in value)
        elif key == "not":
            one = not holds(value, data)
        else:
            found = find(data, key)
            ops = value if isinstance(value, dict) else {"=": value}
            one = all(holds_operator(found, op, operand) for op, operand in ops.items())
        if not one:
            return False
    return True


def merged(target, patch):
    """RFC 7396, as its section 2 has it."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = merged(target.get(name), value)
    return target


# --- the daemon's view ---

def send(client, method, **texts):
    """A request whose parameters are JSON texts; its id."""
    request_id, client.next_id = client.next_id, client.next_id + 1
    params = ",".join(f'"{name}":{text}' for name, text in texts.items())
    client.send_text(f'{{"jsonrpc":"2.0","id":{request_id},"method":"{method}","params":{{{params}}}}}')
    return request_id


def call(client, method, **texts):
    return client.answer(send(client, method, **texts))


def listed(client, where, limit):
    """The ids of all pages; a page may be empty."""
    ids, cursor = [], {}
    while True:
        page = call(client, "record.list", where=where, order='"id"', limit=str(limit), **cursor)
        ids += [item["id"] for item in page["items"]]
        if "cursor" not in page:
            return ids
        cursor = {"cursor": json.dumps(page["cursor"])}


class Followers:
    """Subscriptions with conditions, some to a connection; the views outlive the connections."""

    def __init__(self, conditions):
        self.conditions = conditions
        self.views = [View(f"condition {text}") for text in conditions]
        self.clients = []

    def connect(self, daemon):
        for first in range(0, len(self.views), PER_CONNECTION):
            client = daemon.control()
            views = self.views[first:first + PER_CONNECTION]
            requests = []
            for view, where in zip(views, self.conditions[first:]):
                position = {name: json.dumps(value) for name, value in view.params().items()}
                requests.append(send(client, "subscribe", categories='"*"', where=where, **position))
            numbered = {}
            for view, request_id in zip(views, requests):
                answer = client.answer(request_id)
                view.begin(answer)
                numbered[answer["subscription"]] = view
            self.clients.append((client, numbered))

    def catch_up(self, seq):
        deadline = time.monotonic() + WAIT_S
        for client, numbered in self.clients:
            while not all(view.has_reached(seq) for view in numbered.values()):
                message = client.notification(timeout=deadline - time.monotonic())
                if message["method"] != "hello":
                    numbered[message["params"]["subscription"]].take(message)

    def disconnect(self):
        for client, _ in self.clients:
            client.close()
        self.clients = []


class WhereTest(unittest.TestCase):
    def setUp(self):
        self.seed = int(os.environ.get("SYSRT_SEED", random.randrange(2 ** 32)))
        self.rng = random.Random(self.seed)
        self.daemon = Daemon(config=CONFIG)
        self.addCleanup(self.daemon.close)
        self.writer = self.daemon.control()
        self.addCleanup(self.writer.close)
        self.stored = {}
        self.seq = 0

    def put(self, record_id):
        data = make_data(self.rng)
        self.seq = call(self.writer, "record.put", id=json.dumps(record_id), data=data)["seq"]
        self.stored[record_id] = parse(data)

    def write(self, n):
        for _ in range(n):
            record_id = f"r{self.rng.randrange(RECORDS)}"
            if self.rng.random() < 0.15:
                answer = call(self.writer, "record.delete", id=json.dumps(record_id))
                self.seq = answer.get("seq", self.seq)
                self.stored.pop(record_id, None)
            elif record_id in self.stored and self.rng.random() < 0.3:
                self.patch(record_id)
            else:
                self.put(record_id)

    def patch(self, record_id):
        patch = make_object(self.rng)
        self.seq = call(self.writer, "record.patch", id=json.dumps(record_id), patch=patch)["seq"]
        self.stored[record_id] = merged(self.stored[record_id], parse(patch))

    def expected(self, condition):
        return sorted(i for i, data in self.stored.items() if holds(parse(condition), data))

    def make_conditions(self):
        """Most of them choose some and not all."""
        conditions = []
        while len(conditions) < CONDITIONS:
            condition = make_condition(self.rng)
            if 0 < len(self.expected(condition)) < RECORDS or self.rng.random() < 0.05:
                conditions.append(condition)
        return conditions

    def check_views(self, followers, when):
        followers.catch_up(self.seq)
        for condition, view in zip(followers.conditions, followers.views):
            self.assertEqual(sorted(i for _, i in view.records), self.expected(condition),
                             f"{when}: {condition}, SYSRT_SEED={self.seed}")

    def check_lists(self, conditions):
        for condition in conditions:
            wanted = self.expected(condition)
            why = f"{condition}, SYSRT_SEED={self.seed}"
            self.assertEqual(sorted(listed(self.writer, condition, self.rng.choice([7, 1000]))),
                             wanted, why)
            self.assertEqual(call(self.writer, "record.count", where=condition)["count"],
                             len(wanted), why)

    def test_generated_conditions(self):
        for n in range(RECORDS):
            self.put(f"r{n}")
        conditions = self.make_conditions()
        self.check_lists(conditions)
        followers = Followers(conditions)
        self.addCleanup(followers.disconnect)
        followers.connect(self.daemon)
        self.check_views(followers, "replayed from 0")
        self.write(WRITES)
        self.check_views(followers, "live")
        followers.disconnect()
        self.write(WRITES)
        followers.connect(self.daemon)
        self.check_views(followers, "resumed")
        self.write(WRITES)
        self.check_views(followers, "live again")
        followers.disconnect()
        self.daemon.restart()
        self.writer.close()
        self.writer = self.daemon.control()
        self.addCleanup(self.writer.close)
        self.write(WRITES // 4)
        followers.connect(self.daemon)
        self.check_views(followers, "resumed after a restart")
        self.check_lists(conditions[::10])


class Pages(unittest.TestCase):
    """Listings with a condition that finds little."""

    def test_pages_may_be_empty(self):
        daemon = daemon_for(self)
        with daemon.control() as client:
            for first in range(0, 45000, 5000):
                client.call("record.put_many", category="many", records=[
                    {"id": f"i{n:06}", "data": {"n": n}} for n in range(first, first + 5000)])
            pages, ids = self.read(client, where={"/n": {"in": [44999, 25000]}})
            self.assertEqual(ids, ["i025000", "i044999"])
            self.assertGreaterEqual(pages, 3)
            self.assertEqual(client.call("record.count", category="many",
                                         where={"/n": {"<": 100}})["count"], 100)
            _, ids = self.read(client, where={"/n": {">=": 0}}, offset=30000, limit=1000)
            self.assertEqual(ids, [f"i{n:06}" for n in range(30000, 45000)])

    def read(self, client, **params):
        """How many pages there are, and the ids in them."""
        pages, ids = 0, []
        while True:
            page = client.call("record.list", category="many", order="oldest", **params)
            pages += 1
            ids += [item["id"] for item in page["items"]]
            if "cursor" not in page:
                return pages, ids
            params = {**params, "offset": 0, "cursor": page["cursor"]}


if __name__ == "__main__":
    unittest.main(verbosity=2)

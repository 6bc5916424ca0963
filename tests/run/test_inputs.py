"""Bad input for every parameter of every method, made from what the daemon tells in `methods`:
wrong kinds of values, values beyond their bounds, texts that are none, what is missing, unknown or
given twice. Each gets one clear error, the connection goes on, and nothing is stored.

builds: asan; in check-long: release
valgrind: yes
"""

import itertools
import json
import re
import time
import unittest
from collections import namedtuple

from harness import TEXT, OnControl, OnWebSocket, daemon_for, error_table

# Only with parameters that are refused.
NEVER_CALLED = ("auth", "system.backup", "system.check", "system.compact", "system.reload", "system.shutdown",
                "secret.export", "secret.import", "secret.remove", "secret.rotate", "secret.set", "secret.show",
                "secret.test", "vault.lock", "vault.rekey", "vault.unlock",
                "feed.add", "feed.remove", "feed.replay", "feed.start", "feed.test")
ALONE = ("auth", "subscribe", "secret.export", "secret.import", "secret.set", "secret.show",
         "vault.rekey", "vault.unlock")  # not in a batch
ERRORS = {name: int(number) for name, number, *_ in error_table()}
BATCH_MAX = 100
INT64 = (-2 ** 63 - 1, -2 ** 63, 2 ** 63 - 1, 2 ** 63)
LONE_SURROGATES = [r'"\ud800"', r'"a\udfff"', r'"\ude00\ud83d"']

# Values as they are written in JSON, by type; and the types that the kinds of parameters take.
VALUES = {
    "null": ["null"],
    "boolean": ["true", "false"],
    "number": ["7", "-7", "1.5", "-0", "1e3", "1e400", "9" * 30],
    "string": ['"text"', '""', '"7"', r'"\u0000"'],
    "array": ["[]", "[7]", '["text"]', "[[]]"],
    "object": ["{}", '{"text":7}', '{"prefix":7}'],
}
TAKES = {
    "name": ["string"], "id": ["string"], "string": ["string"], "choice": ["string"],
    "pattern": ["string", "array", "object"], "integer": ["number"], "boolean": ["boolean"],
    "time": ["string", "number"], "duration": ["string", "number"], "array": ["array"],
    "json": list(VALUES), "where": ["object"], "scopes": ["string", "array"],
}
WANTED = {
    "name": "a string", "id": "a string", "string": "a string", "choice": "a string",
    "pattern": 'a string, {"prefix": string}, or an array of these', "boolean": "true or false",
    "integer": "an integer between <min> and <max>", "array": "an array", "where": "an object",
    "time": "an RFC 3339 string, or an integer of milliseconds between <min> and <max>",
    "duration": 'a string such as "30s", or an integer of milliseconds between <min> and <max>',
    "scopes": 'a string such as "read:ticker", or an array of these',
}


# An item of record.restore: the store is not empty, so that it is never written.
RESTORED = {"category": "a", "id": "x", "seq": 2, "rev": 1, "data": 1, "created_at": 5, "updated_at": 5}


FEED = '[feed.x]\nurl = "ws://127.0.0.1:9/"\nenabled = false\n'
MESSAGE = {"at": 1, "text": "1"}  # an item of feed.replay

FOREIGN = {"name": "x", "format": "aes256gcm-pbkdf2", "passphrase": "x", "salt": "A" * 24, "rounds": 1000}


def text(value):
    return json.dumps(value, ensure_ascii=False)


def other_types(*types):
    """The values of all others."""
    return [value for kind, values in VALUES.items() if kind not in types for value in values]


def good_calls(epoch):
    """Calls that are right, by method; together they have every parameter."""
    return {
        "auth": [{"token": "x"}],
        "category.list": [{"category": "a*"}],
        "changes": [{"since": 1, "epoch": epoch, "base": 0, "categories": "a", "ids": "x*",
                     "where": {"/n": [1]}, "limit": 5}],
        "feed.add": [{"name": "y", "definition": {}, "replace": False}],
        "feed.list": [{}],
        "feed.logs": [{"name": "x", "limit": 5}],
        "feed.remove": [{"name": "x"}],
        "feed.replay": [{"name": "x", "items": [MESSAGE]}],
        "feed.show": [{"name": "x"}],
        "feed.start": [{"name": "x"}],
        "feed.stop": [{"name": "x"}],
        "feed.test": [{"name": "x", "definition": {}, "messages": 1, "timeout_ms": 1}],
        "limits.list": [{"limit": 5}],
        "limits.test": [{"rate": "50/s", "method": "ping", "for": "1s", "token": "z"}],
        "methods": [{}],
        "ping": [{}],
        "publish": [{"topic": "a", "data": 1}],
        "record.count": [{"category": "a", "id": "x", "where": {"/n": [1]}}],
        "record.delete": [{"category": "a", "id": "gone"}, {"category": "a", "ids": ["gone", "x"]},
                          {"id": "gone", "if_seq": 0},
                          {"category": "a", "where": {"/n": [2]}, "limit": 5, "cursor": "9"}],
        "record.get": [{"category": "a", "id": "x"}, {"category": "a", "id": "x", "rev": 1},
                       {"category": "a", "id": "x", "at_seq": 1000},
                       {"category": "a", "id": "x", "at_time": "2100-01-01T00:00:00Z"}],
        "record.history": [{"category": "a", "id": "x", "limit": 10, "cursor": "5"}],
        "record.list": [{"category": "a", "id": "x", "name": "x", "updated_after": 0,
                         "updated_before": "2100-01-01T00:00:00Z", "order": "id", "limit": 5,
                         "offset": 0, "where": {"or": [{"/n/0": {">": 0}}]}}, {"name_like": "x%", "cursor": "n:9"}],
        "record.patch": [{"category": "a", "id": "gone", "patch": {"n": [1]}, "if_seq": 0}],
        "record.put": [{"category": "a", "id": "x", "name": "x", "data": {"n": [1]}, "ttl": "9h",
                        "mode": "replace"},
                       {"data": 1, "if_seq": 0, "expires_at": "2100-01-01T00:00:00Z"}],
        "record.put_many": [{"records": [{"id": "x", "data": 1}], "category": "a",
                             "mode": "skip_equal", "results": True, "chained": False}],
        "record.restore": [{"records": [RESTORED], "seq": 9, "chained": False}],
        "record.search": [{"query": "x OR (y -z)", "category": "a", "updated_after": 0,
                           "updated_before": "2100-01-01T00:00:00Z", "where": {"/n": [1]},
                           "order": "newest", "limit": 5, "snippet": 10, "data": True},
                          {"query": "x*", "cursor": "r:9:0"}],
        "secret.export": [FOREIGN],
        "secret.import": [{**FOREIGN, "blob": "A" * 40}],
        "secret.list": [{}],
        "secret.remove": [{"name": "x"}],
        "secret.rotate": [{"name": "x"}],
        "secret.set": [{"name": "x", "value": "x", "encoding": "text"}],
        "secret.show": [{"name": "x"}],
        "secret.test": [{"name": "x"}],
        "session.close": [{"session": 1}],  # the first, which asked whether the daemon is there
        "session.list": [{}],
        "session.show": [{"session": 1}],
        "status": [{}],
        "subscribe": [{"categories": "a", "ids": "x*", "where": {"/n": [1]}, "since": 1,
                       "epoch": epoch, "base": 0},
                      {"categories": "a", "since": 1, "epoch": epoch, "base": 0, "history": True},
                      {"topics": "a"}],
        "system.backup": [{"descriptor": True, "verify": True}],
        "system.check": [{}],
        "system.compact": [{}],
        "system.config": [{}],
        "system.log_level": [{"filter": "info"}],
        "system.reload": [{}],
        "system.shutdown": [{}],
        "system.stats": [{}],
        "token.create": [{"name": "x", "scopes": ["read:a"], "ttl": "9h", "rate": "1/s"},
                         {"name": "y", "scopes": "read", "expires_at": "2100-01-01T00:00:00Z"}],
        "token.list": [{}],
        "token.revoke": [{"name": "z"}],
        "unsubscribe": [{"subscription": 1}],
        "vault.lock": [{}],
        "vault.rekey": [{"passphrase": "x"}],
        "vault.status": [{}],
        "vault.unlock": [{"passphrase": "x", "create": False}, {"key": "00" * 32}],
    }


# Parameters that are arrays of objects, and whose parameters these take, but for some.
OBJECTS = {("record.put_many", "records"): ("record.put", {"mode"})}
MEANING = {"cursor", "epoch", "filter", "for", "method", "query", "rate"}  # texts that are judged once more when they are used


def bad_texts(least, most):
    """Texts that nothing takes: too short, too long, with a NUL, no Unicode."""
    return [*(['""'] if least > 0 else []), text("x" * (most + 1)), text("é" * (most // 2 + 1)),
            r'"a\u0000"', r'"\u0000"', *LONE_SURROGATES]


def bad_names(param):
    return [*bad_texts(param["min"], param["max"]), '"a b"', '"é"', '"a*"', '"$a"', '".a"', '"-a"',
            '"/a"', r'"a\n"', r'"\u007f"']


def bad_ids(param):
    return [*bad_texts(param["min"], param["max"]), r'"\u0001"', r'"a\tb"', r'"a\u007f"']


def bad_numbers(param):
    beyond = {param["min"] - 1, param["max"] + 1, *(n for n in INT64 if not
                                                    param["min"] <= n <= param["max"])}
    return [*map(str, beyond), "1.5", "1e-1", "1e400", "-" + "9" * 30]


def bad_times(param):
    return [*bad_numbers(param), '""', '"7"', '"tomorrow"', '"2100-01-01"', '"2100-01-01T00:00:00"',
            '"2100-02-30T00:00:00Z"', '"2100-01-01T24:00:00Z"', '"2100-01-01T00:00:00Z "',
            '"1969-12-31T23:59:59Z"', '"10000-01-01T00:00:00Z"', r'"2100-01-01T00:00:00Z\u0000"',
            *LONE_SURROGATES]


def bad_durations(param):
    return [*bad_numbers(param), '""', '"7"', '"s"', '"0s"', '"-1s"', '"7 s"', '"7S"', '"7parsecs"',
            '"7s "', '"1e3s"', '"1.s"', '"0.1ms"', '"99999999999w"', '"٣s"', r'"7s\u0000"',
            *LONE_SURROGATES]


def bad_patterns(param):
    """The bounds are those of the terms: a name has up to 128 bytes, an id up to 512."""
    terms = [*bad_texts(1, 512), "null", "7", "[]", '["a"]', "{}", '{"prefix":null}',
             '{"prefix":["a"]}', '{"Prefix":"a"}', '{"prefix":"a","more":1}',
             '{"prefix":"a","prefix":"b"}', r'{"prefix":"\ud800"}', '{"prefix":"%s"}' % ("x" * 513)]
    alone = [term for term in terms if term != '["a"]']
    return [*alone, *(f'["a",{term}]' for term in terms), text(["a"] * (param["max"] + 1))]


def bad_choices(param):
    first, second, *_ = [*param["choices"].split(), "x"]
    return ['""', text(first.upper()), text(first + " "), text(first[:-1]),
            text(f"{first} {second}"), f'"{first}\\u0000"', *LONE_SURROGATES]


def bad_arrays(param):
    return ["[]", text([7] * (param["max"] + 1))]


def bad_items(param):
    """(good item, bad items, what the message begins with) of a parameter that is an array."""
    if param["name"] == "records":
        return text({"data": 1} if param["required"] else RESTORED), ["{}", *other_types("object")], "record 1: "
    if param["name"] == "items":
        return text(MESSAGE), ["{}", '{"at":1}', '{"at":1,"text":"x","base64":"eA=="}',
                               '{"at":1,"base64":"x"}', *other_types("object")], "item 1: "
    return '"gone"', [*bad_ids({"min": 1, "max": 512}), *other_types("string")], "ids, item 1: "


def bad_conditions(param):
    deep = '{"not":' * 16 + "{}" + "}" * 16
    return ['{"text":7}', '{"/a~":1}', '{"/a":{}}', '{"/a":{">":null}}', '{"/a":{"like":"x"}}',
            '{"/a":1,"/a":1}', '{"or":{}}', '{"and":[]}', '{"not":[{}]}', '{"/a":{"in":7}}',
            '{"/a":{"exists":1}}', '{"/a":{"prefix":7}}', deep, r'{"\ud800":1}', r'{"\u0000":1}',
            text({f"/{n}": n for n in range(65)}), text({"/a": {"in": list(range(1001))}}),
            text({"/" + "/".join("x" * 300): 1}), text({"/a": "x" * 16384})]


def bad_scopes(_):
    texts = ['""', '" "', '"reed"', '"read:"', '"read:a,"', '"read:a b"', '"read:$a"', '"admin:a"',
             r'"read\u0000"', '"read:é"', *LONE_SURROGATES]
    return [*texts, *(f'["read",{one}]' for one in [*texts, "7", "null", '["read"]']), "[]",
            text("read:" + ",".join("x" for _ in range(257)))]


def bad_strings(param):
    return bad_texts(param["min"], param["max"])


BAD_VALUES = {
    "name": bad_names, "id": bad_ids, "string": bad_strings, "integer": bad_numbers,
    "time": bad_times, "duration": bad_durations, "pattern": bad_patterns, "choice": bad_choices,
    "array": bad_arrays, "boolean": lambda param: [], "json": lambda param: [],
    "where": bad_conditions, "scopes": bad_scopes,
}
GOOD_VALUES = {
    "name": lambda p: [text("x" * p["max"]), '"x"', '"A-z/0._"', r'"\u0061"'],
    "id": lambda p: [text("x" * p["max"]), text("é" * (p["max"] // 2)), '"$ *"', r'"\ud83d\ude00"',
                     r'"\/\"\\"'],
    "string": lambda p: [text("x" * p["max"]), '""', r'"\ud83d\ude00\n\u007f"'],
    "integer": lambda p: [text(p["min"]), text(p["max"]), f'{p["max"]}.0', f'{p["min"]}e0'],
    "time": lambda p: [text(p["min"]), text(p["max"]), '"2026-11-24 10:00:00.5+01:00"',
                       '"9999-12-31t23:59:59.999z"'],
    "duration": lambda p: [text(p["min"]), text(p["max"]), '"1ms"', '"1h30m"', '"0.5s"'],
    "pattern": lambda p: [text("x" * 128), '"*"', '"x*"', '{"prefix":""}', '{"prefix":"x"}',
                          '["x",{"prefix":"x"},"x"]', text([f"x{n}" for n in range(p["max"])])],
    "choice": lambda p: [text(choice) for choice in p["choices"].split()],
    "array": lambda p: [],
    "boolean": lambda p: VALUES["boolean"],
    "where": lambda p: ["{}", '{"":null}', '{"not":{"/n":{"exists":false}}}', r'{"/\ud800":"\udfff"}',
                        text({f"/{n}": n for n in range(64)}), text({"/a": "x" * 16000})],
    "scopes": lambda p: ['"read"', '"read:a,b* write publish:*"', '["read","admin"]',
                         text("read:" + ",".join("x" for _ in range(256)))],
    "json": lambda p: [*itertools.chain(*VALUES.values()), *LONE_SURROGATES],
}
MARK = b"<here>"
NO_UTF8 = [b"\xff", b"\x80", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"]
NO_JSON = [b"\x01", b"\t", b"\x1f", b"\0"]
UNKNOWN_NAMES = [r'"colour"', r'""', r'"\u0000"', r'"\ud800"', '"__proto__"', text("x" * 1000)]

# `refusal`: what the message matches if it is refused.
Case = namedtuple("Case", "method params refusal")
# Where a method is called by its parameters: those, right calls, and how they become params.
Target = namedtuple("Target", "method params calls wrap context")


def join(members):
    """[(name, value)] as JSON, both as they are written."""
    return "{" + ",".join(f"{name}:{value}" for name, value in members) + "}"


def members_of(call):
    return [(text(name), text(value)) for name, value in call.items()]


def bad_values(param):
    """(value, what the message matches)"""
    wanted = re.sub(r"<(\w+)>", lambda match: str(param[match[1]]), WANTED.get(param["kind"], ""))
    for value in other_types(*TAKES[param["kind"]]):
        yield value, f"{param['name']} must be {re.escape(wanted)}$"
    for value in BAD_VALUES[param["kind"]](param):
        yield value, rf"{param['name']}( must |: )"
    if param["kind"] == "array":
        good, items, context = bad_items(param)
        for item in items:
            yield f"[{good},{item},{good}]", context


def targets(table, calls):
    """All methods, and the objects in arrays that take parameters."""
    rows = {row["method"]: row["params"] for row in table}
    for method, params in rows.items():
        yield Target(method, params, calls[method], lambda members: members, "")
    for (method, name), (inner, without) in OBJECTS.items():
        yield Target(method, [p for p in rows[inner] if p["name"] not in without],
                     [{k: v for k, v in call.items() if k not in without} for call in calls[inner]],
                     lambda members, name=name: f'{{"{name}":[{{"data":1}},{members}]}}',
                     "record 1: ")


def refusals(target):
    """The cases that have to be refused."""
    def case(members, refusal):
        return Case(target.method, target.wrap(join(members)),
                    f"^{re.escape(target.context)}{refusal}")
    known = ", ".join(param["name"] for param in target.params)
    takes = rf" \(known: {known}\)" if known else ": this method takes none"
    for call in target.calls:
        members = members_of(call)
        names = [*UNKNOWN_NAMES, *(text(n.upper()) for n in call), *(text(n + "\0") for n in call)]
        for name in names:
            for at in {0, len(members)}:
                yield case([*members[:at], (name, "7"), *members[at:]],
                           f'unknown parameter ".*"{takes}$')
        for param in target.params:
            name = text(param["name"])
            if param["name"] not in call:
                continue
            others = [m for m in members if m[0] != name]
            if param["required"]:
                yield case(others, f"{param['name']} is missing$")
            escaped = f'"\\u{ord(name[1]):04x}{name[2:]}'
            for again in (name, escaped):
                yield case([*members, (again, text(call[param["name"]]))],
                           f"{param['name']} is given twice$")
            for value, refusal in bad_values(param):
                yield case([*others, (name, value)], refusal)
                yield case([(name, value), *others], refusal)


def right_ones(target):
    """(case, codes of what it may be answered with if not with a result)"""
    for call in target.calls:
        for param in target.params:
            if param["name"] not in call:
                continue
            name = text(param["name"])
            others = [m for m in members_of(call) if m[0] != name]
            codes = ["NOT_FOUND", "CONFLICT", "RESYNC_REQUIRED"]
            codes += ["INVALID_ARGUMENT"] if (param["name"] in MEANING or
                                              target.method == "token.create") else []
            for value in GOOD_VALUES[param["kind"]](param):
                params = target.wrap(join([*others, (name, value)]))
                yield Case(target.method, params, None), codes


def marked_ones(target):
    """Calls with MARK in a name or a text, wherever there is one."""
    for call in target.calls:
        for name, value in call.items():
            members = members_of({k: v for k, v in call.items() if k != name})
            places = [(f'"{name}{MARK.decode()}"', text(value))]
            if isinstance(value, str):
                places.append((text(name), f'"a{MARK.decode()}b"'))
            for place in places:
                yield Case(target.method, target.wrap(join([*members, place])), None)


def combinations(target):
    """Any two parameters, and all of them."""
    values = {name: value for call in reversed(target.calls) for name, value in call.items()}
    for names in [*itertools.combinations(values, 2), tuple(values)]:
        yield Case(target.method, target.wrap(join(members_of({n: values[n] for n in names}))),
                   rf"\b({'|'.join(param['name'] for param in target.params)})\b")


class Inputs:
    """What is sent to one door of one daemon, with a question for the store's seq behind each."""

    def setUp(self):
        self.daemon = daemon_for(self, config=FEED)
        self.peer = self.open()
        self.peer.call("record.put", category="a", id="x", data=1)
        status = self.peer.call("status")
        self.seq = status["store"]["seq"]
        with self.daemon.control() as control:
            self.table = control.call("methods")["items"]
        self.targets = list(targets(self.table, good_calls(status["store"]["epoch"])))
        self.scopes = {row["method"]: row["scope"] for row in self.table}
        self.next_id = 1000

    def open(self):
        raise NotImplementedError

    def request(self, case, head=""):
        return f'{{"jsonrpc":"2.0",{head}"method":"{case.method}","params":{case.params}}}'

    def take(self, ids):
        """The answers to these, each once, and nothing else."""
        answers = {}
        while set(answers) != set(ids):
            message = self.peer.recv()
            if isinstance(message, list) or "method" not in message:
                for answer in message if isinstance(message, list) else [message]:
                    self.assertIn(answer["id"], ids)
                    self.assertNotIn(answer["id"], answers)
                    answers[answer["id"]] = answer
        return [answers[i] for i in ids]

    def exchange(self, case):
        """The answer, and the seq behind it. Both are sent before either is read."""
        first, second = self.next_id, self.next_id + 1
        self.next_id += 2
        self.peer.send_text(self.request(case, f'"id":{first},'))
        self.peer.send_text(f'{{"jsonrpc":"2.0","id":{second},"method":"status"}}')
        answer, status = self.take([first, second])
        return answer, status["result"]["store"]["seq"]

    def error_of(self, answer):
        """(code, message) of a refusal that is as the protocol says."""
        self.assertEqual(set(answer), {"jsonrpc", "id", "error"})
        error = answer["error"]
        self.assertEqual(set(error), {"code", "message", "data"})
        code = error["data"]["code"]
        self.assertEqual(error["code"], ERRORS[code])
        self.assertNotIn(code, ("INTERNAL_ERROR", "DATABASE_ERROR", "IO_ERROR"))
        if code == "UNAVAILABLE":  # what was sent before it was refused
            self.assertIn("chained", error["message"])
        return code, error["message"]

    def check_refusal(self, case, answer):
        with self.subTest(method=case.method, params=case.params[:80]):
            code, message = self.error_of(answer)
            if self.is_denied(case.method):
                self.assertEqual(code, "PERMISSION_DENIED")
                return
            self.assertIn(code, ("INVALID_ARGUMENT", "LIMIT_EXCEEDED"))
            self.assertRegex(message, re.compile(case.refusal, re.DOTALL))

    def is_denied(self, method):
        return self.scopes[method] in ("admin", "secrets") and isinstance(self, OnWebSocket)

    def check_store(self):
        """Behind all that was sent, nothing was stored."""
        counted = self.peer.call("record.count")
        self.assertEqual((counted["seq"], counted["count"]), (self.seq, 1))

    def all_refusals(self):
        return itertools.chain(*map(refusals, self.targets))

    def test_the_calls_have_every_parameter(self):
        for target in self.targets:
            with self.subTest(method=target.method):
                self.assertEqual({name for call in target.calls for name in call},
                                 {param["name"] for param in target.params})
        self.assertEqual({(row["method"], param["name"]) for row in self.table
                          for param in row["params"] if param["kind"] == "array"},
                         {*OBJECTS, ("feed.replay", "items"), ("record.delete", "ids"),
                          ("record.restore", "records")})
        self.assertEqual({param["kind"] for row in self.table for param in row["params"]},
                         set(TAKES))

    def test_refusals(self):
        for case in self.all_refusals():
            answer, seq = self.exchange(case)
            self.check_refusal(case, answer)
            self.assertEqual(seq, self.seq, case)
        self.check_store()

    def test_refusals_in_batches(self):
        cases = [case for case in self.all_refusals() if case.method not in ALONE]
        for start in range(0, len(cases), BATCH_MAX):
            chosen = cases[start:start + BATCH_MAX]
            self.peer.send_text("[%s]" % ",".join(
                self.request(case, f'"id":{n},') for n, case in enumerate(chosen)))
            for case, answer in zip(chosen, self.take(range(len(chosen)))):
                self.check_refusal(case, answer)
        self.check_store()

    def test_refusals_of_notifications(self):
        cases = list(self.all_refusals())
        for case in cases:
            self.peer.send_text(self.request(case))
        self.check_store()
        self.assertEqual(self.peer.answers, {})
        with self.daemon.control() as control:
            stats = control.call("system.stats")
        self.assertEqual(stats["sysrt_peers_notifications_failed_total"], len(cases))

    def test_params_that_are_no_object(self):
        for row, params in itertools.product(self.table, other_types("object")):
            answer, _ = self.exchange(Case(row["method"], params, None))
            self.assertEqual(self.error_of(answer), ("INVALID_REQUEST", "params must be an object"))
        self.check_store()

    def test_nesting(self):
        """As deep as data may be, and one deeper; as deep as a message may be, and one deeper."""
        restored = text(RESTORED).replace('"data": 1', '"data": %s')
        for method, params, depth in (("record.put", '{"data":%s}', 120),
                                      ("record.patch", '{"category":"a","id":"x","patch":%s}', 120),
                                      ("publish", '{"topic":"a","data":%s}', 120),
                                      ("record.put_many", '{"records":[{"data":%s}]}', 120),
                                      ("record.restore", '{"records":[' + restored + "]}", 126)):
            for begin, inner, end in (("[", "", "]"), ('{"a":', "1", "}")):
                deep, deeper, too_deep = (begin * n + inner + end * n for n in (depth, depth + 1, 135))
                answer, _ = self.exchange(Case(method, params % deep, None))
                if method != "record.restore":
                    self.assertIn("result", answer)
                elif self.error_of(answer)[0] == "PERMISSION_DENIED":
                    continue
                else:
                    self.assertIn("the store is not empty", self.error_of(answer)[1])
                answer, _ = self.exchange(Case(method, params % deeper, None))
                code, message = self.error_of(answer)
                self.assertEqual(code, "LIMIT_EXCEEDED")
                self.assertIn(f"is nested {depth + 1} deep, at most {depth} are allowed", message)
                self.peer.send_text(self.request(Case(method, params % too_deep, None), '"id":1,'))
                code, message = self.error_of(self.take([None])[0])
                self.assertEqual(code, "PARSE_ERROR")
                self.assertIn("nested too deeply", message)

    def test_cursors(self):
        for order, cursors in (("newest", ["n:", "n", "o:1", "1", ":1"]),
                               ("oldest", ["o:x", "o:-1", "o:1.0", "o:1e3", "o:+1", "o:1 ", "o: 1",
                                           "o:" + "9" * 17]),
                               ("id", ["i:", "i:a", "n:1"])):
            for cursor in cursors:
                case = Case("record.list", text({"order": order, "cursor": cursor}), "^cursor: ")
                answer, _ = self.exchange(case)
                self.check_refusal(case, answer)
        for order, cursors in (("newest", ["n:", "n:1", "n::1", "n:1:", "r:1:1", "n:1:-1"]),
                               ("rank", ["r:", "r:1:1:1", "n:1:1", "r:1: 1", "r:1:1x"])):
            for cursor in cursors:
                case = Case("record.search",
                            text({"query": "x", "order": order, "cursor": cursor}), "^cursor: ")
                answer, _ = self.exchange(case)
                self.check_refusal(case, answer)
        for cursor in ("", "o:1", "-1", "+1", " 1", "1 ", "1.0", "1e3", "9" * 17):
            case = Case("record.delete", text({"category": "a", "where": {}, "cursor": cursor}),
                        "^cursor: ")
            answer, _ = self.exchange(case)
            self.check_refusal(case, answer)

    def test_a_time_that_is_over(self):
        """It is no error: the record is written, and is gone soon."""
        self.peer.call("subscribe", categories="b")
        self.peer.notification("synced")
        for over in (0, 1, "1970-01-01T00:00:00Z", time.time_ns() // 10 ** 6 - 1):
            put = self.peer.call("record.put", category="b", id="x", data=1, expires_at=over)
            self.assertGreater(put["seq"], self.seq)
            self.assertEqual([self.peer.notification("change")["op"] for _ in range(2)],
                             ["put", "delete"])

    def test_combinations(self):
        """Parameters may contradict each other: then the refusal names one."""
        for case in itertools.chain(*map(combinations, self.targets)):
            if case.method not in NEVER_CALLED:
                before = self.peer.call("status")["store"]["seq"]
                code, message, seq = self.judge_right(case, ("NOT_FOUND", "CONFLICT",
                                                             "INVALID_ARGUMENT"))
                if code == "INVALID_ARGUMENT":
                    self.assertRegex(message, case.refusal)
                    self.assertEqual(seq, before, case)

    def test_right_ones(self):
        """At the bounds, but not beyond."""
        for case, codes in itertools.chain(*map(right_ones, self.targets)):
            if case.method not in NEVER_CALLED:
                self.judge_right(case, codes)

    def judge_right(self, case, codes):
        """Sends it; (code, message, seq behind it), code and message None if it was no refusal."""
        answer, seq = self.exchange(case)
        with self.subTest(method=case.method, params=case.params[:80]):
            if "error" in answer:
                code, message = self.error_of(answer)
                self.assertIn(code, ("PERMISSION_DENIED",) if self.is_denied(case.method)
                              else (*codes, "UNAVAILABLE"), message)
                return code, message, seq
            if case.method == "subscribe":
                self.peer.call("unsubscribe", subscription=answer["result"]["subscription"])
        return None, None, seq


class InputsOnControl(OnControl, Inputs, unittest.TestCase):
    def test_bytes_that_are_no_text(self):
        """In every text: the place is told, with the id null, since there is no request in that."""
        for case in itertools.chain(*map(marked_ones, self.targets)):
            message = self.request(case, '"id":1,').encode()
            for wrong in NO_UTF8 + NO_JSON:
                self.peer.send_raw(message.replace(MARK, wrong) + b"\n")
                code, told = self.error_of(self.take([None])[0])
                self.assertEqual(code, "PARSE_ERROR")
                self.assertRegex(told, rf" at byte {message.index(MARK) + 1}$")
        self.check_store()


class InputsOnWebSocket(OnWebSocket, Inputs, unittest.TestCase):
    def test_bytes_that_are_no_text(self):
        """A frame that is not UTF-8 ends the connection, as RFC 6455 has it."""
        message = b'{"jsonrpc":"2.0","id":1,"method":"record.get","params":{"id":"%s"}}'
        for wrong in NO_UTF8:
            with self.daemon.ws() as other:
                other.send_frame(TEXT, message % wrong)
                self.assertEqual(other.close_code(), 1007)
        for wrong in NO_JSON:
            self.peer.send_frame(TEXT, message % wrong)
            self.assertEqual(self.error_of(self.take([None])[0])[0], "PARSE_ERROR")
        self.check_store()


if __name__ == "__main__":
    unittest.main()

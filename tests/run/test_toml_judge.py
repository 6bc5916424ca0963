"""The TOML reader judged by Python's tomllib and by the public toml-test cases.

Documents are generated, mutated and given to build/tests/toml-decoder; what
tomllib takes must come back the same, what it refuses must be refused, but for
the differences that is_excused() names. TOML_TEST_DIR=<copy of toml-test/tests>
adds its cases for TOML 1.0. SYSRT_BUILD names the build folder, JUDGE_SEED and
JUDGE_ROUNDS repeat a run.

builds: release; in check-long: asan
"""

import datetime
import json
import math
import os
import random
import re
import subprocess
import time
import tomllib
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DECODER = os.path.join(TOP, os.environ.get("SYSRT_BUILD", "build"), "tests", "toml-decoder")
SEED = int(os.environ.get("JUDGE_SEED", time.time_ns() % 1_000_000_000))
ROUNDS = int(os.environ.get("JUDGE_ROUNDS", "5000"))
DEPTH_MAX = 128


def tagged(value):
    """A value of tomllib as untag() makes them from the decoder's JSON."""
    if isinstance(value, dict):
        return {key: tagged(item) for key, item in value.items()}
    if isinstance(value, list):
        return [tagged(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return ("float", "nan")
    if isinstance(value, float):
        return ("float", value, math.copysign(1, value))
    if isinstance(value, datetime.datetime):
        kind = "datetime-local" if value.tzinfo is None else "datetime"
        return (kind, value, value.utcoffset())
    names = {bool: "bool", int: "integer", str: "string", datetime.date: "date-local",
             datetime.time: "time-local"}
    return (names[type(value)], value)


READERS = {
    "string": str,
    "integer": int,
    "float": float,
    "bool": {"true": True, "false": False}.__getitem__,
    "datetime": datetime.datetime.fromisoformat,
    "datetime-local": datetime.datetime.fromisoformat,
    "date-local": datetime.date.fromisoformat,
    "time-local": datetime.time.fromisoformat,
}


def untag(value):
    if isinstance(value, list):
        return [untag(item) for item in value]
    if set(value) == {"type", "value"} and isinstance(value["value"], str):
        plain = tagged(READERS[value["type"]](value["value"]))
        assert plain[0] == value["type"], value
        return plain
    return {key: untag(item) for key, item in value.items()}


def has_wide_integer(value):
    if isinstance(value, dict):
        return any(has_wide_integer(item) for item in value.values())
    if isinstance(value, list):
        return any(has_wide_integer(item) for item in value)
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def judge(raw):
    """What tomllib makes of the text, or None if it refuses it."""
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


# What TOML allows and tomllib does not, and the nearest that it takes.
TOO_STRICT = [
    (rb"(\d\d:\d\d:)60", rb"\g<1>59"),  # RFC 3339 has a leap second, Python's datetime has not
    (rb"\b0000-", rb"2000-"),  # RFC 3339 has a year 0, Python's datetime has not
    (rb"\A\xef\xbb\xbf", b""),  # the public cases want a byte order mark in front passed over
]


def is_excused(raw, theirs, message):
    """True for a known difference: one of TOO_STRICT, or an integer past 64 bits, which the
    specification wants refused and Python has no end of."""
    if theirs is not None:
        return b"64 bits" in message and has_wide_integer(theirs)
    for pattern, nearest in TOO_STRICT:
        raw = re.sub(pattern, nearest, raw)
    return judge(raw) is not None


def read_answer(answer):
    """The decoder's answer as tagged() makes them; None if it refused the text."""
    if answer[:1] != b"+":
        return None
    try:
        return untag(json.loads(answer[1:]))
    except ValueError:
        return "a value that Python has no type for"


class Maker:
    """Makes documents: values with all the freedom of the grammar, tables from few names, so that
    they often collide."""

    INTEGERS = ["0", "+0", "-0", "1_000", "0xdead_BEEF", "0o755", "0b1101_0110", "+99",
                "9223372036854775807", "-9223372036854775808", "0x7FFFFFFFFFFFFFFF", "0x00", "-17"]
    FLOATS = ["0.0", "-0.0", "+1.5", "3.1415", "-0.01", "5e+22", "1e06", "-2E-2", "6.626e-34",
              "224_617.445_991_228", "inf", "-inf", "+inf", "nan", "-nan", "+nan", "1e999", "0e0",
              "4.9e-324", "1.7976931348623157e308", "0.1", "1_0e1_0"]
    TIMES = ["1979-05-27T07:32:00Z", "1979-05-27T00:32:00-07:00", "1979-05-27T00:32:00.999999-07:00",
             "1979-05-27 07:32:00z", "1979-05-27t07:32:00.1234567+23:59", "1979-05-27T07:32:00",
             "1979-05-27 00:32:00.5", "1979-05-27", "2000-02-29", "07:32:00", "23:59:59.999999999",
             "0001-01-01", "9999-12-31T23:59:59Z"]
    PLAIN = ["a", "Z", "0", " ", "\t", "#", "[", "]", "=", ",", ".", "é", "€", "\ud7ff", "\ue000",
             "😀", "\U0010ffff", "\x80", "'"]
    ESCAPES = ["\\b", "\\t", "\\n", "\\f", "\\r", '\\"', "\\\\", "\\u00e9", "\\u0000", "\\uFFFF",
               "\\U0001F600", "\\U0010ffff", "\\ud7ff"]
    KEYS = ["a", "b", "c", "a", "b", '"a"', "'b'", '"\\u0061"']

    def __init__(self, rng):
        self.rng = rng
        self.fresh = 0

    def blank(self):
        return "".join(self.rng.choices(" \t", k=self.rng.choice((0, 0, 1, 1, 2))))

    def newline(self):
        return self.rng.choice(("\n", "\n", "\n", "\r\n"))

    def end(self):
        return self.blank() + self.rng.choice(("", "", "# comment é \t#[")) + self.newline()

    def characters(self, choices):
        return "".join(self.rng.choices(choices, k=self.rng.choice((0, 1, 3, 9))))

    def basic(self):
        return '"' + self.characters(self.PLAIN + self.ESCAPES) + '"'

    def literal(self):
        return "'" + self.characters([c for c in self.PLAIN if c != "'"] + ["\\", '"']) + "'"

    def long_basic(self):
        parts = self.PLAIN + self.ESCAPES + ["\n", "\r\n", "\\\n", "\\  \r\n \t\n", '"x', '""x']
        return '"""' + self.rng.choice(("", "\n", "\r\n")) + self.characters(parts) \
            + self.rng.choice(("", '"', '""')) + '"""'

    def long_literal(self):
        parts = [c for c in self.PLAIN if c != "'"] + ["\\", '"""', "\n", "\r\n", "'x", "''x"]
        return "'''" + self.rng.choice(("", "\n")) + self.characters(parts) \
            + self.rng.choice(("", "'", "''")) + "'''"

    def string(self):
        return self.rng.choice((self.basic, self.literal, self.long_basic, self.long_literal))()

    def gap(self):
        return self.rng.choice(("", "", " ", self.end()))

    def array(self, depth):
        items = [self.gap() + self.value(depth + 1) + self.gap()
                 for _ in range(self.rng.choice((0, 1, 2, 4)))]
        comma = "," + self.gap() if items and self.rng.random() < 0.3 else ""
        return "[" + ",".join(items) + comma + self.gap() + "]"

    def inline_table(self, depth):
        pairs = [self.blank() + self.pair(depth + 1, self.fresh_path) + self.blank()
                 for _ in range(self.rng.choice((0, 1, 2, 3)))]
        return "{" + (",".join(pairs) if pairs else self.blank()) + "}"

    def value(self, depth=0):
        rng = self.rng
        kind = rng.random()
        if kind < 0.25 and depth < 4:
            return rng.choice((self.array, self.inline_table))(depth)
        if kind < 0.55:
            return self.string()
        return rng.choice(rng.choice((self.INTEGERS, self.FLOATS, self.TIMES, ["true", "false"])))

    def fresh_key(self):
        """A key that no other one is."""
        self.fresh += 1
        return self.rng.choice(("k%d", "%d", "-_%d", '"k é\\n%d"', "'k.%d'")) % self.fresh

    def fresh_path(self):
        return self.dotted([self.fresh_key() for _ in range(self.rng.choice((1, 1, 1, 2, 3)))])

    def worn_path(self):
        return self.dotted(self.rng.choices(self.KEYS, k=self.rng.choice((1, 1, 2, 2, 3))))

    def dotted(self, parts):
        return "".join((self.blank() + "." + self.blank() if i else "") + part
                       for i, part in enumerate(parts))

    def pair(self, depth, path):
        return path() + self.blank() + "=" + self.blank() + self.value(depth)

    def document(self):
        """Rich in syntax; every key is new, so it is valid."""
        lines = []
        for _ in range(self.rng.randrange(12)):
            header = self.rng.choice(("[%s]", "[[%s]]")) % (self.blank() + self.fresh_path() + self.blank())
            line = self.rng.choice(("", header, self.pair(0, self.fresh_path), self.pair(0, self.fresh_path)))
            lines.append(self.blank() + line + self.end())
        return "".join(lines).encode()

    def structure(self):
        """Poor in syntax, but tables are opened, extended and defined twice."""
        lines = []
        for _ in range(self.rng.randrange(2, 8)):
            path = self.worn_path()
            value = self.rng.choice(("1", "1", "{}", "{a.b=1,a.c=2}", "[]", "[{}]", "{b={}}"))
            lines.append(self.rng.choice(("[%s]", "[%s]", "[[%s]]", "%s=" + value, "%s=" + value)) % path)
        return "\n".join(lines).encode()

    def mutate(self, raw):
        rng = self.rng
        odd = [b"\x00", b"\x1f", b"\x7f", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xff", b"\r", b"\n",
               b"\xef\xbb\xbf", b"'", b"'''", b'"', b'"""', b"\\", b"\\u12", b"\\ud800", b"\\x41", b"\\e",
               b"\\U00110000", b",", b".", b"=", b"[", b"]", b"[[", b"]]", b"{", b"}", b"_", b"__", b"0",
               b"-", b"+", b":", b"e", b"1", b"9", b"inf", b"true", b"True", b"#", b" ", b"\n\n", b"T", b"Z",
               b"\xc2\xa0", b"1979-13-01", b"24:00:00", b"07:32", b"0x", b"a", b"60", b"0000-"]
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            at = rng.randrange(len(raw) + 1)
            to = at + rng.choice((0, 0, 1, 1, 2, 5, len(raw)))
            raw = raw[:at] + rng.choice((b"", rng.choice(odd))) + raw[to:]
        return raw


def specification():
    """The examples of the specification as (kind, text)."""
    with open(os.path.join(TOP, "tests", "golden", "toml", "specification"), encoding="utf-8") as f:
        parts = re.split(r"^=== (valid|invalid), line \d+\n", f.read(), flags=re.M)
    return zip(parts[1::2], parts[2::2])


def decode_all(texts):
    stream = b"".join(b"%d\n%s" % (len(t), t) for t in texts)
    out = subprocess.run([DECODER, "--texts"], input=stream, stdout=subprocess.PIPE, check=True).stdout
    return out.split(b"\n")[:-1]


def decode_one(text):
    return subprocess.run([DECODER], input=text, capture_output=True, check=False)


class TomlJudge(unittest.TestCase):
    def check_one(self, text, answer):
        theirs = judge(text)
        ours = read_answer(answer)
        if ours is None:
            self.assertRegex(answer, rb"^-[1-9]\d*:[1-9]\d*: .")
        if ours != (None if theirs is None else tagged(theirs)):
            self.assertTrue(is_excused(text, theirs, answer), "seed %d: %r: tomllib says %r, we say %r"
                            % (SEED, text.decode(errors="replace"), theirs, answer))
        return theirs is not None

    def check(self, texts):
        answers = decode_all(texts)
        self.assertEqual(len(answers), len(texts))
        return sum(self.check_one(*both) for both in zip(texts, answers))

    def test_generated(self):
        maker = Maker(random.Random(SEED))
        texts = [maker.document() for _ in range(ROUNDS)]
        self.assertEqual(self.check(texts), len(texts), "the maker makes only TOML")

    def test_structures(self):
        maker = Maker(random.Random(SEED + 1))
        accepted = self.check([maker.structure() for _ in range(4 * ROUNDS)])
        self.assertGreater(accepted, ROUNDS // 10)
        self.assertLess(accepted, 4 * ROUNDS * 9 // 10)

    def test_mutated(self):
        maker = Maker(random.Random(SEED + 2))
        accepted = self.check([maker.mutate(maker.document()) for _ in range(2 * ROUNDS)])
        self.assertGreater(accepted, ROUNDS // 10)
        self.assertLess(accepted, 2 * ROUNDS * 9 // 10)

    def test_depth(self):
        for n, is_good in ((DEPTH_MAX - 1, True), (DEPTH_MAX + 1, False), (100_000, False)):
            for text in (b"a=" + b"[" * n + b"]" * n, b"a=" + b"{a=" * n + b"1" + b"}" * n,
                         b".".join([b"a"] * n) + b"=1", b"[" + b".".join([b"a"] * n) + b"]"):
                result = decode_one(text)
                self.assertEqual(result.returncode, 0 if is_good else 1, text[:40])
                if not is_good:
                    self.assertIn(b"nested more than 128 deep", result.stderr)

    def test_large(self):
        text = b"".join(b'key%d = "value"\n' % n for n in range(100_000))
        started = time.monotonic()
        self.assertEqual(len(json.loads(decode_one(text).stdout)), 100_000)
        self.assertLess(time.monotonic() - started, 10, "cost grows with the square of the keys")

    def test_specification(self):
        """Its examples, and the lines among them that are comments since they are invalid."""
        counts = {"valid": 0, "invalid": 0}
        for kind, text in specification():
            with self.subTest(text):
                counts[kind] += 1
                self.assertEqual(self.check([text.encode()]), kind == "valid")
                for line in re.findall(r"^# (.*# INVALID)$", text, re.M):
                    counts["invalid"] += 1
                    self.assertEqual(self.check([text.replace("# " + line, line).encode()]), 0)
        self.assertEqual(counts, {"valid": 49, "invalid": 18})

    def test_public_cases(self):
        folder = os.environ.get("TOML_TEST_DIR")
        if not folder:
            self.skipTest("TOML_TEST_DIR= names no copy of toml-test/tests")
        with open(os.path.join(folder, "files-toml-1.0.0"), encoding="utf-8") as f:
            names = [line.strip() for line in f if line.strip().endswith(".toml")]
        self.assertGreater(len(names), 500)
        for name in names:
            with self.subTest(name), open(os.path.join(folder, name), "rb") as f:
                result = decode_one(f.read())
                self.assertEqual(result.returncode, 1 if name.startswith("invalid") else 0, result.stderr)
                if name.startswith("valid"):
                    with open(os.path.join(folder, name[:-4] + "json"), encoding="utf-8") as wanted:
                        self.assertEqual(untag(json.loads(result.stdout)), untag(json.load(wanted)))
                else:
                    self.assertRegex(result.stderr, rb"^\d+:\d+: .")


if __name__ == "__main__":
    print("seed", SEED)
    unittest.main()

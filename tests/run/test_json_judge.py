"""The JSON scanner judged by Python's json in strict mode.

Texts are generated, mutated and given to build/tests/json-echo; what Python
takes must come back token for token, what Python refuses must be refused.
SYSRT_BUILD names the build folder, JUDGE_SEED and JUDGE_ROUNDS repeat a run.

builds: release; in check-long: asan
"""

import json
import os
import random
import re
import subprocess
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ECHO = os.path.join(TOP, os.environ.get("SYSRT_BUILD", "build"), "tests", "json-echo")
SEED = int(os.environ.get("JUDGE_SEED", time.time_ns() % 1_000_000_000))
ROUNDS = int(os.environ.get("JUDGE_ROUNDS", "20000"))
DEPTH_MAX = 160

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"]', re.S)


def refuse(name):
    raise ValueError(name + " is not JSON")


def depth_of(text):
    """How deep brackets outside of strings nest."""
    depth = deepest = 0
    for token in TOKEN.findall(text):
        if token in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in "]}":
            depth -= 1
    return deepest


def judge(raw):
    """The compact form of the text, or None if it is not JSON."""
    try:
        text = raw.decode("utf-8")
        json.loads(text, parse_constant=refuse, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None
    if depth_of(text) > DEPTH_MAX:
        return None
    return "".join(TOKEN.findall(text)).encode()


class Maker:
    """Makes texts that are JSON, with all the freedom that the grammar gives."""

    LITERALS = ["null", "true", "false"]
    NUMBERS = [
        "0", "-0", "0.0", "-0.0e-0", "9223372036854775807", "-9223372036854775808",
        "18446744073709551615", "1e308", "1E+400", "1e-400", "0.1", "1.0", "9" * 300,
        "0." + "3" * 300, "1e" + "0" * 50 + "1",
    ]
    ESCAPES = [
        '\\"', "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", "\\u0000", "\\u001F",
        "\\uD83D\\uDE00", "\\ud800", "\\uDFFF", "\\uDE00\\uD83D", "\\uffff", "\\u0041",
    ]
    PLAIN = ["a", " ", "\x7f", "é", "€", "\ud7ff", "\ue000", "\uffff", "😀", "\U0010ffff", "{", "]", ","]

    def __init__(self, rng):
        self.rng = rng

    def space(self):
        return "".join(self.rng.choices(" \t\r\n", k=self.rng.choice((0, 0, 0, 1, 3))))

    def digits(self):
        return "".join(self.rng.choices("0123456789", k=self.rng.choice((1, 1, 2, 5, 19, 40))))

    def number(self):
        rng = self.rng
        if rng.random() < 0.3:
            return rng.choice(self.NUMBERS)
        text = rng.choice(("", "-")) + rng.choice(("0", rng.choice("123456789") + self.digits()))
        if rng.random() < 0.4:
            text += "." + self.digits()
        if rng.random() < 0.4:
            text += rng.choice("eE") + rng.choice(("", "+", "-")) + self.digits()
        return text

    def string(self):
        parts = []
        for _ in range(self.rng.choice((0, 1, 3, 8, 9, 20))):
            parts.append(self.rng.choice(self.ESCAPES if self.rng.random() < 0.3 else self.PLAIN))
        return '"' + "".join(parts) + '"'

    def container(self, depth):
        is_object = self.rng.random() < 0.5
        items = []
        for _ in range(self.rng.choice((0, 1, 2, 4))):
            key = self.space() + self.string() + self.space() + ":" if is_object else ""
            items.append(key + self.space() + self.value(depth + 1) + self.space())
        body = ",".join(items) if items else self.space()
        return "{%s}" % body if is_object else "[%s]" % body

    def value(self, depth=0):
        kind = self.rng.random()
        if kind < 0.5 and depth < 6:
            return self.container(depth)
        if kind < 0.7:
            return self.string()
        return self.number() if kind < 0.9 else self.rng.choice(self.LITERALS)

    def text(self):
        return (self.space() + self.value() + self.space()).encode()

    def mutate(self, raw):
        """One or a few small changes, which mostly make it wrong."""
        rng = self.rng
        odd = [b"\x00", b"\x1f", b"\x7f", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
               b"\xff", b"\xef\xbb\xbf", b"'", b'"', b"\\", b"\\u12", b"\\x41", b",", b":", b"[", b"]",
               b"{", b"}", b"0", b"-", b"+", b".", b"e", b"NaN", b"Infinity", b"//", b"/**/", b"\x0b",
               b"\x0c", b"\xc2\xa0", b"tru", b"nulll", b"\n"]
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            at = rng.randrange(len(raw) + 1)
            to = at + rng.choice((0, 0, 1, 1, 2, len(raw)))
            raw = raw[:at] + rng.choice((b"", rng.choice(odd))) + raw[to:]
        return raw


def echo_all(texts):
    stream = b"".join(b"%d\n%s" % (len(t), t) for t in texts)
    out = subprocess.run([ECHO, "--texts"], input=stream, stdout=subprocess.PIPE, check=True).stdout
    return out.split(b"\n")[:-1]


def echo_one(text):
    return subprocess.run([ECHO], input=text, capture_output=True, check=False)


class JsonJudge(unittest.TestCase):
    def check(self, texts):
        answers = echo_all(texts)
        self.assertEqual(len(answers), len(texts))
        accepted = 0
        for text, answer in zip(texts, answers):
            want = judge(text)
            got = answer[1:] if answer[:1] == b"+" else None
            if got != want:
                self.fail("seed %d: %r: Python says %r, we say %r" % (SEED, text, want, answer))
            accepted += want is not None
        return accepted

    def test_generated(self):
        maker = Maker(random.Random(SEED))
        texts = [maker.text() for _ in range(ROUNDS)]
        self.assertEqual(self.check(texts), len(texts), "the maker makes only JSON")

    def test_mutated(self):
        maker = Maker(random.Random(SEED + 1))
        texts = [maker.mutate(maker.text()) for _ in range(ROUNDS)]
        accepted = self.check(texts)
        self.assertGreater(accepted, ROUNDS // 100, "some mutations are harmless")
        self.assertLess(accepted, ROUNDS * 9 // 10, "most are not")

    def test_tokens_come_back(self):
        for token in ("9223372036854775807", "-9223372036854775808", "18446744073709551615",
                      "1" * 300, "-0." + "7" * 299, "1E+2", "1.00", '"\\u0000"', '"\\ud800"',
                      '"\\uDFFF\\uD800"', '"\\u0041\\/"', '"\\uD83D\\ude00"'):
            text = '[ %s , { "k" : %s } ]' % (token, token)
            result = echo_one(text.encode())
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(result.stdout.decode(), '[%s,{"k":%s}]\n' % (token, token))

    def test_depth(self):
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            inner = b"" if opening == b"[" else b"1"
            fits = opening * DEPTH_MAX + inner + closing * DEPTH_MAX
            self.assertEqual(echo_one(fits).returncode, 0)
            for n in (DEPTH_MAX + 1, 100_000):
                result = echo_one(opening * n + inner + closing * n)
                self.assertEqual(result.returncode, 1)
                self.assertEqual(result.stderr, b"byte %d: nested too deeply\n"
                                 % (DEPTH_MAX * len(opening)))
            self.assertEqual(echo_one(opening * 100_000).returncode, 1)

    def test_large(self):
        text = b"[" + b",".join(b'"%d\\n"' % n for n in range(200_000)) + b"]"
        self.assertEqual(echo_one(text).stdout, text + b"\n")
        text = b'"' + "€".encode() * 1_000_000 + b'"'
        self.assertEqual(echo_one(text).stdout, text + b"\n")


if __name__ == "__main__":
    print("seed", SEED)
    unittest.main()

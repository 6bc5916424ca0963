"""Search: what it finds is what a plain scan of the same records finds, for random queries over
Debian's package catalogue, texts in other scripts, and in the long form a million records in all.

builds: asan; in check-long: release
"""

import bisect
import collections
import json
import subprocess
import unicodedata
import unittest
from array import array
from functools import lru_cache

from harness import BUILD, LONG, TOP, RpcError, daemon_for, seeded, wait_for

# The sanitizer copies whatever grows, each time: with the lists that SQLite's index makes of frequent
# words among many records a page takes it seconds.
SLOW = LONG and BUILD != TOP / "build"
QUERIES = 500 if LONG and not SLOW else 80
EVERY = 1 if LONG else 60  # record of the catalogue
RECORDS = 0 if not LONG else 100_000 if SLOW else 1_000_000  # at least
RANK_LIMIT = 2000 if LONG else 100
DEEP = 4000 if SLOW else 20_000  # a query that finds more is not followed to its end,
WHOLE = 1 if SLOW else 5  # but for the first few
CONFIG = f"""
[search]
rank_limit = {RANK_LIMIT}
timeout = "60s"
"""
PARTS = """
[category."parts.*"]
search = "trigram"
"""

OTHERS = [
    ("Übergröße naïve", ["Crème brûlée à la carte", "U\u0308ber allem", 3.14, -17, "façade–café"]),
    ("Ελληνικά", ["Η γρήγορη αλεπού πηδάει", ["Η γρήγορη", "αλεπού"], "ΓΡΉΓΟΡΗ"]),
    ("Привет мир", ["Съешь ещё этих мягких французских булок", {"k": "да выпей чаю"}]),
    ("東京都", ["東京 大阪 京都", "東京タワー", "日本語の文章"]),
    ("서울", ["빠른 갈색 여우", "게으른 개"]),
    ("שלום עולם", ["מהיר שועל חום", "שלום"]),
    ("مرحبا بالعالم", ["الثعلب البني السريع"]),
    ("😀 smile", ["😀👍 thumbs 😀 up", "thumbs up", "heart❤sign", "1️⃣"]),
    ("OR NOT AND", ["or not and near", "name:x", "it's \"quoted\" (text)", "C++ foo-bar a.b.c"]),
    ("one two", ["one", "two", "two one", {"one": "key"}, [True, None, False, 1e3]]),
    ("\ue000 private", ["a \ue000 b", "a b", "tab\tand\nline"]),
]


@lru_cache(maxsize=None)
def letter(c):
    """What a character comes to in a word: "" for a diacritic that is left out, None for none."""
    if "\u0300" <= c <= "\u030c":
        return ""
    if unicodedata.category(c)[0] not in "LN":
        return None
    if unicodedata.name(c, "").startswith("LATIN"):
        c = unicodedata.normalize("NFD", c)[0]
    return c.lower()


def words_of(text):
    words, word = [], ""
    for c in text + " ":
        small = letter(c)
        if small is not None and (small or word):
            word += small
        elif word:
            words.append(word)
            word = ""
    return words


def values_of(data):
    """The strings and numbers of data, in their order."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, (list, dict)):
        for item in data.values() if isinstance(data, dict) else data:
            yield from values_of(item)
    elif data is not None and not isinstance(data, bool):
        yield json.dumps(data)


class Refused(Exception):
    """The query comes to nothing but exclusions."""


class Words:
    """Which of the strings have a word."""

    def __init__(self, strings):
        table = collections.defaultdict(lambda: array("L"))
        for i, string in enumerate(strings):
            for word in set(string.split()):
                table[word].append(i)
        self.table = table
        self.sorted = sorted(table)

    def places(self, word, is_prefix):
        if not is_prefix:
            return set(self.table.get(word, ()))
        at, found = bisect.bisect_left(self.sorted, word), set()
        while at < len(self.sorted) and self.sorted[at].startswith(word):
            found.update(self.table[self.sorted[at]])
            at += 1
        return found


class Scan:
    """Records, and a plain way to find words in them: a phrase is a part of a string."""

    def __init__(self, records):
        self.places = {(r["category"], r["id"]): i for i, r in enumerate(records)}
        names = [self.flat([r["name"]]) for r in records]
        texts = [self.flat(values_of(r["data"])) for r in records]
        self.parts = [(strings, Words(strings)) for strings in (names, texts)]

    @staticmethod
    def flat(values):
        return "\n".join(f" {' '.join(words_of(v))} " for v in values)

    def term(self, words, is_prefix, is_name):
        phrase = f" {' '.join(words)}{'' if is_prefix else ' '}"
        found = set()
        for strings, table in self.parts[:1 if is_name else None]:
            places = set.intersection(*(table.places(word, is_prefix and n == len(words))
                                        for n, word in enumerate(words, 1)))
            found.update(i for i in places if phrase in strings[i])
        return found

    def find(self, node):
        """None: the node comes to nothing."""
        kind, *rest = node
        if kind == "term":
            return self.term(*rest) if rest[0] else None
        if kind == "any":
            parts = [found for found in map(self.find, rest[0]) if found is not None]
            return set().union(*parts) if parts else None
        wanted = [self.find(n) for n, excluded in rest[0] if not excluded]
        unwanted = [self.find(n) for n, excluded in rest[0] if excluded]
        wanted = [found for found in wanted if found is not None]
        unwanted = [found for found in unwanted if found is not None]
        if not wanted and unwanted:
            raise Refused
        return set.intersection(*wanted).difference(*unwanted) if wanted else None


class Queries:
    """Random queries out of what the records hold: (text, tree)."""

    def __init__(self, random, records):
        self.random = random
        self.records = records

    def a_value(self):
        r = self.random.choice(self.records)
        values = [r["name"], *values_of(r["data"])]
        return self.random.choice([v for v in values if words_of(v)] or ["nothing"])

    def term(self):
        pick = self.random
        words = words_of(self.a_value())
        kind = pick.choice(["word", "word", "prefix", "phrase", "joined", "name", "sign"])
        if kind == "sign":
            return pick.choice(["😀", "+", "…", "❤"]), ("term", [], False, False)
        start = pick.randrange(len(words))
        words = words[start:start + (pick.randint(2, 3) if kind in ("phrase", "joined") else 1)]
        is_prefix = kind == "prefix" or pick.random() < 0.1
        is_name = kind == "name"
        if is_prefix:
            words[-1] = words[-1][:pick.randint(1, 5)]
        shown = (".-/,_"[pick.randrange(5)] if kind == "joined" else " ").join(words)
        shown = shown.upper() if pick.random() < 0.2 and words_of(shown.upper()) == words else shown
        if kind == "phrase" or shown == "OR" or pick.random() < 0.1:
            shown = f'"{shown}"'
        return (f"{'name:' if is_name else ''}{shown}{'*' if is_prefix else ''}",
                ("term", words, is_prefix, is_name))

    def all_of(self, depth):
        parts, texts = [], []
        for n in range(self.random.choice([1, 1, 2, 2, 3])):
            excluded = n > 0 and self.random.random() < 0.4
            if depth < 2 and self.random.random() < 0.15:
                text, node = self.any_of(depth + 1)
                text = f"({text})"
            else:
                text, node = self.term()
            parts.append((node, excluded))
            texts.append(f"{'-' if excluded else ''}{text}")
        return self.random.choice([" ", "  ", "\t", "\u3000"]).join(texts), ("all", parts)

    def any_of(self, depth=0):
        parts = [self.all_of(depth) for _ in range(self.random.choice([1, 1, 1, 2]))]
        return " OR ".join(text for text, _ in parts), ("any", [node for _, node in parts])


def positive_terms(node):
    """(words, is_prefix) of each term that is not excluded."""
    if node[0] == "term":
        return [(node[1], node[2])] if node[1] else []
    parts = node[1] if node[0] == "any" else [n for n, excluded in node[1] if not excluded]
    return [term for part in parts for term in positive_terms(part)]


def begins_with(words, wanted, is_prefix):
    last = len(wanted) - 1
    return (len(words) > last and words[:last] == wanted[:last] and
            (words[last].startswith(wanted[last]) if is_prefix else words[last] == wanted[last]))


def cut(text, start, end):
    return text.encode("utf-16-le")[2 * start:2 * end].decode("utf-16-le")


def catalogue():
    """Records of Debian's package catalogue, as the demo makes them."""
    listing = subprocess.run(["apt-cache", "dumpavail"], stdout=subprocess.PIPE, check=True)
    lines = subprocess.run(["sh", TOP / "packaging" / "scripts" / "catalogue"], check=True,
                           input=listing.stdout, stdout=subprocess.PIPE).stdout.splitlines()
    records = map(json.loads, lines[::EVERY])
    return list({(r["category"], r["id"]): r for r in records}.values())  # some are there twice


def mixed(random, records, n):
    """n more records, out of pieces of these."""
    values = [v.split() for r in records for v in values_of(r["data"])]
    names = [r["name"] for r in records]
    for i in range(n):
        pieces = []
        for _ in range(2):
            words = random.choice(values)
            start = random.randrange(max(1, len(words) - 6))
            pieces.append(" ".join(words[start:start + 8]))
        yield {"category": f"mixed.{i % 7}", "id": f"m{i}", "name": random.choice(names),
               "data": {"n": i // 9, "pieces": pieces}}


class SearchTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.deep = 0
        self.open(CONFIG)

    def open(self, config):
        self.daemon = daemon_for(self, config=config)
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)

    def put(self, records):
        for i in range(0, len(records), 1000):
            self.control.call("record.put_many", records=records[i:i + 1000])

    def wait_for_index(self):
        wait_for(lambda: self.control.call("status")["search"]["lag"] == 0, timeout=300,
                 what="the index to be complete")

    def pages(self, query, most=None, **params):
        """The items of all pages, or of the first, and the last result."""
        items, cursor = [], {}
        while True:
            result = self.control.call("record.search", timeout=120, query=query, limit=1000,
                                       **params, **cursor)
            items += result["items"]
            if "cursor" not in result or (most is not None and len(items) >= most):
                return items, result
            cursor = {"cursor": result["cursor"]}

    def assert_refused(self, query, message, **params):
        with self.assertRaises(RpcError) as caught:
            self.control.call("record.search", query=query, **params)
        self.assertEqual((caught.exception.code, caught.exception.message),
                         ("INVALID_ARGUMENT", message))

    def judge(self, scan, text, tree):
        """How many records the query finds; None: it is refused."""
        try:
            wanted = scan.find(tree)
        except Refused:
            wanted = None
        if wanted is None:
            with self.assertRaises(RpcError, msg=text):
                self.control.call("record.search", query=text)
            return None
        most = None
        if len(wanted) > DEEP:
            self.deep += 1
            most = DEEP if self.deep > WHOLE else None
        items, _ = self.pages(text, most, order="newest", snippet=0)
        found = [scan.places[item["category"], item["id"]] for item in items]
        newest = sorted(wanted, reverse=True)[:max(len(found), most) if most else None]
        self.assertEqual(sorted(found, reverse=True), newest, text)
        seqs = [item["seq"] for item in items]
        self.assertEqual(seqs, sorted(seqs, reverse=True), text)
        self.judge_ranked(scan, text, tree, found)
        return len(wanted)

    def judge_ranked(self, scan, text, tree, newest):
        items, result = self.pages(text)
        found = [scan.places[item["category"], item["id"]] for item in items]
        self.assertEqual(sorted(found), sorted(newest[:RANK_LIMIT]), text)
        scores = [item["score"] for item in items]
        self.assertEqual(scores, sorted(scores, reverse=True), text)
        n = min(len(newest), RANK_LIMIT)
        self.assertEqual((result["total"], result["ranked"], result["capped"]),
                         (n, n, len(newest) > RANK_LIMIT), text)
        for item in items[:50]:
            self.judge_marks(text, tree, item)

    def judge_marks(self, text, tree, item):
        snippet = item["snippet"]
        self.assertLessEqual(len(snippet["text"]), 162 + 2 * snippet["text"].count("·"))
        marks = [cut(item["name"], *m) for m in item["name_matches"]]
        marks += [cut(snippet["text"], *m) for m in snippet["matches"]]
        self.assertTrue(marks, f"{text}: {item}")
        for mark in marks:
            self.assertTrue(len(mark) > 100 or any(begins_with(words_of(mark), *term)
                                                   for term in positive_terms(tree)),
                            f"{text}: {mark!r} in {item}")

    def test_it_finds_what_a_scan_finds(self):
        random = seeded()
        others = [{"category": "other", "id": f"o{i}", "name": name, "data": data}
                  for i, (name, data) in enumerate(OTHERS)]
        records = catalogue() + others
        records += mixed(random, records, max(0, RECORDS - len(records)))
        random.shuffle(records)
        self.put(records)
        self.wait_for_index()  # while it grows, later pages may be ranked by other statistics
        scan = Scan(records)
        results = []
        for n in range(QUERIES):
            text, tree = Queries(random, others if n % 4 == 0 else records).any_of()
            results.append(self.judge(scan, text, tree))
        found = sum(bool(r) for r in results)
        print(f"of {QUERIES} queries over {len(records)} records {found} found something, "
              f"{results.count(None)} were refused")
        self.assertGreater(found, QUERIES / 4)

    def test_parts_of_words(self):
        self.open(PARTS)
        random = seeded()
        records = [{"category": "parts.a", "id": f"o{i}", "name": name, "data": data}
                   for i, (name, data) in enumerate(OTHERS)]
        self.put(records)
        # between two values stands what no query holds, with a space on each side
        values = {r["id"]: [r["name"].lower(), " \ue000 ".join(values_of(r["data"])).lower()]
                  for r in records}
        for _ in range(QUERIES):
            value = random.choice([v for v in "\ue000".join(sum(values.values(), [])).split("\ue000")
                                   if len(v) >= 3 and '"' not in v])
            start = random.randrange(len(value) - 2)
            part = value[start:start + random.randint(3, 8)]
            if not part.strip():
                continue
            items, _ = self.pages(f'"{part}"', category="parts.*", order="newest")
            self.assertEqual({i["id"] for i in items},
                             {n for n, all_of in values.items() if any(part in v for v in all_of)},
                             part)

    def test_a_phrase_stays_in_its_value(self):
        self.put([{"id": "a", "name": "one", "data": ["two", "three four", {"k": "five"}, 6]}])
        for query, n in (('"three four"', 1), ('"two three"', 0), ('"one two"', 0), ('"four five"', 0),
                         ('"five 6"', 0), ("two three", 1), ("k", 0)):
            self.assertEqual(self.control.call("record.search", query=query)["total"], n, query)

    def test_pages_and_filters(self):
        self.put([{"category": f"c.{n % 3}", "id": str(n), "data": f"word number{n}"}
                  for n in range(60)])
        for order in ("rank", "newest"):
            items, cursor, pages = [], {}, 0
            while True:
                result = self.control.call("record.search", query="word", category=["c.1", "c.2"],
                                           order=order, limit=7, **cursor)
                items += result["items"]
                pages += 1
                if "cursor" not in result:
                    break
                cursor = {"cursor": result["cursor"]}
            self.assertEqual(sorted(int(i["id"]) for i in items), [n for n in range(60) if n % 3])
            self.assertEqual((pages, result["total"], result["capped"]), (6, 40, False))
        middle = self.control.call("record.get", category="c.0", id="30")["record"]["updated_at"]
        later = self.control.call("record.search", query="word", updated_after=middle, limit=1000)
        self.assertTrue(all(i["updated_at"] > middle for i in later["items"]))
        earlier = self.control.call("record.search", query="word", updated_before=middle + 1,
                                    limit=1000)
        self.assertEqual(later["total"] + earlier["total"], 60)
        self.assert_refused("word", "cursor: not one that a search in this order gave",
                            cursor="x:1")

    def test_a_condition_beside_the_words(self):
        """Of the records in the index, and of those that are not there yet; a phrase, too."""
        for first in (0, 40):
            self.put([{"id": str(n), "data": {"n": n, "text": f"one word {n % 3}"}}
                      for n in range(first, first + 40)])
            for query in ("word", '"word 1"', "word -2"):
                for where, holds in (({"/n": {">": 25}}, lambda n: n > 25),
                                     ({"/n": {"in": [1, 13, 44]}}, lambda n: n in (1, 13, 44)),
                                     ({"/m": 1}, lambda n: False)):
                    wanted = {str(n) for n in range(first + 40) if holds(n) and
                              {"word": True, '"word 1"': n % 3 == 1, "word -2": n % 3 != 2}[query]}
                    for order in ("rank", "newest"):
                        items, result = self.pages(query, where=where, order=order)
                        self.assertEqual({i["id"] for i in items}, wanted, (query, where, order))
                        self.assertEqual((result["total"], result["capped"]), (len(wanted), False))
            self.wait_for_index()

    def test_what_is_given_of_a_record(self):
        self.put([{"category": "c", "id": "a", "name": "Big word", "data": {"k": [1, "😀 a word"]}}])
        plain = self.control.call("record.search", query="word")["items"][0]
        self.assertEqual(sorted(plain), sorted(("category", "id", "name", "seq", "rev", "updated_at",
                                                "score", "snippet", "name_matches")))
        self.assertEqual(plain["snippet"], {"text": "1 · 😀 a word", "matches": [[9, 13]]})
        self.assertEqual(plain["name_matches"], [[4, 8]])
        whole = self.control.call("record.search", query="word", data=True, snippet=0)["items"][0]
        self.assertEqual(whole["data"], {"k": [1, "😀 a word"]})
        self.assertNotIn("snippet", whole)
        newest = self.control.call("record.search", query="word", order="newest")["items"][0]
        self.assertNotIn("score", newest)

    def test_what_makes_no_sense_is_refused(self):
        self.assert_refused('search ""', "query: an empty phrase at 8")
        self.assert_refused("-word", "query: only exclusions at 1: add a word to look for")
        self.assert_refused("+", "query: nothing to look for: a term needs a letter or a digit")


if __name__ == "__main__":
    unittest.main()

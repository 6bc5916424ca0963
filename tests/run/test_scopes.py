"""Who may do what: every method, as the daemon lists them, called by everybody, with names that their
scopes cover and with others. Each call is refused exactly if the method's row and the table of its
parameters say so, and the refusal names what is missing. What is judged here is written anew, and
shares no line with the daemon.

A new method is judged by itself; only one whose parameters are objects of its own (ITEMS) has to be
made known here.

builds: asan; in check-long: release
"""

import unittest

from harness import Daemon, RpcError, daemon_for, wait_for

COVERED = ["a", "s.1"]      # by SOME below
PREFIXES = ["s.*", "s.1*"]  # likewise, as patterns
OTHERS = ["b", "s"]
WIDER = ["*", "a*", "s*"]

SOME = "a,s.*"
VERBS = ("read", "write", "publish")
ANONYMOUS = [[], *([verb] for verb in VERBS), list(VERBS),
             *([f"{verb}:{SOME}"] for verb in VERBS), ["read", f"write:{SOME}"],
             [f"read:{SOME}", "write:b"]]

TOKENS = [["admin"], [f"read:{SOME}", f"write:{SOME}", f"publish:{SOME}"],
          ["admin", "read:a", "write:s.*"], ["secrets:a,s.*"], ["secrets"]]

VALUES = {"name": "x", "pattern": "x", "id": "x", "string": "1", "integer": 1, "boolean": False,
          "time": 1, "duration": 1, "json": 1, "where": {"/a": 1}, "scopes": "admin"}
ITEMS = {"record.put_many": {"data": 1},
         "record.restore": {"id": "x", "seq": 1, "rev": 1, "data": 1, "created_at": 1,
                            "updated_at": 1}}
STANDARD = {"name": "general"}  # of a parameter that is not given


def covers(scopes, verb, name):
    """Whether a list of scopes has the verb for a name, or for a prefix that ends in "*"."""
    for scope in scopes:
        have, _, names = scope.partition(":")
        if have != verb:
            continue
        for pattern in names.split(",") if names else ["*"]:
            if pattern.endswith("*") and name.startswith(pattern[:-1]) or pattern == name:
                return True
    return False


def judge(row, scopes, given):
    """What is missing: {"write:b", ...}; given: {parameter: [name, ...]}, as far as they were."""
    missing, named = set(), set()
    if row["scope"] == "admin" and not covers(scopes, "admin", "*"):
        return {"admin"}
    for param in row["params"]:
        verb = param.get("touches")
        names = given.get(param["name"], [])
        if verb and not names and param["kind"] in STANDARD:
            names = [STANDARD[param["kind"]]]
        if verb and not names and row["method"] == "category.list":
            named |= {verb} if any(s.startswith(verb) for s in scopes) else set()
        for name in names if verb else []:
            named.add(verb)
            if not covers(scopes, verb, name):
                missing.add(verb if name == "*" else f"{verb}:{name}")
    if row["scope"] not in {"none"} | named and not covers(scopes, row["scope"], "*"):
        missing.add(row["scope"])
    return missing


def cases_of(row):
    """[(params, {parameter: names})]: with each parameter that names something, in all ways."""
    base = {p["name"]: p["choices"].split()[0] if p["kind"] == "choice" else VALUES.get(p["kind"])
            for p in row["params"] if p["required"]}
    touching = [p for p in row["params"] if "touches" in p]
    if not touching:
        return [(base, {})]
    cases = []
    for param in touching:
        names = COVERED + OTHERS
        if param["kind"] == "pattern":
            lists = [[n] for n in names + PREFIXES + WIDER] + [["a", "s.*"], ["a", "b"]]
            values = [(v[0] if len(v) == 1 else v, v) for v in lists] + [({"prefix": "s."}, ["s.*"])]
        elif param["kind"] == "array":
            item = ITEMS[row["method"]]
            values = [([{"category": n, **item} for n in list_], list_)
                      for list_ in ([n] for n in names)]
            values += [([{"category": n, **item} for n in ("a", "s.2", "b")], ["a", "s.2", "b"])]
        else:
            values = [(n, [n]) for n in names]
        cases += [({**base, param["name"]: value}, {param["name"]: names}) for value, names in values]
        if not param["required"]:
            cases.append((base, {}))
    return cases


class Matrix(unittest.TestCase):
    """By callers of the network whose scopes are those of websocket.anonymous, or of a token."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon()
        cls.addClassCleanup(cls.daemon.close)
        with cls.daemon.control() as control:
            cls.table = control.call("methods")["items"]

    def outcome(self, peer, method, params):
        """What the answer says is missing; None when it was no denial."""
        try:
            peer.call(method, **params)
        except RpcError as error:
            if error.code == "PERMISSION_DENIED" and "vault.allow_read" not in error.message:
                self.assertIn(f"{method} needs ", error.message)
                return error.message.partition(" needs ")[2].partition(",")[0]
            self.assertNotEqual(error.code, "INTERNAL_ERROR", error.message)
            self.assertEqual(error.code == "UNAUTHENTICATED", method == "auth", error.message)
        return None

    def check(self, peer, row, scopes):
        for params, given in cases_of(row):
            missing = judge(row, scopes, given)
            got = self.outcome(peer, row["method"], params)
            what = (scopes, row["method"], params, missing, got)
            if missing:
                self.assertIn(got, missing, what)
            else:
                self.assertIsNone(got, what)

    def set_anonymous(self, scopes):
        listed = ", ".join(f'"{scope}"' for scope in scopes)
        self.daemon.configure(f"[websocket]\nanonymous = [{listed}]\n")

    def test_every_method_by_everybody(self):
        for scopes in ANONYMOUS:
            self.set_anonymous(scopes)
            with self.daemon.ws() as ws:
                for row in self.table:
                    self.check(ws, row, scopes)

    def test_every_method_by_everybody_with_a_token(self):
        for number, scopes in enumerate(TOKENS):
            with self.daemon.control() as control:
                token = control.call("token.create", name=f"m{number}", scopes=scopes)["token"]
            with self.daemon.ws(headers={"Authorization": f"Bearer {token}"}) as ws:
                for row in self.table:
                    if row["method"] != "system.shutdown" or "admin" not in scopes:
                        self.check(ws, row, scopes)

    def test_every_method_by_strangers(self):
        """Who has shown no token where one is needed, a bad one, or one that is not good any more."""
        with self.daemon.control() as control:
            token = control.call("token.create", name="gone", scopes="read")["token"]
            control.call("token.revoke", name="gone")
            short = control.call("token.create", name="short", scopes="read", ttl=1)["token"]
        self.daemon.configure('[websocket]\nauth = "required"\n')
        with self.daemon.ws() as ws:
            for bad in (token, short, "x"):
                with self.assertRaises(RpcError) as caught:
                    ws.call("auth", token=bad)
                self.assertEqual(caught.exception.code, "UNAUTHENTICATED")
            for row in self.table:
                for params, _ in cases_of(row):
                    with self.assertRaises(RpcError) as caught:
                        ws.call(row["method"], **params)
                    self.assertEqual(caught.exception.code, "UNAUTHENTICATED", row["method"])

    def test_methods_that_name_nothing_need_no_scope_but_admin(self):
        """So that whoever adds a method of records or topics sees that it names none."""
        for row in self.table:
            touched = {p["touches"] for p in row["params"] if "touches" in p}
            with self.subTest(method=row["method"]):
                self.assertTrue(row["scope"] in ("none", "admin") or row["scope"] in touched)


class Secrets(unittest.TestCase):
    """Who says where a feed sends them could read them there."""

    def test_those_of_a_feed_need_their_scope(self):
        daemon = daemon_for(self)
        url = "ws://127.0.0.1:1/"
        uses = [({"headers": ["X: a${secret:b}"]}, "b"), ({"headers": ["X: $${secret:b}"]}, None),
                ({"on_connect": ["hello", {"send": "${secret:a}${secret:s}"}]}, "s"),
                ({"app_ping": "\\${secret:s.1}", "app_ping_every": "1s"}, None),
                ({"sign_secret": "b", "sign_text": "x", "app_ping": "${signature}"}, "b"),
                ({"sign_secret": "a", "sign_text": "${secret:b}", "app_ping": "${signature}"}, "b")]
        callers = {}
        with daemon.control() as control:
            for name, scopes in (("admin", ["admin"]), ("some", ["admin", f"secrets:{SOME}"]),
                                 ("all", ["admin", "secrets"])):
                token = control.call("token.create", name=name, scopes=scopes)["token"]
                callers[name] = daemon.ws(headers={"Authorization": f"Bearer {token}"})
                self.addCleanup(callers[name].close)
            callers["control"] = control
            for use, lacks in uses:
                definition = {"url": url, "enabled": False, **use}
                needs = {"some": lacks, "admin": "" if "$${" not in str(use) else None}
                for who, caller in callers.items():
                    for method, params in (
                            ("feed.test", {"timeout_ms": 1}),
                            ("feed.add", {"name": "f", "replace": True})):
                        missing = needs.get(who)
                        with self.subTest(who=who, method=method, use=use):
                            try:
                                caller.call(method, definition=definition, **params)
                                self.assertIsNone(missing)
                            except RpcError as error:
                                self.assertIsNotNone(missing, error)
                                self.assertEqual(error.code, "PERMISSION_DENIED")
                                self.assertIn(f"{method} needs secrets:{missing}", error.message)
            callers["admin"].call("feed.test", name="f", timeout_ms=1)  # to where it goes anyway


class Narrowing(unittest.TestCase):
    """What changes under a session that goes on."""

    def setUp(self):
        self.daemon = daemon_for(self)
        with self.daemon.control() as control:
            for category in ("a", "a.b", "b"):
                control.call("record.put", category=category, id="1", data=1)

    def set_anonymous(self, *scopes):
        listed = ", ".join(f'"{scope}"' for scope in scopes)
        self.daemon.configure(f"[websocket]\nanonymous = [{listed}]\n")

    def test_subscriptions_that_lose_their_scope_end(self):
        with self.daemon.ws() as ws, self.daemon.control() as control:
            numbers = {names: ws.call("subscribe", **{kind: list(names)})["subscription"]
                       for kind, names in (("categories", ("a",)), ("categories", ("a*",)),
                                           ("categories", ("a", "b")), ("topics", ("b",)),
                                           ("topics", ("a.b",)))}
            self.set_anonymous("read:a,a.b")
            ended = [ws.notification("unsubscribed") for _ in range(3)]
            self.assertEqual({e["subscription"] for e in ended},
                             {numbers[("a*",)], numbers[("a", "b")], numbers[("b",)]})
            self.assertTrue(all(e["reason"] for e in ended))
            for category in ("b", "a"):
                control.call("record.put", category=category, id="2", data=2)
            change = ws.notification("change")
            self.assertEqual((change["category"], change["subscription"]), ("a", numbers[("a",)]))
            self.assertEqual(control.call("publish", topic="b", data=1)["receivers"], 0)
            self.assertEqual(control.call("publish", topic="a.b", data=1)["receivers"], 1)
            with self.assertRaises(RpcError) as caught:
                ws.call("record.put", category="a", data=1)
            self.assertIn("needs write:a, ", caught.exception.message)

    def test_subscriptions_in_replay_end_too(self):
        with self.daemon.ws() as ws:
            ws.call("subscribe", categories="*", since=0)
            self.set_anonymous("read:a")
            self.assertEqual(ws.notification("unsubscribed")["subscription"], 1)
            ws.call("ping")

    def test_what_is_wider_is_refused_not_narrowed(self):
        self.set_anonymous("read:a*")
        with self.daemon.ws() as ws:
            for method in ("record.list", "record.count", "record.search", "changes"):
                for params in ({}, {"category": "*"}, {"category": ["a", "b"]}):
                    if method == "changes" and params:
                        params = {"categories": params["category"]}
                    more = {"record.search": {"query": "x"}, "changes": {"since": 0}}
                    with self.assertRaises(RpcError) as caught:
                        ws.call(method, **params, **more.get(method, {}))
                    self.assertEqual(caught.exception.code, "PERMISSION_DENIED", (method, params))
            self.assertEqual(ws.call("record.count", category="a*")["count"], 2)

    def test_categories_are_listed_as_far_as_they_may_be_read(self):
        self.set_anonymous("read:a,b")
        with self.daemon.ws() as ws:
            self.assertEqual([c["category"] for c in ws.call("category.list")["items"]], ["a", "b"])
            with self.assertRaises(RpcError):
                ws.call("category.list", category="a*")
        self.set_anonymous("write")
        with self.daemon.ws() as ws, self.assertRaises(RpcError) as caught:
            ws.call("category.list")
        self.assertIn("needs read, ", caught.exception.message)

    def test_scores_tell_nothing_of_what_may_not_be_read(self):
        """Not how many records hold a phrase, nor how long they are: in memory, and in the index."""
        def scores():
            return [(item["id"], item["score"]) for item in
                    ws.call("record.search", query='"merger acme" OR rare', category="a")["items"]]

        def wait_indexed():
            wait_for(lambda: (s := control.call("status")["search"])["lag"] == 0
                     and s["state"] == "ready", what="the index")
        self.set_anonymous("read:a")
        with self.daemon.ws() as ws, self.daemon.control() as control:
            control.call("record.put", category="a", id="short", data="merger acme")
            control.call("record.put", category="a", id="long", data="merger acme or something else")
            wait_indexed()
            before = scores()
            self.assertEqual([name for name, _ in before], ["short", "long"])
            control.call("record.put_many", category="b", records=[
                {"id": str(i), "data": "merger acme and a long text behind it"} for i in range(50)])
            self.assertEqual(scores(), before)
            wait_indexed()
            self.assertEqual(scores(), before)
            everything = control.call("record.search", query='"merger acme"', category="a")["items"]
            self.assertNotEqual([(item["id"], item["score"]) for item in everything], before)

    def test_a_listener_of_the_command_line_keeps_its_scopes(self):
        """Those of the control socket have nothing to do with those of the network."""
        with self.daemon.control() as control:
            control.call("subscribe", categories="*")
            self.set_anonymous()
            control.call("record.put", category="a", id="3", data=1)
            self.assertEqual(control.notification("change")["id"], "3")


if __name__ == "__main__":
    unittest.main()

"""What a person at a terminal meets: help, completion, tables that fit, colors, and data that tries
to take the terminal over.

builds: release; in check-long: asan
"""

import json
import os
import re
import subprocess
import unittest

from harness import TIMEOUT_S, TOP
from terminal import columns_of, run_on_terminal
from test_ctl import CTL, CtlTest

# All that a terminal would act on: controls, and what turns the direction of text.
DANGEROUS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
EVIL = "a\x1b]0;owned\x07\x1b[2J\nb\tc\x7fd\x85e\x9bmf\u202eg\u2066h\u200fi\u2028j\ufeffk"


class Help(unittest.TestCase):
    def run_ctl(self, *args):
        done = subprocess.run([CTL, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=TIMEOUT_S)
        self.assertEqual((done.returncode, done.stderr), (0, ""), args)
        return done.stdout

    def commands(self):
        """{name: help} of the list that --help prints."""
        listing = self.run_ctl("--help").split("\n\n")[2].replace("\n" + " " * 17, " ")
        return dict(re.match(r"  (\S+(?: \S+)?)  +(\S.*)", line).groups()
                    for line in listing.splitlines())

    def test_all_commands_are_there(self):
        self.assertEqual(sorted(self.commands()), sorted(
            "status ping put patch get history diff del ls search count watch changes import export call methods "
            "publish backup check compact restore migrate config reload log-level shutdown version completion help".split() +
            ["category list", "limits list", "limits test", "session list", "session show", "session close",
             "token create", "token list", "token revoke"] +
            [f"secret {verb}" for verb in "set list show remove rotate test import export".split()] +
            [f"vault {verb}" for verb in "unlock lock rekey status".split()] +
            [f"feed {verb}" for verb in "ls show add rm start stop test replay logs".split()]))

    def test_each_command(self):
        for command, told in self.commands().items():
            with self.subTest(command=command):
                text = self.run_ctl(*command.split(), "--help")
                self.assertEqual(self.run_ctl("help", *command.split()), text)
                self.assertEqual(self.run_ctl("-q", *command.split(), "-h"), text)
                self.assertTrue(text.startswith(f"usage: sysrtctl {command} [options]"))
                self.assertIn(f"\n\n{told}.\n", text)
                self.assertIn("--timeout TIME", text)
                for line in text.splitlines():
                    self.assertLess(len(line), 80, line)

    def test_groups_and_all(self):
        for group in ("session", "category"):
            text = self.run_ctl(group, "--help")
            self.assertEqual(self.run_ctl("help", group), text)
            self.assertIn(f"  {group} list ", text)
            self.assertNotIn("log-level", text)
        self.assertEqual(self.run_ctl("help"), self.run_ctl("-h"))
        self.assertEqual(self.run_ctl("help"), self.run_ctl("--help"))
        self.assertIn("130 interrupted", self.run_ctl("help"))


FILES = {"bash": "sysrtctl.bash", "zsh": "_sysrtctl", "fish": "sysrtctl.fish"}
COMPLETIONS = TOP / "packaging" / "completions"


class Completion(unittest.TestCase):
    maxDiff = None

    def test_files_are_what_is_printed(self):
        for shell, name in FILES.items():
            with self.subTest(shell=shell):
                done = subprocess.run([CTL, "completion", shell], stdout=subprocess.PIPE, check=True)
                self.assertEqual((COMPLETIONS / name).read_bytes(), done.stdout,
                                 f"sysrtctl completion {shell} >packaging/completions/{name}")

    def test_shells_that_are_here_can_read_them(self):
        checked = ["bash"]
        for shell in ("zsh", "fish"):  # where packaging/deps has them
            if re.search(rf"\b{shell}\b", (TOP / "packaging" / "deps").read_text()):
                checked.append(shell)
        for shell in checked:
            subprocess.run([shell, "-n", COMPLETIONS / FILES[shell]], check=True)

    def complete(self, *words):
        """What bash offers for the last word."""
        script = ('source "$1"; shift; COMP_WORDS=(sysrtctl "$@"); COMP_CWORD=$#; '
                  'declare -F _sysrtctl >/dev/null && complete -p sysrtctl >/dev/null && _sysrtctl && '
                  '(( ${#COMPREPLY[@]} == 0 )) || printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-euc", script, "bash", COMPLETIONS / "sysrtctl.bash", *words],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=TIMEOUT_S)
        self.assertEqual((done.returncode, done.stderr), (0, ""), words)
        return done.stdout.split()

    def test_bash(self):
        commands = ("status ping put patch get history diff del ls search count category watch changes import "
                    "export publish call methods limits session token secret vault feed config reload log-level backup check compact restore migrate shutdown version completion help").split()
        for words, wanted in (
                (("",), commands),
                (("st",), ["status"]),
                (("--color", "never", "-o", "json", "pu"), ["put", "publish"]),
                (("--color", "=", "never", "pin"), ["ping"]),
                (("--socket", "category", "cat"), ["category"]),
                (("--socket", ""), []),  # files
                (("session", ""), ["list", "show", "close"]),
                (("session", "cl"), ["close"]),
                (("session", "close", ""), []),
                (("category", ""), ["list"]),
                (("completion", ""), ["bash", "zsh", "fish"]),
                (("completion", "bash", ""), []),
                (("help", "pi"), ["ping"]),
                (("help", ""), commands),
                (("ls", ""), []),
                (("ls", "--na"), ["--name", "--name-like"]),
                (("ls", "--order", ""), ["newest", "oldest", "id"]),
                (("ls", "--order", "=", "n"), ["newest"]),
                (("ls", "--order", "="), ["newest", "oldest", "id"]),
                (("ls", "--limit", "--"), []),
                (("ls", "-o", ""), ["table", "json", "ndjson"]),
                (("ls", "--output", "=", "j"), ["json"]),
                (("import", "file", "--on-error", ""), ["stop", "skip"]),
                (("put", "a", "b", "--t"), ["--text", "--ttl", "--timeout", "--token-file"]),
        ):
            with self.subTest(words=words):
                self.assertEqual(sorted(self.complete(*words)), sorted(wanted))
        self.assertLessEqual({"--since", "--state", "--topic", "--help", "-q", "-o", "--socket"},
                             set(self.complete("watch", "-")))

    def test_every_option_is_in_every_script(self):
        """What the help of each command has; where it is, bash offers it behind the command."""
        texts = {shell: (COMPLETIONS / name).read_text() for shell, name in FILES.items()}
        commands = [(first, *([second] if first not in ("completion", "help") and second else []))
                    for first in self.complete("") for second in self.complete(first, "") or [""]]
        self.assertIn(("token", "create"), commands)
        for command in commands:
            told = subprocess.run([CTL, *command, "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
            options = re.findall(r"^ +(?:-\w, )?--([a-z-]+)", told, re.MULTILINE)
            self.assertLessEqual({f"--{option}" for option in options}, set(self.complete(*command, "--")), command)
            for option in options:
                for shell, text in texts.items():
                    self.assertIn(f"-l {option} " if shell == "fish" else f"--{option}", text, command)


class TerminalTest(CtlTest):
    def on_terminal(self, *args, columns=80, status=0, **options):
        """What a command prints on a terminal."""
        got, text = run_on_terminal([CTL, "--socket", self.daemon.socket, *args], columns=columns,
                                    **options)
        self.assertEqual(got, status, text)
        return text


class Tables(TerminalTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.daemon.control() as control:
            for n, name in enumerate(("short", "a longer name that goes on " * 9, "日本語の名前" * 12,
                                      "e\u0301" * 40, "\U0001f600 " * 30)):
                control.call("record.put", category="t", id=f"id {n}", name=name,
                             data={"text": "数" * n * 20, "n": n})

    def test_they_fit(self):
        for columns in (20, 40, 79, 80, 200, 1000):
            for args in (("ls",), ("changes", "-q"), ("methods",), ("config",), ("session", "list"),
                         ("category", "list")):
                with self.subTest(columns=columns, args=args):
                    lines = self.on_terminal(*args, columns=columns).splitlines()
                    self.assertGreater(len(lines), 1)
                    for line in lines:
                        bare = re.sub("\x1b\\[[01]m", "", line)
                        self.assertLessEqual(columns_of(bare), columns, bare)

    def test_every_column_has_its_share(self):
        heading, *rows = self.on_terminal("ls", "--color=never", "--order=id").splitlines()
        self.assertEqual(heading.split(), ["category", "id", "name", "rev", "seq", "updated_at",
                                           "data"])
        self.assertIn("short", rows[0])
        self.assertIn("…", rows[1], "what is cut says so")
        at = [columns_of(row[:row.index("{")]) for row in rows]
        self.assertEqual(at, [columns_of(heading[:heading.index("data")])] * 5, "columns are straight")

    def test_nothing_is_cut_where_there_is_room(self):
        text = self.on_terminal("ls", "--order", "id", columns=1000)
        self.assertNotIn("…", text)
        self.assertIn("日本語の名前" * 12, text)

    def test_a_terminal_without_a_size(self):
        for line in self.on_terminal("ls", "--color=never", columns=0).splitlines():
            self.assertLessEqual(columns_of(line), 80)

    def test_formats_on_a_terminal(self):
        self.assertRegex(self.on_terminal("status"), r"(?m)^version +\d")
        self.assertEqual(json.loads(self.on_terminal("status", "-o", "json"))["pid"], self.daemon.pid)
        self.assertEqual(self.on_terminal("count"), "5\n")

    def test_color(self):
        bold = "\x1b[1m"
        for wanted, args, env in ((True, (), {}), (False, (), {"NO_COLOR": "1"}),
                                  (True, (), {"NO_COLOR": ""}), (False, ("--color", "never"), {}),
                                  (True, ("--color", "auto"), {}),
                                  (True, ("--color", "always"), {"NO_COLOR": "1"})):
            with self.subTest(args=args, env=env):
                text = self.on_terminal("ls", *args, env=env)
                self.assertEqual(text.startswith(bold), wanted)
                self.assertEqual(text.count("\x1b["), 2 if wanted else 0)
        self.assertNotIn("\x1b", self.ctl("ls", "-o", "table"))
        self.assertTrue(self.ctl("ls", "-o", "table", "--color=always").startswith(bold))


class Escapes(TerminalTest):
    """Whatever is in the data, the terminal gets only text."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.daemon.control() as control:
            request = {"jsonrpc": "2.0", "id": 1, "method": "record.put", "params": {
                "category": "e", "id": "i\u202ed", "name": EVIL, "data": {EVIL: [EVIL], "n": 1.5}}}
            control.send_text(json.dumps(request, ensure_ascii=False))
            control.answer(1)
            cls.record = control.call("record.get", category="e", id="i\u202ed")["record"]

    def safe(self, *args, **options):
        text = self.on_terminal(*args, "--color=never", **options)
        self.assertIsNone(DANGEROUS.search(text), repr(text))
        return text

    def test_tables(self):
        for args in (("ls",), ("changes", "-q")):
            for columns in (40, 1000):
                self.safe(*args, columns=columns)
        shown = "a\\x1b]0;owned\\x07\\x1b[2J\\x0ab\\x09c\\x7fd\\x85e\\x9bmf\\u202eg\\u2066h\\u200fi" \
                "\\u2028j\\ufeffk"
        self.assertIn(shown, self.safe("ls", columns=1000))
        record = self.safe("get", "e", "i\u202ed")
        self.assertIn(f"name                     {shown}\n", record)
        self.assertIn("id                       i\\u202ed\n", record)

    def test_json_is_the_same_value(self):
        for args in (("get", "e", "i\u202ed", "-o", "json"), ("ls", "-o", "ndjson"),
                     ("changes", "-q", "-o", "ndjson"),
                     ("call", "record.get", '{"category": "e", "id": "i\\u202ed"}')):
            with self.subTest(args=args):
                value = json.loads(self.safe(*args))
                self.assertEqual(value.get("record", value)["data"], self.record["data"])
        self.assertEqual(json.loads(self.safe("get", "e", "i\u202ed", "--data")), self.record["data"])

    def test_in_a_pipe_nothing_is_escaped(self):
        self.assertIn("\u202e", self.ctl("get", "e", "i\u202ed", "--data"))

    def test_errors(self):
        for status, args in ((4, ("get", "e", "no\u202e such\u2066")), (1, ("call", "m\x1b[2J\u202e")),
                             (2, (EVIL,)), (2, ("ls", f"--{EVIL}")), (2, ("ls", "--order", EVIL)),
                             (2, ("session", EVIL)), (2, ("help", EVIL)), (1, ("import", EVIL)),
                             (1, ("put", "a", "b", f"@{EVIL}")), (1, ("log-level", EVIL)),
                             (2, ("changes", "--since", EVIL)), (1, ("put", "a", "b", "1", "--ttl", EVIL)),
                             (3, ("status", "--socket", "/nowhere/" + EVIL))):
            with self.subTest(args=args):
                text = self.safe(*args, status=status)
                self.assertRegex(text, r"\Asysrtctl: [^\n]+\n\Z")

    def test_bad_bytes_on_the_command_line(self):
        text = self.safe("get", "e", os.fsdecode(b"\xff\x9b"), status=2)
        self.assertEqual(text, 'sysrtctl: "\\xff\\x9b" is not UTF-8\n')


if __name__ == "__main__":
    unittest.main()

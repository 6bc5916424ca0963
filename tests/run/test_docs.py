"""What is written is what the program does: the manual pages against --help, --print-defaults, the
methods that the daemon tells, the tables and headers in the source, and the golden replies.

builds: release
"""

import json
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import BUILD, TIMEOUT_S, TOP, daemon_for, error_table, source

MAN = TOP / "packaging" / "man"
GOLDEN = TOP / "tests" / "golden"
OTHER_PAGES = {"free(3)"}
OPTION_ROW = re.compile(r" +((?:-\w, )?--?[\w-]+(?:, -\w+)?(?: [A-Z][A-Z:]*)?) +(\S.*)")
COMMAND_ROW = re.compile(r"  ([a-z-]+(?: [a-z]+)?) +([A-Z].*)")


def run(*argv, **options):
    """The standard output of a command that must do well."""
    return subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, text=True, check=True,
                          timeout=TIMEOUT_S, **options).stdout


def plain(text):
    """A text of scdoc without its marks, in one line."""
    out, is_underlined, i = [], False, 0
    while i < len(text):
        char, before, after = text[i], text[i - 1:i] or " ", text[i + 1:i + 2] or " "
        i += 1
        if char == "\\":
            out.append(after)
            i += 1
        elif char == "_" and (not before.isalnum() or is_underlined and not after.isalnum()):
            is_underlined = not is_underlined
        elif char != "*":
            out.append(char)
    return " ".join("".join(out).split())


def entries(lines):
    """[(head, lines below it with a tab less)] of what begins with a word in bold."""
    found, above = [], ""
    for line in lines:
        if line.startswith("*") and above == "":
            found.append((line, []))
        elif found and line.startswith("\t"):
            found[-1][1].append(line[1:])
        elif found and line == "":
            found[-1][1].append(line)
        above = line
    return found


def first_paragraph(lines):
    return plain(" ".join(lines[:lines.index("")] if "" in lines else lines))


class Page:
    def __init__(self, name):
        self.text = (MAN / f"{name}.scd").read_text()
        self.sections = {}
        for line in self.text.splitlines():
            if header := re.fullmatch(r"#+ (.*)", line):
                lines = self.sections[header[1]] = []
            elif self.sections:
                lines.append(line)

    def entries(self, title):
        """{head: lines} of one section, or of all whose titles begin so ("COMMANDS...")."""
        sections = [title] if not title.endswith("...") else [
            t for t in self.sections if t.startswith(title[:-3])]
        found = [e for s in sections for e in entries(self.sections[s])]
        heads = [plain(head) for head, _ in found]
        if len(set(heads)) != len(heads):
            raise AssertionError(f"{title} has something twice: {heads}")
        return dict(zip(heads, (lines for _, lines in found)))

    def table(self, title):
        """[[cell, ...]] of the table in a section, without its heading."""
        rows = []
        for line in self.sections[title]:
            if line.startswith(("[", "|")):
                rows.append([line[3:]])
            elif line.startswith(":"):
                rows[-1].append(line[3:])
        return [[plain(cell) for cell in row] for row in rows[1:]]


def help_rows(text, pattern=OPTION_ROW):
    """[(option with its value, help)] of the first such list that --help prints, or [(command,
    help)]; a line may be continued, further to the right."""
    rows = []
    for line in text.splitlines():
        if row := pattern.fullmatch(line):
            rows.append([row[1], row[2]])
        elif rows and line.startswith(" " * 10):
            rows[-1][1] += " " + line.strip()
        elif rows:
            break
    return [tuple(row) for row in rows]


def one_line(text):
    return " ".join(text.split())


def options_printed(text):
    """[(name, default as TOML, its bounds)]: the bounds are the comment line above the key. A
    section whose tables have names is commented out."""
    options, section, above = [], None, None
    for line in text.splitlines():
        if header := re.fullmatch(r"\[(\w+)\]|#\[(\w+\.NAME)\]", line):
            section = header[1] or header[2]
        elif key := re.fullmatch(r"#?(\w+) = (.*)", line):
            options.append((f"{section}.{key[1]}", key[2], above))
        above = line[2:] if line.startswith("# ") else None
    return options


def options_described(text):
    """The same from the manual: "*name* = default", and the last line of the text below it."""
    options = []
    for part in re.split(r"\n(?=\*|#)", text):
        if option := re.match(r"\*(\w+(?:\.\w+)+)\* = (.*)\n", part):
            options.append((option[1], option[2], part.rstrip().splitlines()[-1].strip()))
    return options


class DocsTest(unittest.TestCase):
    maxDiff = None

    def check_begins(self, text, beginning):
        """A description begins with what --help says, as a sentence."""
        beginning = beginning.rstrip(".")
        self.assertEqual(text[:len(beginning)].lower(), beginning.lower())
        self.assertIn(text[len(beginning):len(beginning) + 1], (".", ",", ":"), text)

    def check_options(self, described, rows):
        """{head: lines} of a page against rows of --help, in their order."""
        self.assertEqual(list(described), [option for option, _ in rows])
        for option, text in rows:
            with self.subTest(option=option):
                self.check_begins(first_paragraph(described[option]), text)


class Pages(DocsTest):
    def names(self):
        return sorted(path.stem for path in MAN.glob("*.scd"))

    def test_pages_are_built_without_a_warning(self):
        self.assertEqual(self.names(), ["libsysrt.3", "sysrt-protocol.7", "sysrt.conf.5",
                                        "sysrtctl.1", "sysrtd.8"])
        for name in self.names():
            with self.subTest(page=name):
                built = subprocess.run(["scdoc"], input=(MAN / f"{name}.scd").read_bytes(),
                                       capture_output=True, timeout=TIMEOUT_S)
                self.assertEqual((built.returncode, built.stderr), (0, b""))
                title, _, section = name.rpartition(".")
                self.assertIn(f'.TH "{title}" "{section}"', built.stdout.decode())

    def test_pages_that_are_named_exist(self):
        ours = {"{}({})".format(*name.rsplit(".", 1)) for name in self.names()}
        for name in self.names():
            named = {f"{n}({s})" for n, s in re.findall(r"\*([\w.-]+)\*\((\d)\)",
                                                        Page(name).text)}
            self.assertLessEqual(named, ours | OTHER_PAGES, name)
            self.assertIn("SEE ALSO", Page(name).sections)

    def install(self, folder, *settings):
        build = os.environ.get("SYSRT_BUILD", "build")
        env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
        out = run("make", "install", f"BUILD={build}", f"DESTDIR={folder}", "PREFIX=/usr",
                  *settings, cwd=TOP, env=env)
        return out, {str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file()}

    def test_install(self):
        programs = {"usr/sbin/sysrtd", "usr/bin/sysrtctl"}
        pages = {f"usr/share/man/man{name[-1]}/{name}" for name in self.names()}
        with tempfile.TemporaryDirectory(prefix="sysrt-install-") as folder:
            _, files = self.install(folder)
            self.assertLessEqual(programs | pages, files)
        with tempfile.TemporaryDirectory(prefix="sysrt-install-") as folder:
            out, files = self.install(folder, "SCDOC=scdoc-is-not-there")
            self.assertIn("the manual pages are left out", out)
            self.assertLessEqual(programs, files)
            self.assertFalse(pages & files)


class Configuration(DocsTest):
    def setUp(self):
        self.defaults = run(BUILD / "sysrtd", "--print-defaults")

    def test_the_manual_has_every_option(self):
        printed = options_printed(self.defaults)
        self.assertGreater(len(printed), 30)
        self.assertEqual(options_described(Page("sysrt.conf.5").text), printed)

    def test_the_example_file_is_what_is_printed(self):
        self.assertEqual(source("config.example.toml"), self.defaults)


class DaemonPage(DocsTest):
    def setUp(self):
        self.help = run(BUILD / "sysrtd", "--help")
        self.page = Page("sysrtd.8")
        defaults = options_printed(run(BUILD / "sysrtd", "--print-defaults"))
        self.defaults = {name: json.loads(value) for name, value, _ in defaults
                         if not value.startswith("[]")}

    def test_options(self):
        rows = help_rows(self.help)
        self.assertGreater(len(rows), 8)
        described = {option.removesuffix(", -h"): lines
                     for option, lines in self.page.entries("OPTIONS").items()}
        in_usage = set(re.findall(r"\[(--[\w-]+(?: [A-Z]+)?)\]", self.help.partition("\n\n")[0]))
        for option in in_usage - {option for option, _ in rows}:
            self.assertTrue(described.pop(option))
        self.check_options(described, rows)

    def test_defaults(self):
        """--help names the option of the configuration, the page its default."""
        described = self.page.entries("OPTIONS")
        checked = 0
        for option, text in help_rows(self.help):
            name = re.search(r"\((store\.path|websocket\.listen|control\.socket)\)", text)
            if name is None:
                continue
            value = self.defaults[name[1]]
            value = ", ".join(value) if isinstance(value, list) else value
            self.assertIn(f"Default: {value}", [plain(line) for line in described[option]])
            checked += 1
        self.assertEqual(checked, 3)

    def test_usage(self):
        usage = self.help.partition("\n\n")[0].removeprefix("usage: ").splitlines()
        self.assertEqual([plain(line) for line in self.page.sections["SYNOPSIS"] if line],
                         [line.strip() for line in usage])

    def test_parts_of_the_log(self):
        parts = set()
        for path in (TOP / "daemon").rglob("*.c"):
            parts |= set(re.findall(r'log_(?:error|warn|info|debug|trace)\(\s*"(\w+)"',
                                    path.read_text()))
        text = plain(" ".join(self.page.sections["LOG"]))
        told = re.search(r"The parts are ([\w, ]+) and (\w+)\.", text)
        self.assertEqual([*told[1].split(", "), told[2]], sorted(parts))

    def test_exit_statuses(self):
        numbers = {"EX_OK": 0, "EX_USAGE": 64, "EX_DATAERR": 65, "EX_UNAVAILABLE": 69, "EX_IOERR": 74,
                   "EX_NOPERM": 77, "EX_CONFIG": 78}
        used = set(re.findall(r"EX_[A-Z]+", source("daemon/main.c") + source("daemon/offline.c")))
        self.assertEqual([int(n) for n in self.page.entries("EXIT STATUS")],
                         sorted(numbers[name] for name in used))


class CommandPage(DocsTest):
    def setUp(self):
        self.help = run(BUILD / "sysrtctl", "--help")
        self.page = Page("sysrtctl.1")

    def test_commands(self):
        commands = dict(help_rows(self.help, COMMAND_ROW))
        self.assertGreater(len(commands), 20)
        described = self.page.entries("COMMANDS...")
        usages = {}
        for name, text in commands.items():
            usage, _, rest = run(BUILD / "sysrtctl", *name.split(), "--help").partition("\n\n")
            usages[one_line(usage).removeprefix("usage: sysrtctl ")] = (name, text, rest)
        self.assertEqual(set(described), set(usages))
        for usage, (name, text, rest) in usages.items():
            with self.subTest(command=name):
                self.check_begins(first_paragraph(described[usage]), text)
                self.assertTrue(one_line(rest).startswith(text))
                own = rest.partition("Options of every command:")[0]
                options = entries(described[usage])
                self.check_options({plain(head): lines for head, lines in options},
                                   help_rows(own))

    def test_options_of_every_command(self):
        rows = help_rows(self.help.partition("Options of every command:\n")[2])
        self.assertGreater(len(rows), 5)
        self.check_options(self.page.entries("OPTIONS OF EVERY COMMAND"), rows)

    def test_the_socket_is_that_of_the_daemon(self):
        printed = dict((name, value) for name, value, _ in options_printed(
            run(BUILD / "sysrtd", "--print-defaults")))
        path = json.loads(printed["control.socket"])
        self.assertIn(f"(default $SYSRT_SOCKET, else {path})", one_line(self.help))
        self.assertIn(path, [plain(line) for line in self.page.sections["FILES"]])

    def test_exit_statuses(self):
        text = " ".join(self.help.partition("Exit status: ")[2].split())
        told = re.findall(r"(\d+) ([a-z ]+)[,.]", text)
        self.assertGreater(len(told), 8)
        described = self.page.entries("EXIT STATUS")
        self.assertEqual(list(described), [status for status, _ in told])
        for status, meaning in told:
            self.assertTrue(first_paragraph(described[status]).lower().startswith(meaning))
        for name, _, _, status in error_table():
            told = [s for s, lines in described.items()
                    if re.search(rf"\b{name}\b", first_paragraph(lines))]
            self.assertEqual(told, [status] if status != "1" else [], name)


def member_names(text):
    """(those that are always there, all) of "{a, b?}"; None where there is no such list."""
    listed = re.match(r"\{([\w?, ]*)\}", text)
    if listed is None:
        return None
    names = [name for name in listed[1].split(", ") if name]
    return ({n for n in names if not n.endswith("?")}, {n.rstrip("?") for n in names})


def golden_messages(path):
    """What came back in a golden file, as objects whose marks are texts."""
    for line in path.read_text().splitlines():
        if line.startswith("← {"):
            yield json.loads(re.sub(r":(<[\w+]+>)", r':"\1"', line[2:]))


class ProtocolPage(DocsTest):
    def setUp(self):
        self.page = Page("sysrt-protocol.7")

    def check_members(self, listed, objects):
        """Of objects that came: all that is listed is seen, and nothing else."""
        always, known = listed
        self.assertTrue(objects, "nothing of it in the golden files")
        for members in objects:
            self.assertLessEqual(always, set(members))
            self.assertLessEqual(set(members), known)
        self.assertEqual(known, set().union(*objects))

    def test_methods(self):
        with daemon_for(self).control() as control:
            table = control.call("methods")["items"]
        described = self.page.entries("METHODS")
        self.assertEqual(list(described), [row["method"] for row in table])
        for row in table:
            with self.subTest(method=row["method"]):
                lines = described[row["method"]]
                text = first_paragraph(lines)
                self.check_begins(text, row["help"])
                self.assertTrue(text[len(row["help"]):].startswith(f". Scope: {row['scope']}."))
                self.check_params(row["params"], lines)
        kinds = {param["kind"] for row in table for param in row["params"]}
        self.assertEqual(set(self.page.entries("VALUES")), kinds)

    def check_params(self, params, lines):
        described = {plain(head): first_paragraph(below) for head, below in entries(lines)}
        heads = []
        for param in params:
            choices = " of " + param["choices"].replace(" ", ", ") if "choices" in param else ""
            heads.append(f"{param['name']} {param['kind']}{choices}"
                         f"{', required' if param['required'] else ''}")
        self.assertEqual(list(described), heads)
        for head, param in zip(heads, params):
            self.check_begins(described[head], param["help"])

    def test_results(self):
        for method, lines in self.page.entries("METHODS").items():
            with self.subTest(method=method):
                text = plain(" ".join(lines))
                result = text[text.rindex("Result: ") + len("Result: "):]
                listed = member_names(result)
                if listed is None:
                    self.assertEqual(method, "system.stats")
                    continue
                wanted = {r["id"] for r in self.requests(method)}
                self.check_members(listed, [
                    set(m["result"]) for m in golden_messages(GOLDEN / "methods" / method)
                    if m.get("id") in wanted and "result" in m])

    def requests(self, method):
        """Those of a golden file that are to the method of the file."""
        for line in (GOLDEN / "methods" / method).read_text().splitlines():
            if line.startswith("→ {"):
                request = json.loads(re.sub(r":(<\w+>)", r':"\1"', line[2:]))
                if request["method"] == method:
                    yield request

    def test_notifications(self):
        described = {}
        for head in self.page.entries("NOTIFICATIONS"):
            name, _, members = head.partition(" ")
            described[name] = member_names(members)
        self.assertEqual(set(described), {p.name for p in (GOLDEN / "notices").iterdir()})
        for name, listed in described.items():
            with self.subTest(notification=name):
                self.check_members(listed, [
                    set(m["params"]) for m in golden_messages(GOLDEN / "notices" / name)
                    if m.get("method") == name])

    def test_errors(self):
        self.assertEqual([row[:3] for row in self.page.table("ERRORS")],
                         [list(row[:3]) for row in error_table()])

    def test_version(self):
        version = re.search(r'#define API_PROTOCOL "([\d.]+)"', source("daemon/api/gate.h"))[1]
        self.assertIn(f"version {version} of the language",
                      plain(" ".join(self.page.sections["DESCRIPTION"])))

    def test_close_codes(self):
        used = set()
        for path in (TOP / "daemon").rglob("*.c"):
            used |= set(re.findall(r"#define CLOSE_(?!WAIT)\w+ +(\d{4})\b", path.read_text()))
        told = {row[0] for row in self.page.table("WEBSOCKET")}
        self.assertLessEqual(used - {"1000"}, told)

    def test_limits(self):
        hello, *_ = golden_messages(GOLDEN / "notices" / "hello")
        limits = set(hello["params"]["limits"])
        self.assertEqual({plain(line) for line in self.page.sections["LIMITS"]
                          if line.startswith("_")}, limits)
        about_hello = plain(" ".join(self.page.entries("NOTIFICATIONS")[next(
            head for head in self.page.entries("NOTIFICATIONS") if head.startswith("hello"))]))
        self.assertEqual(member_names(about_hello.partition("limits is ")[2])[0], limits)

    def test_fixed_limits(self):
        text = plain(self.page.text)
        for path, name, phrase in (
                ("common/rpc.h", "RPC_BATCH_MAX", "{} requests in a batch"),
                ("common/rpc.h", "RPC_ID_MAX", "a string of at most {} bytes"),
                ("common/json.h", "JSON_DATA_DEPTH_MAX", "Data may be nested {} deep"),
                ("common/rpc.h", "RPC_DEPTH_MAX", "a message {} deep"),
                ("daemon/api/args.h", "ARG_PATTERN_MAX", "{} items of a pattern"),
                ("common/name.h", "NAME_TEXT_MAX", "A category or topic: 1 to {} bytes"),
                ("common/name.h", "ID_TEXT_MAX", "1 to {} bytes of text without control"),
                ("daemon/hub/hub.c", "PATTERN_COST_MAX", "{} pairs of a category and an id in"),
                ("daemon/api/record.c", "PUT_MANY_MAX", "{} records in one record.put_many"),
                ("daemon/api/record.c", "DELETE_MANY_MAX", "Ids of several, all or none. At most "
                                                           "{}."),
                ("common/name.h", "RECORD_NAME_MAX", "default: the id. At most {} bytes"),
                ("daemon/api/record.c", "LIST_LIMIT", "Records of a page; default {}."),
                ("daemon/api/record.c", "LIST_LIMIT_MAX", "{} records or changes"),
                ("daemon/api/subscribe.c", "CHANGES_LIMIT", "Changes of a page; default {}."),
                ("daemon/api/subscribe.c", "CHANGES_LIMIT_MAX", "{} records or changes")):
            value = re.search(rf"#define {name} +(\d+)\b", source(path))
            self.assertIsNotNone(value, name)
            self.assertIn(phrase.format(value[1]), text)


class LibraryPage(DocsTest):
    def setUp(self):
        self.page = Page("libsysrt.3")
        self.header = re.sub(r"/\*.*?\*/", "", source("common/client/sysrt.h"), flags=re.DOTALL)

    def test_functions(self):
        declared = [" ".join(f.split()) for f in re.findall(r"^\w[^;{}#]*\([^;{}]*\);", self.header,
                                                            re.MULTILINE)]
        self.assertGreater(len(declared), 6)
        shown = [plain(line) for line in self.page.sections["SYNOPSIS"] if line.endswith(";")]
        self.assertEqual(shown, [re.sub(r"\( ", "(", f) for f in declared])
        self.assertEqual(list(self.page.entries("FUNCTIONS")),
                         [re.search(r"\w+(?=\()", f)[0] + "()" for f in declared])

    def test_structures(self):
        described = self.page.entries("STRUCTURES")
        declared = re.findall(r"^struct (\w+) \{(.*?)^\};", self.header, re.MULTILINE | re.DOTALL)
        self.assertEqual(list(described), [f"struct {name}" for name, _ in declared])
        for name, body in declared:
            text = plain(" ".join(described[f"struct {name}"]))
            for member in re.findall(r"(\w+)(?:\[\w+\])?;", body):
                self.assertRegex(text, rf"\b{member}\b")

    def block(self, title):
        """The literal block of a section, as people see it."""
        text = "\n".join(self.page.sections[title])
        return re.sub(r"\\(.)", r"\1", text.split("```\n")[1])

    def test_the_example(self):
        """It is compiled with the sources that the page names, and follows a real daemon."""
        daemon = daemon_for(self)
        sources = [word if word.startswith("-l") else TOP / word
                   for word in self.block("DESCRIPTION").split()]
        program = daemon.folder / "example"
        code = daemon.folder / "example.c"
        code.write_text(self.block("EXAMPLE"))
        run("gcc", "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", f"-I{TOP}",
            '-DSYSRT_VERSION="test"', code, *sources, "-o", program)
        with daemon.control() as control:
            control.call("record.put", category="a", id="x", data=1)
        example = subprocess.Popen([program], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env={"SYSRT_SOCKET": str(daemon.socket)})
        try:
            with daemon.control() as control:
                while not control.call("status")["hub"]["subscriptions"]["live"]:
                    self.assertIsNone(example.poll())
            daemon.stop()
            out, err = example.communicate(timeout=TIMEOUT_S)
        finally:
            example.kill()
            example.wait()
        self.assertRegex(out, r'\Achange {"subscription":1,"seq":1,"prev":0,"op":"put",.*}\n'
                              r'synced {"subscription":1,"seq":1}\nclosing {.*}\n\Z')
        self.assertEqual((err, example.returncode), ("the daemon closed the connection\n", 3))


if __name__ == "__main__":
    unittest.main()

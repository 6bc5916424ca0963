"""The README's tour is what happens: its commands are run, one after the other, each on a terminal,
and print what stands below them. What differs each time (times, epochs, ports) is left aside.

SYSRT_GOLDEN=write writes down what they print: look at the difference before you keep it.

builds: release
"""

import fcntl
import grp
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time
import unittest

from harness import BUILD, TIMEOUT_S, TOP, daemon_for

README = TOP / "README.md"
WRITES = os.environ.get("SYSRT_GOLDEN") == "write"
QUIET_S = 0.5
ROWS, COLUMNS = 50, 120
INDENT = "    "
CTRL_C = "^C"
VARIES = ((r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME"), (r"\b\d{13}\b", "MS"),
          (r"\b[0-9a-f]{16}\b", "EPOCH"), (r"(took_ms|bytes)=\d+", r"\1=N"),
          (r'"seconds":[\d.]+', '"seconds":N'), (r"sysrt_[0-9A-Za-z]{49}", "TOKEN"))


class Step:
    """A command of the tour, and what stands below it. at: the number of its line."""

    def __init__(self, at, command):
        self.at = at
        self.command = command
        self.wanted = []


def read_steps(lines):
    steps, is_output = [], False
    start = lines.index("## A tour")
    for at in range(start, lines.index("## More to read")):
        line = lines[at]
        if line.startswith(INDENT + "$ "):
            steps.append(Step(at, line.removeprefix(INDENT + "$ ")))
            is_output = True
        elif is_output and line.startswith(INDENT):
            steps[-1].wanted.append(line.removeprefix(INDENT))
        else:
            is_output = False
    return steps


def comparable(lines):
    """Without what differs each time, and without what a group of the machine would change."""
    if "sysrt" in {group.gr_name for group in grp.getgrall()}:
        lines = [line for line in lines if "there is no such group" not in line]
    text = "\n".join(lines)
    for pattern, mark in VARIES:
        text = re.sub(pattern, mark, text)
    return text


class Terminals:
    """Runs commands with sh, each on a terminal of its own, in one environment and folder."""

    def __init__(self, folder):
        self.folder = folder
        self.env = {"PATH": os.environ["PATH"], "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
        self.running = []

    def localize(self, command):
        return (command.replace("/tmp/tour", f"{self.folder}/tour")
                .replace("127.0.0.1:7117", "127.0.0.1:0").replace("build/sysrt", f"{BUILD}/sysrt"))

    def as_written(self, line):
        line = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:7117", line)
        return line.replace(f"{self.folder}/tour", "/tmp/tour")

    def start(self, command):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        process = subprocess.Popen(["sh", "-c", command], stdin=theirs, stdout=theirs,
                                   stderr=theirs, cwd=TOP, env=self.env, start_new_session=True)
        os.close(theirs)
        self.running.append((process, ours))
        return process, ours

    def read(self, terminal, lines_n, timeout=TIMEOUT_S):
        """So many lines (None: all that come), at most what comes in time."""
        text, deadline = b"", time.monotonic() + timeout
        while lines_n is None or text.count(b"\n") < lines_n:
            if not select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
                break
            try:
                text += os.read(terminal, 65536)
            except OSError:  # nobody has the other end any more
                break
        return [self.as_written(line) for line in text.decode().replace("\r", "").split("\n")
                if line]

    def read_so_far(self, terminal, wanted):
        """What a command that goes on prints before it waits."""
        if WRITES:
            return self.read(terminal, None, QUIET_S)
        return self.read(terminal, len(wanted))

    def play(self, step):
        """What the step prints."""
        command = self.localize(step.command)
        if command.startswith("export "):
            name, _, self.env[name] = command.removeprefix("export ").partition("=")
            return []
        process, terminal = self.start(command)
        if step.command.startswith("build/sysrtd"):
            return self.read_so_far(terminal, comparable(step.wanted).splitlines())
        printed = []
        if CTRL_C in step.wanted:
            printed = self.read_so_far(terminal, step.wanted[:step.wanted.index(CTRL_C)])
            printed.append(CTRL_C)
            os.killpg(process.pid, signal.SIGINT)
        printed += self.read(terminal, None)
        process.wait(TIMEOUT_S)
        return printed

    def close(self):
        for process, terminal in reversed(self.running):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(TIMEOUT_S)
            os.close(terminal)


class Readme(unittest.TestCase):
    maxDiff = None

    def test_the_tour(self):
        lines = README.read_text().splitlines()
        steps = read_steps(lines)
        self.assertGreater(len(steps), 12)
        with tempfile.TemporaryDirectory(prefix="sysrt-tour-") as folder:
            terminals = Terminals(folder)
            self.addCleanup(terminals.close)
            for step in steps:
                with self.subTest(command=step.command):
                    printed = terminals.play(step)
                    if WRITES:
                        self.write(lines, step, printed)
                        continue
                    self.assertEqual(comparable(printed), comparable(step.wanted))
            self.doCleanups()
        if WRITES:
            README.write_text("\n".join("\n".join(line) if isinstance(line, list) else line
                                        for line in lines if line is not None) + "\n")

    def test_the_web_socket(self):
        """With node's, which is as a browser's."""
        code = re.search(r"(?:^    (?:const|ws|   ).*\n)+", README.read_text(), re.MULTILINE)[0]
        daemon = daemon_for(self)
        with daemon.control() as control:
            control.call("record.put", category="ticker", id="a", data=1)
        page = "const WebSocket = require('ws');" + code.replace("7117", str(daemon.port))
        node = subprocess.Popen(["node", "-e", page], stdout=subprocess.PIPE, text=True,
                                env={**os.environ, "NODE_PATH": "/usr/share/nodejs"})
        try:
            texts = filter(str.strip, iter(node.stdout.readline, ""))
            heard = [json.loads(next(texts)) for _ in range(4)]
        finally:
            node.kill()
            node.wait()
            node.stdout.close()
        self.assertEqual([m.get("method", m.get("id")) for m in heard],
                         ["hello", 1, "change", "synced"])

    def test_the_map_of_the_source(self):
        rows = re.findall(r"^\| (`.*?`) \|", README.read_text(), re.MULTILINE)
        named = [name for row in rows for name in re.findall(r"`(.*?)`", row)]
        there = [f"{path.name}/" for path in TOP.iterdir()
                 if path.is_dir() and path.name[0] != "." and path.name != BUILD.name]
        there += [f"daemon/{path.name}/" for path in (TOP / "daemon").iterdir() if path.is_dir()]
        there.remove("daemon/")
        self.assertEqual(sorted(n for n in named if n.endswith("/")), sorted(there))
        files = [n if "/" in n else f"daemon/{n}" for n in named if not n.endswith("/")]
        self.assertEqual(sorted(files),
                         sorted(str(p.relative_to(TOP)) for p in (TOP / "daemon").glob("*.c")))

    def write(self, lines, step, printed):
        """A list stands for several lines, None for one that goes."""
        for at in range(step.at + 1, step.at + 1 + len(step.wanted)):
            lines[at] = None
        lines[step.at] = [lines[step.at], *(INDENT + line for line in printed)]


if __name__ == "__main__":
    unittest.main()

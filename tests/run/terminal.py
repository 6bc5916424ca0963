"""A program on a terminal of its own: what it prints there, and keys pressed."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
import unicodedata

from harness import TIMEOUT_S


def columns_of(text):
    """How many columns a terminal gives the text; ours to judge with, not the program's."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
               for c in text)


class Terminal:
    """Runs argv with a terminal as standard input, output and error; options of Popen may take
    one of them elsewhere; `env` is added to the environment, without `drops`. Lines end in "\\n" alone; keys are not shown, unless `echo`."""

    def __init__(self, argv, columns=80, rows=24, env=None, echo=False, drops=(), **options):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        modes = termios.tcgetattr(slave)
        modes[1] &= ~termios.OPOST
        modes[3] = modes[3] | termios.ECHO if echo else modes[3] & ~termios.ECHO
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        for stream in ("stdin", "stdout", "stderr"):
            options.setdefault(stream, slave)
        self.output = b""
        self.process = subprocess.Popen(
            [str(word) for word in argv],
            env={**{k: v for k, v in os.environ.items() if k not in drops}, **(env or {})},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0), **options)
        os.close(slave)

    def _read(self, timeout):
        """Reads what is there; False at the end."""
        if not select.select([self.master], [], [], max(0, timeout))[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:  # nobody has the terminal open any more
            data = b""
        self.output += data
        return data != b""

    def read_until(self, pattern, timeout=TIMEOUT_S):
        """Reads until the pattern (bytes) is in the output; its match."""
        deadline = time.monotonic() + timeout
        while not (found := re.search(pattern, self.output)):
            if time.monotonic() > deadline or not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{pattern!r} is not in {self.output!r}")
        return found

    def has_echo(self):
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)

    def press(self, keys):
        os.write(self.master, keys)

    def wait(self, timeout=TIMEOUT_S):
        """Reads to the end; the exit status."""
        deadline = time.monotonic() + timeout
        while self._read(deadline - time.monotonic()):
            if time.monotonic() > deadline:
                raise AssertionError(f"still running after {timeout} s: {self.output!r}")
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def text(self):
        return self.output.decode()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        os.close(self.master)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def run_on_terminal(argv, **options):
    """(exit status, what was printed) of a program that ends by itself."""
    with Terminal(argv, **options) as terminal:
        status = terminal.wait()
        return status, terminal.text()

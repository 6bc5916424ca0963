"""What is written about the options is what they are: the manual against --print-defaults.

builds: release
"""

import re
import subprocess
import unittest

from harness import BUILD, TIMEOUT_S, TOP

MANUAL = TOP / "packaging" / "man" / "sysrt.conf.5.scd"


def print_defaults():
    return subprocess.run([BUILD / "sysrtd", "--print-defaults"], stdout=subprocess.PIPE, text=True,
                          timeout=TIMEOUT_S, check=True).stdout


def options_printed(text):
    """[(name, default as TOML, its bounds)]: the bounds are the comment line above the key."""
    options, section, above = [], None, None
    for line in text.splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
        elif key := re.fullmatch(r"(\w+) = (.*)", line):
            options.append((f"{section}.{key[1]}", key[2], above))
        above = line[2:] if line.startswith("# ") else None
    return options


def options_described(text):
    """The same from the manual: "*name* = default", and the last line of the text below it."""
    options = []
    for part in re.split(r"\n(?=\*|#)", text):
        if option := re.match(r"\*(\w+\.\w+)\* = (.*)\n", part):
            options.append((option[1], option[2], part.rstrip().splitlines()[-1].strip()))
    return options


class Options(unittest.TestCase):
    maxDiff = None

    def test_the_manual_has_every_option(self):
        printed = options_printed(print_defaults())
        self.assertGreater(len(printed), 30)
        self.assertEqual(options_described(MANUAL.read_text()), printed)

    def test_the_example_file_is_what_is_printed(self):
        self.assertEqual((TOP / "config.example.toml").read_text(), print_defaults())


if __name__ == "__main__":
    unittest.main()

"""What the tests of feeds share: their configuration, what the daemon says of them, and what is stored,
as sqlite3 sees it outside of the daemon."""

import json
import os
import shutil
import sqlite3
import time
import unittest
from pathlib import Path

from harness import TIMEOUT_S, daemon_for, wait_for

PRICES = {"where": '{"/type":"price"}', "category": "prices.{/market}", "id": "{/id}",
          "name": "{/market} {/id}", "data": "{/data}"}
NEVER = "unlimited"


def toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def section(name, /, **keys):
    """A feed in the configuration."""
    return f'[feed."{name}"]\n' + "".join(f"{key} = {toml(v)}\n" for key, v in keys.items())


def price(market, number, data, white=""):
    """A message as PRICES maps it. data: JSON; white: a space between tokens."""
    return (f'{{"type":"price",{white}"market":"{market}",{white}"id":"{number}",'
            f'{white}"data":{white}{data}}}')


def stored(path):
    """{(category, id): (name, data, rev)}, everything that the file has."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=TIMEOUT_S)
    try:
        rows = db.execute("SELECT category, id, name, data, rev FROM records")
        return {(category, key): (name, text_of(data), rev)
                for category, key, name, data, rev in rows}
    finally:
        db.close()


def text_of(data):
    return data.decode() if isinstance(data, bytes) else data


def with_file(path, text, folder):
    """A command under which a daemon sees this text in a file of the system's, which need not be
    there, alone on the machine: in a copy of the folder that it is in."""
    if os.geteuid() != 0:
        raise AssertionError(f"only root can put another {path} in the way")
    path, copy = Path(path), folder / "copy"
    shutil.copytree(path.parent, copy, symlinks=True)
    (copy / path.name).unlink(missing_ok=True)  # it may be a link
    (copy / path.name).write_text(text)
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c",
            f'mount --bind {copy} {path.parent} && exec "$@"', "sh"]


class FeedTest(unittest.TestCase):
    """A daemon with feeds."""

    def start(self, *sections, config="", **options):
        self.daemon = daemon_for(self, config=config + "\n" + "".join(sections), **options)
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)
        return self.daemon

    def feeds(self):
        """What feed.list says of each, by name."""
        return {feed["name"]: feed for feed in self.control.call("feed.list")["items"]}

    def show(self, name):
        return self.control.call("feed.show", name=name)["feed"]

    def logs(self, name):
        """What happened to it, the newest last."""
        return self.control.call("feed.logs", name=name, limit=100)["items"]

    def wait_state(self, name, *states, timeout=TIMEOUT_S):
        """Waits until it is in one of them; what feed.show says then."""
        seen = {}

        def is_there():
            seen.update(self.show(name))
            return seen["state"] in states

        try:
            wait_for(is_there, timeout, f"feed {name} to be {' or '.join(states)}")
        except AssertionError:
            print(json.dumps(seen, indent=1), flush=True)
            raise
        return dict(seen)

    def metric(self, family, name):
        """One of sysrt_feed_..., of this feed."""
        return self.control.call("system.stats")[f'sysrt_feed_{family}{{feed="{name}"}}']

    def wait_metric(self, family, name, least, timeout=TIMEOUT_S):
        wait_for(lambda: self.metric(family, name) >= least, timeout,
                 f"{family} of {name} to be {least}")

    def stored(self):
        return stored(self.daemon.store)

    def wait_stored(self, wanted, timeout=TIMEOUT_S):
        """Waits until so many records are there, then reads all."""
        deadline = time.monotonic() + timeout
        wait_for(lambda: self.control.call("record.count")["count"] >= wanted,
                 max(0.001, deadline - time.monotonic()), f"{wanted} records")
        return self.stored()

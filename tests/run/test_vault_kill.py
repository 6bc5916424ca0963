"""The daemon is killed in the middle of what changes the vault: each secret is then as it was before or
as it was to be, all of them are readable, and with one key or the other.

strace kills it at a system call that writes to the store or syncs it, the first, the second and so on,
until there are no more.

builds: release; in check-long: asan
"""

import subprocess
import unittest

from harness import TIMEOUT_S, Closed, daemon_for

KEYS = {"old": bytes(range(32)), "new": bytes(range(1, 33))}
CALLS = "pwrite64,fdatasync,fsync,ftruncate"
MOST = 400  # such calls of one change: far more than there are
VALUES = {f"s{n}": f"value {n} " * (n * 40 + 1) for n in range(5)}


class Killing:
    """Kills the daemon at its n-th such call from now on."""

    def __init__(self, daemon, at):
        self.process = subprocess.Popen(
            ["strace", "-f", "-p", str(daemon.pid), "-o", "/dev/null", "-e", f"trace={CALLS}",
             "-e", f"inject={CALLS}:signal=SIGKILL:when={at}"], stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        if "attached" not in line:
            self.stop()
            raise AssertionError(f"strace says: {line}")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stderr.close()


class Kill(unittest.TestCase):
    def setUp(self):
        self.daemon = daemon_for(self, start=False)
        self.key_file = self.daemon.folder / "key"
        self.put_key("old")
        self.daemon.config_path.write_text(
            f'[vault]\nallow_read = true\nkey_file = "{self.key_file}"\n')
        self.daemon.start()
        with self.daemon.control() as control:
            for name, value in VALUES.items():
                control.call("secret.set", name=name, value=value)
        self.values = dict(VALUES)
        self.key = "old"

    def put_key(self, which):
        self.key_file.unlink(missing_ok=True)
        self.key_file.write_bytes(KEYS[which])
        self.key_file.chmod(0o400)

    def change(self, at, method, **params):
        """Asks for it; True if the daemon lived."""
        killing = Killing(self.daemon, at)
        try:
            with self.daemon.control() as control:
                control.call(method, **params)
            return True
        except Closed:
            self.daemon.process.wait(TIMEOUT_S)
            self.daemon.process = None
            return False
        finally:
            killing.stop()

    def restart(self):
        process, self.daemon.process = self.daemon.process, None
        if process is not None:  # it may have been killed behind the answer
            process.kill()
            process.wait(TIMEOUT_S)
        self.daemon.start()

    def read_all(self):
        """{name: value}, each of which opens when it is read from the file, too."""
        with self.daemon.control() as control:
            self.assertEqual([t for t in control.call("secret.test")["items"] if not t["ok"]], [])
            names = [item["name"] for item in control.call("secret.list")["items"]]
            return {name: control.call("secret.show", name=name)["value"] for name in names}

    def each_step(self, run):
        """run(n) is killed at the n-th call; until it is not killed any more."""
        killed = 0
        for at in range(1, MOST):
            lived = run(at)
            if lived:
                self.assertGreater(killed, 3, "it was killed now and then")
                return
            killed += 1
        self.fail(f"still killed at call {MOST}")

    def test_set(self):
        def run(at):
            value = f"new {at} " * 100
            lived = self.change(at, "secret.set", name="s1", value=value)
            self.restart()
            found = self.read_all()
            if lived:
                self.assertEqual(found["s1"], value)
            self.assertIn(found["s1"], (self.values["s1"], value))
            self.values["s1"] = found["s1"]
            self.assertEqual(found, self.values)
            return lived
        self.each_step(run)

    def test_rotate(self):
        def run(at):
            lived = self.change(at, "secret.rotate")
            self.restart()
            self.assertEqual(self.read_all(), VALUES)
            return lived
        self.each_step(run)

    def test_rekey(self):
        """With the new key in its place already, as somebody has it who goes by the manual."""
        def run(at):
            other = "new" if self.key == "old" else "old"
            self.put_key(other)
            lived = self.change(at, "vault.rekey")
            self.restart()
            with self.daemon.control() as control:
                if control.call("vault.status")["state"] == "open":
                    self.key = other
                else:
                    self.assertFalse(lived)
                    control.call("vault.unlock", key=KEYS[self.key].hex())
            self.assertEqual(self.read_all(), VALUES)
            return lived
        self.each_step(run)


if __name__ == "__main__":
    unittest.main()

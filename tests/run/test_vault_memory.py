"""Where values, keys and passphrases are not: in nothing that the daemon writes, in no answer, in no
core, and in no memory but the pages that are locked and left out of cores.

builds: release
"""

import base64
import os
import re
import resource
import signal
import unittest
from pathlib import Path

from harness import TIMEOUT_S, RpcError, daemon_for, sysrtctl

CORE_PATTERN = Path("/proc/sys/kernel/core_pattern").read_text().strip()
MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (....) ")


def mappings(pid):
    """[(start, end, rights, flags)] of a process."""
    found = []
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if mapping := MAPPING.match(line):
            found.append([int(mapping[1], 16), int(mapping[2], 16), mapping[3], set()])
        elif line.startswith("VmFlags:"):
            found[-1][3] = set(line.split()[1:])
    return found


def memory_of(pid, start, end):
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        try:
            mem.seek(start)
            return mem.read(end - start)
        except (OSError, ValueError, OverflowError):  # [vvar] and the like
            return b""


def dumpable(pid):
    """All that a core could hold: what may be read and is not left out of it."""
    return [memory_of(pid, start, end) for start, end, rights, flags in mappings(pid)
            if rights[0] == "r" and "dd" not in flags and "io" not in flags]


class Memory(unittest.TestCase):
    def setUp(self):
        self.planted = {}
        self.daemon = daemon_for(self, start=False)
        key = os.urandom(32)
        key_file = self.daemon.folder.parent / (self.daemon.folder.name + ".key")
        key_file.write_bytes(key)
        key_file.chmod(0o400)
        self.addCleanup(key_file.unlink)
        self.planted["the key"] = key
        self.planted["the key in digits"] = key.hex().encode()
        self.daemon.config_path.write_text(
            '[vault]\nallow_read = true\nargon2_memory = "1MiB"\nargon2_passes = 1\n'
            f'key_file = "{key_file}"\n[log]\nfilter = "trace"\n'
            f'audit = "{self.daemon.folder / "audit"}"\n')
        most = resource.getrlimit(resource.RLIMIT_CORE)[1]
        self.has_core = most != 0 and "/" not in CORE_PATTERN and "|" not in CORE_PATTERN
        if self.has_core:
            size = "unlimited" if most == resource.RLIM_INFINITY else str(most)
            self.daemon.wrap = ["env", "-C", str(self.daemon.folder), "prlimit",
                                f"--core={size}:{size}"]
        self.daemon.start()

    def plant(self, what, n=24):
        """A random text that is looked for."""
        text = os.urandom(n).hex()
        self.planted[what] = text.encode()
        return text

    def expect_nowhere(self, pieces, where):
        whole = b"\0".join(pieces)
        for what, planted in self.planted.items():
            self.assertFalse(planted in whole, f"{what} is in {where}")

    def use_all(self, peer):
        """Everything that values, keys and passphrases are given to and told by."""
        plain = self.plant("a value")
        large = self.plant("a large value", 30000)
        escaped = self.plant("a value with escapes")
        binary = os.urandom(300)
        self.planted["bytes"] = binary
        self.planted["bytes in base64"] = base64.b64encode(binary)
        seal = self.plant("a passphrase of an export")
        answers = [peer.call("secret.set", name="plain", value=plain),
                   peer.call("secret.set", name="large", value=large),
                   peer.call("secret.set", name="escaped", value='"\n' + escaped),
                   peer.call("secret.set", name="bytes", encoding="base64",
                             value=base64.b64encode(binary).decode())]
        self.assertEqual(peer.call("secret.show", name="plain")["value"], plain)
        self.assertEqual(peer.call("secret.show", name="large")["value"], large)
        self.assertEqual(peer.call("secret.show", name="escaped")["value"], '"\n' + escaped)
        peer.call("secret.show", name="bytes")
        sealed = {"format": "aes256gcm-pbkdf2", "passphrase": seal, "rounds": 1000}
        told = peer.call("secret.export", name="plain", **sealed)
        peer.call("secret.import", name="again", blob=told["blob"], salt=told["salt"], **sealed)
        answers += [told, *(peer.call(m) for m in ("secret.list", "secret.test", "secret.rotate"))]
        for method, params in (("secret.set", {"name": ".x", "value": self.plant("one refused")}),
                               ("secret.set", {"name": "x", "value": self.plant("one beside"), "y": 1}),
                               ("secret.import", {"name": "x", "blob": told["blob"],
                                                  "salt": told["salt"], **sealed, "passphrase":
                                                  self.plant("a wrong passphrase")})):
            with self.assertRaises(RpcError) as caught:
                peer.call(method, **params)
            answers.append(caught.exception.message)
        for text in ('{"jsonrpc":"2.0","id":"w","method":"secret.sett","params":{"value":"%s"}}',
                     '{"jsonrpc":"2.0","id":1.5,"method":"secret.set","params":{"value":"%s"}}',
                     '{"jsonrpc":"2.0","id":"w","method":"secret.set","params":{"value":"%s"}'):
            peer.send_text(text % self.plant(f"one that was mistyped: {text}"))
            answers.append(peer.recv()["error"]["message"])
        return answers

    def rekey(self, peer):
        phrase = self.plant("the vault's passphrase")
        return [peer.call("vault.rekey", passphrase=phrase), peer.call("vault.lock"),
                peer.call("vault.unlock", passphrase=phrase),
                *(peer.call(m) for m in ("vault.status", "status", "methods", "system.config"))]

    def wait_for_quiet(self, peer):
        """What is overwritten at the end of a turn is so when the next request is answered."""
        peer.call("ping")
        peer.call("ping")

    def check_files(self):
        """All that the daemon wrote, while it runs and when it has ended."""
        for path in self.daemon.folder.rglob("*"):
            if path.is_file():
                self.expect_nowhere([path.read_bytes()], path.name)

    def check_core(self):
        """It ends by SIGABRT; its core, if the system writes one here."""
        process, self.daemon.process = self.daemon.process, None
        process.send_signal(signal.SIGABRT)
        process.wait(TIMEOUT_S)
        cores = list(self.daemon.folder.glob("core*"))
        if self.has_core:
            self.assertEqual(len(cores), 1)
            self.assertIn(str(self.daemon.store).encode(), cores[0].read_bytes(), "what is in it")
        self.check_files()

    def check_memory(self, peer):
        self.wait_for_quiet(peer)
        pieces = dumpable(self.daemon.pid)
        self.assertTrue(any(str(self.daemon.store).encode() in piece for piece in pieces))
        self.expect_nowhere(pieces, "the memory")

    def check_all(self, peer, answers):
        self.check_memory(peer)
        self.expect_nowhere([repr(answers).encode()], "an answer")
        self.check_files()
        self.check_core()

    def test_by_the_control_socket(self):
        with self.daemon.control() as control:
            answers = self.use_all(control)
            self.check_all(control, answers + self.rekey(control))

    def test_by_a_websocket(self):
        with self.daemon.control() as control:
            token = control.call("token.create", name="t", scopes="admin secrets")["token"]
        with self.daemon.ws(headers={"Authorization": f"Bearer {token}"}) as ws:
            answers = self.use_all(ws)
            self.check_all(ws, answers + self.rekey(ws))

    def test_a_new_token(self):
        """Several, so that what is left of one is not what the next one is written over."""
        with self.daemon.control() as control:
            for i in range(5):
                made = control.call("token.create", name=f"t{i}", scopes="read:a" + i * ",b")
                self.planted[f"token {i}"] = made["token"].encode()
            self.check_memory(control)

    def test_tokens_that_are_shown(self):
        with self.daemon.control() as control:
            tokens = [control.call("token.create", name=f"t{i}", scopes="read")["token"]
                      for i in range(3)]
            encoded = base64.urlsafe_b64encode(tokens[1].encode()).decode().rstrip("=")
            with self.daemon.ws(headers={"Authorization": f"Bearer {tokens[0]}"}) as first, \
                    self.daemon.ws(subprotocol="sysrt.v1, base64url.bearer.authorization." + encoded
                                   ) as second, self.daemon.ws() as third:
                self.assertEqual(third.call("auth", token=tokens[2])["name"], "t2")
                first.call("ping")
                second.call("ping")
                for i, text in enumerate((*tokens, encoded)):
                    self.planted[f"token {i}"] = text.encode()
                self.check_memory(control)

    def test_one_after_the_other_without_waiting(self):
        """Many in one read, and ones that come in pieces."""
        with self.daemon.control() as control:
            requests = [("secret.set", {"name": f"s{n}", "value": self.plant(f"value {n}", 100)})
                        for n in range(20)]
            control.call_all(requests)
            shown = control.call_all([("secret.show", {"name": f"s{n}"}) for n in range(20)])
            self.assertEqual({s["version"] for s in shown}, {1})
            self.check_memory(control)
            value = self.plant("a value in pieces", 20000)
            line = ('{"jsonrpc":"2.0","id":"p","method":"secret.set","params":{"name":"p","value":"'
                    f'{value}"}}}}\n').encode()
            for at in range(0, len(line), 3000):
                control.send_raw(line[at:at + 3000])
                with self.daemon.control() as other:
                    other.call("ping")  # the piece has been read
            control.answer("p")
            self.check_memory(control)
            control.call("secret.set", name="p", value='"' + self.plant("one with an escape", 300))
            self.check_memory(control)

    def test_keys_are_in_locked_pages(self):
        """The key is there, in a page that is locked and left out of cores, and nowhere else."""
        def find():
            return [flags for start, end, rights, flags in mappings(self.daemon.pid)
                    if rights[0] == "r" and self.planted["the key"] in
                    memory_of(self.daemon.pid, start, end)]
        found = find()
        self.assertEqual(len(found), 1)
        self.assertLessEqual({"lo", "dd"}, found[0])
        status = Path(f"/proc/{self.daemon.pid}/status").read_text()
        self.assertGreater(int(re.search(r"VmLck:\s+(\d+) kB", status)[1]), 0)
        sysrtctl(self.daemon, "vault", "lock")
        self.assertEqual(find(), [])


if __name__ == "__main__":
    unittest.main()

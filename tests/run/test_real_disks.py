"""A real file system on a device of its own, and what its kernel does when that fails: it turns
read-only, it drops what it could not write.

long: yes
"""

import os
import subprocess
import unittest

from faults import MIB, Ext4, Faults
from harness import wait_for


class RealDisks(Faults):
    def test_a_file_system_that_turns_read_only(self):
        """As the kernel does it when it finds an error. It lets nobody write again before it is
        mounted anew, which needs the daemon to have stopped."""
        disk = self.enterContext(Ext4())
        self.start(store=disk.path / "sysrt.db")
        self.assertIsNone(self.put("before", 1))
        disk.turn_read_only()
        for _ in range(3):
            error = self.put("after", 2)
            self.assertEqual(error.code, "IO_ERROR")
            self.assertIn("Read-only file system", error.message)
        self.assertEqual(self.control.call("record.get", id="before")["record"]["data"], 1)
        self.daemon.stop()
        disk.mount_anew()
        self.daemon.start()
        self.check_nothing_is_lost()

    def test_writes_that_the_kernel_drops(self):
        """A disk that fails for a moment takes what a checkpoint has copied and not yet synced. The
        kernel tells it once: what is on the disk later must be whole all the same."""
        outer = self.enterContext(Ext4(192 * MIB))
        disk = self.enterContext(Ext4(128 * MIB, outer.path / "image"))
        self.start("[store]\nwal_limit = \"24MiB\"\n", store=disk.path / "sysrt.db")
        for first in (0, 100, 200) * 2:
            self.put_some(first)
        self.restart()
        self.put_some(0)  # from here on only the others are written again
        reader = self.outsider()
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM records").fetchall()
        self.put_until("checkpoints")
        self.fail_to_write_back(disk)
        reader.close()
        self.put_until("log_restarts")
        self.daemon.kill()
        disk.mount_anew()
        self.daemon.start()
        self.check_nothing_is_lost()

    def restart(self):
        self.daemon.restart()
        self.control = self.daemon.control()
        self.addCleanup(self.control.close)

    def put_some(self, first):
        self.put_many({f"r{n}": f"{n} " + "x" * 32_000 for n in range(first, first + 100)})

    def put_until(self, figure):
        def has_come():
            self.put_some(100)
            return self.control.call("status")["store"][figure] > 0
        wait_for(has_come, what=figure)

    def fail_to_write_back(self, disk):
        """What is dirty of the store's file, while nothing can be written under the disk."""
        subprocess.run(["chattr", "+i", disk.image], check=True)
        try:
            with open(self.daemon.store, "rb") as file:
                self.assertRaises(OSError, os.fsync, file.fileno())
        finally:
            subprocess.run(["chattr", "-i", disk.image], check=True)


if __name__ == "__main__":
    unittest.main()

"""The demo, on a few records: every step of it does what it says.

builds: release
"""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import BUILD, TIMEOUT_S, TOP

RECORDS = 300


class Demo(unittest.TestCase):
    def test_from_beginning_to_end(self):
        with tempfile.TemporaryDirectory(prefix="sysrt-demo-") as folder:
            for program in ("sysrtd", "sysrtctl"):
                (Path(folder) / program).symlink_to(BUILD / program)
            data = Path(folder) / "data.jsonl"
            data.write_text("".join(
                json.dumps({"category": f"c{n % 3}", "id": str(n), "data": n}) + "\n"
                for n in range(RECORDS)))
            env = {k: v for k, v in os.environ.items() if not k.startswith("SYSRT_")}
            done = subprocess.run(["sh", "packaging/demo"], cwd=TOP, text=True, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=TIMEOUT_S * 4,
                                  env={**env, "BUILD": folder, "DEMO_ONCE": "1",
                                       "DEMO_DATA": str(data)})
        self.assertEqual(done.returncode, 0, done.stdout)
        complaints = [line for line in done.stdout.splitlines()
                      if line.startswith(("sysrtctl: ", "sysrtd: ", "demo: "))]
        self.assertEqual(complaints, [])
        for wanted in (f'"written":{RECORDS}', f"{RECORDS}", "c1        100",
                       '"op":"delete","category":"demo.note"', "acknowledged and missing: 0",
                       "the watcher went on by itself"):
            self.assertIn(wanted, done.stdout)


if __name__ == "__main__":
    unittest.main()

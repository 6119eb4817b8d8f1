"""The program "veilsum" and this package on the same stores, keys and directories. VEILSUM_PROGRAM is its path."""

import json
import os
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

import veilsum
from veilsum import errors
from veilsum.local import Federation

PROGRAM = os.environ.get("VEILSUM_PROGRAM", "")


def npy(values: list[float]) -> bytes:
    """A file of numpy's, version 1.0."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(values)},), }}".encode()
    head += b" " * (63 - (10 + len(head)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + struct.pack(f"<{len(values)}f", *values)


@unittest.skipUnless(PROGRAM, "VEILSUM_PROGRAM is not set")
class TestProgram(unittest.TestCase):
    fed: Federation

    def setUp(self) -> None:
        self.fed = self.enterContext(Federation({"w": (20,)}, clients=6))
        self.home = self.fed.directory

    def veilsum(self, *args: str, code: int = 0) -> list[dict[str, Any]]:
        where = ["--store", f"file:{self.home / 'store'}", "--task", self.fed.task.task_id, "--owner", self.fed.owner]
        done = subprocess.run([PROGRAM, "--json", *args, *where], capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_one_round_with_turns(self) -> None:
        self.fed.open()
        update = self.home / "u.npy"
        update.write_bytes(npy([0.05] * 20))
        for i in range(2):  # two clients are the program
            self.veilsum("client", "seal", "--state", str(self.fed.states[i]), "--epoch", "1", "--update", str(update))
            self.veilsum("client", "upload", "--state", str(self.fed.states[i]))
        with self.fed.client(0) as c, self.assertRaises(errors.EpochUsed):
            c.seal(self.fed.bundle, [0.05] * 20)
        for i in range(2, 5):
            with self.fed.client(i) as c:
                self.fed.add(c.seal(self.fed.bundle, [0.05] * 20).report)
        with self.fed.client(5) as c:  # sealed here, sent by the program
            c.seal(self.fed.task, [0.05] * 20, epoch=1)
        self.veilsum("client", "upload", "--state", str(self.fed.states[5]))
        self.veilsum("client", "seal", "--state", str(self.fed.states[2]), "--epoch", "1", "--update", str(update), code=1)

        mean = self.fed.collect()
        self.assertEqual(mean.reports, 6)
        out = self.home / "mean.arrow"
        self.veilsum("round", "collect", "--epoch", "1", "--key", str(self.home / "collector" / "identity.pem"), "--out", str(out))
        self.assertIn(bytes(mean["w"]), out.read_bytes())
        audited = self.veilsum("audit")
        self.assertIn(True, [x.get("complete") for x in audited])

    def test_keys_and_directories(self) -> None:
        with tempfile.TemporaryDirectory() as d:
            key, theirs = Path(d) / "ours.pem", Path(d) / "theirs.pem"
            public = veilsum.keygen(key)
            shown = subprocess.run([PROGRAM, "key", "show", str(key)], capture_output=True, text=True, check=True)
            self.assertIn(public, shown.stdout)
            subprocess.run([PROGRAM, "key", "new", str(theirs)], capture_output=True, check=True)
            self.assertEqual(len(veilsum.public_key(theirs)), 64)
            home = Path(d) / "client"
            made = subprocess.run(
                [PROGRAM, "client", "init", "--state", str(home), "--id", "ab" * 16], capture_output=True, text=True, check=True
            )
            with veilsum.Client(home, self.fed.owner) as c:
                self.assertEqual(c.id, "ab" * 16)
                self.assertIn(c.public_key, made.stdout)


if __name__ == "__main__":
    unittest.main()

"""The border itself: memory, forks, handles, malformed calls."""

import array
import ctypes
import gc
import json
import os
import subprocess
import sys
import unittest
import warnings

import veilsum
from veilsum import _abi, errors
from veilsum.local import Federation


def resident() -> int:
    """Bytes of memory that this process really uses."""
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class TestProcess(unittest.TestCase):
    def test_memory_stays_flat(self) -> None:
        """10,000 calls. If the library kept their answers, that were 40 MB of sums, 40 MB of means, and 10 MB of text."""
        with Federation({f"t{i}": (50,) for i in range(400)}, clients=4) as fed:
            fed.open()
            values = array.array("f", [0.0]) * fed.task.values
            for i in range(4):
                with fed.client(i) as c:
                    report = bytes(c.seal(fed.bundle, values).report or b"")
                fed.add(report)
            fed.collect()
            raw, round, part, key = fed.bundle, fed.round, fed.round.sum().data, fed.directory / "owner" / "identity.pem"

            def some(n: int) -> None:
                for i in range(n):
                    round.merge([part])
                    round.result()["t7"]
                    if i % 2:
                        veilsum.Bundle(raw, fed.owner).close()
                    with self.assertRaises(errors.UsageError):
                        round.merge([part, part])
                    for _ in range(16):
                        veilsum.public_key(key)

            some(100)
            gc.collect()
            before, handles = resident(), _abi.call("version", {})["handles"]
            some(500)
            gc.collect()
            self.assertLess(resident() - before, 8 << 20)
            self.assertEqual(_abi.call("version", {})["handles"], handles)

    def test_a_view_keeps_its_memory(self) -> None:
        with Federation({"w": (100,)}, clients=4) as fed:
            fed.open()
            for i in range(4):
                with fed.client(i) as c:
                    fed.add(c.seal(fed.bundle, [0.01] * 100).report)
            mean = fed.collect()
            view, values = mean["w"], mean["w"].tolist()
            del mean
        gc.collect()
        for _ in range(100):  # whoever frees too early hands the memory out again here
            _abi.call("version", {})
        self.assertEqual(view.tolist(), values)
        with self.assertRaises(TypeError):
            view[0] = 1.0

    def test_fork(self) -> None:
        _abi.call("version", {})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of the same danger
            pid = os.fork()
        if pid == 0:
            code = 1
            try:
                veilsum.account({"type": "gaussian", "noise_multiplier": 1}, delta=1e-5)
            except errors.ForkedProcess as e:
                code = 42 if "spawn" in e.hint and e.code == 2 else 2
            finally:
                os._exit(code)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 42)

    def test_fork_before_the_first_call(self) -> None:
        script = (
            "import os, veilsum\n"
            "pid = os.fork()\n"
            "g = veilsum.account({'type': 'gaussian', 'noise_multiplier': 1}, delta=1e-5)\n"
            "assert 4 < g.epsilon < 5\n"
            "if pid: assert os.waitpid(pid, 0)[1] == 0"
        )
        subprocess.run([sys.executable, "-c", script], check=True)

    def test_exit_with_everything_open(self) -> None:
        script = (
            "import veilsum.local\n"
            "f = veilsum.local.Federation({'w': (5,)}, clients=4)\n"
            "f.open()\n"
            "cs = [f.client(i) for i in range(4)]\n"
            "for c in cs: f.add(c.seal(f.bundle, [0.1] * 5).report)\n"
            "m = f.collect()\n"
            "v = m['w']"
        )
        done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
        self.assertNotIn("Traceback", done.stderr)

    def test_closed_handles(self) -> None:
        with Federation({"w": (5,)}, clients=4) as fed:
            fed.open()
            c = fed.client(0)
            with self.assertRaises(errors.Locked):
                fed.client(0)
            c.close()
            c.close()
            with self.assertRaisesRegex(errors.UsageError, "closed"):
                c.seal(fed.bundle, [0.1] * 5)
            with fed.client(0) as again, self.assertRaisesRegex(errors.UsageError, "something else"):
                _abi.call("client.upload", {"client": again._handle, "task": fed.store._handle})
            del again
            forgotten = fed.client(1)
            del forgotten
            gc.collect()
            fed.client(1).close()  # the lock was given back

    def test_malformed_calls(self) -> None:
        with self.assertRaisesRegex(errors.UsageError, "no method"):
            _abi.call("no.such", {})
        with self.assertRaisesRegex(errors.UsageError, "unknown field"):
            _abi.call("version", {"x": 1})
        with self.assertRaises(errors.UsageError):
            _abi.call("version", {"x": float("nan")})
        with self.assertRaises(errors.UsageError):
            veilsum.Store(b"/tmp/\xff".decode(errors="surrogateescape"))
        lib = _abi.library()
        out = _abi._Answer()
        good = ctypes.create_string_buffer(b"{}")
        for data, size, n in ((None, 5, 1), (ctypes.addressof(good), -1, 1), (ctypes.addressof(good), 2, 0), (None, 0, -5)):
            views = (_abi._View * 1)(_abi._View(data, size))
            self.assertEqual(lib.veilsum_call(b"version", views, n, ctypes.byref(out)), 2)
            self.assertIn("malformed", json.loads(ctypes.string_at(out.text, out.text_size))["message"])
            lib.veilsum_free(out.text)
        self.assertEqual(lib.veilsum_call(None, None, 1, ctypes.byref(out)), 2)
        lib.veilsum_free(out.text)
        lib.veilsum_free(None)

    def test_account(self) -> None:
        g = veilsum.account({"type": "gaussian", "noise_multiplier": 1}, delta=1e-5)
        self.assertAlmostEqual(g.epsilon, 4.377178095681224, places=9)  # the exact formula of the Gaussian mechanism
        assert g.pld is not None and g.rdp is not None
        self.assertTrue(g.pld[0] <= g.epsilon <= g.pld[1] <= g.rdp)
        for bad in ({"type": "magic"}, {"type": "gaussian"}, {}):
            with self.assertRaises(errors.UsageError):
                veilsum.account(bad, delta=1e-5)

    def test_it_is_the_wheel(self) -> None:
        """These tests test what was installed, not the sources beside them."""
        self.assertNotEqual(veilsum.__version__, "0+unknown")
        self.assertNotIn(os.path.join("python", "src"), veilsum.__file__)


if __name__ == "__main__":
    unittest.main()

"""Updates in every form that they may come in."""

import array
import math
import unittest
from typing import Any

from veilsum import errors
from veilsum._values import Tensor, lend_values
from veilsum.local import Federation

TENSORS = (Tensor("a", "float32", (2, 3)), Tensor("b", "float64", (4,)))


def lent(values: Any) -> list[tuple[int, str]]:
    buffers, dtypes = lend_values(values, TENSORS)
    found = [(b.size, d) for b, d in zip(buffers, dtypes, strict=True)]
    for b in buffers:
        b.release()
    return found


class TestValues(unittest.TestCase):
    def test_forms(self) -> None:
        f, d = array.array("f", range(6)), array.array("d", range(4))
        both = [(24, "float32"), (32, "float64")]
        self.assertEqual(lent({"b": d, "a": f}), both)
        self.assertEqual(lent([f, d]), both)
        self.assertEqual(lent((memoryview(f).toreadonly(), d)), both)
        self.assertEqual(lent([memoryview(f).cast("B").cast("f", [2, 3]), d]), both)
        self.assertEqual(lent(array.array("f", range(10))), [(40, "float32")])
        self.assertEqual(lent([0.5] * 10), [(80, "float64")])

    def test_buffers_are_not_copied_and_are_given_back(self) -> None:
        f = array.array("f", range(10))
        (b,), _ = lend_values(f, TENSORS)
        self.assertEqual(b.address, f.buffer_info()[0])
        with self.assertRaises(BufferError):
            f.append(1)
        b.release()
        del b
        f.append(1)

    def test_mistakes(self) -> None:
        f, d = array.array("f", range(6)), array.array("d", range(4))
        for what, bad in {
            "missing": {"a": f},
            "not in the task": {"a": f, "b": d, "c": d},
            "2 tensors": [f, d, d],
            "format": {"a": array.array("i", range(6)), "b": d},
            "contiguous": {"a": memoryview(array.array("f", range(12)))[::2], "b": d},
            "not str": {"a": "text", "b": d},
            "want a buffer": {"a": object(), "b": d},
            "want numbers": {"a": [1, "x"], "b": d},
        }.items():
            with self.subTest(what), self.assertRaisesRegex(errors.UsageError, what):
                lent(bad)
        f.append(1)  # nothing was kept
        d.append(1)

    def test_what_the_library_refuses(self) -> None:
        with Federation({"a": (6,), "b": (4,)}, clients=4) as fed, fed.client(0) as c:
            fed.open()
            for bad in (
                {"a": [0.0] * 5, "b": [0.0] * 4},
                {"a": [0.0] * 6, "b": [0.0] * 5},
                {"a": [0.0] * 6, "b": [math.nan] * 4},
                {"a": [math.inf] * 6, "b": [0.0] * 4},
                {"a": [1e300] * 6, "b": [0.0] * 4},
                [0.0] * 9,
                [0.0] * 11,
                b"",
            ):
                with self.subTest(bad), self.assertRaises(errors.UsageError):
                    c.seal(fed.bundle, bad)
            values = array.array("f", [0.25] * 10)
            sealed = c.seal(fed.bundle, values)
            self.assertFalse(sealed.clipped)
            self.assertEqual(values, array.array("f", [0.25] * 10), "the caller's values are not touched")
        with Federation({"a": (6,)}, clients=4) as fed, fed.client(0) as c:
            fed.open()
            self.assertTrue(c.seal(fed.bundle, [10.0] * 6).clipped)


if __name__ == "__main__":
    unittest.main()

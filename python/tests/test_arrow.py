"""numpy and pyarrow, without copies in both directions. Skipped where they are not installed."""

import gc
import unittest
from typing import Any

from veilsum import errors
from veilsum._values import Tensor, lend_values
from veilsum.local import Federation

try:
    import numpy as np
    import pyarrow as pa
except ImportError:
    raise unittest.SkipTest("needs numpy and pyarrow") from None

TENSORS = (Tensor("a", "float32", (2, 3)), Tensor("b", "float64", (4,)))


def lent(values: Any) -> list[tuple[int, int, str]]:
    buffers, dtypes = lend_values(values, TENSORS)
    return [(b.address, b.size, d) for b, d in zip(buffers, dtypes, strict=True)]


class TestIn(unittest.TestCase):
    def test_numpy(self) -> None:
        a, b = np.ones((2, 3), np.float32), np.ones(4)
        a.flags.writeable = False
        self.assertEqual(lent({"a": a, "b": b}), [(a.ctypes.data, 24, "float32"), (b.ctypes.data, 32, "float64")])
        for bad in (np.ones((3, 2), np.float32).T, np.ones(6, np.float16), np.ones(6, np.int64), np.ones(6, ">f4")):
            with self.assertRaises(errors.UsageError):
                lent({"a": bad, "b": b})

    def test_arrays(self) -> None:
        flat = pa.array(np.arange(20, dtype=np.float32))
        address = flat.buffers()[1].address
        self.assertEqual(lent(flat.slice(3, 10)), [(address + 12, 40, "float32")])
        lists = pa.FixedSizeListArray.from_arrays(flat, 5)
        self.assertEqual(lent(lists.slice(1, 2)), [(address + 20, 40, "float32")])
        nested = pa.FixedSizeListArray.from_arrays(lists, 2)
        self.assertEqual(lent(nested.slice(1, 1)), [(address + 40, 40, "float32")])

    def test_batches(self) -> None:
        a, b = np.arange(12, dtype=np.float32).reshape(2, 2, 3), np.arange(8.0).reshape(2, 4)
        batch = pa.record_batch(
            {"b": pa.FixedShapeTensorArray.from_numpy_ndarray(b), "a": pa.FixedShapeTensorArray.from_numpy_ndarray(a)}
        )
        self.assertEqual(
            lent(batch.slice(1, 1)), [(a.ctypes.data + 24, 24, "float32"), (b.ctypes.data + 32, 32, "float64")]
        )
        with self.assertRaisesRegex(errors.UsageError, "missing"):
            lent(batch.select(["a"]))

    def test_refused(self) -> None:
        for bad in (
            pa.array([1.0, None]),
            pa.array([1, 2]),
            pa.array(["x"]),
            pa.array([[1.0], [2.0, 3.0]]),
            pa.record_batch([pa.array([1.0]), pa.array([2.0])], names=["a", "a"]),
            pa.record_batch({"a": pa.array([1.0, None]), "b": pa.array([1.0, 2.0])}),
        ):
            with self.subTest(bad.type if hasattr(bad, "type") else "batch"), self.assertRaises(errors.UsageError):
                lent(bad)
        for stream in (pa.chunked_array([[1.0]]), pa.table({"a": [1.0], "b": [1.0]})):
            with self.assertRaisesRegex(errors.UsageError, "combine"):
                lent(stream)


class TestOut(unittest.TestCase):
    fed: Federation
    mean: Any

    @classmethod
    def setUpClass(cls) -> None:
        with Federation({"w": (2, 3), "s": (), "v": (1000,)}, clients=4) as fed:
            fed.open()
            batch = pa.record_batch(
                {"w": pa.array([[0.1] * 6], pa.list_(pa.float32(), 6)), "s": pa.array([0.5]), "v": pa.array([[0.0] * 1000], pa.list_(pa.float64(), 1000))}
            )
            for i in range(4):
                with fed.client(i) as c:
                    fed.add(c.seal(fed.bundle, batch).report)
            cls.mean = fed.collect()

    def test_numpy(self) -> None:
        w = np.asarray(self.mean["w"])
        self.assertEqual((w.shape, w.dtype, w.flags.writeable), ((2, 3), np.float32, False))
        self.assertEqual(w.ctypes.data, np.asarray(self.mean["w"]).ctypes.data)
        self.assertEqual(np.asarray(self.mean["s"]).shape, ())

    def test_a_record_batch(self) -> None:
        batch = pa.record_batch(self.mean)
        batch.validate(full=True)
        self.assertEqual(batch.schema.names, ["w", "s", "v"])
        self.assertEqual(batch.schema.field("w").type, pa.fixed_shape_tensor(pa.float32(), [2, 3]))
        self.assertEqual(batch.schema.metadata[b"veilsum.report_count"], b"4")
        for t in self.mean.tensors:
            values = batch.column(t.name).storage.flatten()
            ours = np.asarray(self.mean[t.name])
            self.assertEqual(values.buffers()[1].address, ours.ctypes.data)
            self.assertEqual(ours.ctypes.data % 64, 0)
            np.testing.assert_array_equal(values.to_numpy(), ours.reshape(-1))
        self.assertEqual(pa.schema(self.mean), batch.schema)

    def test_a_batch_outlives_everything(self) -> None:
        with Federation({"v": (50,)}, clients=4) as fed:
            fed.open()
            for i in range(4):
                with fed.client(i) as c:
                    fed.add(c.seal(fed.bundle, np.full(50, 0.1)).report)
            mean = fed.collect()
        want = mean["v"].tolist()
        column = pa.record_batch(mean).column("v").storage.flatten()  # a child alone, its parents released
        del mean
        gc.collect()
        junk = [np.random.default_rng(0).random(64) for _ in range(1000)]
        self.assertEqual(column.to_pylist(), want)
        del junk

    def test_exports_nobody_takes(self) -> None:
        """10,000 exports, half of them never imported: 80 MB if their memory were kept."""
        from test_process import resident

        def some(n: int) -> None:
            for _ in range(n):
                self.mean.__arrow_c_array__()
                pa.record_batch(self.mean)

        some(500)
        gc.collect()
        before = resident()
        some(5000)
        gc.collect()
        self.assertLess(resident() - before, 6 << 20)


if __name__ == "__main__":
    unittest.main()

"""What a round published, on its way out: views of the library's memory, for buffers and for Arrow."""

from __future__ import annotations

import ctypes
import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from . import _abi
from ._values import Tensor


class _Column(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("metadata", ctypes.c_char_p),
        ("metadata_size", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("values", ctypes.c_int64),
        ("width", ctypes.c_int32),
    ]


_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)
_SCHEMA, _ARRAY = b"arrow_schema", b"arrow_array"  # capsules keep the pointer to their name


class Aggregate(Mapping[str, _abi.Floats]):
    """The noisy mean of a round: a mapping from each tensor's name to its values.

    The values are read-only views of shape ``tensor.shape`` and type ``tensor.dtype`` over memory of the library;
    ``numpy.asarray(aggregate["w"])`` and ``pyarrow.record_batch(aggregate)`` copy nothing, and keep it alive. They are
    what the receipt names, byte for byte, whoever asks and however often.
    """

    def __init__(self, answer: dict[str, Any], body: _abi.Memory) -> None:
        self._body = body
        self._columns = {c["name"]: c for c in answer["columns"]}
        self.metadata: dict[str, str] = answer["metadata"]
        """What the published file says of itself; keys begin with "veilsum."."""
        self.receipt: dict[str, Any] = answer["receipt"]
        """The round's signed receipt, without its signature."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors, in the task's order."""
        return tuple(Tensor(c["name"], c["dtype"], tuple(c["shape"])) for c in self._columns.values())

    @property
    def reports(self) -> int:
        """The number of reports in the mean."""
        return int(self.receipt["reports"])

    @property
    def epsilon(self) -> float:
        """The epsilon of this round alone, at :attr:`delta`."""
        return float(self.metadata["veilsum.epsilon"])

    @property
    def delta(self) -> float:
        """The delta of the task's scope."""
        return float(self.metadata["veilsum.delta"])

    @property
    def noise_std_dev(self) -> float:
        """The standard deviation of the noise in each value of the mean."""
        return float(self.metadata["veilsum.noise_std_dev"])

    def __getitem__(self, name: str) -> _abi.Floats:
        c = self._columns[name]
        return self._body.floats(c["offset"], c["values"], 4 if c["dtype"] == "float32" else 8, c["shape"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return f"<veilsum.Aggregate of {self.reports} reports: {', '.join(self)}>"

    def __arrow_c_schema__(self) -> object:
        return self.__arrow_c_array__()[0]

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """A record batch of one row; each tensor is a column of type arrow.fixed_shape_tensor. Another schema is not made."""
        lib = _abi.library()
        columns = (_Column * len(self._columns))()
        for to, c in zip(columns, self._columns.values(), strict=True):
            meta = _arrow_metadata(
                {
                    "ARROW:extension:name": "arrow.fixed_shape_tensor",
                    "ARROW:extension:metadata": json.dumps({"shape": c["shape"]}, separators=(",", ":")),
                }
            )
            to.name, to.metadata, to.metadata_size = c["name"].encode(), meta, len(meta)
            to.offset, to.values, to.width = c["offset"], c["values"], 4 if c["dtype"] == "float32" else 8
        schema, array = ctypes.c_void_p(), ctypes.c_void_p()
        if lib.veilsum_structs(ctypes.byref(schema), ctypes.byref(array)) != 0:
            raise MemoryError
        owners = (
            _capsule(schema, _SCHEMA, ctypes.cast(lib.veilsum_end_schema, ctypes.c_void_p)),
            _capsule(array, _ARRAY, ctypes.cast(lib.veilsum_end_array, ctypes.c_void_p)),
        )
        meta = _arrow_metadata(self.metadata)
        status = lib.veilsum_arrow(
            ctypes.c_void_p(self._body.address), columns, ctypes.c_int64(len(columns)), meta, ctypes.c_int64(len(meta)), schema, array
        )
        if status != 0:
            raise MemoryError
        return owners


def _arrow_metadata(pairs: dict[str, str]) -> bytes:
    out = struct.pack("=i", len(pairs))
    for key, value in sorted(pairs.items()):
        for text in (key.encode(), value.encode()):
            out += struct.pack("=i", len(text)) + text
    return out

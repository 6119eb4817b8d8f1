"""Values of updates on their way in: buffers, Arrow arrays, numbers; never copied if they are float32 or float64 already."""

from __future__ import annotations

import array
import ctypes
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import _abi, errors


@dataclass(frozen=True)
class Tensor:
    """One tensor of a task: its name, "float32" or "float64", and its shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def values(self) -> int:
        """The number of its values."""
        n = 1
        for x in self.shape:
            n *= x
        return n


def lend_values(values: Any, tensors: Sequence[Tensor], model: Any = None) -> tuple[list[_abi.Lent], list[str]]:
    """Lends an update: one buffer for all values, or one for each tensor, and the model, if there is one, behind them. Returns
    the buffers, and the types of those with values."""
    dtypes: list[str] = []

    def one_by_one() -> Iterator[_abi.Lent]:
        for name, part in _parts(values, tensors):
            one, dtype = _lend_one(part, name)
            dtypes.append(dtype)
            yield one
        if model is not None:
            yield _abi.lend(model, "model")

    return _abi.lend_all(one_by_one()), dtypes


def _parts(values: Any, tensors: Sequence[Tensor]) -> list[tuple[str, Any]]:
    names = [t.name for t in tensors]
    if isinstance(values, Mapping):
        missing, extra = set(names) - set(values), set(values) - set(names)
        if missing or extra:
            raise errors.UsageError(f"values: tensors are missing: {sorted(missing)}; not in the task: {sorted(extra)}")
        return [(n, values[n]) for n in names]
    if hasattr(values, "__arrow_c_array__"):
        return _arrow_parts(values, names)
    if isinstance(values, (list, tuple)) and values and not isinstance(values[0], (int, float)):
        if len(values) != len(names):
            raise errors.UsageError(f"values: {len(values)} arrays, the task has {len(names)} tensors")
        return list(zip(names, values, strict=True))
    return [("values", values)]


_FORMATS = {"f": "float32", "d": "float64"}


def _lend_one(part: Any, name: str) -> tuple[_abi.Lent, str]:
    if isinstance(part, _Column):
        return _abi.Lent(part.address, part.size, part.owner), part.dtype
    if hasattr(part, "__arrow_c_array__"):
        columns = _arrow_parts(part, [name])
        return _lend_one(columns[0][1], name)
    if isinstance(part, (int, float)):
        part = [part]
    if isinstance(part, (list, tuple)):
        try:
            part = array.array("d", part)
        except TypeError:
            raise errors.UsageError(f"{name}: want numbers, a buffer of float32 or float64, or an Arrow array") from None
    if hasattr(part, "__arrow_c_stream__") and not hasattr(part, "__buffer__"):
        raise errors.UsageError(f"{name}: a stream of Arrow batches: combine it into one, as table.combine_chunks().to_batches()[0]")
    try:
        view = memoryview(part)
    except TypeError:
        raise errors.UsageError(
            f"{name}: want a buffer of float32 or float64, or an Arrow array, not {type(part).__name__}"
        ) from None
    order = {"little": "<=@", "big": ">=@"}[sys.byteorder]
    dtype = _FORMATS.get(view.format.lstrip(order))
    if dtype is None or sys.byteorder != "little":
        raise errors.UsageError(f"{name}: values of format {view.format!r}: convert them to float32 or float64")
    return _abi.lend(view, name), dtype


# --- Arrow C Data Interface -------------------------------------------------------


class _Schema(ctypes.Structure):
    pass


_Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_Schema))),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]


class _Array(ctypes.Structure):
    pass


_Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]


@dataclass(frozen=True)
class _Column:
    """Values in an Arrow array, which the two capsules keep alive."""

    address: int
    size: int
    dtype: str
    owner: object


_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))


def _arrow_parts(values: Any, names: Sequence[str]) -> list[tuple[str, Any]]:
    owner = values.__arrow_c_array__()
    schema = ctypes.cast(_pointer(owner[0], b"arrow_schema"), ctypes.POINTER(_Schema)).contents
    data = ctypes.cast(_pointer(owner[1], b"arrow_array"), ctypes.POINTER(_Array)).contents
    if schema.format != b"+s":
        return [("values", _column(schema, data, 0, data.length, owner, "values"))]
    found: dict[str, _Column] = {}
    _no_nulls(data, "values")
    for i in range(data.n_children):
        child, column = schema.children[i].contents, data.children[i].contents
        name = (child.name or b"").decode()
        if name in found:
            raise errors.UsageError(f"values: two columns are called {name!r}")
        found[name] = _column(child, column, data.offset, data.length, owner, name)
    return _parts(found, [Tensor(n, "", ()) for n in names])


def _no_nulls(data: _Array, name: str) -> None:
    if data.null_count > 0 or (data.null_count < 0 and data.n_buffers > 0 and data.buffers[0]):
        raise errors.UsageError(f"{name}: an update has no nulls")


def _column(schema: _Schema, data: _Array, offset: int, length: int, owner: object, name: str) -> _Column:
    """Values of rows [offset, offset+length) of a column; the rows of fixed-size lists are their lists' values."""
    _no_nulls(data, name)
    format = schema.format.decode()
    offset += data.offset
    if format.startswith("+w:"):
        size = int(format[3:])
        return _column(schema.children[0].contents, data.children[0].contents, offset * size, length * size, owner, name)
    width = {"f": 4, "g": 8}.get(format)
    if width is None:
        raise errors.UsageError(f"{name}: an Arrow column of format {format!r}: want float32, float64, or fixed-size lists of them")
    if length == 0:
        return _Column(0, 0, "float32" if width == 4 else "float64", owner)
    return _Column(data.buffers[1] + offset * width, length * width, "float32" if width == 4 else "float64", owner)

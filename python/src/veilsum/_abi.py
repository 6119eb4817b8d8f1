"""The door to the library: one call with a request in JSON and buffers, see python/cabi/abi.h."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from . import errors

if TYPE_CHECKING:
    Floats = memoryview[float]
else:
    Floats = memoryview  # which has no parameter at run time before Python 3.14

ABI = 1
_NAME = {"darwin": "libveilsum.dylib", "win32": "veilsum.dll"}.get(sys.platform, "libveilsum.so")


class _View(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_int64)]


class _Answer(ctypes.Structure):
    _fields_ = [
        ("status", ctypes.c_int32),
        ("text", ctypes.c_void_p),
        ("text_size", ctypes.c_int64),
        ("body", ctypes.c_void_p),
        ("body_size", ctypes.c_int64),
    ]


_lock = threading.Lock()
_library: ctypes.CDLL | None = None
_process = 0  # that loaded the library


def library() -> ctypes.CDLL:
    """The library, loaded at the first call: a process may fork after ``import veilsum``, but not after that."""
    global _library, _process
    if _library is None:  # else without the lock, which another thread could hold at a fork
        with _lock:
            if _library is None:
                _process, _library = os.getpid(), _load()
    if _process != os.getpid():
        raise errors.ForkedProcess(
            f"veilsum was used in process {_process} before this process was forked from it; Go's threads do not survive that",
            'start workers with multiprocessing\'s "spawn" or "forkserver", or use veilsum first in the child',
        )
    return _library


def _load() -> ctypes.CDLL:
    path = Path(__file__).with_name(_NAME)
    if not path.exists():
        raise errors.NotFound(f"{path} is missing", "install the wheel: pip wheel python/ builds it from a checkout")
    lib = ctypes.CDLL(str(path))  # releases the GIL during each call
    lib.veilsum_call.argtypes = [ctypes.c_char_p, ctypes.POINTER(_View), ctypes.c_int32, ctypes.POINTER(_Answer)]
    lib.veilsum_call.restype = ctypes.c_int32
    lib.veilsum_free.argtypes = [ctypes.c_void_p]
    lib.veilsum_free.restype = None
    lib.veilsum_arrow.restype = ctypes.c_int32
    lib.veilsum_structs.restype = ctypes.c_int32
    lib.veilsum_capsules.argtypes = [ctypes.c_void_p]
    lib.veilsum_capsules.restype = None
    lib.veilsum_capsules(ctypes.cast(ctypes.pythonapi.PyCapsule_GetPointer, ctypes.c_void_p))
    found = json.loads(_run(lib, "version", {}, ())[0])
    if found["abi"] != ABI:
        raise errors.UsageError(f"{path} is of ABI {found['abi']}, this package knows {ABI}: the installation is mixed up")
    return lib


class Lent:
    """Memory that somebody else owns, for one call. ``owner`` keeps it alive."""

    __slots__ = ("address", "size", "owner", "done")

    def __init__(self, address: int, size: int, owner: object, done: Callable[[], None] | None = None) -> None:
        self.address, self.size, self.owner, self.done = address, size, owner, done

    def release(self) -> None:
        if self.done is not None:
            self.done()
            self.done = None


class _Buffer(ctypes.Structure):  # Py_buffer, part of the stable ABI since Python 3.11
    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    ]


_get_buffer = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.POINTER(_Buffer), ctypes.c_int)(
    ("PyObject_GetBuffer", ctypes.pythonapi)
)
_release_buffer = ctypes.PYFUNCTYPE(None, ctypes.POINTER(_Buffer))(("PyBuffer_Release", ctypes.pythonapi))


def lend(data: Any, what: str = "data") -> Lent:
    """Lends the bytes of any contiguous buffer, read-only ones too, without a copy."""
    try:
        view = memoryview(data)
    except TypeError:
        raise errors.UsageError(f"{what}: want bytes or another buffer, not {type(data).__name__}") from None
    if not view.c_contiguous:
        raise errors.UsageError(f"{what}: the buffer is not contiguous; copy it first")
    if view.nbytes == 0:
        return Lent(0, 0, view)
    raw = _Buffer()
    _get_buffer(view, ctypes.byref(raw), 0)  # PyBUF_SIMPLE
    return Lent(raw.buf, raw.len, view, lambda: _release_buffer(ctypes.byref(raw)))


def lend_all(lending: Iterable[Lent]) -> list[Lent]:
    """Collects what is lent one by one; if something cannot be lent, gives all before it back."""
    lent: list[Lent] = []
    try:
        for one in lending:
            lent.append(one)
    except BaseException:
        for one in lent:
            one.release()
        raise
    return lent


class Memory:
    """Memory of the library's that a call answered with. It is freed when the last view of it is gone."""

    __slots__ = ("_array", "address", "size")

    def __init__(self, lib: ctypes.CDLL, address: int, size: int) -> None:
        self.address, self.size = address, size
        # Views refer to the array, so the finalizer waits for all of them. veilsum_free is plain C: it may run anywhere.
        self._array = (ctypes.c_char * size).from_address(address)
        weakref.finalize(self._array, lib.veilsum_free, address).atexit = False

    def view(self) -> memoryview:
        """A read-only view of all bytes, without a copy. It keeps the memory alive."""
        return memoryview(self._array).cast("B").toreadonly()

    def floats(self, offset: int, count: int, width: int, shape: Sequence[int]) -> Floats:
        """A read-only view of values of 4 or 8 bytes, in a shape. It keeps the memory alive, too."""
        part = memoryview(self._array).cast("B")[offset : offset + width * count]
        return (part.cast("f", list(shape)) if width == 4 else part.cast("d", list(shape))).toreadonly()


def call(method: str, request: dict[str, Any], *buffers: Lent) -> Any:
    """Runs a method whose answer has no buffer."""
    return call_with_body(method, request, *buffers)[0]


def call_with_body(method: str, request: dict[str, Any], *buffers: Lent) -> tuple[Any, Memory | None]:
    """Runs a method and gives the lent buffers back."""
    try:
        text, body = _run(library(), method, request, buffers)
    finally:
        for b in buffers:
            b.release()
    return json.loads(text), body


def _run(lib: ctypes.CDLL, method: str, request: dict[str, Any], buffers: Sequence[Lent]) -> tuple[bytes, Memory | None]:
    try:
        raw = json.dumps(request, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, TypeError) as e:  # NaN, text that is no Unicode (as in some file names), a strange type
        raise errors.UsageError(f"{method}: {e}") from None
    views = (_View * (1 + len(buffers)))()
    views[0].data, views[0].size = ctypes.cast(ctypes.c_char_p(raw), ctypes.c_void_p), len(raw)
    for i, b in enumerate(buffers, 1):
        views[i].data, views[i].size = b.address or None, b.size
    out = _Answer()
    status: int = lib.veilsum_call(method.encode(), views, len(views), ctypes.byref(out))
    try:
        text = ctypes.string_at(out.text, out.text_size) if out.text else b'{"message": "no memory for the answer"}'
    finally:
        lib.veilsum_free(out.text)
    body = Memory(lib, out.body, out.body_size) if out.body else None
    if status != 0:
        raise errors._from_answer(status, json.loads(text))
    return text, body


def _close(handle: int) -> None:
    if _library is not None and _process == os.getpid():
        _run(_library, "handle.close", {"handle": handle}, ())


class Handle:
    """A long-lived object of the library's. Close it, use it in a ``with`` statement, or let it go."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._finalizer = weakref.finalize(self, _close, handle)
        self._finalizer.atexit = False

    def close(self) -> None:
        """Closes the object; closing again does nothing. Whatever uses it later is a :class:`UsageError`."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def path(name: str | os.PathLike[str]) -> str:
    """The name of a file, as text."""
    return os.fspath(name)

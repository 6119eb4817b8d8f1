"""Stores, tasks, bundles, and the keys of roles."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _abi
from ._values import Tensor

if TYPE_CHECKING:
    from ._rounds import Round

Path = str | os.PathLike[str]


def keygen(path: Path) -> str:
    """Writes a new signing key (Ed25519, PKCS #8 in PEM, mode 0600) and returns the public key, 64 hexadecimal digits.

    The file must not exist. It is what ``veilsum key new`` writes; ``veilsum key`` can encrypt it, this package reads
    keys in clear only."""
    return str(_abi.call("key.new", {"path": _abi.path(path)})["public_key"])


def public_key(path: Path) -> str:
    """The public key of a signing key's file."""
    return str(_abi.call("key.public", {"path": _abi.path(path)})["public_key"])


class Store(_abi.Handle):
    """What all roles share: write-once objects in a directory or a bucket.

    ``url`` is "file:DIR" or a path, "s3://BUCKET/PREFIX?endpoint=HOST:PORT" (credentials come from the environment), or
    "mem:" for the memory of this process. ``create`` makes an absent directory, and tries the store out before anything
    is written to it. ``sync=False`` waits for no disk, for simulations only."""

    def __init__(self, url: Path, *, create: bool = False, sync: bool = True) -> None:
        self.url = _abi.path(url)
        super().__init__(_abi.call("store.open", {"url": self.url, "create": create, "sync": sync})["handle"])

    def __repr__(self) -> str:
        return f"<veilsum.Store {self.url}>"

    def task(self, task_id: str, owner: Path) -> Task:
        """A task, verified against the privacy owner's public key (hexadecimal, or a file), which you got on a way you trust."""
        return Task(self, _abi.call("task.open", {"store": self._handle, "task": task_id, "owner": _abi.path(owner)}))

    def publish(self, spec: Mapping[str, Any], owner_key: Path) -> Task:
        """Completes a task, signs it with the privacy owner's key file, and publishes it.

        ``spec`` has the fields of ``veilsum task new --example``; what follows from the others may be left out."""
        return Task(self, _abi.call("task.publish", {"store": self._handle, "task": _reals(spec), "key": _abi.path(owner_key)}))


_REALS = {
    "epsilon", "delta", "clipping_norm", "noise_multiplier", "kappa", "kappa_inf",
    "target_quantile", "learning_rate", "count_std_dev", "min_norm", "max_norm", "low", "high", "weight",
}  # fmt: skip


def _reals(spec: Any, key: str = "") -> Any:
    """Real parameters are text in JSON, the shortest that gives the same float64."""
    if isinstance(spec, Mapping):
        return {k: _reals(v, k) for k, v in spec.items()}
    if isinstance(spec, (list, tuple)):
        return [_reals(v) for v in spec]
    if key in _REALS and isinstance(spec, (int, float)) and not isinstance(spec, bool):
        return repr(float(spec))
    return spec


@dataclass(frozen=True)
class Budget:
    """What the scope of a task has spent, and what is left."""

    epsilon: float
    """Spent so far, over all tasks of the scope."""
    delta: float
    allowed: float
    """The most epsilon that may ever be spent."""
    relation: str
    unit: str
    epochs: int
    """Epochs that were charged."""
    rounds_left: int
    """Further epochs of this task that the budget affords; -1 or a large number if there is no end."""


class _Task(_abi.Handle):
    """A verified task: what all roles agree on for many rounds."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(answer["handle"])
        self.task_id: str = answer["task_id"]
        self.owner: str = answer["owner"]
        """The privacy owner's public key, against which the task was verified."""
        self.spec: dict[str, Any] = answer["task"]
        """The signed task itself; real numbers are text. FORMAT.md section 3 explains every field."""
        self.values: int = answer["values"]
        """The number of values of an update, over all tensors."""
        self.report_bytes: int = answer["report_bytes"]
        """The size of one report."""
        self.epsilon: float = answer["epsilon"]
        """The cost of one round, at the scope's delta."""

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors of an update, in order."""
        return tuple(Tensor(t["name"], t["dtype"], tuple(t["shape"])) for t in self.spec["tensors"])

    def __repr__(self) -> str:
        return f"<veilsum.{type(self).__name__} {self.task_id[:8]} {self.name!r}>"


class Task(_Task):
    """A verified task in a store."""

    def __init__(self, store: Store, answer: dict[str, Any]) -> None:
        super().__init__(answer)
        self.store = store

    def bundle(self, epoch: int) -> bytes:
        """What clients without a store need to seal for an epoch whose round is open: for :class:`Bundle` or :meth:`Client.seal`.

        It holds the signed task and the signed descriptors with the committee's round keys: of all lanes, and of the earlier
        epochs whose models the round accepts, some 4 KB each, or 10 KB with post-quantum keys. No enrollment list and no
        model is in it."""
        _, body = _abi.call_with_body("task.bundle", {"task": self._handle, "epoch": epoch})
        assert body is not None
        return bytes(body.view())

    def enroll(self, authority_key: Path, public_keys: Sequence[str]) -> list[str]:
        """Gives clients' public keys pseudonyms (32 hexadecimal digits), signs a new enrollment list with all enrolled
        before, and returns the pseudonyms. A key that is enrolled already keeps its own."""
        request = {"task": self._handle, "key": _abi.path(authority_key), "public_keys": list(public_keys)}
        return list(_abi.call("task.enroll", request)["ids"])

    def budget(self) -> Budget:
        """What the scope's ledger says was spent, verified."""
        return Budget(**_abi.call("task.budget", {"task": self._handle}))

    def round(self, epoch: int, lane: int = 0) -> Round:
        """An open or ended round; :class:`NotReady` if it was never opened."""
        from ._rounds import Round

        return Round._load(self, epoch, lane, snapshot=True)


class Bundle(_Task):
    """A task and one epoch's descriptors, as bytes that any messenger carries.

    ``owner`` is the pinned public key of the privacy owner, ``task_id`` the pinned task, if there is one. What the
    messenger changed or made up is :class:`VerificationFailed`."""

    def __init__(self, raw: Any, owner: Path, task_id: str | None = None) -> None:
        request = {"owner": _abi.path(owner), "task": task_id or ""}
        answer = _abi.call("bundle.open", request, _abi.lend(raw, "bundle"))
        super().__init__(answer)
        self.epoch: int = answer["epoch"]

    def round(self, lane: int = 0) -> Round:
        """The bundle's round of a lane, for :meth:`Round.merge` only: it knows no client's key and has no store."""
        from ._rounds import Round

        return Round._load(self, self.epoch, lane, snapshot=False)

"""The client's side of a round."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from . import _abi
from ._tasks import Bundle, Path, Task
from ._values import lend_values


def init_client(state: Path, id: str | None = None, *, min_batch_size: int = 0, noise_multiplier: float = 0.0) -> str:
    """Makes a client's key in its state directory, if there is none, and returns its public key.

    The enrollment authority gives the public key a pseudonym (:meth:`Task.enroll`); call again with it as ``id``, once.
    ``min_batch_size`` and ``noise_multiplier`` are the client's floor: it seals for no task that protects less.
    The directory is what ``veilsum client init`` makes: both may use it, in turns."""
    request = {
        "state": _abi.path(state),
        "id": id or "",
        "min_batch_size": min_batch_size,
        "noise_multiplier": float(noise_multiplier),
    }
    return str(_abi.call("client.init", request)["public_key"])


@dataclass(frozen=True)
class Sealed:
    """A report that was sealed. From now on the participation counts on the client."""

    report_id: str
    epoch: int
    lane: int
    bytes: int
    """The size of all objects of the report."""
    clipped: bool
    """The update was longer than the clipping norm. Only this client knows it."""
    fresh: bool
    """False if the client had sealed for this round before: the report is that one, and the values were not looked at."""
    report: memoryview | None
    """The report's bytes for :meth:`Round.add`, if it was sealed from a bundle; None if it waits for :meth:`Client.upload`."""


@dataclass(frozen=True)
class Delivery:
    """What became of a report that waited."""

    report_id: str
    epoch: int
    lane: int
    fate: str
    """"sent", "listed" or "summed", or if it is in no sum and will be in none "left out", "late" or "over"."""
    bytes: int
    """Bytes sent now."""
    overdue: bool
    """By this machine's clock the round's keys had expired; the report was sent all the same."""


class Client(_abi.Handle):
    """One client (a vehicle, a hospital): it clips, encodes, adds noise and seals one message a round.

    ``state`` is its directory, made by :func:`init_client`, which survives restarts, is in no backup and is locked while
    the client is open. It remembers what the client gave: a client that forgot it could give too much. ``owner`` is
    the privacy owner's public key (hexadecimal, or a file), got on a way you trust; ``task_id`` pins one task, too.
    Safe for use by many threads; they take turns. ``sync=False`` waits for no disk, for simulations only."""

    def __init__(self, state: Path, owner: Path, *, task_id: str | None = None, sync: bool = True) -> None:
        answer = _abi.call("client.open", {"state": _abi.path(state), "owner": _abi.path(owner), "sync": sync})
        super().__init__(answer["handle"])
        self.id: str = answer["id"]
        """The client's pseudonym in the scope."""
        self.public_key: str = answer["public_key"]
        self.task_id = task_id
        self._owner = _abi.path(owner)

    def __repr__(self) -> str:
        return f"<veilsum.Client {self.id[:8]}>"

    def seal(
        self,
        source: Task | Bundle | Any,
        values: Any,
        *,
        epoch: int | None = None,
        model: Any = None,
        model_hash: str | None = None,
        examples: int = 0,
    ) -> Sealed:
        """Seals this epoch's report.

        ``source`` is the bytes of a bundle (or a :class:`Bundle`): the report comes back as bytes, which may be handed
        over as often as need be; the client keeps them until it seals for a later epoch. Or a :class:`Task` in a store, with
        ``epoch``: the report waits for :meth:`upload`.

        ``values`` is the update, in the units of the model: a mapping from tensor names to arrays, a list of arrays in the
        task's order, or one array of all ``task.values`` values. Arrays are float32 or float64 buffers (numpy,
        array.array, memoryview), Arrow arrays, or lists of numbers; an Arrow record batch is a mapping. They are
        read, never changed. float64 is rounded to float32.

        ``model`` is the model that the update starts from, as the bytes that the round was opened with, ``model_hash``
        its hash (:attr:`Round.model_hash`); neither means a round without a model. ``examples`` is how many examples it was
        made from, needed only in a task with ``max_examples``, which scales it by min(examples, max_examples) / max_examples
        before it is clipped.

        Sealing again for the same round gives the same report: ``fresh`` is False. Raises :class:`VerificationFailed`
        for a bundle that somebody changed, :class:`BelowFloor`, :class:`EpochUsed`, :class:`WrongModel`,
        :class:`RoundExpired`, :class:`ParticipationLimit`, and :class:`UsageError` for values that are not finite or do not
        fit the task."""
        with contextlib.ExitStack() as stack:
            if isinstance(source, Task):
                if epoch is None:
                    raise TypeError("seal from a store needs the epoch")
                return self._seal(source, epoch, values, model, model_hash, examples, carry=False)
            if not isinstance(source, Bundle):
                source = stack.enter_context(Bundle(source, self._owner, self.task_id))
            return self._seal(source, source.epoch, values, model, model_hash, examples, carry=True)

    def _seal(self, task: Any, epoch: int, values: Any, model: Any, model_hash: str | None, examples: int, carry: bool) -> Sealed:
        if self.task_id is not None and task.task_id != self.task_id:
            from .errors import VerificationFailed

            raise VerificationFailed(f"this client seals for task {self.task_id[:8]} only, not for {task.task_id[:8]}")
        buffers, dtypes = lend_values(values, task.tensors, model)
        request = {
            "client": self._handle,
            "task": task._handle,
            "epoch": epoch,
            "dtypes": dtypes,
            "model": model is not None,
            "model_hash": model_hash or "",
            "examples": examples,
            "carry": carry,
        }
        answer, body = _abi.call_with_body("client.seal", request, *buffers)
        return Sealed(**answer, report=body.view() if body is not None else None)

    def upload(self, task: Task) -> list[Delivery]:
        """Sends what waits for the task, oldest first, and tells what became of it. Call again after a failure: it goes
        on where it stopped."""
        return [Delivery(**d) for d in _abi.call("client.upload", {"client": self._handle, "task": task._handle})]

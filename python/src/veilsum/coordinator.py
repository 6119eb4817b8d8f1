"""The coordinator's side of round after round, whatever carries the messages: the adapters for Flower and NVIDIA FLARE stand on it.

A coordinator needs no trust. It holds the collector's key, ships bundles, adds reports, and waits for the committee.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from . import errors
from ._aggregate import Aggregate
from ._rounds import Added, Collector, Round
from ._tasks import Path, Store, Task

T = TypeVar("T")


class Coordinator:
    """Runs the rounds of one task, one after the other: :meth:`open`, :meth:`add` as reports come, :meth:`close`.

    Each round takes the next epoch that was never opened, so that a coordinator that was started again goes on.
    ``committee``, if given, is called whenever the committee has something to do: in one process ``Federation.step``. In
    production the members run ``veilsum committee serve``, and the coordinator looks every ``poll`` seconds whether they
    are done, for ``timeout`` seconds at most. The task has one lane. Not for many threads at once, but for
    :meth:`add`."""

    def __init__(
        self,
        task: Task,
        collector: Collector,
        *,
        committee: Callable[[], object] | None = None,
        timeout: float = 600.0,
        poll: float = 1.0,
    ) -> None:
        if task.spec["batch"].get("lanes", 1) != 1:
            raise errors.UsageError("a coordinator serves tasks with one lane")
        self.task = task
        self.collector = collector
        self._committee = committee
        self._timeout, self._poll = timeout, poll
        self._epoch = 0
        self._round: Round | None = None
        self.refused: list[str] = []
        """Why reports of the last round were not taken."""

    @classmethod
    def connect(cls, store: Path, task_id: str, owner: Path, collector_key: Path, **options: Any) -> Coordinator:
        """A coordinator of a task in a store, with the collector's key file; ``options`` as above."""
        return cls(Store(store).task(task_id, owner), Collector(collector_key), **options)

    @property
    def min_batch_size(self) -> int:
        """How many reports a round needs at least."""
        return int(self.task.spec["batch"]["min_batch_size"])

    @property
    def round(self) -> Round:
        """The round that was opened last."""
        if self._round is None:
            raise RuntimeError("no round is open: call open() first")
        return self._round

    def open(self, model: bytes = b"") -> bytes:
        """Opens a round and returns its bundle, for all clients. ``model`` binds reports to what they start from: any bytes
        that both sides compute alike, such as :func:`digest` of the weights."""
        if self._epoch == 0:
            self._epoch = self._last_opened()
        self._round = self._wait(lambda: self.collector.open(self.task, self._epoch + 1, model=model))
        self._epoch += 1
        self.refused = []
        return self.task.bundle(self._epoch)

    def add(self, report: Any) -> Added | None:
        """Adds a report, and returns what became of it. None if it does not verify: then it counts as lost, and
        :attr:`refused` says why. One bad report must not stop a round."""
        try:
            return self.round.add(report)
        except (errors.VerificationFailed, errors.UsageError) as e:
            self.refused.append(str(e))
            return None

    def close(self) -> Aggregate | None:
        """Closes the round and waits for the committee to open its sum. None if there are too few reports: then the round is
        ended, and nothing is charged. :class:`BudgetExceeded` ends the training: the round was not opened and never will be.
        :class:`NotEnoughDecryptors` or :class:`NotReady` after ``timeout`` seconds: call again."""
        round = self.round
        if round.status().reports < self.min_batch_size:
            self.collector.abort(round, "too few reports")
            return None
        self._wait(lambda: self.collector.close_round(round))
        try:
            self._wait(lambda: self.collector.propose(round))
        except errors.TooFewReports:
            self.collector.abort(round, "too few valid reports")
            return None
        return self._wait(lambda: self.collector.collect(round))

    def _last_opened(self) -> int:
        """The last epoch that was opened, 0 if there is none: doubling, then halving, for epochs follow each other."""
        high = 1
        while self._opened(high):
            high *= 2
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._opened(middle) else (low, middle)
        return low

    def _opened(self, epoch: int) -> bool:
        try:
            self.task.round(epoch)
        except errors.NotReady:
            return False
        return True

    def _wait(self, step: Callable[[], T]) -> T:
        """Repeats a step until the others have done theirs."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return step()
            except (errors.NotReady, errors.NotEnoughDecryptors):
                if time.monotonic() >= deadline:
                    raise
                if self._committee is None:
                    time.sleep(self._poll)
                else:
                    self._committee()


def digest(arrays: Iterable[tuple[str, Any]]) -> bytes:
    """The SHA-256 of named arrays (numpy, or other buffers in C order) with names, types, shapes and values, for
    ``model``: both sides compute it alike, and a client that was shown other weights than the round was opened with
    refuses."""
    import hashlib

    h = hashlib.sha256(b"veilsum/model/1")
    for name, a in arrays:
        view = memoryview(a)
        head = f"{len(name.encode())}:{name} {view.format} {','.join(map(str, view.shape or ()))}\n"
        h.update(head.encode())
        h.update(view.cast("B") if view.nbytes else b"")
    return h.digest()


__all__ = ["Coordinator", "digest"]

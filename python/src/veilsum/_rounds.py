"""The collector's, the aggregators' and the committee's side of a round."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from . import _abi
from ._aggregate import Aggregate
from ._tasks import Path, Store, Task, _Task


@dataclass(frozen=True)
class Added:
    """What became of a report that was added."""

    report_id: str
    client_id: str
    fate: str
    """"sent", "listed" or "summed"; or "late", "left out" or "over": it is in no sum and will be in none."""


@dataclass(frozen=True)
class Refusal:
    """A report that does not count, and why: "header", "signature", "vehicle", "box", "missing", "piece", "limit"."""

    report: str
    reason: str


@dataclass(frozen=True)
class PartialSum:
    """The ciphertext sum of some reports of one round: nobody can read it, and it merges with others."""

    data: memoryview
    """Its bytes, for :meth:`Round.merge` and :meth:`Round.put`."""
    reports: tuple[str, ...]
    refused: tuple[Refusal, ...]


@dataclass(frozen=True)
class Proposal:
    """A list whose cost is reserved in the ledger."""

    manifest: str
    reports: int
    refused: tuple[Refusal, ...]


@dataclass(frozen=True)
class Status:
    """What the store holds of a round."""

    status: str
    """"open", "committed" or "void"."""
    reports: int
    candidates: int
    checks: int
    votes: int
    answers: int


class Round(_abi.Handle):
    """One round: an epoch and a lane of a task, verified."""

    def __init__(self, task: _Task, answer: dict[str, Any]) -> None:
        super().__init__(answer["handle"])
        self.task = task
        self.round_id: str = answer["round_id"]
        self.epoch: int = answer["epoch"]
        self.lane: int = answer["lane"]
        self.model_hash: str = answer["model_hash"]
        """The hash of the model that updates start from."""
        self.key_expiry: int = answer["key_expiry"]
        """When the committee's keys expire, seconds since 1970."""
        self.clipping_norm: float = answer["clipping_norm"]

    @classmethod
    def _load(cls, task: _Task, epoch: int, lane: int, *, snapshot: bool) -> Round:
        request = {"task": task._handle, "epoch": epoch, "lane": lane, "snapshot": snapshot}
        return cls(task, _abi.call("round.load", request))

    def __repr__(self) -> str:
        return f"<veilsum.Round {self.epoch}-{self.lane} of {self.task!r}>"

    def add(self, report: Any) -> Added:
        """Verifies a report that a client sealed from a bundle, and puts it into the store. Adding it again changes nothing.

        :class:`ReportRefused` tells a report that does not verify. A report that comes too late is not written: its
        fate says so. Of two reports of one client one counts; ask clients for their login before you take many."""
        return Added(**_abi.call("round.add", {"round": self._handle}, _abi.lend(report, "report")))

    def sum(self, reports: Sequence[str] | None = None) -> PartialSum:
        """Verifies and adds reports of the store, all of the round or those named: the work of an aggregator, who needs no
        key and learns nothing."""
        request = {"round": self._handle, "reports": None if reports is None else list(reports)}
        return _partial(*_abi.call_with_body("round.sum", request))

    def merge(self, parts: Iterable[PartialSum | Any]) -> PartialSum:
        """Adds partial sums of disjoint lists, given as bytes or :class:`PartialSum`. Needs no store."""
        raw = [p.data if isinstance(p, PartialSum) else p for p in parts]
        lent = _abi.lend_all(_abi.lend(p, f"partial sum {i}") for i, p in enumerate(raw))
        return _partial(*_abi.call_with_body("round.merge", {"round": self._handle}, *lent))

    def put(self, part: PartialSum | Any) -> str:
        """Stores a partial sum for the collector, who uses it where it fits, and returns its SHA-256."""
        raw = part.data if isinstance(part, PartialSum) else part
        return str(_abi.call("round.put", {"round": self._handle}, _abi.lend(raw, "partial sum"))["sha256"])

    def status(self) -> Status:
        """Counts what the store holds of the round."""
        return Status(**_abi.call("round.status", {"round": self._handle}))

    def result(self) -> Aggregate:
        """What the round published; :class:`NotReady` while it goes on, :class:`RoundEnded` if it is void."""
        return _aggregate(*_abi.call_with_body("round.result", {"round": self._handle}))


def _partial(answer: dict[str, Any], body: _abi.Memory | None) -> PartialSum:
    assert body is not None
    return PartialSum(body.view(), tuple(answer["reports"]), _refusals(answer))


def _refusals(answer: dict[str, Any]) -> tuple[Refusal, ...]:
    return tuple(Refusal(r["report"], r["reason"]) for r in answer["refused"])


def _aggregate(answer: dict[str, Any], body: _abi.Memory | None) -> Aggregate:
    assert body is not None
    return Aggregate(answer, body)


class Collector(_abi.Handle):
    """The collector: opens rounds, proposes their lists, and opens the sums that the committee answered for.

    ``key`` is the file of the key that tasks name. Every step may be repeated: it finds what it did before."""

    def __init__(self, key: Path) -> None:
        answer = _abi.call("collector.open", {"path": _abi.path(key)})
        super().__init__(answer["handle"])
        self.public_key: str = answer["public_key"]

    def open(
        self,
        task: Task,
        epoch: int,
        *,
        lane: int = 0,
        model: Any = b"",
        oldest_model: int | None = None,
        staleness: str = "",
        deadline: float = 3600.0,
    ) -> Round:
        """Opens a round with the newest enrollment list, once all members have published their round keys (else
        :class:`NotReady`). ``model`` is published for clients; they must start from it: any bytes that both sides compute
        alike will do, such as a hash of the weights. ``oldest_model`` is the earliest epoch whose model is still accepted, by
        default this one; ``staleness="inverse_sqrt"`` lets updates from older ones count less. ``deadline``, in seconds, is
        advice to clients."""
        request = {
            "collector": self._handle,
            "task": task._handle,
            "epoch": epoch,
            "lane": lane,
            "oldest_model": oldest_model or 0,
            "staleness": staleness,
            "deadline": float(deadline),
        }
        return Round(task, _abi.call("round.open", request, _abi.lend(model, "model")))

    def close_round(self, round: Round) -> int:
        """Freezes the list of reports for the committee to check, and returns their number. :class:`NotReady` while there are
        fewer than min_batch_size. Reports that come later miss the round."""
        return int(_abi.call("round.close", self._step(round))["reports"])

    def propose(self, round: Round) -> Proposal:
        """Proposes the list less what was refused, and reserves its cost in the ledger. :class:`BudgetExceeded` if the budget
        does not allow it: then nothing is written. :class:`NotEnoughDecryptors` until enough members have checked."""
        answer = _abi.call("round.propose", self._step(round))
        return Proposal(answer["manifest"], answer["reports"], _refusals(answer))

    def collect(self, round: Round) -> Aggregate:
        """Opens the sum and publishes aggregate and receipt. :class:`NotEnoughDecryptors` until enough members have voted
        and answered."""
        return _aggregate(*_abi.call_with_body("round.collect", self._step(round)))

    def abort(self, round: Round, reason: str = "aborted by the collector") -> None:
        """Ends a round without an aggregate. Nothing is charged if nobody has voted; after a vote :class:`NotReady`."""
        _abi.call("round.abort", self._step(round) | {"reason": reason})

    def _step(self, round: Round) -> dict[str, Any]:
        return {"collector": self._handle, "round": round._handle, "reason": ""}


class Member(_abi.Handle):
    """One member of the committee. :meth:`step` does what ``veilsum committee serve`` does in one pass.

    In production each member runs ``veilsum committee serve`` on a machine of its own: members in one process
    protect nobody from that process. ``state`` and ``record`` are two directories on two disks; neither may ever be
    restored from a backup. The member keeps ``ahead`` epochs supplied with round keys that live ``life`` seconds."""

    def __init__(
        self,
        store: Store,
        tasks: Sequence[str],
        owner: Path,
        *,
        key: Path,
        state: Path,
        record: Path,
        ahead: int = 2,
        life: float = 24 * 3600.0,
        sync: bool = True,
    ) -> None:
        request = {
            "store": store._handle,
            "tasks": list(tasks),
            "owner": _abi.path(owner),
            "key": _abi.path(key),
            "state": _abi.path(state),
            "record": _abi.path(record),
            "ahead": ahead,
            "life": float(life),
            "sync": sync,
        }
        answer = _abi.call("member.open", request)
        super().__init__(answer["handle"])
        self.public_key: str = answer["public_key"]

    def step(self) -> dict[str, int]:
        """Looks at every round once and does what can be done: publishes round keys, checks, votes, answers, erases. Returns
        counts since it was opened. Trouble in one round raises after the others were served; call again."""
        return dict(_abi.call("member.step", {"member": self._handle}))

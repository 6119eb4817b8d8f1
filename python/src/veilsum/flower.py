"""Flower: a client mod that seals updates, and a strategy that opens only their noisy mean (``pip install veilsum[flower]``).

Client::

    app = ClientApp(mods=[SealMod()])  # first in the list, so that all other mods run inside

Server::

    strategy = SealedFedAvg(Coordinator(task, collector))
    strategy.start(grid, initial_arrays, num_rounds=3, timeout=600)

For the message API (``flwr.app``, ``flwr.serverapp.strategy``) of Flower 1.41. One message a node and round: nodes that
are lost or late are left out of the sum, and nothing has to be repaired for them.

Only the update of the arrays is protected. Metrics that a node sends beside it (loss, accuracy, the number of examples)
are **not**: the mod leaves out all that you do not name. Every node counts alike: the mean is not weighted by examples.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from logging import ERROR, WARNING
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.common import log
from flwr.serverapp.strategy import FedAvg

from . import errors
from ._aggregate import Aggregate
from ._clients import Client
from ._tasks import Bundle
from .coordinator import Coordinator, digest

RECORD = "veilsum"
"""The key of the ConfigRecord with the round's bundle."""
REPORT = "veilsum.report"
"""The name and the serialization type of the array that is a sealed report: what does not know it fails to read it."""

_Next = Callable[[Message, Context], Message]
_Path = str | os.PathLike[str]


class SealMod:
    """A client mod: the update that the ClientApp trained leaves the node as one sealed report, or not at all.

    ``owner`` is the privacy owner's public key (hexadecimal, or a file) and ``state`` the node's directory, made by
    :func:`veilsum.init_client`; ``state`` may be a function of the context. What is not given is read from the node's own
    configuration (``flower-supernode --node-config``): veilsum-owner, veilsum-state and, if one task is pinned, veilsum-task.
    The run's configuration is not asked: it comes from the server.

    ``metrics`` names the metrics that are sent **in clear**, by default none, also of evaluations. A message to train that
    brings no bundle is refused; of other replies only those metrics are passed on. ``sync=False`` waits for no disk, for
    simulations only."""

    def __init__(
        self,
        owner: _Path | None = None,
        state: _Path | Callable[[Context], _Path] | None = None,
        *,
        task_id: str | None = None,
        metrics: Collection[str] = (),
        sync: bool = True,
    ) -> None:
        self._owner, self._state, self._task_id, self._sync = owner, state, task_id, sync
        self._metrics = frozenset([metrics] if isinstance(metrics, str) else metrics)

    def __call__(self, msg: Message, context: Context, call_next: _Next) -> Message:
        if msg.metadata.message_type.split(".")[0] != MessageType.TRAIN:
            reply = call_next(msg, context)
            return reply if reply.has_error() else Message(self._in_clear(reply.content), reply_to=msg)
        return self._train(msg, context, call_next)

    def _train(self, msg: Message, context: Context, call_next: _Next) -> Message:
        config = msg.content.config_records.get(RECORD, {})
        if "bundle" not in config:
            raise errors.UsageError("this node sends sealed reports only, and the message to train brings no bundle")
        before = _numpy(_only(msg.content, "the message to train")[1])
        owner = self._setting(context, "owner", self._owner)
        with Bundle(config["bundle"], owner, self._task(context)) as bundle:
            names = [t.name for t in bundle.tensors]
            _has(before, names, "the message to train")
            reply = call_next(msg, context)
            if reply.has_error():
                return reply
            key, record = _only(reply.content, "the ClientApp's reply")
            _has(record, names, "the ClientApp's reply")
            update = {n: _difference(record[n].numpy(), before[n], n) for n in names}
            with Client(self._directory(context), owner, task_id=self._task(context), sync=self._sync) as client:
                sealed = client.seal(bundle, update, model=digest(sorted(before.items())))
        content = self._in_clear(reply.content)
        raw = bytes(sealed.report or b"")
        content[key] = ArrayRecord({REPORT: Array("uint8", (len(raw),), REPORT, raw)})
        return Message(content, reply_to=msg)

    def _in_clear(self, content: RecordDict) -> RecordDict:
        """The metrics that were named, and nothing else of a reply."""
        kept = {k: {n: v for n, v in r.items() if n in self._metrics} for k, r in content.metric_records.items()}
        return RecordDict({k: MetricRecord(r) for k, r in kept.items() if r})

    def _directory(self, context: Context) -> _Path:
        if callable(self._state):
            return self._state(context)
        return self._setting(context, "state", self._state)

    def _task(self, context: Context) -> str | None:
        pinned = self._task_id or context.node_config.get("veilsum-task")
        return str(pinned) if pinned else None

    def _setting(self, context: Context, name: str, given: _Path | None) -> _Path:
        value = given or context.node_config.get(f"veilsum-{name}")
        if not value:
            raise errors.UsageError(f"SealMod needs {name}=, or veilsum-{name} in the node's configuration")
        return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


class SealedFedAvg(FedAvg):  # mypy sees no types in Flower's absence
    """FedAvg over sealed reports: the next model is the last one plus ``server_learning_rate`` times the noisy mean update.

    The metrics of a training round are public figures: the number of reports, those refused, the noise's standard
    deviation in each value, and the epsilon spent by all rounds so far; and the mean of what nodes send in clear, if they send
    ``weighted_by_key``, too. A round with too few reports changes nothing and costs nothing. When the budget is spent,
    no node is asked any more, :attr:`budget_spent` is True, and the model stays what it is.

    Other arguments are FedAvg's. Evaluation on the nodes is off by default (``fraction_evaluate``), for its metrics
    are not private. Arrays that the task does not name stay what the server has."""

    def __init__(self, coordinator: Coordinator, *, server_learning_rate: float = 1.0, **fedavg: Any) -> None:
        least = coordinator.min_batch_size
        super().__init__(**({"fraction_evaluate": 0.0, "min_train_nodes": least, "min_available_nodes": least} | fedavg))
        self.coordinator = coordinator
        self.server_learning_rate = server_learning_rate
        self.budget_spent = False
        self.mean: Aggregate | None = None
        """What the last round opened."""
        self._arrays: dict[str, Any] = {}

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Any) -> Iterable[Message]:
        """Opens a round, and sends its bundle with the model."""
        self._arrays, self.mean = _numpy(arrays), None
        _has(self._arrays, [t.name for t in self.coordinator.task.tensors], "the model")
        if self.budget_spent or self.coordinator.task.budget().rounds_left == 0:
            self._spent()
            return []
        messages = list(super().configure_train(server_round, arrays, config, grid))
        if messages:
            bundle = self.coordinator.open(digest(sorted(self._arrays.items())))
            for m in messages:
                m.content[RECORD] = ConfigRecord({"bundle": bundle})
        return messages

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Adds what came, lets the committee open the sum, and applies the mean."""
        contents = [m.content for m in replies if not m.has_error()]
        if not contents:
            return None, None
        for c in contents:
            self._add(c)
        try:
            self.mean = self.coordinator.close()
        except errors.BudgetExceeded:
            self._spent()
            return None, None
        if self.mean is None:
            log(WARNING, "veilsum: fewer than %d reports: the round is void, the model stays", self.coordinator.min_batch_size)
            return None, None
        return self._apply(self.mean), self._public(self.mean, contents)

    def _add(self, content: RecordDict) -> None:
        """Adds a reply's report. A reply without one counts as lost: it may be anything, and is not looked at."""
        arrays = [a for r in content.array_records.values() for a in r.values() if a.stype == REPORT]
        fate = self.coordinator.add(arrays[0].data) if len(arrays) == 1 else None
        if len(arrays) != 1:
            self.coordinator.refused.append("no sealed report in the reply: does the node run SealMod?")
        if fate is None:
            log(WARNING, "veilsum: a reply is left out: %s", self.coordinator.refused[-1])

    def _apply(self, mean: Aggregate) -> ArrayRecord:
        new = dict(self._arrays)
        for name in mean:
            old = new[name]
            new[name] = (old + self.server_learning_rate * np.asarray(mean[name]).reshape(old.shape)).astype(old.dtype)
        return ArrayRecord({n: Array(np.asarray(a)) for n, a in new.items()})

    def _public(self, mean: Aggregate, contents: list[RecordDict]) -> MetricRecord:
        """What may be known of a round."""
        out = MetricRecord()
        if all(any(self.weighted_by_key in r for r in c.metric_records.values()) for c in contents):
            bare = [RecordDict(dict(c.metric_records)) for c in contents]
            out = self.train_metrics_aggr_fn(bare, self.weighted_by_key)
        out["veilsum-reports"] = mean.reports
        out["veilsum-refused"] = len(self.coordinator.refused)
        out["veilsum-noise-std-dev"] = mean.noise_std_dev
        out["veilsum-epsilon-spent"] = self.coordinator.task.budget().epsilon
        return out

    def _spent(self) -> None:
        if not self.budget_spent:
            log(ERROR, "veilsum: the privacy budget is spent: no further round is opened")
        self.budget_spent = True


def shapes(arrays: ArrayRecord) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a model's float arrays, for a task or :class:`veilsum.local.Federation`."""
    return {n: tuple(a.shape) for n, a in arrays.items() if a.dtype.startswith(("float", "bfloat"))}


def _numpy(record: ArrayRecord) -> dict[str, Any]:
    return {n: np.ascontiguousarray(a.numpy()).reshape(a.shape) for n, a in record.items()}


def _only(content: RecordDict, what: str) -> tuple[str, ArrayRecord]:
    records = list(content.array_records.items())
    if len(records) != 1:
        raise errors.UsageError(f"{what} has {len(records)} ArrayRecords, not one")
    return records[0]


def _has(arrays: Any, names: list[str], what: str) -> None:
    missing = [n for n in names if n not in arrays]
    if missing:
        raise errors.UsageError(f"{what} lacks tensors of the task: {missing[:5]}; it has {list(arrays)[:5]}")


def _difference(after: Any, before: Any, name: str) -> Any:
    if after.shape != before.shape:
        raise errors.UsageError(f"{name}: shape {after.shape} after training, {before.shape} before")
    wide = np.float64 if after.dtype == np.float64 else np.float32
    return np.ascontiguousarray(after.astype(wide) - before.astype(wide))


__all__ = ["RECORD", "REPORT", "SealMod", "SealedFedAvg", "shapes"]

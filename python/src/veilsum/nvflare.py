"""NVIDIA FLARE: a filter that seals updates, and an aggregator that opens only their noisy mean (``pip install veilsum[nvflare]``).

Sites: :class:`SealFilter`, added as filter of both the task's data and its result. Server: :class:`SealedAggregator` with
the ScatterAndGather controller and FullModelShareableGenerator::

    job.to_clients(SealFilter(owner="5f0c…", state="/var/lib/veilsum"), filter_type=FilterType.TASK_DATA, tasks=["train"])
    job.to_clients(SealFilter(owner="5f0c…", state="/var/lib/veilsum"), filter_type=FilterType.TASK_RESULT, tasks=["train"])
    job.to_server(SealedAggregator(store="s3://…", task_id="9a31…", owner="5f0c…", collector_key="collector.pem"), id="aggregator")

For version 2.9. A job's filters are chosen by whoever submits the job. A site that does not trust them puts both filters
into its own privacy policy (``local/privacy.json``), which no job can take out.

One message a site and round: sites that are lost or late are left out of the sum. Only the update is protected: metrics
in its DXO's meta are left out unless you name them, and what a job streams as events (TensorBoard, MLflow) passes
no filter. Every site counts alike: the mean is not weighted by steps or examples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.filter import Filter
from nvflare.apis.fl_constant import FilterKey, FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.app_common.abstract.aggregator import Aggregator
from nvflare.app_common.abstract.model import ModelLearnableKey
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType

from . import errors
from ._aggregate import Aggregate
from ._clients import Client
from ._tasks import Bundle
from .coordinator import Coordinator, digest

REPORT = "veilsum.report"
"""The data kind of a DXO that is a sealed report: what does not know it refuses it."""
_BUNDLE = "veilsum.bundle"  # the header of a task's data


class SealFilter(Filter):
    """A site's filter, for a task's data and for its result: what the site trained leaves it as one sealed report, or not
    at all.

    ``owner`` is the privacy owner's public key (hexadecimal, or a file); ``state`` the site's directory, made by
    :func:`veilsum.init_client`, in which "{site}" stands for the site's name; ``task_id`` pins one task. ``meta`` names
    the properties of the result's DXO that are sent **in clear**, by default none. ``sync=False`` waits for no disk, for
    simulations only.

    A result of a task that brought no bundle is refused, and so is one that is neither weights nor a difference of weights."""

    def __init__(self, owner: str, state: str, task_id: str | None = None, meta: list[str] | None = None, sync: bool = True) -> None:
        super().__init__()
        self.owner, self.state, self.task_id, self.meta, self.sync = owner, state, task_id, meta, sync

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        if fl_ctx.get_prop(FLContextKey.FILTER_DIRECTION) == FilterKey.IN:
            return self._keep(shareable, fl_ctx)
        if shareable.get_return_code() != ReturnCode.OK:
            return make_reply(shareable.get_return_code())
        return self._seal(shareable, fl_ctx)

    def _keep(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """Keeps model and bundle for the result, in this task's context only; training may change the model in place."""
        bundle = shareable.get_header(_BUNDLE)
        kept = None
        if bundle is not None:
            kept = bundle, {n: np.array(a, order="C") for n, a in from_shareable(shareable).data.items()}
            with Bundle(bundle, self.owner, self.task_id):  # nothing is trained for a bundle that does not verify
                pass
        fl_ctx.set_prop(_BUNDLE, kept, private=True, sticky=False)
        return shareable

    def _seal(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        kept = fl_ctx.get_prop(_BUNDLE)
        if kept is None:
            raise errors.UsageError(
                "this site sends sealed reports only, and the task brought no bundle: is the filter one of TASK_DATA, too, and the "
                "server's aggregator SealedAggregator?"
            )
        fl_ctx.set_prop(_BUNDLE, None, private=True, sticky=False)
        raw, before = kept
        dxo = from_shareable(shareable)
        with Bundle(raw, self.owner, self.task_id) as bundle, self._client(fl_ctx) as client:
            update = {t.name: _update(dxo, before, t.name) for t in bundle.tensors}
            sealed = client.seal(bundle, update, model=digest(sorted(before.items())))
        meta = {k: dxo.meta[k] for k in self.meta or () if k in dxo.meta}
        return DXO(data_kind=REPORT, data={"report": bytes(sealed.report or b"")}, meta=meta).to_shareable()

    def _client(self, fl_ctx: FLContext) -> Client:
        state = self.state.replace("{site}", fl_ctx.get_identity_name())
        return Client(state, self.owner, task_id=self.task_id, sync=self.sync)


def _update(dxo: DXO, before: dict[str, Any], name: str) -> Any:
    if name not in before or name not in dxo.data:
        raise errors.UsageError(f"the model or the result lacks the task's tensor {name!r}")
    value = np.asarray(dxo.data[name])
    if value.shape != before[name].shape:
        raise errors.UsageError(f"{name}: shape {value.shape} after training, {before[name].shape} before")
    wide = np.float64 if value.dtype == np.float64 else np.float32
    if dxo.data_kind == DataKind.WEIGHT_DIFF:
        return np.ascontiguousarray(value, wide)
    if dxo.data_kind == DataKind.WEIGHTS:
        return np.ascontiguousarray(value.astype(wide) - before[name].astype(wide))
    raise errors.UsageError(f"a result of kind {dxo.data_kind}: want {DataKind.WEIGHTS} or {DataKind.WEIGHT_DIFF}")


class SealedAggregator(Aggregator):
    """The server's aggregator: opens a round as ScatterAndGather starts one, adds reports as they come, and waits for the
    committee to open their noisy mean, which it returns as a difference of weights.

    ``store``, ``task_id`` and ``owner`` name the task, ``collector_key`` is the collector's key file on the server. The
    committee runs ``veilsum committee serve``; it has ``timeout`` seconds, and is looked for every ``poll`` seconds. A
    round with too few reports changes nothing and costs nothing. When the budget is spent, the job ends; the persistor has
    the last model. Weights that the task does not name stay what the server has."""

    def __init__(
        self,
        store: str,
        task_id: str,
        owner: str,
        collector_key: str,
        server_learning_rate: float = 1.0,
        timeout: float = 600.0,
        poll: float = 1.0,
    ) -> None:
        super().__init__()
        self.store, self.task_id, self.owner, self.collector_key = store, task_id, owner, collector_key
        self.server_learning_rate, self.timeout, self.poll = server_learning_rate, timeout, poll
        self._coordinator: Coordinator | None = None
        self._bundle = b""

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        try:
            if event_type == EventType.START_RUN:
                self._coordinator = Coordinator.connect(
                    self.store, self.task_id, self.owner, self.collector_key, timeout=self.timeout, poll=self.poll
                )
            elif event_type == AppEventType.ROUND_STARTED:
                self._open(fl_ctx)
            elif event_type == AppEventType.BEFORE_TRAIN_TASK:
                fl_ctx.get_prop(AppConstants.TRAIN_SHAREABLE).set_header(_BUNDLE, self._bundle)
        except Exception as e:  # an event's errors are only logged, and the job would go on
            self.system_panic(f"veilsum: {e}", fl_ctx)

    @property
    def coordinator(self) -> Coordinator:
        """What runs the rounds, once the job has started."""
        if self._coordinator is None:
            raise errors.UsageError("the job has not started")
        return self._coordinator

    def _open(self, fl_ctx: FLContext) -> None:
        weights = fl_ctx.get_prop(AppConstants.GLOBAL_MODEL)[ModelLearnableKey.WEIGHTS]
        missing = [t.name for t in self.coordinator.task.tensors if t.name not in weights]
        if missing:
            raise errors.UsageError(f"the model lacks tensors of the task: {missing[:5]}")
        if self.coordinator.task.budget().rounds_left == 0:
            raise errors.BudgetExceeded("the privacy budget is spent: no further round is opened")
        self._bundle = self.coordinator.open(digest((n, np.ascontiguousarray(a)) for n, a in sorted(weights.items())))

    def accept(self, shareable: Shareable, fl_ctx: FLContext) -> bool:
        """Adds a site's report; anything else is rejected."""
        try:
            dxo = from_shareable(shareable)
            report = dxo.data["report"] if dxo.data_kind == REPORT else None
        except (ValueError, KeyError):
            report = None
        if report is None:
            self.log_warning(fl_ctx, "veilsum: a result is no sealed report: does the site use SealFilter?")
            return False
        added = self.coordinator.add(report)
        if added is None:
            self.log_warning(fl_ctx, f"veilsum: a report is left out: {self.coordinator.refused[-1]}")
        return added is not None and added.fate == "sent"

    def aggregate(self, fl_ctx: FLContext) -> Shareable:
        """The noisy mean; no difference if there were too few reports."""
        mean = self.coordinator.close()
        if mean is None:
            self.log_warning(fl_ctx, f"veilsum: fewer than {self.coordinator.min_batch_size} reports: the model stays")
            return DXO(data_kind=DataKind.WEIGHT_DIFF, data={}).to_shareable()
        spent = self.coordinator.task.budget().epsilon
        self.log_info(fl_ctx, f"veilsum: {mean.reports} reports, noise {mean.noise_std_dev:.3g} in each value, epsilon spent {spent:.4g}")
        return DXO(data_kind=DataKind.WEIGHT_DIFF, data=self._difference(mean)).to_shareable()

    def _difference(self, mean: Aggregate) -> dict[str, Any]:
        return {n: np.asarray(mean[n]) * np.float32(self.server_learning_rate) for n in mean}


__all__ = ["REPORT", "SealFilter", "SealedAggregator"]

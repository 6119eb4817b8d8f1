"""Measures one round of the same size three ways: Veilsum in Flower, Flower's SecAgg+, and NVIDIA FLARE's homomorphic encryption.

    python bench/peers.py [--clients 10] [--values 100000] [--repeat 5] [--check]

It needs veilsum, flwr, nvflare and tenseal. All clients and the server run in this process, one after the other, through
the frameworks' own client mods, filters, workflows and aggregators, and through their serialization; no network, no training.
Figures are CPU seconds of this process (medians over the repeats) and bytes of serialized messages. Nobody drops out.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import sys
import time
import unittest.mock
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SHARES, THRESHOLD = 5, 3


@dataclass
class Costs:
    """What one round took."""

    name: str
    client: list[float] = field(default_factory=list)  # CPU seconds of each client
    server: float = 0.0  # CPU seconds
    committee: float = 0.0  # CPU seconds of all members
    up: list[int] = field(default_factory=list)  # bytes that each client sent
    down: list[int] = field(default_factory=list)  # bytes that each client got, beside the model in clear
    messages: int = 0  # that a client sends
    error: float = 0.0  # of the mean, root mean square

    @contextmanager
    def on(self, who: str, client: int = 0) -> Iterator[None]:
        start = time.process_time()
        yield
        took = time.process_time() - start
        if who == "client":
            self.client[client] += took
        else:
            setattr(self, who, getattr(self, who) + took)


def start(name: str, n: int) -> Costs:
    return Costs(name, client=[0.0] * n, up=[0] * n, down=[0] * n)


# --- Veilsum, in Flower --------------------------------------------------------------


def veilsum_round(updates: np.ndarray, post_quantum: bool) -> Costs:
    import veilsum.flower
    from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
    from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
    from flwr.proto.recorddict_pb2 import RecordDict as Proto
    from veilsum.coordinator import Coordinator
    from veilsum.local import Federation

    n, d = updates.shape
    costs = start("Veilsum, post-quantum keys" if post_quantum else "Veilsum, short keys", n)
    model = ArrayRecord({"w": Array(np.zeros(d, np.float32))})
    with Federation({"w": (d,)}, clients=n, min_batch_size=n, noise_multiplier=0.3, post_quantum=post_quantum) as fed:

        def committee() -> None:
            with costs.on("committee"):
                fed.step()

        strategy = veilsum.flower.SealedFedAvg(Coordinator(fed.task, fed.collector, committee=committee))
        mod = veilsum.flower.SealMod(fed.owner, lambda c: fed.states[c.node_config["i"]], sync=False)
        grid = unittest.mock.Mock()
        grid.get_node_ids.return_value = range(1, n + 1)
        with costs.on("server"):
            messages = list(strategy.configure_train(1, model, ConfigRecord(), grid))
        replies = []
        for i, msg in enumerate(messages):
            with costs.on("server"):
                wire = recorddict_to_proto(msg.content).SerializeToString()
            costs.down[i] += len(wire) - len(recorddict_to_proto(RecordDict({"arrays": model})).SerializeToString())
            with costs.on("client", i):
                got = Message(recorddict_from_proto(Proto.FromString(wire)), dst_node_id=i + 1, message_type="train")
            trained = Message(RecordDict({"arrays": ArrayRecord({"w": Array(updates[i])})}), reply_to=got)
            context = Context(run_id=1, node_id=i + 1, node_config={"i": i}, state=RecordDict(), run_config={})
            with costs.on("client", i):
                reply = mod(got, context, lambda m, c, trained=trained: trained)
                wire = recorddict_to_proto(reply.content).SerializeToString()
            costs.up[i] += len(wire)
            with costs.on("server"):
                replies.append(Message(recorddict_from_proto(Proto.FromString(wire)), reply_to=got))
        before = costs.committee
        with costs.on("server"):
            strategy.aggregate_train(1, replies)
        costs.server -= costs.committee - before  # the committee answered meanwhile
        assert strategy.mean is not None and strategy.mean.reports == n
        costs.messages = 1
        costs.error = rms(np.asarray(strategy.mean["w"]), updates)
    return costs


# --- Flower's SecAgg+ ----------------------------------------------------------------


def secagg_round(updates: np.ndarray) -> Costs:
    from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
    from flwr.client.mod import secaggplus_mod
    from flwr.common import FitIns, FitRes, Code, Status, ndarrays_to_parameters, parameters_to_ndarrays
    from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
    from flwr.compat.common import recorddict_compat
    from flwr.proto.recorddict_pb2 import RecordDict as Proto
    from flwr.server import LegacyContext
    from flwr.server.workflow import SecAggPlusWorkflow
    from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key

    n, d = updates.shape
    costs = start(f"Flower SecAgg+, {SHARES} shares", n)
    initial = ndarrays_to_parameters([np.zeros(d, np.float32)])
    contexts = [Context(run_id=1, node_id=i + 1, node_config={}, state=RecordDict(), run_config={}) for i in range(n)]
    asked = 0.0

    def train(i: int) -> Callable[[Message, Context], Message]:
        result = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([updates[i]]), 1, {})
        content = recorddict_compat.fitres_to_recorddict(result, keep_input=False)
        return lambda msg, context: Message(content, reply_to=msg)

    def send_and_receive(messages: Iterable[Message], timeout: float | None = None) -> list[Message]:
        nonlocal asked
        costs.messages += 1
        replies = []
        for msg in messages:
            i = msg.metadata.dst_node_id - 1
            wire = recorddict_to_proto(msg.content).SerializeToString()
            costs.down[i] += len(wire)
            if msg.content.array_records:  # the model, which everybody gets
                costs.down[i] -= len(recorddict_to_proto(RecordDict(dict(msg.content.array_records))).SerializeToString())
            call = train(i)
            began = time.process_time()
            with costs.on("client", i):
                got = Message(recorddict_from_proto(Proto.FromString(wire)), dst_node_id=i + 1, message_type="train")
                reply = secaggplus_mod(got, contexts[i], call)
                wire = recorddict_to_proto(reply.content).SerializeToString()
            costs.up[i] += len(wire)
            asked += time.process_time() - began
            answer = Message(recorddict_from_proto(Proto.FromString(wire)), reply_to=got)
            replies.append(answer)
        return replies

    found: list[np.ndarray] = []
    strategy = unittest.mock.Mock()
    strategy.configure_fit.return_value = [(unittest.mock.Mock(node_id=i + 1), FitIns(initial, {})) for i in range(n)]

    def aggregate_fit(server_round: int, results: Any, failures: Any) -> tuple[None, dict[str, Any]]:
        found.extend(parameters_to_ndarrays(results[0][1].parameters))
        return None, {}

    strategy.aggregate_fit.side_effect = aggregate_fit
    state = RecordDict({MAIN_CONFIGS_RECORD: ConfigRecord({Key.CURRENT_ROUND: 1})})
    state.array_records[MAIN_PARAMS_RECORD] = recorddict_compat.parameters_to_arrayrecord(initial, True)
    context = LegacyContext(Context(run_id=1, node_id=0, node_config={}, state=state, run_config={}), strategy=strategy)
    workflow = SecAggPlusWorkflow(num_shares=SHARES, reconstruction_threshold=THRESHOLD, max_weight=1.0)
    with costs.on("server"):
        workflow(unittest.mock.Mock(send_and_receive=send_and_receive), context)
    costs.server -= asked
    costs.error = rms(found[0], updates)
    return costs


# --- NVIDIA FLARE's homomorphic encryption ---------------------------------------------


def flare_round(updates: np.ndarray) -> Costs:
    import tenseal as ts
    from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
    from nvflare.apis.event_type import EventType
    from nvflare.apis.fl_constant import ReservedKey
    from nvflare.apis.fl_context import FLContext
    from nvflare.apis.utils.decomposers import flare_decomposers
    from nvflare.app_common.app_constant import AppConstants
    from nvflare.app_opt.he.intime_accumulate_model_aggregator import HEInTimeAccumulateWeightedAggregator
    from nvflare.app_opt.he.model_decryptor import HEModelDecryptor
    from nvflare.app_opt.he.model_encryptor import HEModelEncryptor
    from nvflare.fuel.utils import fobs
    from nvflare.lighter.impl.he import HEBuilder
    from nvflare.lighter.spec import Project

    n, d = updates.shape
    costs = start("NVIDIA FLARE HE, default", n)
    costs.messages = 1
    flare_decomposers.register()
    builder = HEBuilder()
    builder.initialize(unittest.mock.Mock(spec=Project), unittest.mock.Mock())
    keys = builder.get_serialized_context(is_client=True)
    here = FLContext()
    here.set_peer_context(FLContext())
    here.set_prop(AppConstants.CURRENT_ROUND, 1)
    aggregator = HEInTimeAccumulateWeightedAggregator()
    aggregator.handle_event(EventType.START_RUN, here)
    for i in range(n):
        encryptor = HEModelEncryptor()
        encryptor.tenseal_context, encryptor.encrypt_layers = ts.context_from(keys), [True]
        trained = DXO(DataKind.WEIGHT_DIFF, data={"w": updates[i].copy()}, meta={MetaKey.NUM_STEPS_CURRENT_ROUND: 1}).to_shareable()
        with costs.on("client", i):
            sent = encryptor.process(trained, here)
            wire = fobs.dumps(sent)
        # FLARE writes the context beside each vector; only the vector is counted, for it could be left out
        costs.up[i] += len(from_shareable(sent).data["w"].serialize())
        with costs.on("server"):
            got = fobs.loads(wire)
            got.set_peer_props({ReservedKey.IDENTITY_NAME: f"site-{i + 1}"})
            got.add_cookie(AppConstants.CONTRIBUTION_ROUND, 1)
            assert aggregator.accept(got, here)
    with costs.on("server"):
        mean = aggregator.aggregate(here)
        wire = fobs.dumps(mean)
    size = len(from_shareable(mean).data["w"].serialize())
    for i in range(n):
        decryptor = HEModelDecryptor()
        decryptor.tenseal_context = ts.context_from(keys)
        with costs.on("client", i):
            opened = from_shareable(decryptor.process(fobs.loads(wire), here))
        costs.down[i] += size
    costs.error = rms(np.asarray(opened.data["w"]), updates)
    return costs


# --- the table -----------------------------------------------------------------------


def rms(mean: np.ndarray, updates: np.ndarray) -> float:
    return float(np.sqrt(np.mean((mean.astype(np.float64) - updates.mean(axis=0, dtype=np.float64)) ** 2)))


def summary(runs: list[Costs], d: int) -> dict[str, Any]:
    def median(of: Callable[[Costs], float]) -> float:
        return statistics.median(of(c) for c in runs)

    return {
        "name": runs[0].name,
        "messages": runs[0].messages,
        "up_bytes_per_value": median(lambda c: statistics.mean(c.up)) / d,
        "down_bytes_per_value": median(lambda c: statistics.mean(c.down)) / d,
        "client_cpu_seconds": median(lambda c: statistics.median(c.client)),
        "server_cpu_seconds": median(lambda c: c.server),
        "committee_cpu_seconds": median(lambda c: c.committee),
        "rms_error_of_mean": median(lambda c: c.error),
    }


def conditions(args: argparse.Namespace) -> str:
    from importlib.metadata import version

    packages = ", ".join(f"{p} {version(p)}" for p in ("veilsum", "flwr", "nvflare", "tenseal", "numpy"))
    where = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}"
    return f"{args.clients} clients, {args.values} values, median of {args.repeat}; {packages}; Python {platform.python_version()}, {where}"


def table(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'':28}{'messages':>9}{'B/value up':>11}{'down':>8}{'client ms':>11}{'server ms':>11}{'committee ms':>14}{'error (rms)':>13}"]
    for r in rows:
        times = [1e3 * r[k] for k in ("client_cpu_seconds", "server_cpu_seconds", "committee_cpu_seconds")]
        lines.append(
            f"{r['name']:28}{r['messages']:>9}{r['up_bytes_per_value']:>11.3f}{r['down_bytes_per_value']:>8.3f}"
            f"{times[0]:>11.1f}{times[1]:>11.1f}{times[2]:>14.1f}{r['rms_error_of_mean']:>13.1e}"
        )
    return "\n".join(lines)


def check(rows: list[dict[str, Any]]) -> list[str]:
    """The goals that are missed: bytes against float32 and FLARE's, a client's CPU against SecAgg+'s."""
    *ours, secagg, flare = rows
    missed = []
    for r in ours:
        if r["up_bytes_per_value"] > 0.65 * 4:
            missed.append(f"{r['name']}: more than 0.65 of float32's bytes")
        if r["up_bytes_per_value"] * 20 > flare["up_bytes_per_value"]:
            missed.append(f"{r['name']}: not 20 times fewer bytes than {flare['name']}")
        if r["client_cpu_seconds"] >= secagg["client_cpu_seconds"]:
            missed.append(f"{r['name']}: no less client CPU than {secagg['name']}")
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--values", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--check", action="store_true", help="fail if a goal of the README is missed")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    from flwr.supercore.task_identity import TaskIdentity

    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1  # as Flower's runtime does
    coin = np.random.default_rng(1)
    updates = coin.normal(0, 0.5 / args.values**0.5, (args.clients, args.values)).astype(np.float32)
    ways = [lambda: veilsum_round(updates, True), lambda: veilsum_round(updates, False), lambda: secagg_round(updates), lambda: flare_round(updates)]
    runs: list[list[Costs]] = [[] for _ in ways]
    for _ in range(args.repeat):  # in turns, so that all see the same load
        for way, into in zip(ways, runs, strict=True):
            into.append(way())
    rows = [summary(r, args.values) for r in runs]
    missed = check(rows)
    if args.json:
        print(json.dumps({"conditions": conditions(args), "rows": rows, "missed": missed}))
    else:
        print(conditions(args), table(rows), *missed, sep="\n")
    return 1 if args.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())

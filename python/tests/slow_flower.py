"""Flower itself, with ten nodes of which two are lost in every round: run by TestFrameworks, with flwr installed."""

from __future__ import annotations

import os
import tempfile
import unittest
import unittest.mock
from pathlib import Path
from typing import Any

import digits
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation
from flwr.supercore.task_identity import TaskIdentity

import veilsum
from veilsum import errors
from veilsum.coordinator import Coordinator, digest
from veilsum.flower import REPORT, SealedFedAvg, SealMod, shapes
from veilsum.local import Federation

NODES, ROUNDS, HIDDEN = 10, 2, 1334  # 100,060 values


def lost(i: int, epoch: int) -> str:
    """Node epoch is lost before it trains, node epoch + 5 after it sealed."""
    return {epoch % NODES: "before", (epoch + 5) % NODES: "after"}.get(i, "")


def client_app(states: list[str], owner: str, plain: str) -> ClientApp:
    def number(context: Context) -> int:
        return int(context.node_config["partition-id"])

    def lossy(msg: Message, context: Context, call_next: Any) -> Message:
        reply = call_next(msg, context)
        if lost(number(context), msg.content["config"]["server-round"]) == "after":
            raise RuntimeError("lost on the way")
        return reply

    app = ClientApp(mods=[lossy, SealMod(owner, lambda c: states[number(c)], metrics=["share"], sync=False)])

    @app.train()
    def train(msg: Message, context: Context) -> Message:
        i, epoch = number(context), msg.content["config"]["server-round"]
        if lost(i, epoch) == "before":
            raise RuntimeError("off the road")
        x, labels = digits.data(100, seed=i)
        old = {k: a.numpy() for k, a in msg.content["arrays"].items()}
        new = digits.train(old, x, labels, steps=3, rate=0.1)
        np.savez(Path(plain) / f"{epoch}-{i}.npz", **{k: new[k] - old[k] for k in new})
        metrics = MetricRecord({"num-examples": 100, "loss": 0.5, "share": i / 10})
        content = RecordDict({"arrays": ArrayRecord({k: Array(a) for k, a in new.items()}), "metrics": metrics})
        content["aside"] = ConfigRecord({"secret": "plain text"})
        return Message(content, reply_to=msg)

    return app


class Watching(SealedFedAvg):
    """Keeps what the server saw."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen: list[list[Message]] = []
        self.models: list[dict[str, Any]] = []
        self.means: list[Any] = []

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Any) -> Any:
        self.models.append({k: a.numpy() for k, a in arrays.items()})
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        self.seen.append(list(replies))
        out = super().aggregate_train(server_round, self.seen[-1])
        self.means.append(self.mean)
        return out


class TestFlower(unittest.TestCase):
    def test_simulation(self) -> None:
        """Fails by chance less than once in 1,000 runs: 200,120 values, 6 standard deviations each."""
        initial = digits.model(HIDDEN)
        arrays = ArrayRecord({k: Array(a) for k, a in initial.items()})
        kept: list[Any] = []
        with tempfile.TemporaryDirectory() as d, Federation(shapes(arrays), clients=NODES, min_batch_size=8, noise_multiplier=0.3) as fed:
            app = ServerApp()

            @app.main()
            def main(grid: Grid, context: Context) -> None:
                coordinator = Coordinator(fed.task, fed.collector, committee=fed.step)
                strategy = Watching(coordinator, min_train_nodes=NODES, min_available_nodes=NODES)
                kept.extend([strategy, strategy.start(grid, arrays, num_rounds=ROUNDS)])

            run_simulation(
                app,
                client_app([str(s) for s in fed.states], fed.owner, d),
                num_supernodes=NODES,
                backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
            )
            self.check(fed, kept[0], kept[1], Path(d))
            self.assertTrue(veilsum.audit(fed.store, fed.owner)["complete"])

    def check(self, fed: Federation, strategy: Watching, result: Any, plain: Path) -> None:
        self.assertEqual(len(strategy.means), ROUNDS)
        for epoch, mean in enumerate(strategy.means, 1):
            came = [i for i in range(NODES) if not lost(i, epoch)]
            self.assertEqual(mean.reports, len(came))
            updates = [np.load(plain / f"{epoch}-{i}.npz") for i in came]
            worst = 0.0
            for name in mean:
                off = np.asarray(mean[name], np.float64) - np.mean([u[name].astype(np.float64) for u in updates], axis=0)
                worst = max(worst, float(np.abs(off).max() / mean.noise_std_dev))
            self.assertLess(worst, 6)
            after = strategy.models[epoch] if epoch < ROUNDS else {k: a.numpy() for k, a in result.arrays.items()}
            for name in mean:
                np.testing.assert_allclose(after[name], strategy.models[epoch - 1][name] + mean[name], atol=1e-6)
            print(f"Flower round {epoch}: {mean.reports} reports, d = {fed.task.values}, worst value {worst:.2f} standard deviations")
        for replies in strategy.seen:
            self.nothing_in_clear(replies)
        figures = result.train_metrics_clientapp[ROUNDS]
        self.assertEqual((figures["veilsum-reports"], figures["veilsum-refused"]), (8, 0))

    def nothing_in_clear(self, replies: list[Message]) -> None:
        self.assertEqual(sum(m.has_error() for m in replies), 2)
        for m in replies:
            if m.has_error():
                continue
            self.assertEqual(list(m.content.config_records), [])
            self.assertEqual([list(r) for r in m.content.metric_records.values()], [["share"]])
            (record,) = m.content.array_records.values()
            (array,) = record.values()
            with self.assertRaises(TypeError):  # a server without the strategy reads nothing, and wrongly nothing
                array.numpy()
            self.assertEqual(array.stype, REPORT)


class TestMod(unittest.TestCase):
    """What the mod lets out and what the strategy takes, without Ray."""

    def setUp(self) -> None:
        TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1  # as Flower's runtime does
        self.fed = self.enterContext(Federation({"w": (6,)}, clients=4, epsilon=12))
        self.coordinator = Coordinator(self.fed.task, self.fed.collector, committee=self.fed.step)
        self.strategy = SealedFedAvg(self.coordinator)
        self.model = ArrayRecord({"w": Array(np.zeros(6, np.float32)), "steps": Array(np.array(3))})
        self.trained = np.full(6, 0.01, np.float32)

    def context(self, i: int = 0, **config: str) -> Context:
        return Context(run_id=1, node_id=1, node_config={"veilsum-state": str(self.fed.states[i])} | config, state=RecordDict(), run_config={})

    def message(self, kind: str = "train", model: ArrayRecord | None = None, bundle: bytes | None = None) -> Message:
        content = RecordDict({"arrays": model or self.model})
        if bundle is not None:
            content["veilsum"] = ConfigRecord({"bundle": bundle})
        return Message(content, dst_node_id=1, message_type=kind)

    def app(self, msg: Message, context: Context) -> Message:
        content = RecordDict({"arrays": ArrayRecord({"w": Array(self.trained)}), "metrics": MetricRecord({"loss": 0.5})})
        return Message(content, reply_to=msg)

    def ask(self, mod: SealMod, msg: Message, i: int = 0, **config: str) -> Message:
        return mod(msg, self.context(i, **config), self.app)

    def round(self, reports: int) -> Any:
        """One round of the strategy, with the grid's part played here."""
        grid = unittest.mock.Mock()
        grid.get_node_ids.return_value = [1, 2, 3, 4]
        messages = list(self.strategy.configure_train(1, self.model, ConfigRecord(), grid))
        mod = SealMod(self.fed.owner, sync=False)
        return messages, self.strategy.aggregate_train(1, [self.ask(mod, m, i) for i, m in enumerate(messages[:reports])])

    def test_nothing_leaves_without_a_bundle(self) -> None:
        mod = SealMod(self.fed.owner)
        for kind in ("train", "train.again"):
            with self.assertRaisesRegex(errors.UsageError, "no bundle"):
                self.ask(mod, self.message(kind))
        for kind in ("evaluate", "query"):
            self.assertEqual(list(self.ask(mod, self.message(kind)).content), [])
        named = SealMod(self.fed.owner, metrics=["loss"])
        self.assertEqual(dict(self.ask(named, self.message("evaluate")).content["metrics"]), {"loss": 0.5})

    def test_another_model_owner_or_task(self) -> None:
        bundle = self.coordinator.open(digest(sorted((k, a.numpy()) for k, a in self.model.items())))
        mod = SealMod(self.fed.owner)
        other = ArrayRecord({"w": Array(np.ones(6, np.float32)), "steps": Array(np.array(3))})
        with self.assertRaises(errors.WrongModel):
            self.ask(mod, self.message(model=other, bundle=bundle))
        with self.assertRaises(errors.VerificationFailed):
            self.ask(mod, self.message(bundle=bundle), **{"veilsum-task": "00" * 32})
        with self.assertRaises(errors.UsageError):
            self.ask(SealMod(), self.message(bundle=bundle))
        with Federation({"w": (6,)}, clients=4) as stranger, self.assertRaises(errors.VerificationFailed):
            self.ask(SealMod(stranger.owner), self.message(bundle=bundle))
        self.trained = np.array([np.nan] * 6, np.float32)
        with self.assertRaises(errors.UsageError):
            self.ask(mod, self.message(bundle=bundle))

    def test_too_few_and_foreign_replies_change_nothing(self) -> None:
        messages, got = self.round(reports=3)
        self.assertEqual(got, (None, None))
        grid = unittest.mock.Mock()
        grid.get_node_ids.return_value = [1, 2, 3, 4]
        plain = [self.app(m, self.context()) for m in self.strategy.configure_train(2, self.model, ConfigRecord(), grid)]
        self.assertEqual(self.strategy.aggregate_train(2, plain), (None, None))
        self.assertEqual((len(self.coordinator.refused), self.fed.task.budget().epochs), (4, 0))

    def test_the_budget_ends_the_training(self) -> None:
        rounds = 0
        while not self.strategy.budget_spent and rounds < 10:
            messages, (arrays, metrics) = self.round(reports=4)
            if messages:
                rounds += 1
                np.testing.assert_array_equal(arrays["steps"].numpy(), np.array(3))
        self.assertEqual((rounds > 0, messages, arrays), (True, [], None))
        self.assertEqual(self.fed.task.budget().epochs, rounds)
        self.assertLessEqual(self.fed.task.budget().epsilon, 12)


if __name__ == "__main__":
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    unittest.main()

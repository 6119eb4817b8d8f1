"""NVIDIA FLARE's simulator, with ten sites of which two are lost in every round: run by TestFrameworks, with nvflare installed."""

from __future__ import annotations

import os
import tempfile
import unittest
from pathlib import Path

import digits
import numpy as np
import nvflare_digits
from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.fl_constant import FilterKey, FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare_digits import SITES

import veilsum
from veilsum import errors
from veilsum.coordinator import Coordinator, digest
from veilsum.local import Federation
from veilsum.nvflare import REPORT, SealedAggregator, SealFilter

ROUNDS, HIDDEN = 2, 1334  # 100,060 values


class TestSimulator(unittest.TestCase):
    def test_simulation(self) -> None:
        """Fails by chance less than once in 1,000 runs: 200,120 values, 6 standard deviations each."""
        shapes = {k: np.shape(a) for k, a in digits.model(HIDDEN).items()}
        with tempfile.TemporaryDirectory() as d, Federation(
            shapes, clients=SITES, min_batch_size=SITES - 2, noise_multiplier=0.3, directory=Path(d) / "federation"
        ) as fed:
            trainer = nvflare_digits.Trainer(steps=3, rate=0.1, plain=d)
            job = nvflare_digits.job(fed, trainer, nvflare_digits.Keeper(d, HIDDEN), ROUNDS)
            nvflare_digits.run(fed, job, str(Path(d) / "workspace"))
            before: dict[str, np.ndarray] = digits.model(HIDDEN)
            for epoch in range(1, ROUNDS + 1):
                before = self.check(fed, Path(d), epoch, before)
            self.assertTrue(veilsum.audit(fed.store, fed.owner)["complete"])

    def check(self, fed: Federation, d: Path, epoch: int, before: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        updates = [np.load(f) for f in d.glob(f"{epoch}-*.npz")]
        mean = fed.task.round(epoch).result()
        self.assertEqual((len(updates), mean.reports), (SITES - 2, SITES - 2))
        worst = 0.0
        for name in mean:
            off = np.asarray(mean[name], np.float64) - np.mean([u[name].astype(np.float64) for u in updates], axis=0)
            worst = max(worst, float(np.abs(off).max() / mean.noise_std_dev))
        self.assertLess(worst, 6)
        after = dict(np.load(d / f"model-{epoch}.npz"))
        for name in mean:
            np.testing.assert_allclose(after[name], before[name] + mean[name], atol=1e-6)
        print(f"NVFlare round {epoch}: {mean.reports} reports, d = {fed.task.values}, worst value {worst:.2f} standard deviations")
        return after


class TestFilter(unittest.TestCase):
    """What the filter lets out, without the simulator."""

    def setUp(self) -> None:
        self.fed = self.enterContext(Federation({"w": (6,)}, clients=4))
        self.coordinator = Coordinator(self.fed.task, self.fed.collector, committee=self.fed.step)
        self.model = {"w": np.zeros(6, np.float32), "steps": np.array(3)}
        self.bundle = self.coordinator.open(digest(sorted(self.model.items())))
        self.filter = SealFilter(self.fed.owner, str(self.fed.states[0]), meta=["site-type"], sync=False)
        self.context = FLContext()

    def enter(self, bundle: bytes | None, model: dict[str, np.ndarray]) -> None:
        data = DXO(DataKind.WEIGHTS, data=model).to_shareable()
        if bundle is not None:
            data.set_header("veilsum.bundle", bundle)
        self.context.set_prop(FLContextKey.FILTER_DIRECTION, FilterKey.IN, private=True, sticky=False)
        self.filter.process(data, self.context)

    def leave(self, result: Shareable) -> Shareable:
        self.context.set_prop(FLContextKey.FILTER_DIRECTION, FilterKey.OUT, private=True, sticky=False)
        return self.filter.process(result, self.context)

    def result(self, kind: str = DataKind.WEIGHT_DIFF) -> Shareable:
        meta = {"accuracy": 0.5, "site-type": "car"}
        return DXO(kind, data={"w": np.full(6, 0.01, np.float32)}, meta=meta).to_shareable()

    def test_only_the_report_and_what_was_named_leave(self) -> None:
        self.enter(self.bundle, self.model)
        result = self.result()
        result["aside"] = "plain text"
        out = self.leave(result)
        dxo = from_shareable(out)
        self.assertEqual((dxo.data_kind, list(dxo.data), dxo.meta), (REPORT, ["report"], {"site-type": "car"}))
        self.assertNotIn("aside", out)
        added = self.coordinator.add(dxo.data["report"])
        assert added is not None
        self.assertEqual(added.fate, "sent")
        with self.assertRaises(errors.UsageError):  # the bundle is used up
            self.leave(self.result())

    def test_nothing_leaves_without_a_bundle(self) -> None:
        self.enter(None, self.model)
        for result in (self.result(), Shareable({"w": [1.0]})):
            with self.assertRaises(errors.UsageError):
                self.leave(result)
        failed = make_reply(ReturnCode.EXECUTION_EXCEPTION)
        failed["aside"] = "plain text"
        self.assertNotIn("aside", self.leave(failed))

    def test_another_model_or_owner_or_kind(self) -> None:
        self.enter(self.bundle, self.model | {"w": np.ones(6, np.float32)})
        with self.assertRaises(errors.WrongModel):
            self.leave(self.result())
        self.enter(self.bundle, self.model)
        with self.assertRaises(errors.UsageError):
            self.leave(self.result(DataKind.METRICS))
        with Federation({"w": (6,)}, clients=4) as other:
            self.filter.owner = other.owner
            with self.assertRaises(errors.VerificationFailed):
                self.enter(self.bundle, self.model)

    def test_the_aggregator_takes_reports_only(self) -> None:
        aggregator = SealedAggregator("file:none", "", "", "")
        aggregator._coordinator = self.coordinator
        for bad in (self.result(), Shareable(), DXO(REPORT, data={"report": b"junk"}).to_shareable()):
            self.assertFalse(aggregator.accept(bad, self.context))


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = os.pathsep.join(p for p in [str(Path(nvflare_digits.__file__).parent), os.environ.get("PYTHONPATH", "")] if p)
    unittest.main()

"""Rounds from end to end, with keys, ledger and committee."""

import array
import random
import tempfile
import threading
import unittest
from pathlib import Path

import veilsum
from veilsum import errors
from veilsum.local import Federation


def seal(fed: Federation, i: int, values: object) -> veilsum.Sealed:
    with fed.client(i) as c:
        return c.seal(fed.bundle, values)


class TestRounds(unittest.TestCase):
    def test_the_mean_is_right_within_the_noise(self) -> None:
        """Fails by chance less than once in 10^10 runs: a chi-square of 4,000 values, 6.5 standard deviations each way."""
        d, n = 4000, 7
        coin = random.Random(1)
        updates = [[coin.uniform(-1, 1) / 60 for _ in range(d)] for _ in range(n)]
        with Federation({"a": (d - 10,), "b": (2, 5)}, clients=9, noise_multiplier=0.3) as fed:
            fed.open()
            for i, u in enumerate(updates):  # clients 7 and 8 vanish
                s = seal(fed, i, {"a": array.array("f", u[:-10]), "b": array.array("d", u[-10:])})
                self.assertFalse(s.clipped)
                self.assertEqual(fed.add(s.report).fate, "sent")
            mean = fed.collect()
        self.assertEqual(mean.reports, n)
        self.assertEqual((mean["b"].shape, mean["b"].format, mean["b"].readonly), ((2, 5), "f", True))
        got = mean["a"].tolist() + [x for row in mean["b"].tolist() for x in row]
        want = [sum(u[j] for u in updates) / n for j in range(d)]
        square = sum(((g - w) / mean.noise_std_dev) ** 2 for g, w in zip(got, want, strict=True))
        self.assertLess(abs(square - d), 6.5 * (2 * d) ** 0.5)

    def test_steps_may_be_repeated(self) -> None:
        with Federation({"w": (20,)}, clients=4) as fed:
            fed.open(b"model")
            with fed.client(0) as c:
                first = c.seal(fed.bundle, [0.01] * 20, model=b"model")
                again = c.seal(fed.bundle, [0.02] * 20, model=b"model")
                self.assertEqual((first.fresh, again.fresh), (True, False))
                self.assertEqual(bytes(first.report), bytes(again.report))
            for report in (first.report, bytes(again.report)):
                self.assertEqual(fed.add(report).report_id, first.report_id)
            for i in range(1, 4):
                with fed.client(i) as c:
                    fed.add(c.seal(fed.bundle, [0.01] * 20, model=b"model").report)
            mean = fed.collect()
            self.assertEqual(mean.reports, 4)
            for again in (fed.collector.collect(fed.round), fed.round.result(), fed.task.round(1).result()):
                self.assertEqual(bytes(again["w"]), bytes(mean["w"]))
                self.assertEqual(again.receipt, mean.receipt)
            self.assertEqual(fed.round.status().status, "committed")

    def test_too_late(self) -> None:
        with Federation({"w": (5,)}, clients=6) as fed:
            fed.open()
            for i in range(4):
                fed.add(seal(fed, i, [0.1] * 5).report)
            late = seal(fed, 4, [0.1] * 5).report
            fed.collector.close_round(fed.round)
            self.assertEqual(fed.add(late).fate, "late")
            self.assertEqual(fed.round.status().reports, 4)

    def test_epochs_follow_each_other(self) -> None:
        with Federation({"w": (5,)}, clients=4) as fed:
            for epoch in (1, 2, 3):
                fed.open()
                for i in range(4):
                    fed.add(seal(fed, i, [0.1] * 5).report)
                self.assertEqual(fed.collect().receipt["epoch"], epoch)
                files = list((fed.states[0] / "outbox").glob("*.report"))
                self.assertEqual(len(files), 1, "only the last report is kept")
            self.assertEqual(fed.task.budget().epochs, 3)
            self.assertTrue(veilsum.audit(fed.store, fed.owner)["complete"])

    def test_partial_sums_merge_without_a_store(self) -> None:
        with Federation({"w": (50,)}, clients=6) as fed:
            fed.open()
            ids = [fed.add(seal(fed, i, [0.01] * 50).report).report_id for i in range(6)]
            north, south = fed.round.sum(ids[:2]), fed.round.sum(ids[2:])
            with veilsum.Bundle(fed.bundle, fed.owner) as bundle, bundle.round() as round:
                whole = round.merge([north, bytes(south.data)])
                with self.assertRaisesRegex(errors.UsageError, "share a report"):
                    round.merge([north, north])
                with self.assertRaisesRegex(errors.UsageError, "no store"):
                    round.put(whole)
                with self.assertRaises(errors.VerificationFailed):
                    round.merge([bytes(100)])
            self.assertEqual(sorted(whole.reports), sorted(ids))
            self.assertEqual(bytes(whole.data), bytes(fed.round.sum().data))
            fed.round.put(whole)
            self.assertEqual(fed.collect().reports, 6)

    def test_upload_to_a_store(self) -> None:
        with Federation({"w": (5,)}, clients=4) as fed:
            fed.open()
            for i in range(4):
                with fed.client(i) as c:
                    sealed = c.seal(fed.task, [0.1] * 5, epoch=1)
                    self.assertIsNone(sealed.report)
                    self.assertEqual([(d.report_id, d.fate) for d in c.upload(fed.task)], [(sealed.report_id, "sent")])
                    self.assertEqual(c.upload(fed.task), [])
            self.assertEqual(fed.collect().reports, 4)

    def test_waiting_is_told(self) -> None:
        with Federation({"w": (5,)}, clients=4) as fed:
            with self.assertRaises(errors.NotReady) as caught:
                fed.task.bundle(7)
            self.assertEqual(caught.exception.code, 75)
            fed.open()
            with self.assertRaises(errors.NotReady):
                fed.collector.close_round(fed.round)
            with self.assertRaises(errors.NotReady):
                fed.round.result()
            for i in range(4):
                fed.add(seal(fed, i, [0.1] * 5).report)
            fed.collector.close_round(fed.round)
            with self.assertRaises(errors.NotEnoughDecryptors) as caught2:
                fed.collector.propose(fed.round)
            self.assertEqual(caught2.exception.code, 6)
            with self.assertRaises(errors.NotEnoughDecryptors):
                fed.collector.collect(fed.round)
            fed.collector.abort(fed.round, "enough")
            with self.assertRaisesRegex(errors.RoundEnded, "void"):
                fed.round.result()

    def test_the_budget_ends(self) -> None:
        with Federation({"w": (5,)}, clients=4, epsilon=6) as fed:
            self.assertEqual(fed.task.budget().rounds_left, 1)
            for epoch in (1, 2):
                fed.open()
                for i in range(4):
                    fed.add(seal(fed, i, [0.1] * 5).report)
                if epoch == 1:
                    fed.collect()
            with self.assertRaises(errors.BudgetExceeded) as caught:
                fed.collect()
            self.assertEqual(caught.exception.code, 4)
            self.assertLessEqual(fed.task.budget().epsilon, 6)

    def test_many_threads(self) -> None:
        n = 12
        with Federation({"w": (300,)}, clients=n) as fed:
            fed.open()
            bundle, failed = fed.bundle, []

            def work(i: int) -> None:
                try:
                    with fed.client(i) as c:
                        fed.add(c.seal(bundle, [0.001 * i] * 300).report)
                except Exception as e:
                    failed.append(e)

            threads = [threading.Thread(target=work, args=(i,)) for i in range(n)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(failed, [])
            self.assertEqual(fed.collect().reports, n)

    def test_one_client_from_many_threads(self) -> None:
        with Federation({"w": (30,)}, clients=4) as fed, fed.client(0) as c:
            fed.open()
            bundle, found = fed.bundle, []
            threads = [threading.Thread(target=lambda: found.append(c.seal(bundle, [0.1] * 30))) for _ in range(8)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(len({bytes(s.report or b"") for s in found}), 1)
            self.assertEqual(sum(s.fresh for s in found), 1)

    def test_memory_store_and_own_directory(self) -> None:
        with tempfile.TemporaryDirectory() as d:
            with Federation({"w": (5,)}, clients=4, directory=Path(d) / "f") as fed:
                fed.open()
                task_id, owner = fed.task.task_id, fed.owner
            with veilsum.Store(Path(d) / "f" / "store") as store, store.task(task_id, owner) as task:
                self.assertEqual(task.round(1).epoch, 1)
            with self.assertRaises(errors.NotFound):
                veilsum.Store(Path(d) / "absent")
        with Federation({"w": (5,)}, clients=4, store="mem:") as fed:
            fed.open()
            for i in range(4):
                fed.add(seal(fed, i, [0.1] * 5).report)
            self.assertEqual(fed.collect().reports, 4)
        with veilsum.Store("mem:") as store, self.assertRaises(errors.NotFound):
            store.task(task_id, owner)


if __name__ == "__main__":
    unittest.main()

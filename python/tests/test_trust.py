"""What a messenger, a stranger or a store may try."""

import re
import tempfile
import unittest
from pathlib import Path

import veilsum
from veilsum import errors
from veilsum.local import Federation

STRANGER = "11" * 32


class TestTrust(unittest.TestCase):
    fed: Federation

    @classmethod
    def setUpClass(cls) -> None:
        cls.fed = cls.enterClassContext(Federation({"w": (40,)}, clients=6))
        cls.fed.open(b"model")

    def test_another_owner(self) -> None:
        with veilsum.Client(self.fed.states[5], STRANGER, sync=False) as c, self.assertRaises(errors.VerificationFailed) as caught:
            c.seal(self.fed.bundle, [0.0] * 40, model=b"model")
        self.assertEqual(caught.exception.code, 5)
        with self.assertRaises(errors.VerificationFailed):
            self.fed.store.task(self.fed.task.task_id, STRANGER)

    def test_another_task(self) -> None:
        with veilsum.Client(self.fed.states[5], self.fed.owner, task_id=STRANGER, sync=False) as c:
            with self.assertRaises(errors.VerificationFailed):
                c.seal(self.fed.bundle, [0.0] * 40, model=b"model")
            with veilsum.Bundle(self.fed.bundle, self.fed.owner) as b, self.assertRaises(errors.VerificationFailed):
                c.seal(b, [0.0] * 40, model=b"model")

    def test_changed_bundles(self) -> None:
        """A changed bundle never makes a client seal, wherever it was changed."""
        good = self.fed.bundle
        with veilsum.Client(self.fed.states[5], self.fed.owner, sync=False) as c:
            for i in range(0, len(good), 53):
                bad = bytearray(good)
                bad[i] ^= 1
                with self.subTest(i), self.assertRaises((errors.VerificationFailed, errors.NotReady, errors.NotFound)):
                    c.seal(bad, [0.0] * 40, model=b"model")
            for bad in (b"", good[:-1], good + b"\0", b"\0" * 5000):
                with self.assertRaises(errors.VerificationFailed):
                    c.seal(bad, [0.0] * 40, model=b"model")
            self.assertEqual(list((self.fed.states[5] / "outbox").glob("*")), [])

    def test_changed_reports(self) -> None:
        with self.fed.client(0) as c:
            report = bytes(c.seal(self.fed.bundle, [0.01] * 40, model=b"model").report or b"")
        for i in range(0, len(report), 101):
            bad = bytearray(report)
            bad[i] ^= 1
            with self.subTest(i), self.assertRaises(errors.ReportRefused):
                self.fed.add(bad)
        for bad2 in (b"", report[1:], report + b"\0", b"\xff" * 100):
            with self.assertRaises(errors.ReportRefused):
                self.fed.add(bad2)
        self.assertEqual(self.fed.round.status().reports, 0)

    def test_a_stranger_is_not_enrolled(self) -> None:
        with tempfile.TemporaryDirectory() as d:
            veilsum.init_client(d, "00" * 16)
            with veilsum.Client(d, self.fed.owner, sync=False) as c:
                report = c.seal(self.fed.bundle, [0.01] * 40, model=b"model").report
        with self.assertRaises(errors.ReportRefused) as caught:
            self.fed.add(report)
        self.assertEqual(caught.exception.reason, "vehicle")

    def test_two_reports_of_one_client(self) -> None:
        """A client that forgot its state, or was cloned, counts once."""
        with Federation({"w": (5,)}, clients=5) as fed, tempfile.TemporaryDirectory() as d:
            fed.open()
            for i in range(5):
                with fed.client(i) as c:
                    fed.add(c.seal(fed.bundle, [0.1] * 5).report)
            for name in ("identity.pem", "vehicle.json"):
                (Path(d) / name).write_bytes((fed.states[0] / name).read_bytes())
            with veilsum.Client(d, fed.owner, sync=False) as clone:
                fed.add(clone.seal(fed.bundle, [0.1] * 5).report)
            self.assertEqual(fed.round.status().reports, 6)
            self.assertEqual(fed.collect().reports, 5)

    def test_the_model(self) -> None:
        with self.fed.client(4) as c:
            for wrong in (b"another", b"", None):
                with self.assertRaises(errors.WrongModel):
                    c.seal(self.fed.bundle, [0.0] * 40, model=wrong)
            with self.assertRaises(errors.UsageError):
                c.seal(self.fed.bundle, [0.0] * 40, model=b"model", model_hash=self.fed.round.model_hash)
            self.assertTrue(c.seal(self.fed.bundle, [0.0] * 40, model_hash=self.fed.round.model_hash).fresh)

    def test_a_floor(self) -> None:
        with tempfile.TemporaryDirectory() as d:
            veilsum.init_client(d, "00" * 16, min_batch_size=1000)
            with veilsum.Client(d, self.fed.owner) as c, self.assertRaises(errors.BelowFloor):
                c.seal(self.fed.bundle, [0.0] * 40, model=b"model")

    def test_one_report_an_epoch(self) -> None:
        with Federation({"w": (5,)}, clients=4) as fed:
            fed.open()
            first = fed.bundle
            fed.open()
            with fed.client(0) as c:
                c.seal(fed.bundle, [0.1] * 5)
                with self.assertRaises(errors.EpochUsed):
                    c.seal(first, [0.1] * 5)

    def test_an_audit_finds_a_flaw(self) -> None:
        with Federation({"w": (5,)}, clients=4) as fed:
            fed.open()
            for i in range(4):
                with fed.client(i) as c:
                    fed.add(c.seal(fed.bundle, [0.1] * 5).report)
            fed.collect()
            self.assertTrue(veilsum.audit(fed.store, fed.owner, pieces="require")["complete"])
            (receipt,) = (fed.directory / "store").rglob("receipt.json")
            text = receipt.read_text()
            receipt.chmod(0o600)
            receipt.write_text(re.sub(r'"reports":4', '"reports":3', text))
            self.assertNotEqual(receipt.read_text(), text)
            with self.assertRaises(errors.AuditFlaw) as caught:
                veilsum.audit(fed.store, fed.owner)
            self.assertFalse(caught.exception.report["complete"])
            self.assertIn("receipt", caught.exception.report["flaw"]["object"])

    def test_wrong_keys(self) -> None:
        with tempfile.TemporaryDirectory() as d:
            other = Path(d) / "other.pem"
            veilsum.keygen(other)
            self.assertEqual(other.stat().st_mode & 0o777, 0o600)
            with self.assertRaisesRegex(errors.UsageError, "exists"):
                veilsum.keygen(other)
            with veilsum.Collector(other) as c, self.assertRaises(errors.UsageError):
                c.open(self.fed.task, 9)
            with self.assertRaises(errors.UsageError):
                self.fed.task.enroll(other, [STRANGER])
            broken = Path(d) / "broken.pem"
            broken.write_text(other.read_text().replace("MC4", "MC5"))
            with self.assertRaises(errors.UsageError) as caught:
                veilsum.Collector(broken)
            seed = "".join(other.read_text().splitlines()[1:-1])[30:50]
            self.assertNotIn(seed, str(caught.exception))


if __name__ == "__main__":
    unittest.main()

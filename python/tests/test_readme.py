"""The example of the README runs as it stands."""

import contextlib
import io
import re
import unittest
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


class TestReadme(unittest.TestCase):
    def test_example(self) -> None:
        text = README.read_text(encoding="utf-8")
        example = re.search(r"<!-- example: .*? -->\n```python\n(.*?)```", text, re.DOTALL)
        assert example is not None
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(example[1], str(README), "exec"), {})
        self.assertRegex(out.getvalue(), r"^5 reports, shape \(3, 2\) noise [0-9.]+\nepsilon [0-9.]+ at delta 1e-05\naudit: True\n$")

    def test_every_name_is_in_the_table(self) -> None:
        import veilsum

        text = README.read_text(encoding="utf-8")
        records = {"Added", "Budget", "Delivery", "Guarantee", "PartialSum", "Proposal", "Refusal", "Sealed", "Status", "Task", "Tensor"}
        for name in set(veilsum.__all__) - records:
            with self.subTest(name):
                self.assertIn(name, text)


if __name__ == "__main__":
    unittest.main()

"""The Python example of docs/LIBRARY.md runs as it stands."""

import contextlib
import io
import re
import unittest
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "LIBRARY.md"


class TestLibrary(unittest.TestCase):
    def test_example(self) -> None:
        example = re.search(r"<!-- example: .*? -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        assert example is not None
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(example[1], str(PAGE), "exec"), {})
        self.assertRegex(out.getvalue(), r"^5 reports, a mean of shape \(3, 2\)\none round at z = 8: 0\.[0-9]+\n$")


if __name__ == "__main__":
    unittest.main()

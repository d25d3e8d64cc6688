"""The table of docs/operating.md and the tests beside this file are the same list."""

from __future__ import annotations

import re
from pathlib import Path

from .scene import table

HERE = Path(__file__).parent


def test_every_row_is_a_test_and_every_test_a_row() -> None:
    """A promise without a test, or a test without a promise, is none."""
    files = [path for path in HERE.glob("test_*.py") if path != Path(__file__)]
    tests = [name for path in files for name in re.findall(r"(?m)^def (test_\w+)", path.read_text())]
    assert sorted(tests) == sorted(table())


def test_every_row_says_what_callers_see() -> None:
    """Somebody is answered a list whatever happens: each row says so, and what else may be seen."""
    assert all("200" in row.outcomes for row in table().values())

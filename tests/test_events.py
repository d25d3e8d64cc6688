"""`docs/logs.md` describes every event of the source, with exactly its fields."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEVELS = {"debug", "info", "warning", "error"}
# Written or named in a way of their own.
OTHERS = {
    "log_lines_lost": {"lines"},
    "stored_key_unusable": {"reason", "tenant"},
    "tenant_base_url_ignored": {"reason", "tenant"},
}


def logged() -> dict[str, set[str]]:
    """Every event that the source logs by name, with its fields."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for file in [*(ROOT / "scailookup").rglob("*.py"), *(ROOT / "plugins").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
                continue
            function = node.func
            by_level = isinstance(function, ast.Attribute) and function.attr in LEVELS
            if not (by_level and "log" in ast.unparse(function)) and getattr(function, "id", "") != "say":
                continue
            found[str(node.args[0].value)] |= {str(keyword.arg) for keyword in node.keywords}
    return dict(found)


def test_every_event_is_described() -> None:
    """Nothing is logged that the page does not have, and it has nothing that is not logged."""
    rows = re.findall(r"^\| `(\w+)` \| \w+ \| ([^|]*) \|", (ROOT / "docs/logs.md").read_text(), re.M)
    described = {name: set(re.findall(r"`(\w+)`", fields)) for name, fields in rows}
    assert described == logged() | OTHERS

"""The files that browsers load: a fixed list, whole in the package, typed, and served as what they are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from scailookup.version import __version__
from scailookup.web.static import HERE, PICKERS, read

FOLDER = HERE / "pickers"


def imports(path: Path) -> set[str]:
    """The modules that a module names."""
    return set(re.findall(r'from "\./([\w.-]+)"', path.read_text(encoding="utf-8")))


def test_every_module_that_is_imported_is_served() -> None:
    """No module of the pickers is left out of the list, and none of the list is missing."""
    named = set().union(*(imports(path) for path in FOLDER.glob("*.js")))
    assert set() == (named | {path.name for path in FOLDER.glob("*.js")}) - set(PICKERS)


@pytest.mark.parametrize("name", PICKERS)
def test_every_file_of_the_list_can_be_read(name: str) -> None:
    """A file that is not in the package would stop the start."""
    assert read("pickers", name).form.body


def test_the_npm_package_is_ours() -> None:
    """Its version is the product's, and what it names is there."""
    package = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))
    assert __version__ == package["version"]
    assert all((FOLDER / package[name]).is_file() for name in ("main", "module", "types"))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.js")), ids=lambda path: path.name)
def test_no_markup_is_parsed_and_nothing_is_stored(path: Path) -> None:
    """What an upstream sends is text, never markup; a token is kept in memory only."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|localStorage|eval\(", text)

"""What every module offers, and that nothing but the scrubber is global."""

from __future__ import annotations

import ast
import configparser
import dataclasses
import importlib
import importlib.util
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import scailookup

# Needs an extra; the tests of the system have it, and run this file for its sake.
UNAVAILABLE = set() if importlib.util.find_spec("opentelemetry") else {"scailookup.spans"}
MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(scailookup.__path__, "scailookup.")
    if not info.name.endswith("__main__") and info.name not in UNAVAILABLE
)
PUBLIC = [name for name in MODULES if hasattr(importlib.import_module(name), "__all__")]


@pytest.mark.parametrize("name", ["scailookup", *PUBLIC])
def test_all_resolves(name):
    """Whatever ``__all__`` names is there."""
    module = importlib.import_module(name)
    assert [] == [word for word in module.__all__ if not hasattr(module, word)]


@pytest.mark.parametrize("name", ["scailookup", *PUBLIC])
def test_all_holds_no_name_twice(name):
    """``__all__`` is a set of names."""
    words = importlib.import_module(name).__all__
    assert len(words) == len(set(words))


@pytest.mark.parametrize("name", ["scailookup", *MODULES])
def test_every_module_says_what_it_is_for(name):
    """Each module has a docstring."""
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_docstring(name):
    """Each public class and function of ours says what it is for."""
    module = importlib.import_module(name)
    found = {word: getattr(module, word) for word in module.__all__}
    ours = {w: v for w, v in found.items() if callable(v) and str(v.__module__).startswith("scailookup")}
    assert [] == [word for word, value in ours.items() if hasattr(value, "__name__") and not value.__doc__]


def test_what_a_plugin_needs():
    """The names that plugins import are at the top."""
    assert {
        "Call",
        "Caller",
        "Filter",
        "Lookup",
        "Route",
        "Upstream",
        "auth",
        "hookimpl",
        "__version__",
    } <= set(scailookup.__all__)


def frozen(value: object) -> bool:
    """Whether a value is a constant: a frozen dataclass."""
    return dataclasses.is_dataclass(value) and value.__dataclass_params__.frozen


def test_nothing_is_global_but_the_scrubber():
    """No module holds an object of ours that could change, the scrubber apart."""
    state = {
        f"{type(value).__module__}.{type(value).__name__}"
        for name in MODULES
        for value in vars(importlib.import_module(name)).values()
        if type(value).__module__.startswith("scailookup") and not frozen(value)
    }
    assert {"scailookup.log.Scrubber"} == state


def test_no_module_rebinds_its_globals():
    """No function changes a name of its module."""
    files = Path(scailookup.__file__).parent.rglob("*.py")
    found = [
        word
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Global)
        for word in node.names
    ]
    assert [] == found


def test_the_import_is_small():
    """What a plugin imports brings neither server nor client along."""
    code = (
        "import sys, scailookup; print(*sorted({'tornado', 'pycurl', 'hvac', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "" == done.stdout.strip()


def test_every_package_is_in_the_wheel():
    """A package that setup.cfg does not name would be missing from what is installed."""
    root = Path(__file__).resolve().parents[1] / "scailookup"  # the tree, not what is installed
    cfg = configparser.ConfigParser()
    cfg.read(root.parent / "setup.cfg", encoding="utf-8")
    found = {".".join(("scailookup", *p.parent.relative_to(root).parts)) for p in root.rglob("__init__.py")}
    assert found == set(cfg["options"]["packages"].split())

"""Without the setting nothing of the shared cache is there."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fakes import BASICS
from harness import environment

PROGRAM = """
import sys
from scailookup.app import Service
from scailookup.metrics import Metrics
from scailookup.settings import load
Service(load(system_file=None), Metrics())
print(sorted(name for name in sys.modules if name.split(".")[0] == "redis" or "shared" in name))
"""
CACHE = {"SCAILOOKUP_CACHE_URL": "redis://cache.invalid", "SCAILOOKUP_CACHE_KEY": "k" * 32}


@pytest.mark.parametrize("more", [{}, CACHE])
def test_it_is_imported_only_where_it_is_wanted(more):
    """No module of Redis or of that room is loaded by a service without a shared cache."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment({**BASICS, **more}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert (more != {}) == ("scailookup.shared" in done.stdout)

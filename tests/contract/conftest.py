"""Fixtures: sites (issuer, upstream and product wired together), made once a module for equal settings."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Upstream

from .support import Site, Sites, script_all


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    """A factory of sites; equal options give the same one, its script and record forgotten."""
    made: dict[str, Site] = {}

    def make(**options: Any) -> Site:
        key = json.dumps(options, sort_keys=True)
        if key not in made:
            made[key] = Site(tmp_path_factory.mktemp("site"), **options)
        made[key].forget()
        return made[key]

    yield make
    for site in made.values():
        site.stop()


@pytest.fixture
def site(sites: Sites) -> Site:
    """A site with caches off, no secret store, every upstream answering a small list."""
    return script_all(sites())


@pytest.fixture(scope="module")
def _other() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture
def other(_other: Upstream) -> Upstream:
    """Another upstream: a vault, a proxy, a host that must not be called."""
    _other.forget()
    return _other

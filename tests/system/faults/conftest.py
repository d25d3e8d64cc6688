"""The scene of a test: the row of the table that has its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .scene import Scene, table


@pytest.fixture
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Scene]:
    """Makes the scene of the test's own row; settings may be given."""
    row = table()[request.node.originalname]

    def make(**settings: Any) -> Scene:
        return Scene(row, tmp_path, **settings)

    return make

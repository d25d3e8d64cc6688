"""The hooks. Each is API for ever; every one is synchronous and answers a list, never a generator.

A hook implementation names only the arguments that it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

if TYPE_CHECKING:
    from scailookup.declare import Route, Upstream
    from scailookup.model import Call
    from scailookup.seams import Secrets, WayOut
    from scailookup.settings import Settings

__all__ = ["PROJECT", "Services", "hookimpl", "hookspec"]

PROJECT = "scailookup"
_F = TypeVar("_F", bound=Callable[..., Any])

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, slots=True)
class Services:
    """What a handler of a plugin may use.

    ``secrets`` is the configured store; ``way_out`` makes upstream calls, bounded and logged.
    """

    settings: Settings
    secrets: Secrets
    way_out: WayOut


def _spec(function: _F) -> _F:
    return hookspec(function)


@_spec
def scailookup_upstreams(settings: Settings) -> list[Upstream]:  # type: ignore[empty-body]
    """Declare upstreams with their lookups. Called once at start, before any request."""


@_spec
def scailookup_handlers(services: Services) -> list[Route]:  # type: ignore[empty-body]
    """Declare handlers of your own: subclasses of ``scailookup.web.Handler``, which denies by default."""


@_spec
def scailookup_called(call: Call) -> None:
    """Observe one finished upstream call. Runs in a thread of the observers, one call after the other.

    What it raises is logged and goes no further.
    """

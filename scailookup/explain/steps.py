"""What an explanation is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from scailookup.errors import ScailookupError
from scailookup.lookup import Bound, Selection

__all__ = ["FAILED", "NAMES", "OK", "SKIPPED", "WARN", "Asked", "Step", "failed", "ms", "rest", "worst"]

OK, WARN, FAILED, SKIPPED = "ok", "warn", "failed", "skipped"
NAMES = ("token", "permission", "credential", "address", "dns", "connection", "call", "answer", "cache")
"""The steps, in the order in which a lookup takes them."""


class Asked(NamedTuple):
    """The lookup to explain, with its path values, and which of its rows are wanted."""

    bound: Bound
    selection: Selection

    @property
    def path(self) -> str:
        """Its path in the catalogue."""
        return f"/{self.bound.upstream.name}/{self.bound.lookup.name}"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: ``status`` is ok, warn, failed or skipped, ``fix`` says what to do and who must do it."""

    name: str
    status: str
    message: str
    fix: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        """As JSON: what is empty is left out."""
        found: dict[str, Any] = {"name": self.name, "status": self.status, "message": self.message}
        found |= {"fix": self.fix} if self.fix else {}
        kept = {name: value for name, value in self.details.items() if value not in (None, (), [], {})}
        return found | ({"details": kept} if kept else {})


def failed(name: str, exc: ScailookupError, **details: Any) -> Step:
    """The step that ended with an error of ours."""
    return Step(name, FAILED, exc.message, exc.fix, {"error": exc.error, **details, **exc.extra})


def rest(after: str, why: str) -> Iterator[Step]:
    """Every step that follows ``after``, skipped."""
    for name in NAMES[NAMES.index(after) + 1 :]:
        yield Step(name, SKIPPED, why)


def worst(steps: Iterable[Step]) -> str:
    """What they come to together: failed, warn or ok."""
    found = {step.status for step in steps}
    return next((status for status in (FAILED, WARN) if status in found), OK)


def ms(seconds: float) -> float:
    """Seconds as milliseconds, for showing."""
    return round(seconds * 1000, 1)

"""Several calls for one answer: what a gathering coroutine is given and what it gives back.

A coroutine is handed an ``Ask`` and sees data alone. Every call it asks for is signed,
bounded, judged and logged like any other; it never meets a socket or a credential.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from scailookup.model import Row

__all__ = ["Ask", "Failed", "Gather", "Gathered", "Got", "Listed", "Question"]


@dataclass(frozen=True, slots=True)
class Question:
    """One call: a path with its values (``{name}`` one segment, ``{+name}`` several) and a query.

    ``body`` makes it a POST of that JSON, which must ask and change nothing.
    ``headers`` are further fixed ones, for this call.
    """

    path: str
    values: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Got:
    """A good answer: its JSON and its headers by lower-case name."""

    body: Any
    headers: Mapping[str, str]
    status: int = 200


@dataclass(frozen=True, slots=True)
class Failed:
    """A call, or a source's list, that failed: the members of an error of the service, fit to be shown.

    ``error`` is its name (``weather_api``), ``code`` and ``status`` are as in an
    upstream's failure, None where it is none.
    """

    error: str
    message: str
    fix: str
    code: str | None = None
    status: int | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """The rows of a source's lookup, and how old they are in seconds.

    ``failure`` says why they are old, when the source no longer answers. ``fresh`` is
    for how many seconds they are good.
    """

    source: str
    lookup: str
    rows: Sequence[Row]
    meta: Mapping[str, Any]
    age: float = 0.0
    fresh: float = 0.0
    failure: Failed | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a coroutine gives back when it has more to say than records.

    ``records`` go through the lookup's ``row`` and all its rules. ``meta`` stands in the
    answer's ``meta``; ``truncated``, ``stale`` and ``dropped`` are not its to set.
    ``fresh`` is for how many seconds the answer is good, where it knows.
    """

    records: Iterable[Any]
    truncated: bool = False
    meta: Mapping[str, Any] = field(default_factory=dict)
    fresh: float | None = None


class Ask(Protocol):
    """Makes the calls. ``values`` and ``params`` are the request's own, ``tenant`` the caller's.

    ``left`` is how many more calls there may be. Beyond it ``all`` and ``each`` leave
    the rest out and the answer says ``truncated``.
    """

    values: Mapping[str, str]
    params: Mapping[str, str]
    tenant: str

    @property
    def left(self) -> int:
        """How many more calls there may be."""

    async def __call__(self, question: str | Question) -> Got:
        """One call; raises CallFailed, which the caller may let pass."""

    async def all(self, questions: Iterable[str | Question]) -> list[Got]:
        """Calls side by side, answers in their order; the first failure ends the others and is raised."""

    async def each(self, questions: Iterable[str | Question]) -> list[Got | Failed]:
        """Calls side by side, answers in their order; a failure stands in its place."""

    async def lists(self) -> list[Listed | Failed]:
        """The lists of the lookup's ``sources``, side by side and in their order; nothing is raised."""


Gather = Callable[[Ask], Awaitable[Gathered | Iterable[Any]]]

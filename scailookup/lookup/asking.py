"""Several calls for one answer: the ``Ask`` of a gathering coroutine, and what becomes of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from time import monotonic
from typing import Any, TypeVar

import msgspec
import structlog

from scailookup.checks import check_headers, check_seconds, check_upstream_path
from scailookup.declare import Lookup, Upstream, fill, merged
from scailookup.errors import CallFailed, Overloaded, ScailookupError, UpstreamApi
from scailookup.gather import Failed, Gathered, Got, Listed, Question
from scailookup.log import scrubber
from scailookup.lookup.blame import blame
from scailookup.lookup.bound import Bound, Trip, content_of, with_query
from scailookup.lookup.rows import UNREADABLE, Reader
from scailookup.lookup.walk import Read
from scailookup.model import Grant, Judged, Reply, Served
from scailookup.replies import judge, launder
from scailookup.seams import WayOut

__all__ = ["Asking", "gather_rows"]

_T = TypeVar("_T")

# Calls of one lookup that are under way at the same time.
SIDE_BY_SIDE = 8
# Seconds kept back of the deadline, so that an answer can be made of what came.
_KEPT = 0.25
_RESERVED = frozenset({"truncated", "stale", "dropped"})
_log = structlog.get_logger("scailookup.lookup")
Others = Callable[[Bound, float], Awaitable[Served]]


class Asking:
    """One gathering lookup on its way. ``others`` answers the lookups of its sources."""

    def __init__(self, trip: Trip, way_out: WayOut, most: int, others: Others) -> None:
        kept = min(_KEPT, (trip.deadline - monotonic()) / 20)
        self._trip = trip._replace(deadline=trip.deadline - kept)
        # A source that somebody else asked later may have time beyond ours.
        self._patience = trip.deadline - kept / 2
        self._way_out = way_out
        self._others = others
        self._places = asyncio.Semaphore(SIDE_BY_SIDE)
        self._most = most
        self.calls = 0
        self.cut = False
        self.refused = False
        self.values: Mapping[str, str] = dict(trip.bound.values)
        self.params: Mapping[str, str] = dict(trip.bound.handed)
        self.tenant = trip.caller.tenant

    @property
    def left(self) -> int:
        """How many more calls there may be."""
        return self._most - self.calls

    async def __call__(self, question: str | Question) -> Got:
        """One call; raises CallFailed, or UpstreamApi when there may be no more."""
        if self.left <= 0:
            raise UpstreamApi(
                self._trip.bound.upstream.name,
                "the answer takes more calls than there may be",
                "The operator must raise SCAILOOKUP_MAX_PAGES.",
                code="too_large",
                upstream_status=None,
            )
        self.calls += 1
        return await self._call(question)

    async def all(self, questions: Iterable[str | Question]) -> list[Got]:
        """Answers in the order of the questions; the first failure ends the others and is raised."""
        return await _side_by_side([self._call(question) for question in self._affordable(questions)])

    async def each(self, questions: Iterable[str | Question]) -> list[Got | Failed]:
        """Answers in the order of the questions, a failure in its place."""
        return await _side_by_side([self._tried(question) for question in self._affordable(questions)])

    async def lists(self) -> list[Listed | Failed]:
        """The lists of the sources, in their order; nothing is raised."""
        sources = self._trip.bound.lookup.sources
        return await _side_by_side(
            [self._listed(source, lookup) for source in sources for lookup in source.lookups]
        )

    def _affordable(self, questions: Iterable[str | Question]) -> list[str | Question]:
        """As many as there may be; the rest is left out and the answer says so."""
        wanted = list(questions)
        kept = wanted[: max(0, self.left)]
        self.calls += len(kept)
        self.cut = self.cut or len(kept) < len(wanted)
        return kept

    async def _tried(self, question: str | Question) -> Got | Failed:
        try:
            return await self._call(question)
        except CallFailed as exc:
            return failed(blame(exc, self._trip.bound.upstream, self._trip.grant))
        except Overloaded as exc:
            return failed(exc)

    async def _call(self, question: str | Question) -> Got:
        asked = Question(question) if isinstance(question, str) else question
        check_upstream_path(asked.path)
        check_headers(asked.headers)
        bound, grant = self._trip.bound, self._trip.grant
        try:
            path = fill(asked.path, asked.values)
        except ValueError as exc:
            raise CallFailed("bad_shape", f"a value of {asked.path} cannot be sent: {exc}") from None
        errand = self._trip.errand(
            grant.base_url + with_query(path, asked.query),
            content_of(asked.body),
            template=grant.base_url + asked.path.partition("?")[0],
            headers=merged(bound.upstream.headers, bound.lookup.headers, asked.headers),
        )
        async with self._places:
            try:
                return await self._way_out.call(errand, _judged)
            except CallFailed as exc:
                self.refused = self.refused or exc.status == 401
                raise

    async def _listed(self, source: Upstream, lookup: Lookup) -> Listed | Failed:
        defaults = tuple([(p.name, p.default) for p in lookup.params if p.default is not None])
        try:
            async with asyncio.timeout_at(self._patience):
                served = await self._others(Bound(source, lookup, {}, defaults), self._trip.deadline)
        except ScailookupError as exc:
            return failed(exc, source.name)
        except TimeoutError:
            late = CallFailed("timeout", "its list did not come in time")
            return failed(blame(late, source, Grant("none", source.base_url)), source.name)
        return Listed(
            source.name,
            lookup.name,
            served.answer.rows(),
            served.answer.meta,
            served.age,
            max(served.ttl, 0.0),
            failed(served.failure, source.name) if served.failure else None,
        )


async def _side_by_side(work: list[Coroutine[Any, Any, _T]]) -> list[_T]:
    """What each comes to, in order; the first that fails, or who gives up waiting, ends the others."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _judged(reply: Reply) -> Judged[Got]:
    return Judged(Got(judge(reply), reply.headers, reply.status))


def failed(exc: ScailookupError, source: str = "") -> Failed:
    """An error of ours as a gathering coroutine sees it."""
    return Failed(exc.error, exc.message, exc.fix, exc.extra.get("code"), exc.extra.get("status"), source)


async def gather_rows(asking: Asking, trip: Trip, reader: Reader) -> Read:
    """Run the lookup's coroutine and read its records; raises CallFailed.

    Whatever a coroutine does wrong costs its own answer and is logged with its cause.
    """
    gather = trip.bound.lookup.gather
    assert gather is not None
    try:
        async with asyncio.timeout_at(trip.deadline):
            found = await gather(asking)
        said = found if isinstance(found, Gathered) else Gathered(found)
        _check(said)
        await reader.take(list(said.records))
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Nobody gave this lookup up: a task of the coroutine's own was cancelled. Callers must hear of it.
        raise _broken(trip) from None
    except TimeoutError:
        raise CallFailed("timeout", "the calls for this answer took too long together") from None
    except ScailookupError:
        raise
    except CallFailed as exc:
        raise launder(exc, scrubber) from None  # the coroutine's own, perhaps
    except (Exception, SystemExit):
        raise _broken(trip) from None
    if reader.unreadable:
        raise CallFailed("bad_shape", UNREADABLE)
    truncated = said.truncated or asking.cut or reader.full
    return Read(asking.calls, truncated, said.meta, said.fresh)


def _broken(trip: Trip) -> CallFailed:
    """What a coroutine that broke costs; its cause, the exception in hand, goes to the log."""
    _log.error(
        "gather_failed", upstream=trip.bound.upstream.name, lookup=trip.bound.lookup.name, exc_info=True
    )
    return CallFailed("bad_shape", "no list can be made of what the calls answered")


def _check(said: Gathered) -> None:
    """Raise ValueError or TypeError for an answer that breaks a rule."""
    taken = _RESERVED & set(said.meta)
    if taken:
        raise ValueError(f"{min(taken)} in meta is not the plugin's to set")
    msgspec.json.encode(said.meta)
    check_seconds("fresh", said.fresh, zero=True)

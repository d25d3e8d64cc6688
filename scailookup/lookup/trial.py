"""One lookup asked for now, to tell how it goes: the same code, without memory."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from scailookup.cache import Flight, Held, Load
from scailookup.credentials import Watched
from scailookup.envelopes import envelope
from scailookup.errors import CallFailed, UpstreamError
from scailookup.lookup.bound import Bound
from scailookup.lookup.rows import Reader
from scailookup.lookup.service import Lookups, Place
from scailookup.model import Caller, Errand, Form, Judged, Reply, Served, Trace
from scailookup.replies import decode
from scailookup.seams import Judge, WayOut

__all__ = ["Heard", "Trial"]

_T = TypeVar("_T")


class Heard(NamedTuple):
    """One reply of the upstream: its status, size and kind, and the envelope of its list where it has one."""

    status: int
    bytes: int
    content_type: str
    envelope: str | None


class _Listening:
    """The way out with somebody listening; what is called is called by the real one."""

    def __init__(self, way_out: WayOut) -> None:
        self._way_out = way_out
        self.heard: list[Heard] = []

    async def call(self, errand: Errand, judge: Judge[_T]) -> _T:
        """Make the call; the reply is told before it is judged."""

        async def listened(reply: Reply) -> Judged[_T]:
            self.heard.append(_heard(reply, known=bool(self.heard)))
            return await judge(reply)

        return await self._way_out.call(errand, listened)


def _heard(reply: Reply, *, known: bool) -> Heard:
    """What is told of a reply; its envelope is looked for on the first page alone."""
    found = None
    if not known and 200 <= reply.status < 300:
        try:
            found = envelope(decode(reply))
        except CallFailed:
            found = None
    return Heard(reply.status, len(reply.body), reply.headers.get("content-type", ""), found)


class _Unkept:
    """A cache that holds nothing."""

    def peek(self, key: bytes) -> Served | None:
        """Nothing."""
        return None

    def look(self, key: bytes) -> Held:
        """Nothing is known."""
        return Held()

    def forgive(self, key: bytes) -> None:
        """There is nothing to forget."""

    def launch(self, key: bytes, load: Load) -> Flight | None:
        """No call is begun without somebody who waits for it."""
        return None

    async def answer(self, key: bytes, load: Load, *, patient: bool = False) -> Served:
        """The answer that ``load`` brings."""
        answer = await load()
        return Served(answer, Form(answer.body), "miss")


class Trial(Lookups):
    """A lookup of ``real`` on its way, step by step: ``choose``, then ``ask``. Made for one explanation.

    It shares the way out (its places, circuits and events) and the tokens of ``real``. What came of
    it: ``heard`` are the replies, ``reader`` holds rows and what was dropped.
    """

    def __init__(self, real: Lookups, credentials: Watched) -> None:
        self._listening = _Listening(real._way_out)
        super().__init__(real._limits, _Unkept(), credentials, self._listening, real._pepper, real.tokens)
        self._real = real
        self.reader: Reader | None = None
        self._asked: Bound | None = None

    @property
    def heard(self) -> list[Heard]:
        """The replies so far."""
        return self._listening.heard

    def deadline(self, bound: Bound) -> float:
        """Until when it has time, beginning now (monotonic)."""
        return self._deadline(bound)

    async def choose(self, bound: Bound, caller: Caller, deadline: float) -> Place:
        """By which credential it is asked; raises MissingCredentials or SecretsUnavailable."""
        return self._place(bound, caller, await self._choose(bound, caller, deadline))

    def known(self, place: Place) -> Held:
        """What the real cache of this process knows of it."""
        return self._real._cache.look(place.key)

    async def ask(self, place: Place, trace: Trace, deadline: float) -> Served:
        """Ask the upstream; raises what ``answer`` raises."""
        self._asked = place.bound
        try:
            return await self._served(place, trace, deadline)
        except UpstreamError as exc:
            return await self.once_more(place, trace, deadline, exc)

    def _reader(self, bound: Bound, caller: Caller) -> Reader:
        reader = super()._reader(bound, caller)
        if bound is self._asked:  # not a source's
            self.reader = reader
        return reader

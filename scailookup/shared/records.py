"""Answers and failures as sealed bytes, each with the time it was made.

The time is inside the seal: whoever puts an old record back in its place gets no more
out of it than its age allows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from scailookup.errors import UpstreamApi, UpstreamAuth, UpstreamError
from scailookup.model import Answer
from scailookup.shared.seal import Broken, Seal

__all__ = ["SKEW", "Aged", "Records"]

# Seconds that two hosts' clocks may differ; a record from further in the future is refused.
SKEW = 5.0
_ENTRY, _FAILURE = b"entry", b"failure"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Aged(Generic[T]):
    """A record that was opened: its ``age`` in seconds, and when it was made (epoch seconds)."""

    value: T
    age: float
    made: float


class _Answer(msgspec.Struct, array_like=True, frozen=True):
    made: float
    body: bytes
    length: int
    meta: dict[str, Any]
    credential: str
    upstream_seconds: float
    calls: int
    fresh: float | None


class _Failure(msgspec.Struct, array_like=True, frozen=True):
    made: float
    refusal: bool
    upstream: str
    message: str
    fix: str
    code: str
    status: int | None
    retry_after: int | None
    credential: str | None


class Records:
    """Makes and opens the records of one seal. ``now`` is epoch seconds."""

    def __init__(self, seal: Seal, now: Callable[[], float] = time.time) -> None:
        self._seal = seal
        self._now = now

    def close_answer(self, place: bytes, answer: Answer) -> bytes:
        """The record of an answer that came just now."""
        record = _Answer(
            self._now(),
            answer.body,
            answer.length,
            dict(answer.meta),
            answer.credential,
            answer.upstream_seconds,
            answer.calls,
            answer.fresh,
        )
        return self._seal.close(_ENTRY, place, msgspec.msgpack.encode(record))

    def open_answer(self, place: bytes, sealed: bytes) -> Aged[Answer]:
        """The answer; raises Broken."""
        record = self._open(_ENTRY, place, sealed, _Answer)
        answer = Answer(
            record.body,
            record.length,
            record.meta,
            record.credential,
            record.upstream_seconds,
            record.calls,
            record.fresh,
        )
        return Aged(answer, self._age(record.made), record.made)

    def close_failure(self, place: bytes, exc: UpstreamError) -> bytes:
        """The record of a failure that was met just now."""
        record = _Failure(
            self._now(),
            isinstance(exc, UpstreamAuth),
            exc.upstream,
            exc.message.removeprefix(f"{exc.code}: "),
            exc.fix,
            exc.code,
            exc.upstream_status,
            exc.retry_after,
            exc.credential,
        )
        return self._seal.close(_FAILURE, place, msgspec.msgpack.encode(record))

    def open_failure(self, place: bytes, sealed: bytes) -> Aged[UpstreamError]:
        """The failure, marked as remembered; raises Broken."""
        record = self._open(_FAILURE, place, sealed, _Failure)
        kind = UpstreamAuth if record.refusal else UpstreamApi
        exc = kind(
            record.upstream,
            record.message,
            record.fix,
            code=record.code,
            upstream_status=record.status,
            retry_after=record.retry_after,
        )
        exc.credential, exc.remembered, exc.age = record.credential, True, self._age(record.made)
        return Aged(exc, exc.age, record.made)

    def _open(self, kind: bytes, place: bytes, sealed: bytes, form: type[T]) -> T:
        try:
            return msgspec.msgpack.decode(self._seal.open(kind, place, sealed), type=form)
        except msgspec.DecodeError:  # ours, of another release
            raise Broken from None

    def _age(self, made: float) -> float:
        age = self._now() - made
        if age < -SKEW:
            raise Broken
        return max(0.0, age)

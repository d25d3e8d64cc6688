"""An answer as bytes that are made once: the full list, what ``meta`` says of it, its compressed form."""

from __future__ import annotations

import gzip
import hashlib
from asyncio import Future
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from scailookup.errors import ScailookupError

__all__ = ["SMALLEST_PACKED", "Answer", "Form", "Row", "Served"]

# Below this a compressed form gains nothing.
SMALLEST_PACKED = 256
Row = dict[str, Any]

_HEAD = b'{"data":'


@dataclass(frozen=True, slots=True)
class Answer:
    """The full, unfiltered list of one lookup, encoded once.

    ``body`` is what is sent; the JSON of the rows is its first ``length`` bytes after
    ``{"data":``. ``upstream_seconds`` is how long ``calls`` took. ``fresh`` is for how
    many seconds it is good, where it is not for as long as every other.
    """

    body: bytes = field(repr=False)
    length: int
    meta: Mapping[str, Any] = field(default_factory=dict)
    credential: str = "none"
    upstream_seconds: float = 0.0
    calls: int = 0
    fresh: float | None = None

    @classmethod
    def of(
        cls,
        data: bytes,
        *,
        truncated: bool = False,
        dropped: int = 0,
        meta: Mapping[str, Any] = MappingProxyType({}),
        **more: Any,
    ) -> Answer:
        """An answer of the rows that ``data`` is the JSON of; ``meta`` is what else there is to say."""
        said: dict[str, Any] = {"truncated": True} if truncated else {}
        if dropped:
            said["dropped"] = dropped
        if meta:
            said |= meta
        return cls(_body(data, said), len(data), said, **more)

    def rows(self) -> list[Row]:
        """The rows, decoded afresh: memory holds bytes."""
        rows: list[Row] = msgspec.json.decode(self._data())
        return rows

    def with_rows(self, data: bytes) -> bytes:
        """The body of a selection of the rows."""
        return _body(data, self.meta)

    def stale(self) -> Answer:
        """The same, saying in ``meta`` that it is stale."""
        meta = {**self.meta, "stale": True}
        return replace(self, body=_body(bytes(self._data()), meta), meta=meta)

    def _data(self) -> memoryview:
        return memoryview(self.body)[len(_HEAD) : len(_HEAD) + self.length]


def _body(data: bytes, meta: Mapping[str, Any]) -> bytes:
    """``data``, and ``meta`` only when there is something to say."""
    tail = b',"meta":' + msgspec.json.encode(meta) if meta else b""
    return b"".join((_HEAD, data, tail, b"}"))


class Served(NamedTuple):
    """An answer as it is given to one caller.

    ``age`` in seconds; ``ttl`` is the freshness left, negative when stale;
    ``outcome`` is hit, stale, stale-if-error, miss, collapsed (joined another's flight) or shared
    (held by another process).
    ``failure`` is why an answer that is too old is given.
    ``outdated`` says that a call was made though something was held, which was too old.
    """

    answer: Answer
    form: Form
    outcome: str
    age: float = 0.0
    ttl: float = 0.0
    failure: ScailookupError | None = None
    outdated: bool = False


class Form:
    """Ready bytes of one body with its strong ETag, and the same compressed once somebody wants that.

    ``packing`` is for whoever compresses a long body beside the loop: what others are to wait for.
    """

    __slots__ = ("_packed", "body", "etag", "packing", "weight")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
        self._packed: tuple[bytes, str] | None = None
        self.packing: Future[Any] | None = None
        # Half as much again covers the compressed form: one that is larger is not sent.
        self.weight = len(body) + len(body) // 2

    @property
    def is_packed(self) -> bool:
        """Whether the compressed form is ready."""
        return self._packed is not None

    def packed(self) -> tuple[bytes, str] | None:
        """The gzip bytes with an ETag of their own; None when the body is too small, or gains too little."""
        if self._packed is None and len(self.body) >= SMALLEST_PACKED:
            small = gzip.compress(self.body, compresslevel=6, mtime=0)
            gains = len(small) <= len(self.body) // 2
            self._packed = (small, self.etag[:-1] + '-gz"') if gains else _NO_GAIN
        return self._packed if self._packed is not _NO_GAIN else None


_NO_GAIN = (b"", "")

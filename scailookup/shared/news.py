"""What one process tells all others at once: a list that was refused, a secret that was changed.

A message is sealed, and counts once and for half a minute only: one that was caught and
is sent again changes nothing.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

import msgspec

from scailookup.shared.records import SKEW
from scailookup.shared.seal import Broken, Seal

__all__ = ["News", "Told"]

_KIND, _PLACE = b"news", b"all"
_LIFE = 30.0
_MOST_SEEN = 10_000


class Told(msgspec.Struct, array_like=True, frozen=True):
    """One message. ``subject`` is the key of a list, or the path of a secret."""

    made: float
    sender: bytes
    number: bytes
    about: Literal["refused", "secret"]
    subject: bytes


class News:
    """Writes and reads the messages of one process. ``now`` is epoch seconds."""

    def __init__(self, seal: Seal, now: Callable[[], float] = time.time) -> None:
        self._seal = seal
        self._now = now
        self._sender = os.urandom(8)
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def write(self, about: Literal["refused", "secret"], subject: bytes) -> bytes:
        """A message to all."""
        told = Told(self._now(), self._sender, os.urandom(12), about, subject)
        return self._seal.close(_KIND, _PLACE, msgspec.msgpack.encode(told))

    def read(self, sealed: bytes) -> Told | None:
        """What somebody else tells, None for our own; raises Broken for what must not count."""
        try:
            told = msgspec.msgpack.decode(self._seal.open(_KIND, _PLACE, sealed), type=Told)
        except msgspec.DecodeError:
            raise Broken from None
        if told.sender == self._sender:
            return None
        age = self._now() - told.made
        if not -SKEW <= age <= _LIFE or told.number in self._seen:
            raise Broken
        self._seen[told.number] = None
        if len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)
        return told

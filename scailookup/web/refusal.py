"""The answer to a request that is turned away: made of its raw head alone, as cheaply as can be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from scailookup.errors import Overloaded
from scailookup.web.headers import BASE_HEADERS, EXPOSED, SERVER, is_request_id, new_request_id
from scailookup.web.overload import crowded
from scailookup.web.state import Web

__all__ = ["Refusal", "full", "refuse"]

_LAST_ONE = re.compile(rb"\nconnection:[^\r\n]*\bclose\b")
_MARK = "request-id"


class Refusal(NamedTuple):
    """A whole answer, and whether the connection ends with it."""

    answer: bytes
    last: bool


def refuse(head: bytes, web: Web) -> Refusal | None:
    """The answer to ``head``; None when it is not one whole head of a GET or HEAD without a body.

    Whatever is odd about it is None too: then Tornado has to read it.
    """
    line = head.find(b"\r\n")
    start = head[:line]
    version = start[-9:]
    if (
        not start.startswith((b"GET ", b"HEAD "))
        or version not in (b" HTTP/1.1", b" HTTP/1.0")
        or head.find(b"\n\r\n") != len(head) - 3
        or b"\n\n" in head
    ):
        return None
    lower = head.lower()
    # Wherever it stands: who is in front of us may take a folded line, or one after a bare CR, for a field.
    if b"content-length" in lower or b"transfer-encoding" in lower:
        return None
    given = _value(head, lower, b"\nx-request-id:")
    more = _CROWDED.retry
    if web.microcache:
        more += "X-Accel-Expires: 0\r\n"
    if web.cors_origins:
        more += _cors(_value(head, lower, b"\norigin:"), web.cors_origins)
    last = version == b" HTTP/1.0" or web.leaving or _LAST_ONE.search(lower) is not None
    request_id = given if given is not None and is_request_id(given) else new_request_id()
    return Refusal(_CROWDED.made(request_id, more, last, start.startswith(b"HEAD ")), last)


def full() -> bytes:
    """The answer to a connection that there is no place for."""
    return _FULL.made(new_request_id(), _FULL.retry, True, False)


def _value(head: bytes, lower: bytes, name: bytes) -> str | None:
    """The value of a field that stands there once."""
    at = lower.find(name)
    if at < 0 or lower.find(name, at + 1) >= 0:
        return None
    begin = at + len(name)
    return head[begin : head.find(b"\r\n", begin)].decode("latin-1").strip()


def _cors(origin: str | None, allowed: frozenset[str]) -> str:
    if origin not in allowed:
        return "Vary: Origin\r\n"
    return (
        f"Vary: Origin\r\nAccess-Control-Allow-Origin: {origin}\r\n"
        f"Access-Control-Expose-Headers: {EXPOSED}\r\n"
    )


@dataclass(frozen=True, slots=True)
class _Ready:
    """An error with everything but the request id put together: texts around it, header lines, a length."""

    before: str
    after: str
    length: int
    head: str
    retry: str

    @classmethod
    def of(cls, error: Overloaded) -> _Ready:
        body = msgspec.json.encode({"detail": error.detail() | {"request_id": _MARK}}).decode()
        before, after = body.split(_MARK)
        base = "".join(f"{name}: {value}\r\n" for name, value in (("Server", SERVER), *BASE_HEADERS))
        return cls(
            before,
            after,
            len(body.encode()) - len(_MARK),
            f"HTTP/1.1 {error.status} Service Unavailable\r\n{base}Cache-Control: no-store\r\n",
            "".join(f"{name}: {value}\r\n" for name, value in error.headers.items()),
        )

    def made(self, request_id: str, more: str, last: bool, bodiless: bool) -> bytes:
        """The whole answer; ``more`` are header lines."""
        body = "" if bodiless else f"{self.before}{request_id}{self.after}"
        length = self.length + len(request_id)
        return (
            f"{self.head}X-Request-Id: {request_id}\r\n{more}{_LAST if last else ''}"
            f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ).encode("latin-1")


_LAST = "Connection: close\r\n"
_CROWDED = _Ready.of(crowded())
_FULL = _Ready.of(Overloaded("there are as many connections as this process may have"))

"""Headers that every answer has, and the ids that a request's own give it."""

from __future__ import annotations

import itertools
import re
import secrets

from scailookup.model import Trace
from scailookup.web.plain import Fields

__all__ = [
    "BASE_HEADERS",
    "EXPOSED",
    "SERVER",
    "is_request_id",
    "new_request_id",
    "trace_of",
]

SERVER = "scailookup"
BASE_HEADERS = (("X-Content-Type-Options", "nosniff"),)
EXPOSED = "Age, Cache-Status, ETag, Retry-After, Server-Timing, X-Lookup-Credential, X-Request-ID"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[\x21-\x7e]{0,200})?")
_LONGEST_TRACESTATE = 512
_boot = secrets.token_hex(8)
_serial = itertools.count(1)


def new_request_id() -> str:
    """An id of ours."""
    return f"{_boot}{next(_serial):016x}"


def is_request_id(given: str) -> bool:
    """Whether a caller's id is well formed."""
    return _REQUEST_ID.fullmatch(given) is not None


def trace_of(headers: Fields) -> Trace:
    """The request's ids: the caller's where they are well formed, else a new one of ours."""
    given = headers.get_list("X-Request-Id")
    request_id = given[0] if len(given) == 1 and is_request_id(given[0]) else new_request_id()
    parents, states = headers.get_list("Traceparent"), headers.get_list("Tracestate")
    if len(parents) != 1 or not _TRACEPARENT.fullmatch(parents[0]):
        return Trace(request_id)
    state = ",".join(states)
    plain = state.isascii() and state.isprintable() and len(state) <= _LONGEST_TRACESTATE
    return Trace(request_id, parents[0], state if state and plain else None)

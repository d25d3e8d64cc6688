"""The answer to what is no HTTP, or more of it than is read: no handler is made for it."""

from __future__ import annotations

import re
from time import time

import msgspec
import structlog
from tornado.httputil import format_timestamp

from scailookup.errors import InvalidParameter
from scailookup.model import Trace
from scailookup.web.headers import BASE_HEADERS, SERVER, is_request_id, new_request_id
from scailookup.web.plain import LONGEST_HEAD, LONGEST_NAME
from scailookup.web.state import Web, report_request

__all__ = ["flaw", "refused", "unreadable"]

_REQUEST_ID = re.compile(rb"\nx-request-id:([^\r\n]*)", re.IGNORECASE)
# Tornado remembers the names of a thousand fields for good, whoever sent them.
_LONG_NAME = re.compile(rb"\n[^:\s][^:\n]{%d}" % LONGEST_NAME)


def unreadable() -> InvalidParameter:
    """The error of a request that is malformed."""
    return InvalidParameter("request", "the request cannot be read", "Send a well-formed request.")


def flaw(head: bytes) -> InvalidParameter | None:
    """Why Tornado must not read ``head`` (with its empty line); None when it may."""
    if len(head) > LONGEST_HEAD:
        return InvalidParameter(
            "request", "the head of the request is longer than 64 KiB", "Send fewer or shorter headers."
        )
    if _LONG_NAME.search(head.lstrip(b"\r\n")):
        return InvalidParameter(
            "request", f"the name of a header is longer than {LONGEST_NAME} characters", "Leave it out."
        )
    return None


def refused(head: bytes, error: InvalidParameter, web: Web, started: float) -> bytes:
    """The whole answer that tells ``error`` to who sent ``head``; the connection ends with it.

    The request counts as answered; ``started`` is when it came (perf_counter).
    """
    given = [found.decode("latin-1").strip() for found in _REQUEST_ID.findall(head)]
    request_id = given[0] if len(given) == 1 and is_request_id(given[0]) else new_request_id()
    body = msgspec.json.encode({"detail": error.detail() | {"request_id": request_id}})
    fields = [
        ("Server", SERVER),
        ("Date", format_timestamp(time())),
        *BASE_HEADERS,
        ("X-Request-Id", request_id),
        ("Cache-Control", "no-store"),
        *([("X-Accel-Expires", "0")] if web.microcache else []),
        ("Connection", "close"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
    ]
    structlog.contextvars.clear_contextvars()  # those of the connection's request before
    report_request(
        web,
        route="none",
        method="",
        status=error.status,
        error=error.error,
        caller=None,
        started=started,
        trace=Trace(request_id),
        outcome="none",
    )
    lines = [f"HTTP/1.1 {error.status} Bad Request", *(f"{name}: {value}" for name, value in fields), "\r\n"]
    return "\r\n".join(lines).encode("latin-1") + (b"" if head.startswith(b"HEAD ") else body)

"""How the demo platform writes things down: envelopes, cursors, errors."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from scailookup.demo.access import Refused
from scailookup.demo.data import Record

__all__ = [
    "CURSOR_NAMES",
    "ENVELOPES",
    "MAX_LIMIT",
    "Envelope",
    "Page",
    "as_openai",
    "code_of",
    "cut",
    "error",
    "limit_of",
    "wrap",
]

Envelope = Literal["data", "data.items", "object", "bare", "items", "models", "results"]
ENVELOPES: tuple[Envelope, ...] = get_args(Envelope)
MAX_LIMIT = 100
_CODES = {
    401: "AUTH_TOKEN_INVALID",
    403: "AUTHZ_PERMISSION_DENIED",
    404: "NOT_FOUND",
    422: "VALIDATION_ERROR",
    429: "RATE_LIMITED",
    502: "BACKEND_ERROR",
    503: "MODEL_UNAVAILABLE",
    504: "BACKEND_TIMEOUT",
}
CURSOR_NAMES = ("cursor", "page_token", "pageToken", "next_page_token")
"""Under any of these a cursor may come back."""


@dataclass(frozen=True)
class Page:
    """Some rows and the cursor of the ones after them."""

    rows: Sequence[Record]
    cursor: str | None = None


def _invalid(field: str, message: str) -> Refused:
    details = [{"field": field, "message": message}]
    return Refused(422, "VALIDATION_ERROR", f"{field}: {message}", details=details)


def limit_of(text: str | None, default: int) -> int:
    """The page size asked for; raises Refused with a 422."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_LIMIT):
        raise _invalid("limit", f"must be a number from 1 to {MAX_LIMIT}")
    return int(text)


def cut(rows: Sequence[Record], cursor: str | None, limit: int) -> Page:
    """The page of ``rows`` that the cursor stands for; raises Refused with a 422."""
    start = _offset(cursor) if cursor else 0
    end = start + limit
    return Page(rows[start:end], _cursor(end) if end < len(rows) else None)


def _cursor(offset: int) -> str:
    return base64.urlsafe_b64encode(f"after:{offset}".encode()).decode().rstrip("=")


def _offset(cursor: str) -> int:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        word, _, number = text.partition(":")
        if word == "after" and number.isdigit():
            return int(number[:9])
    except (binascii.Error, ValueError):
        pass
    raise _invalid("cursor", "is none of ours")


def wrap(page: Page, envelope: Envelope, next_url: str) -> Any:
    """The page in this envelope; each says in its own way where the next one is.

    ``next_url`` is where the next page lies, for those that give a link. A bare
    array has no room for either: give it all rows.
    """
    rows = list(page.rows)
    more: Record = {"has_more": page.cursor is not None, "next_cursor": page.cursor}
    shapes: dict[Envelope, Any] = {
        "data": {"data": rows, **more},
        "data.items": {"status": "ok", "data": {"items": rows, **more}},
        "object": {"object": "list", "data": rows, **more},
        "bare": rows,
        "items": {"items": rows, "meta": more},
        "models": {"models": rows, "next_page_token": page.cursor or ""},
        "results": {"results": rows, "links": {"next": next_url if page.cursor else None}},
    }
    return shapes[envelope]


def as_openai(model: Record) -> Record:
    """A model as the OpenAI-compatible layer lists it."""
    limits: Record = {name: model[name] for name in ("context_window", "max_output_tokens") if name in model}
    owner = model["slug"].split("/")[0]
    return {"id": model["slug"], "object": "model", "created": 1_746_057_600, "owned_by": owner, **limits}


def code_of(status: int) -> str:
    """The platform's code for a status; those of 4xx and 5xx it does not document are made up."""
    return _CODES.get(status, "INTERNAL_ERROR" if status >= 500 else "BAD_REQUEST")


def error(refused: Refused, request_id: str, *, module: bool) -> Record:
    """ScaiGrid's error body; its modules leave out all but ``error``."""
    body: Record = {"code": refused.code, "message": refused.message}
    if refused.retry_after is not None:
        body["retry_after"] = refused.retry_after
    if refused.details:
        body["details"] = refused.details
    if module:
        return {"error": body}
    return {"status": "error", "error": body, "meta": {"request_id": request_id}}

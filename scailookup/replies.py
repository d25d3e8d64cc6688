"""Reading one HTTP reply: is it good, what is its JSON, what does it complain of.

Pure functions. The error shapes are those of `docs/errors.md`.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from scailookup.errors import CallFailed
from scailookup.model import Reply

__all__ = ["complains", "decode", "judge", "launder"]

_REPEATABLE = (502, 503, 504)
_CODE = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST_CODE = 64
_LONGEST_TEXT = 300
# Bytes of a body that is decoded without the collector.
_LONG = 256 * 1024


def decode(reply: Reply) -> Any:
    """The JSON of the body; raises CallFailed with ``bad_shape`` when it is none."""
    try:
        return _json(reply.body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        what = "is empty" if not reply.body.strip() else "is not JSON"
        raise CallFailed("bad_shape", f"the answer {what}", status=reply.status) from None


def _json(body: bytes) -> Any:
    """The value of ``body``: looking through a long list for garbage would take longer than the list."""
    if len(body) < _LONG or not gc.isenabled():
        return msgspec.json.decode(body)
    gc.disable()
    try:
        return msgspec.json.decode(body)
    finally:
        gc.enable()


def judge(reply: Reply) -> Any:
    """The JSON of a good reply; raises CallFailed for every other.

    Good is a 2xx whose JSON does not itself report an error.
    """
    if 300 <= reply.status < 400:
        raise CallFailed(
            "redirected", "the upstream answered with a redirect, which is not followed", status=reply.status
        )
    if not 200 <= reply.status < 300:
        raise _failure(reply)
    body = decode(reply)
    if isinstance(body, dict) and complains(body):
        code, text, _ = _complaint(body)
        raise CallFailed(code or f"http_{reply.status}", text or "an error in a 200", status=reply.status)
    return body


def complains(body: Mapping[str, Any]) -> bool:
    """Whether the JSON of a 2xx itself reports an error."""
    return bool(body.get("error") or body.get("status") == "error" or body.get("object") == "error")


def _failure(reply: Reply) -> CallFailed:
    try:
        code, text, wait = _complaint(msgspec.json.decode(reply.body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        code, text, wait = "", "", None
    header = _retry_after(reply.headers.get("retry-after"))
    said = header if header is not None else wait
    wait = said if reply.status in (429, 503) else None
    return CallFailed(
        code or f"http_{reply.status}",
        text or f"the upstream answered {reply.status} and gave no reason",
        status=reply.status,
        retry_after=wait,
        repeatable=reply.status in _REPEATABLE and "retry-after" not in reply.headers and wait is None,
    )


def _complaint(body: Any) -> tuple[str, str, int | None]:
    """Code, message and seconds to wait of an error body, in any of the shapes seen."""
    found: dict[str, Any] = {}
    for part in _error_parts(body):
        for name in ("code", "message", "retry_after"):
            if found.get(name) in (None, "") and part.get(name) not in (None, ""):
                found[name] = part[name]
    code = found.get("code")
    text = found.get("message")
    return (
        str(code) if isinstance(code, str | int) and not isinstance(code, bool) else "",
        " ".join(text.split()) if isinstance(text, str) else "",
        _retry_after(found.get("retry_after")),
    )


def _error_parts(body: Any) -> Iterator[Mapping[str, Any]]:
    """The objects that may hold code and message, the most telling first."""
    if not isinstance(body, dict):
        return
    detail = body.get("detail")
    for part in (body.get("error"), detail.get("error") if isinstance(detail, dict) else None, detail):
        if isinstance(part, dict):
            yield part
        elif isinstance(part, str):
            yield {"message": part}
    several = body.get("errors")
    if isinstance(several, list) and several and isinstance(several[0], dict):
        yield several[0]
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        yield {"message": detail[0].get("msg")}
    yield body


def launder(failure: CallFailed, scrub: Callable[[str], str]) -> CallFailed:
    """The same failure, fit to be shown: scrubbed first, clipped then, so that no cut leaves half a secret.

    The code is at most 64 of ``A-Za-z0-9_.-``, the text at most 300 printable characters.
    """
    failure.code = _CODE.sub("", scrub(failure.code))[:_LONGEST_CODE] or f"http_{failure.status}"
    text = "".join(c if c.isprintable() else " " for c in scrub(failure.text))
    failure.text = text[:_LONGEST_TEXT]
    return failure


def _retry_after(value: Any) -> int | None:
    """Seconds of a Retry-After: a number, digits, or an HTTP date; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return int(value) if 0 <= value < 1e9 else None
    text = str(value).strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    try:
        then = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0, int((then - datetime.now(UTC)).total_seconds() + 0.999))

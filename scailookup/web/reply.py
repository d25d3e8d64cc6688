"""The headers and bytes of a lookup's answer: one function, whichever road the request took."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from time import perf_counter, time
from typing import NamedTuple

from scailookup.model import Form, Served

__all__ = ["LookupReply", "accepts_gzip", "long_to_pack", "lookup_reply", "pack_beforehand", "static_reply"]

# Beyond this compressing takes longer than others should wait.
LONG_BODY = 64 * 1024
_TAGS = re.compile(r'\*|(?:W/)?"[^"]*"')
_CODING = re.compile(r"(?:^|,)\s*([A-Za-z0-9*_-]+)\s*(?:;\s*[qQ]=([0-9.]+)\s*)?(?=,|$)")


class LookupReply(NamedTuple):
    """Status, headers in their order, and body (empty with a 304)."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def accepts_gzip(accept: str) -> bool:
    """Whether an ``Accept-Encoding`` takes gzip: by name, or by the star when it is not named."""
    if not accept:
        return False
    taken = {name.lower(): _quality(q) for name, q in _CODING.findall(accept)}
    return taken.get("gzip", taken.get("x-gzip", taken.get("*", 0.0))) > 0


def _quality(text: str) -> float:
    try:
        return float(text or 1)
    except ValueError:
        return 0.0


def long_to_pack(served: Served, headers: Mapping[str, str]) -> bool:
    """Whether the answer is sent compressed, is not compressed yet, and takes long to be."""
    form = served.form
    if len(form.body) <= LONG_BODY or form.is_packed:
        return False
    return accepts_gzip(headers.get("Accept-Encoding", ""))


async def pack_beforehand(served: Served, headers: Mapping[str, str]) -> None:
    """Compress a long body before it is sent, once for all who want it.

    The interpreter's lock is free while zlib works: nobody waits for somebody's long list.
    """
    if long_to_pack(served, headers):
        form = served.form
        if form.packing is None or form.packing.done():  # done and not packed: it has failed
            form.packing = asyncio.ensure_future(asyncio.to_thread(form.packed))
        await asyncio.shield(form.packing)


def lookup_reply(
    served: Served,
    *,
    accept_encoding: str,
    if_none_match: str | None,
    started: float,
    vary_origin: bool,
    microcache: int = 0,
    expires: float = float("inf"),
) -> LookupReply:
    """What to send for ``served``; ``started`` is when the request came (perf_counter).

    With ``microcache`` (seconds) the proxy in front is told how long it may keep the
    answer; ``expires`` is when the caller's token ends (epoch seconds).
    """
    body, etag, packed = _form(served.form, accept_encoding)
    same = if_none_match is not None and _matches(if_none_match, etag)
    headers = [
        ("Etag", etag),  # as Tornado spells it, on either road
        ("Age", str(int(served.age))),
        ("Cache-Control", "private, no-cache"),
        ("Cache-Status", _cache_status(served)),
        (
            "Vary",
            "Authorization, Accept-Encoding, Origin" if vary_origin else "Authorization, Accept-Encoding",
        ),
    ]
    if microcache:
        headers.insert(0, ("X-Accel-Expires", _lent(served, same, microcache, expires)))
    if served.answer.credential != "none":
        headers.append(("X-Lookup-Credential", served.answer.credential))
    headers.append(("Server-Timing", _timing(served, started)))
    if same:
        return LookupReply(304, headers, b"")
    if packed:
        headers.append(("Content-Encoding", "gzip"))
    headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return LookupReply(200, headers, body)


def static_reply(form: Form, *, accept_encoding: str, if_none_match: str | None) -> LookupReply:
    """What to send of something that is the same for everybody."""
    body, etag, packed = _form(form, accept_encoding)
    headers = [("Etag", etag), ("Cache-Control", "no-cache")]
    if if_none_match is not None and _matches(if_none_match, etag):
        return LookupReply(304, headers, b"")
    if packed:
        headers.append(("Content-Encoding", "gzip"))
    return LookupReply(200, headers, body)


def _form(form: Form, accept_encoding: str) -> tuple[bytes, str, bool]:
    packed = form.packed() if accepts_gzip(accept_encoding) else None
    return (form.body, form.etag, False) if packed is None else (*packed, True)


def _matches(if_none_match: str, etag: str) -> bool:
    """RFC 9110's weak comparison, which is the one for If-None-Match."""
    if if_none_match == etag:
        return True
    return any(tag == "*" or tag.removeprefix("W/") == etag for tag in _TAGS.findall(if_none_match))


def _lent(served: Served, same: bool, microcache: int, expires: float) -> str:
    """Seconds that a proxy may keep the answer: a fresh 200 alone, for as long as it and the token last."""
    return "0" if same else str(max(0, int(min(microcache, served.ttl, expires - time()))))


def _cache_status(served: Served) -> str:
    """RFC 9211: what was held and what was asked."""
    if served.outcome in ("miss", "collapsed"):
        status = "scailookup; fwd=stale" if served.outdated else "scailookup; fwd=uri-miss"
        return status if served.outcome == "miss" else f"{status}; collapsed"
    status = f"scailookup; hit; ttl={int(served.ttl)}"
    return status if served.outcome == "hit" else f"{status}; detail={served.outcome}"


def _timing(served: Served, started: float) -> str:
    total = f"total;dur={(perf_counter() - started) * 1000:.1f}"
    if served.outcome in ("miss", "collapsed"):
        return f"upstream;dur={served.answer.upstream_seconds * 1000:.1f}, {total}"
    return total

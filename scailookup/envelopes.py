"""Reading a list: which records does an answer hold, and where is its next page.

Pure functions; the envelopes and the marks of paging are those of contract section 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urljoin, urlsplit

from scailookup.errors import CallFailed

__all__ = [
    "MARKS",
    "Cursor",
    "End",
    "Link",
    "NextPage",
    "envelope",
    "header_link",
    "next_page",
    "next_url",
    "records",
]

_LISTS = ("items", "models", "results")

# The name a cursor has in an answer, and the parameter that takes it back.
_CURSORS = {
    "next_cursor": "cursor",
    "nextCursor": "cursor",
    "next_page_token": "page_token",
    "nextPageToken": "pageToken",
    "next_token": "next_token",
    "nextToken": "nextToken",
    "continuation_token": "continuation_token",
    "continuationToken": "continuationToken",
}
_MORE = ("has_more", "hasMore", "has_next", "hasNext")
_PLACES = ("data", "meta", "pagination", "paging")
_LINKS = ("next", "next_url", "nextUrl", "next_link", "nextLink", "next_page_url", "@odata.nextLink")
_HOLDERS = ("links", "_links")
MARKS = (*_CURSORS, *_MORE, *_LINKS, *_HOLDERS, *_PLACES[1:], "last_id", "object")
"""Every name that `next_page` looks at in an answer, where the list itself stands aside."""
# Neither part may hold a "<": a header of nothing else must not take time by its square.
_LINK_HEADER = re.compile(r"<([^<>]*)>([^<]*)")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The next page is the same call with ``parameter=value``."""

    parameter: str
    value: str | int


@dataclass(frozen=True, slots=True)
class Link:
    """The next page is at ``url``, absolute or relative."""

    url: str


@dataclass(frozen=True, slots=True)
class End:
    """There is no next page; ``truncated`` when there is one that nobody can ask for."""

    truncated: bool = False


NextPage = Cursor | Link | End


def records(body: Any) -> list[Any]:
    """The list in any known envelope; ``null`` in its place is an empty one.

    Raises CallFailed with ``bad_shape`` for everything else: an answer that cannot
    be read is never an empty list.
    """
    found = _list(body)[1]
    if found is None:
        return []
    if not isinstance(found, list):
        raise CallFailed("bad_shape", "the answer holds no list in any known envelope")
    return found


def envelope(body: Any) -> str | None:
    """How the envelope is written that ``records`` reads; None where it would raise."""
    name, found = _list(body)
    return name if found is None or isinstance(found, list) else None


def _list(body: Any) -> tuple[str, Any]:
    """The envelope as it is written, and what stands where its list should: an ellipsis when nothing does."""
    if body is None or isinstance(body, list):
        return "[...]", body
    if not isinstance(body, dict):
        return "", ...
    if "data" in body:
        found = body["data"]
        if isinstance(found, dict):
            return '{"data": {"items": [...]}}', found.get("items", ...)
        return (
            '{"object": "list", "data": [...]}' if body.get("object") == "list" else '{"data": [...]}'
        ), found
    present = [(name, body[name]) for name in _LISTS if name in body]
    for name, value in present:
        if isinstance(value, list):
            return f'{{"{name}": [...]}}', value
    for name, value in present:
        if value is None:
            return f'{{"{name}": null}}', None
    return "", ...


def next_page(body: Any, headers: Mapping[str, str]) -> NextPage:
    """Where the next page is, from the body's marks or a ``Link`` header."""
    places = _places(body)
    more = [place[name] for place in places for name in _MORE if isinstance(place.get(name), bool)]
    if more and not any(more):
        return End()
    for place in places:
        found = _in_place(place)
        if found is not None:
            return found
    link = header_link(headers)
    if link is not None:
        return link
    if not more:
        return End()
    last = next((p["last_id"] for p in places if isinstance(p.get("last_id"), str) and p["last_id"]), None)
    if last is None:
        return End(truncated=True)
    # OpenAI's lists take the last id back as `after`, Anthropic's as `after_id`.
    return Cursor("after" if places[0].get("object") == "list" else "after_id", last)


def header_link(headers: Mapping[str, str]) -> Link | None:
    """The ``rel="next"`` of a ``Link`` header."""
    for target, parameters in _LINK_HEADER.findall(headers.get("link", "")):
        if re.search(r""";\s*rel\s*=\s*"?[^";]*\bnext\b""", parameters, re.IGNORECASE):
            return Link(target)
    return None


def _places(body: Any) -> list[dict[str, Any]]:
    if not isinstance(body, dict):
        return []
    inner = [body.get(name) for name in _PLACES]
    return [body, *(part for part in inner if isinstance(part, dict))]


def _in_place(place: Mapping[str, Any]) -> Cursor | Link | None:
    for name, parameter in _CURSORS.items():
        value = place.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return Cursor(parameter, str(value))
    for holder in (*(place.get(name) for name in _HOLDERS), place):
        if not isinstance(holder, dict):
            continue
        for name in _LINKS:
            value = holder.get(name)
            value = value.get("href") if isinstance(value, dict) else value
            if isinstance(value, str) and value:
                is_link = holder is not place or name != "next" or re.match(r"https?://|[/?]", value)
                return Link(value) if is_link else Cursor("cursor", value)
    return None


def next_url(current: str, page: Cursor | Link) -> str | None:
    """The url of the next page, on the host of ``current`` in any case; None when it may not be asked.

    A link to another host is never followed. One that names this host with another
    scheme (a server behind a TLS proxy) is asked at our own address.
    """
    here = urlsplit(current)
    if isinstance(page, Cursor):
        kept = [(k, v) for k, v in parse_qsl(here.query, keep_blank_values=True) if k != page.parameter]
        kept.append((page.parameter, str(page.value)))
        query = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in kept)
        return f"{here.scheme}://{here.netloc}{here.path}?{query}"
    try:
        there = urlsplit(urljoin(current, page.url))
        same = there.hostname == here.hostname and _port(there) in (_port(here), None)
    except ValueError:
        return None
    target = f"{there.path or '/'}?{there.query}" if there.query else there.path or "/"
    plain = target.isascii() and target.isprintable() and " " not in target
    if not same or there.username is not None or there.scheme not in ("http", "https") or not plain:
        return None
    return f"{here.scheme}://{here.netloc}{target}"


def _port(parts: Any) -> int | None:
    """The port a url names; None for its scheme's default."""
    port: int | None = parts.port
    return None if port == {"http": 80, "https": 443}.get(parts.scheme) else port

"""What a scripted upstream answers, and what it was sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from scailookup.model import Reply, Request

__all__ = ["Replies", "Script", "Sent", "reply"]

Target = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as it left: ``target`` is its path and query, header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = b""
    url: str = field(default="", repr=False)

    @classmethod
    def of(cls, request: Request) -> Sent:
        """What this request of the core's puts on the wire."""
        headers = {name.lower(): value for name, value in request.headers}
        return cls(request.method, _target(request.url), headers, request.body or b"", request.url)

    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


def reply(body: Any, status: int = 200, **headers: str) -> Reply:
    """A reply whose body is ``body`` as JSON; bytes stand as they are. ``link=…`` is the header Link."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Reply(status, {name.replace("_", "-").lower(): value for name, value in headers.items()}, raw)


Replies = Mapping[str, Any] | Callable[[Sent], Any]


class Script:
    """Replies by target: ``{"/v3/stations?page=2": body}``.

    A value is a JSON body, a ``reply(…)``, an exception to be raised, or a function that
    is given what was ``Sent`` and returns one of these. A key may be a whole url. The
    order of a query does not matter, all else does. One function in the place of the
    mapping answers everything.
    """

    def __init__(self, replies: Replies) -> None:
        self._always = replies if callable(replies) else None
        replies = {} if callable(replies) else replies
        for target in replies:
            if not target.startswith(("/", "http://", "https://")):
                raise ValueError(f"{target!r} is not a target of the form /path?query, nor a url")
        self._targets = list(replies)
        self._replies = {_plain(target): answer for target, answer in replies.items()}

    def answer(self, sent: Sent) -> Reply | None:
        """The reply to this request, None where there is none; raises what stands in its place."""
        places = [_plain(target) for target in (sent.url, sent.target)]
        found = next((self._replies[place] for place in places if place in self._replies), self._always)
        if found is None:
            return None
        found = found(sent) if callable(found) else found
        if isinstance(found, BaseException):
            raise found
        return found if isinstance(found, Reply) else reply(found)

    def lacks(self, sent: Sent) -> str:
        """What to say when there was no reply."""
        known = ", ".join(self._targets) or "-"
        return f"no reply for {sent.method} {sent.target}; there are replies for: {known}"


def _target(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


def _plain(target: str) -> Target:
    path, _, query = target.partition("?")
    return path, tuple(sorted(parse_qsl(query, keep_blank_values=True)))

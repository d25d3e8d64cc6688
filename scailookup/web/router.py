"""One table of routes over the raw path: what is matched is what is authorised and called.

Literal segments match byte for byte, so a path with an empty segment, a dot segment
or an escaped character outside a value is no route. A value's segment is handed over
raw; the handler decodes it once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest, RequestStartLine
from tornado.routing import Router
from tornado.web import Application

from scailookup.web.handler import Missing

__all__ = ["BODY_LIMIT", "PREFIXES", "Routes", "Target"]

PREFIXES = ("/api/v1", "/v1")
BODY_LIMIT = 64 * 1024
_MOST_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Target:
    """A handler class, the route's name for logs and metrics, and what the handler is given."""

    handler: type[Any]
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


class _Node:
    __slots__ = ("below", "children", "target", "value", "value_name")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.value: _Node | None = None
        self.value_name = ""
        self.target: Target | None = None
        self.below: Target | None = None


class Routes(Router):
    """The routing table, and the Tornado router over it."""

    def __init__(self, web: Any) -> None:
        self.web = web
        self.always: set[bytes] = set()  # paths that are answered however many come
        self._root = _Node()
        self._application = Application([])

    def add(self, path: str, target: Target, *, below: bool = False) -> None:
        """Serve ``path``; ``{name}`` segments take values. ``below`` takes every path under it too.

        Raises ValueError when the path is taken.
        """
        node = self._root
        for part in path.split("/")[1:]:
            if part.startswith("{"):
                node.value = node.value or _Node()
                node.value_name = part[1:-1]
                node = node.value
            else:
                node = node.children.setdefault(part, _Node())
        if node.target is not None:
            raise ValueError(f"the route {path} is taken")
        node.target = target
        if getattr(target.handler, "always", False):
            self.always.add(path.encode())
        node.below = target if below else None

    def find(self, raw: str) -> tuple[Target, dict[str, str]] | None:
        """The target of a raw path and its raw values; None when it is no route."""
        if not raw.startswith("/"):
            return None
        node, values, below = self._root, {}, None
        for part in raw.split("/")[1:]:
            below = node.below or below
            following = node.children.get(part)
            if following is None and node.value is not None and part:
                values[node.value_name] = part
                following = node.value
            if following is None:
                return (below, {}) if below is not None else None
            node = following
        target = node.target or below
        return None if target is None else (target, values)

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate:
        """Tornado's question: who answers this request? ``kwargs`` go to the handler."""
        found = self.find(request.path)
        target, values = found or (Target(Missing, "none"), {})
        options = {"web": self.web, "route_name": target.name, **target.options, **kwargs}
        delegate = self._application.get_handler_delegate(
            request,
            target.handler,
            target_kwargs=options,
            path_kwargs=values,  # type: ignore[arg-type]
        )
        return _Bounded(delegate, request)


class _Bounded(HTTPMessageDelegate):
    """Reads a body up to a bound and past it only marks the request, so that the handler can say so."""

    def __init__(self, inner: HTTPMessageDelegate, request: HTTPServerRequest) -> None:
        self._inner = inner
        self._request = request
        self._left = BODY_LIMIT
        self._cut = False
        self._announced = _length(request.headers.get("Content-Length", ""))
        if self._announced > BODY_LIMIT:
            # Tornado would end the connection with a bare 400 before the handler can say why.
            request.connection.set_max_body_size(self._announced)  # type: ignore[union-attr]

    def headers_received(self, start_line: Any, headers: Any) -> Any:
        assert isinstance(start_line, RequestStartLine)
        answer = self._inner.headers_received(start_line, headers)
        if self._announced > BODY_LIMIT:
            self._refuse()
        return answer

    def data_received(self, chunk: bytes) -> Any:
        self._left -= len(chunk)
        if self._cut:
            return None
        if self._left < 0:
            self._refuse()
            return None
        return self._inner.data_received(chunk)

    def _refuse(self) -> None:
        """Answer now; Tornado closes a connection whose request was not read to its end."""
        self._cut = True
        self._request.oversized = True  # type: ignore[attr-defined]
        self._inner.finish()

    def finish(self) -> None:
        if not self._cut:
            self._inner.finish()

    def on_connection_close(self) -> None:
        self._inner.on_connection_close()


def _length(text: str) -> int:
    """A Content-Length; 0 for what is none, which Tornado refuses by itself."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else 0

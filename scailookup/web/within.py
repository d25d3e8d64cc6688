"""One GET put to routes of this process: the whole road of a request, without a socket."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)

__all__ = ["Heard", "get_within"]


class Heard(NamedTuple):
    """What was answered: status, headers and body."""

    status: int
    headers: HTTPHeaders
    body: bytes


async def get_within(routes: HTTPServerConnectionDelegate, target: str, headers: HTTPHeaders) -> Heard:
    """Ask ``routes`` for the raw ``target`` (path and query) as a client would.

    ``headers`` get a ``Host`` where they have none.
    """
    if "Host" not in headers:
        headers["Host"] = "localhost"
    connection = _Connection()
    delegate = routes.start_request(connection, connection)
    delegate.headers_received(RequestStartLine("GET", target, "HTTP/1.1"), headers)
    delegate.finish()
    return await connection.heard


class _Connection(HTTPConnection):
    """The far end of one exchange, which keeps what is written."""

    def __init__(self) -> None:
        self.heard: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        self._status = 0
        self._headers = HTTPHeaders()
        self._body = b""

    def set_close_callback(self, callback: Any) -> None:
        """Nobody leaves before the end here."""

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> asyncio.Future[None]:
        assert isinstance(start_line, ResponseStartLine)
        self._status, self._headers = start_line.code, headers
        return self.write(chunk or b"")

    def write(self, chunk: bytes) -> asyncio.Future[None]:
        self._body += chunk
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        written.set_result(None)
        return written

    def finish(self) -> None:
        self.heard.set_result(Heard(self._status, self._headers, self._body))

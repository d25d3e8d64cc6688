"""A very cheap upstream: ready bytes for any path, every request counted.

``GET /set?rows=60&delay=0`` chooses the length of the lists and how many milliseconds
each answer waits; ``GET /count`` says how many requests came. Neither is counted.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from urllib.parse import parse_qsl

from bench.bodies import body, kind_of

__all__ = ["Lists", "Wire"]

_END = b"\r\n\r\n"


def answer(payload: bytes) -> bytes:
    """A whole HTTP answer."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    return head.encode() + payload


class Lists:
    """What is served now, and how often it was."""

    def __init__(self) -> None:
        self.rows, self.delay, self.count = 60, 0.0, 0
        self._ready: dict[tuple[str, int], bytes] = {}

    def reply(self, target: str) -> tuple[bytes, float]:
        """The bytes for a request target, and after how many seconds they go out."""
        path, _, query = target.partition("?")
        if path == "/count":
            return answer(json.dumps({"count": self.count}).encode()), 0.0
        if path == "/set":
            asked = dict(parse_qsl(query))
            self.rows = int(asked.get("rows", self.rows))
            self.delay = float(asked.get("delay", 0)) / 1000
            return answer(b"{}"), 0.0
        self.count += 1
        return self._list(kind_of(target)), self.delay

    def _list(self, kind: str) -> bytes:
        key = (kind, self.rows)
        if key not in self._ready:
            self._ready[key] = answer(body(kind, self.rows))
        return self._ready[key]


class Wire(asyncio.Protocol):
    """One connection; requests have no body and may come several at once."""

    def __init__(self, reply: Callable[[str], tuple[bytes, float]]) -> None:
        self._reply = reply
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        *requests, self._buffer = (self._buffer + data).split(_END)
        for request in requests:
            payload, delay = self._reply(request.split(b" ", 2)[1].decode("latin-1"))
            if delay:
                asyncio.get_running_loop().call_later(delay, self._send, payload)
            else:
                self._send(payload)

    def _send(self, payload: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(payload)


async def _serve() -> None:
    lists = Lists()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Wire(lists.reply), "127.0.0.1", 0, backlog=2048)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    sys.exit(asyncio.run(_serve()))

"""Asking: one request at a time, or many at once over connections of their own."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Answer", "Ask", "ask", "ask_all", "bearer"]

_SECONDS = 60
_CONNECTING = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; header names in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Ask:
    """A path and the headers that go with it."""

    path: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def wire(self) -> bytes:
        """The request as it is sent."""
        lines = [f"GET {self.path} HTTP/1.1", "Host: 127.0.0.1"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def ask(port: int, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    """One GET over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        reply = connection.getresponse()
        return Answer(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
    finally:
        connection.close()


async def ask_all(port: int, asks: Sequence[Ask], connections: int) -> list[Answer]:
    """Every request once. All connections stand before the first request leaves."""
    gate = asyncio.Semaphore(_CONNECTING)

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with gate:
            return await asyncio.open_connection("127.0.0.1", port)

    async with asyncio.timeout(_SECONDS):
        lines = await asyncio.gather(*(connect() for _ in range(connections)))
        shares = (asks[n::connections] for n in range(connections))
        done = await asyncio.gather(
            *(_converse(*line, share) for line, share in zip(lines, shares, strict=True))
        )
    return [answer for answers in done for answer in answers]


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asks: Sequence[Ask]
) -> list[Answer]:
    """Send requests one after the other over one connection."""
    answers = []
    for item in asks:
        writer.write(item.wire())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        answers.append(Answer(int(head[0].split(" ")[1]), headers, body))
    writer.close()
    return answers

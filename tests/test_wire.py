"""A connection: requests one after another, whichever road each takes, and what ends it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs
from test_front import MODELS, Line, Road, World, counts, header, request, status, world

from scailookup.web.wire import Patience

pytestmark = pytest.mark.gen_test

POST = request(method="POST", body=b"", headers={"Host": "h", "Content-Length": "0"})


@contextlib.asynccontextmanager
async def line(**patience: float) -> AsyncIterator[tuple[World, Line]]:
    """A connection to a warm service."""
    async with world() as made:
        road: Road = made.short
        road.server.patience = Patience(**patience)
        await made.warmed(request())
        async with road.line() as opened:
            yield made, opened


async def test_both_roads_on_one_connection():
    """Hits, misses, refusals and bodies take turns on one connection, each with its own answer."""
    async with line() as (w, opened):
        asked = [request(), request("/nowhere"), POST, request(MODELS + "?q=openai"), request()]
        heard = []
        for raw in [*asked, request("/v1/scaiqueue/scopes")]:
            opened.send(raw)
            heard.append(status(await opened.answer()))
        assert ([200, 404, 405, 200, 200, 200], 3) == (heard, w.short.front.taken)


async def test_requests_sent_at_once():
    """Pipelined requests are answered in their order, whichever road each takes."""
    async with line() as (w, opened):
        ids = [f"req-{number}" for number in range(8)]
        paths = [MODELS, "/nowhere", MODELS + "?limit=1", MODELS] * 2
        for name, path in zip(ids, paths, strict=True):
            opened.send(request(path, headers={"Host": "h", "X-Request-ID": name}))
        heard = [await opened.answer() for _ in ids]
        found = [re.findall(rb"\r\nX-Request-Id: (\S+)", raw, re.IGNORECASE)[0].decode() for raw in heard]
        assert (ids, 4) == (found, w.short.front.taken)


async def test_a_body_sent_with_its_head():
    """What follows a head in the same packet is read as that request's body, not as a request."""
    async with line() as (_, opened):
        body = request()  # would be answered if it were taken for a request
        headers = {"Host": "h", "Content-Length": str(len(body))}
        opened.send(request("/nowhere", method="POST", body=body, headers=headers) + request())
        assert [404, 200] == [status(await opened.answer()) for _ in range(2)]


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\r\n\n", b"\n\r\n", b"\n\n"], ids=repr)
async def test_a_body_is_a_body_however_its_head_ends(end):
    """The body of what would else be a hit is not answered, whichever line ends its head has."""
    async with line() as (w, opened):
        body = request("/healthz")
        head = request().removesuffix(b"\r\n\r\n") + b"\r\nContent-Length: %d" % len(body)
        opened.send(head + end + body + request("/nowhere"))
        assert ([200, 404], 0) == ([status(await opened.answer()) for _ in range(2)], w.short.front.taken)


async def test_nobody_is_kept_from_the_loop():
    """Somebody who sends request after request without a pause does not keep the loop from others."""
    async with line() as (w, greedy), w.short.line() as other:
        greedy.send(request() * 200)
        other.send(request())
        await other.answer()
        behind = w.short.front.taken
        for _ in range(200):
            await greedy.answer()
        assert (True, 201) == (behind < 200, w.short.front.taken)


async def test_a_head_without_an_end():
    """A first head that does not come to its end is given up after its time, however it trickles in."""
    async with line(first=0.3) as (_, opened):
        opened.send(request()[:40])
        await asyncio.sleep(0.1)
        opened.send(request()[40:50])
        assert await opened.ended()


async def test_a_connection_that_asks_nothing():
    """A connection kept alive is closed when nothing more comes, not before it has been served."""
    async with line(first=60.0, idle=0.3) as (_, opened):
        opened.send(request())
        assert (200, True) == (status(await opened.answer()), await opened.ended())


async def test_a_wait_for_the_upstream_is_not_idling():
    """However long the upstream takes, the connection stays for the answer."""
    async with line(first=0.2, idle=0.2) as (w, opened):
        w.grid.gate = asyncio.Event()
        opened.send(request("/v1/scaiqueue/scopes"))
        await asyncio.sleep(0.6)
        w.grid.gate.set()
        assert 200 == status(await opened.answer())


@pytest.mark.parametrize("path", ["/v1/scaiqueue/scopes", "/v1/scaiqueue/scopes?limit=1"])
async def test_a_client_that_leaves_while_the_upstream_is_asked(path):
    """Its place is free at once, though its head was there before the connection was taken."""
    async with line() as (w, opened):
        opened.close()
        while w.short.server._streams:
            await asyncio.sleep(0.01)
        w.grid.gate = asyncio.Event()
        with socket.create_connection(("127.0.0.1", w.short.port)) as client:
            client.sendall(request(path))  # before the loop has come round to take the connection
            while len(w.grid.errands) < 2:
                await asyncio.sleep(0.01)
        try:
            async with asyncio.timeout(30):
                while w.short.server._streams:
                    await asyncio.sleep(0.01)
            assert 1 == w.short.web.busy  # the call goes on, for whoever asks next
        finally:
            w.grid.gate.set()


async def test_a_head_that_is_far_too_long():
    """A head that has not come to its end within 128 KiB ends the connection."""
    async with line() as (_, opened):
        opened.send(request(MODELS, ("X-Filler", "x" * 140_000)))
        assert await opened.ended()


ANY = {"Host": "h"}
CHUNKED = {"Host": "h", "Transfer-Encoding": "chunked"}
UNREADABLE = {
    "no HTTP": b"NONSENSE\r\n\r\n",
    "a bad Host": request(headers={"Host": "a b"}),
    "two lengths": request(MODELS, ("Content-Length", "1"), ("Content-Length", "2"), headers=ANY),
    "a bad chunk": request("/nowhere", method="POST", headers=CHUNKED, body=b"zz\r\n"),
    "a long head": request(MODELS, ("X-Filler", "x" * 70_000), headers=ANY),
    "a long name": request(MODELS, ("X" * 257, "1"), headers=ANY),
}


@pytest.mark.parametrize("short", [True, False], ids=["public", "operator's"])
@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_what_cannot_be_read(raw, short):
    """It is answered in the shape of all errors, counted and told of, and the connection ends."""
    async with line() as (w, _):
        road = w.short if short else w.ordinary
        named = raw.replace(b"\r\n", b"\r\nX-Request-ID: req-9\r\n", 1)
        with capture_logs() as events:
            async with road.line() as opened:
                opened.send(named)
                answer = await opened.answer()
                ended = await opened.ended()
        (event,) = [event for event in events if event["event"] == "request"]
        detail = json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]
        assert (400, "invalid_parameter", "req-9", True) == (
            *(status(answer), detail["error"]),
            *(detail["request_id"], ended),
        )
        names = ("X-Request-ID", "Connection", "Content-Type", "Cache-Control", "X-Content-Type-Options")
        assert ("req-9", "close", "application/json", "no-store", "nosniff") == tuple(
            header(answer, name) for name in names
        )
        counted = [n for labels, n in counts(road).items() if 'status="400"' in labels]
        told = event["status"], event["route"], event["request_id"]
        assert ((400, "none", "req-9"), [1.0]) == (told, counted)


async def test_a_head_request_that_cannot_be_read():
    """HEAD is answered without a body then too."""
    async with line() as (_, opened):
        opened.send(request(method="HEAD", headers={"Host": "a b"}))
        assert (400, True) == (status(await opened.answer(bodiless=True)), await opened.ended())


@pytest.mark.parametrize("given", ["bad id", "x" * 129])
async def test_what_cannot_be_read_has_an_id_of_ours(given):
    """As everywhere, when the caller's is malformed."""
    async with line() as (_, opened):
        opened.send(request(headers={"Host": "a b", "X-Request-ID": given}))
        assert re.fullmatch("[0-9a-f]{32}", header(await opened.answer(), "X-Request-ID") or "")


async def test_leaving_ends_the_connection():
    """Once the process leaves, an answer says so and its connection ends, on either road."""
    async with line() as (w, opened), w.short.line() as other:
        w.short.front.leave()
        w.short.web.leaving = True
        heard = []
        for each, path in ((opened, MODELS), (other, "/nowhere")):
            each.send(request(path))
            answer = await each.answer()
            heard.append((b"\r\nConnection: close\r\n" in answer, await each.ended()))
        assert [(True, True), (True, True)] == heard


async def test_a_connection_leaves_nothing_behind():
    """A connection that has ended is forgotten, its task and timer with it."""
    async with line() as (w, opened):
        opened.send(request())
        await opened.answer()
        opened.close()
        while w.short.server._connections:
            await asyncio.sleep(0.01)
        running = [task for task in asyncio.all_tasks() if "Connection" in repr(task)]
        assert [] == running

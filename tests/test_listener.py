"""Connections on a real listener: turned away unread, bounded in number, cut when nobody reads them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from tornado.netutil import bind_sockets

from scailookup.metrics import Metrics
from scailookup.web.front import Front
from scailookup.web.guard import OPEN, Need, OpenOnly
from scailookup.web.handler import Handler
from scailookup.web.health import HealthHandler
from scailookup.web.listener import _Listening, listener
from scailookup.web.overload import Overload
from scailookup.web.router import Routes, Target
from scailookup.web.state import Web

pytestmark = pytest.mark.gen_test

LEAST = 32
MOVING = re.compile(rb"\r\n(Date|Content-Length): [^\r]+|(?<=X-Request-Id: )\w+|(?<=\"request_id\":\")\w+")


class Small(Handler):
    """Answers a word."""

    needs: ClassVar[Mapping[str, Need]] = {"GET": OPEN, "POST": OPEN}

    async def get(self) -> None:
        self.send_json("small")

    async def post(self) -> None:
        self.send_json("posted")


class Large(Handler):
    """Answers more than sockets hold."""

    needs: ClassVar[Mapping[str, Need]] = {"GET": OPEN}

    async def get(self) -> None:
        self.send(b"x" * 32 * 1024 * 1024)


class Place:
    """A listener before three routes. ``press`` has it count its callers."""

    def __init__(self, connections: int = 1000) -> None:
        self.web = Web(OpenOnly(), Metrics(), overload=Overload(0.2, connections))
        routes = Routes(self.web)
        routes.add("/small", Target(Small, "small"))
        routes.add("/large", Target(Large, "large"))
        routes.add("/healthz", Target(HealthHandler, "healthz"))
        sockets = bind_sockets(0, "127.0.0.1")
        self.port = sockets[0].getsockname()[1]
        self.server = listener(Front(routes))
        self.server.add_sockets(sockets)

    @property
    def overload(self) -> Overload:
        return self.web.overload

    def press(self) -> None:
        for _ in range(2):
            self.overload.look(1.0, 1.0, 1.0)

    def let_in(self, *answers: bool) -> None:
        """Count callers; so the first ones fare, and nobody after them is let in."""
        self.press()
        left = iter(answers)
        self.overload.lets_in = lambda: next(left, False)  # type: ignore[method-assign]

    async def lines(self, count: int) -> list[Line]:
        return [Line(*await asyncio.open_connection("127.0.0.1", self.port)) for _ in range(count)]


class Line:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def ask(self, path: str = "/small", more: str = "") -> None:
        """One request; it is in the other end's socket when this returns."""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n".encode())

    async def answer(self) -> bytes:
        """One whole answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        return head + await self.reader.readexactly(
            int(head.lower().split(b"content-length: ")[1].split()[0])
        )

    async def status(self) -> int:
        return int((await self.answer())[9:12])

    async def ended(self) -> bool:
        with contextlib.suppress(ConnectionError):
            return await self.reader.read() == b""
        return True


@contextlib.asynccontextmanager
async def place(**more: Any) -> AsyncIterator[Place]:
    """A Place while the block runs."""
    made = Place(**more)
    try:
        yield made
    finally:
        made.server.stop()
        await made.server.close_all_connections()


async def crowd(p: Place, count: int = LEAST) -> list[Line]:
    """As many requests as one round lets in, all there before it begins."""
    lines = await p.lines(count)
    p.press()
    for line in lines:
        line.ask()
    return lines


async def statuses(lines: list[Line]) -> list[int]:
    return list(await asyncio.gather(*(line.status() for line in lines)))


async def test_who_is_one_too_many_is_turned_away():
    """Of 40 requests in one round 32 are answered; the others are told at once, on connections that stay."""
    async with place() as p:
        lines = await crowd(p, 40)
        assert [200] * LEAST + [503] * 8 == sorted(await statuses(lines))
        for line in lines:
            line.ask()
            assert 200 == await line.status()
        assert 8 == p.overload.turned_away["wait"]


async def test_who_has_connected_before_the_end_is_answered():
    """Connections that the kernel has made, and the listener has not seen yet when it is to stop."""
    async with place() as p:
        made = [socket.create_connection(("127.0.0.1", p.port)) for _ in range(3)]
        for sock in made:
            sock.sendall(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n")
        p.server.stop()
        lines = [Line(*await asyncio.open_connection(sock=sock)) for sock in made]
        assert [200] * 3 == await statuses(lines)


async def test_a_loop_on_time_answers_everybody():
    """The same 40."""
    async with place() as p:
        lines = await p.lines(40)
        for line in lines:
            line.ask()
        assert [200] * 40 == await statuses(lines)


async def test_who_is_turned_away_is_counted_as_answered():
    """By its status, without a route: nobody has looked at it."""
    async with place() as p:
        await statuses(await crowd(p, LEAST + 3))
        assert [3] == p.web.metrics.snapshot()["scailookup_requests"]["none", "503", "none"]


async def test_health_is_told_in_a_crowd():
    """To whoever asks, however many have come."""
    async with place() as p:
        lines = await p.lines(LEAST + 3)
        p.press()
        for line in lines[3:]:
            line.ask()
        for line in lines[:3]:
            line.ask("/healthz")
        assert [200] * (LEAST + 3) == await statuses(lines)


async def test_a_request_that_is_not_plain_is_turned_away_too():
    """One with a body is read first; its answer is that of the others."""
    async with place() as p:
        plain, posting = await p.lines(2)
        first = await crowd(p)
        plain.ask()
        posting.ask(more="Content-Length: 0\r\n")
        answers = [await plain.answer(), await posting.answer()]
        assert [b"503", b"503"] == [answer[9:12] for answer in answers]
        plain_head, posted = (MOVING.sub(b"", answer) for answer in answers)
        assert sorted(plain_head.split(b"\r\n")) == sorted(posted.split(b"\r\n"))
        await statuses(first)
        posting.ask(more="Content-Length: 0\r\n")
        assert 200 == await posting.status()


async def test_a_body_is_never_taken_for_a_request():
    """Bytes of a POST that look like a GET, in a crowd: one answer, and the connection is in step."""
    async with place() as p:
        inner = b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n"
        (posting,) = await p.lines(1)
        head = b"POST /small HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        posting.writer.write(head % len(inner))
        assert b" 100 " in await posting.reader.readuntil(b"\r\n\r\n")  # the head is read
        lines = await crowd(p)
        posting.writer.write(inner)
        assert b'"posted"' in await posting.answer()
        posting.ask()
        assert b'"small"' in await posting.answer()
        await statuses(lines)


async def test_a_head_in_pieces_is_counted_by_its_first():
    """Who sends one so does not get past the others."""
    async with place() as p:
        (piecemeal,) = await p.lines(1)
        first = await crowd(p)
        piecemeal.writer.write(b"GET /small HTTP/1.1\r\nHo")
        await statuses(first)
        piecemeal.writer.write(b"st: a\r\n\r\n")
        assert 503 == await piecemeal.status()


async def test_a_body_that_comes_later_lets_nobody_in():
    """The head was one too many; what comes after it does not change that."""
    async with place() as p:
        (posting,) = await p.lines(1)
        p.let_in()
        posting.writer.write(
            b"POST /small HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        await posting.reader.readuntil(b"\r\n\r\n")
        p.let_in(True)
        posting.writer.write(b"{}")
        assert 503 == await posting.status()


async def test_heads_that_come_together_are_counted_one_by_one():
    """Pipelining is no way in."""
    async with place() as p:
        (line,) = await p.lines(1)
        p.let_in(True, False, True)
        line.writer.write(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n" * 4)
        assert [200, 503, 200, 503] == [await line.status() for _ in range(4)]


async def test_who_is_turned_away_again_and_again_is_not_idle():
    """Its connection is not closed under it."""
    async with place() as p:
        (line,) = await p.lines(1)
        p.let_in()
        line.ask()
        assert 503 == await line.status()
        (connection,) = p.server._connections
        connection._since -= 1000  # type: ignore[attr-defined]
        connection._look()  # type: ignore[attr-defined]
        line.ask()
        assert 503 == await line.status()


async def test_a_client_that_leaves_as_it_is_turned_away_harms_nobody():
    """Its connection ends; the others are answered."""
    async with place() as p:
        gone = await p.lines(5)
        lines = await crowd(p)
        for line in gone:
            line.ask()
            line.writer.transport.abort()
        assert [200] * LEAST == await statuses(lines)


async def test_the_operators_listener_turns_nobody_away():
    """Figures are wanted most when there is a crowd."""
    async with place() as p:
        p.press()
        assert p.overload.pressed
        assert not Front(p.server.request_callback._routes, short=False).overload.pressed  # type: ignore[union-attr]


async def test_there_are_no_more_connections_than_allowed():
    """One more is told so and ends; when one has gone there is a place again."""
    async with place(connections=4) as p:
        lines = await p.lines(4)
        for line in lines:
            line.ask()
        assert [200] * 4 == await statuses(lines)
        (more,) = await p.lines(1)
        assert 503 == await more.status()
        assert await more.ended()
        assert (1, 0) == (p.overload.turned_away["connections"], p.overload.cut["idle"])
        lines[0].writer.close()
        assert 200 == await tried(p)


async def test_the_last_words_to_many_take_few_descriptors():
    """Of those refused a sixteenth of what may connect is kept for a moment, the rest ends at once."""
    async with place(connections=32) as p:
        lines = await p.lines(32)
        for line in lines:
            line.ask()
        await statuses(lines)
        for more in await p.lines(6):
            assert 503 == await more.status()
        assert 2 == len(p.server._lingering)


class Bound:
    """A listening socket whose connections are taken by another process in the last moment."""

    def __init__(self) -> None:
        self.raises = [OSError(errno.EMFILE, "none left"), BlockingIOError()]

    def fileno(self) -> int:
        return -1

    def accept(self) -> tuple[socket.socket, Any]:
        raise self.raises.pop(0)

    def close(self) -> None:
        """Nothing is open."""


async def test_the_descriptor_in_reserve_is_had_again():
    """Though there was no connection to turn away with it."""
    listening = _Listening(Bound(), lambda _: True)  # type: ignore[arg-type]
    with pytest.raises(BlockingIOError):
        listening.accept()
    assert listening._spare >= 0
    listening.close()


async def test_quiet_connections_make_room():
    """Whoever has said nothing for longest goes first: holding connections open keeps nobody out."""
    async with place(connections=4) as p:
        quiet, *talking = await p.lines(4)
        assert 200 == await tried(p, talking)
        assert p.overload.cut["idle"] == 1
        assert await quiet.ended()
        for line in talking:
            line.ask()
        assert [200] * 3 == await statuses(talking)


async def tried(p: Place, talking: Sequence[Line] = ()) -> int:
    """Connect and ask until that is not refused, while others go on talking."""
    while True:
        for line in talking:
            line.ask()
        await statuses(list(talking))
        (line,) = await p.lines(1)
        with contextlib.suppress(ConnectionError):
            line.ask()
            status = await line.status()
            if status != 503:
                return status
        await asyncio.sleep(0.02)


async def test_a_client_that_does_not_read_is_cut():
    """It asked for much and takes none of it; whoever reads is left alone."""
    async with place() as p:
        p.server.unread_seconds = 0.5
        stuck, reading = await p.lines(2)
        stuck.ask("/large")
        while not p.overload.cut["unread"]:
            reading.ask()
            assert 200 == await reading.status()
            await asyncio.sleep(0.02)
        reading.ask()
        assert (200, 1) == (await reading.status(), p.overload.cut["unread"])


async def test_a_client_that_reads_slowly_is_not_cut():
    """Some of it, again and again, is enough."""
    async with place() as p:
        p.server.unread_seconds = 2.5
        (slow,) = await p.lines(1)
        slow.ask("/large")
        for _ in range(30):
            assert 400_000 == len(await slow.reader.readexactly(400_000))
            await asyncio.sleep(0.1)
        assert not p.overload.cut["unread"]


async def test_much_that_nobody_reads_ends_patience():
    """When too many bytes wait for clients, those that take none have a second."""
    async with place() as p:
        p.server.most_unread = 1024 * 1024
        (stuck,) = await p.lines(1)
        stuck.ask("/large")
        while not p.overload.cut["unread"]:
            await asyncio.sleep(0.02)
        assert p.server.unread_seconds == 20

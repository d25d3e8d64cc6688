"""The store on a real Redis: leases, fencing, bounds, rights and TLS."""

from __future__ import annotations

import asyncio
import math
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import certificate

from scailookup.shared.redis_store import RedisStore
from scailookup.shared.tier import BUSY, CLAIMED, HELD, StoreLost
from system.redis_server import RedisServer, free_port

KEY, ONE, OTHER = b"k" * 32, b"one", b"other"
LONG = 60.0
DOCS = Path(__file__).resolve().parents[2] / "docs/caching.md"


@pytest.fixture(scope="module")
def _server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.stop()


@pytest.fixture
def server(_server: RedisServer) -> RedisServer:
    """An empty Redis."""
    _server.client.flushall()
    return _server


@asynccontextmanager
async def opened(url: str, largest: int = 1000) -> AsyncIterator[RedisStore]:
    """A store, closed again."""
    store = RedisStore(url, channel=b"scailookup:1:news:test", largest=largest)
    try:
        yield store
    finally:
        await store.close()


def run(server: RedisServer, test: Callable[[RedisStore], Awaitable[None]]) -> None:
    """Run a test on a store of its own."""

    async def inside() -> None:
        async with opened(server.url) as store:
            await test(store)

    asyncio.run(inside())


def test_one_holds_the_lease(server: RedisServer) -> None:
    """Who comes second is told so, and gets the lease when it is given back."""

    async def test(store: RedisStore) -> None:
        states = [(await store.begin(KEY, holder, LONG, 300.0)).state for holder in (ONE, OTHER, ONE)]
        await store.release(KEY, OTHER)
        states.append((await store.begin(KEY, OTHER, LONG, 300.0)).state)
        await store.release(KEY, ONE)
        states.append((await store.begin(KEY, OTHER, LONG, 300.0)).state)
        assert states == [CLAIMED, BUSY, CLAIMED, BUSY, CLAIMED]

    run(server, test)


def test_a_lease_ends_by_itself(server: RedisServer) -> None:
    """A holder that is heard of no more loses it, and cannot renew it afterwards."""

    async def test(store: RedisStore) -> None:
        await store.begin(KEY, ONE, 0.05, 300.0)
        while (await store.begin(KEY, OTHER, LONG, 300.0)).state == BUSY:
            await asyncio.sleep(0.01)
        assert not await store.extend(KEY, ONE, LONG)
        assert await store.extend(KEY, OTHER, LONG)

    run(server, test)


def test_a_renewed_lease_lasts(server: RedisServer) -> None:
    """Renewing sets its end anew."""

    async def test(store: RedisStore) -> None:
        await store.begin(KEY, ONE, 10.0, 300.0)
        await store.extend(KEY, ONE, 100.0)
        (name,) = server.names("lease")
        assert server.client.pttl(name) > 10_000

    run(server, test)


def test_only_the_holder_writes(server: RedisServer) -> None:
    """An answer or a failure of one without the lease changes nothing."""

    async def test(store: RedisStore) -> None:
        await store.begin(KEY, ONE, LONG, 300.0)
        assert not await store.land(KEY, OTHER, b"late", LONG)
        assert not await store.fail(KEY, OTHER, b"late", LONG)
        assert await store.land(KEY, ONE, b"good", LONG)
        assert not await store.land(KEY, ONE, b"again", LONG)
        assert await store.begin(KEY, OTHER, LONG, 30.0) == (HELD, b"good", None)

    run(server, test)


def test_what_is_left_decides(server: RedisServer) -> None:
    """An entry that has less to live than asked for is handed out with the lease; infinity claims always."""

    async def test(store: RedisStore) -> None:
        await store.begin(KEY, ONE, LONG, 300.0)
        await store.land(KEY, ONE, b"good", 50.0)
        assert await store.begin(KEY, ONE, LONG, 40.0) == (HELD, b"good", None)
        assert await store.begin(KEY, ONE, LONG, 60.0) == (CLAIMED, b"good", None)
        await store.release(KEY, ONE)
        assert await store.begin(KEY, ONE, LONG, math.inf) == (CLAIMED, b"good", None)

    run(server, test)


def test_a_failure_is_held(server: RedisServer) -> None:
    """A failure is told to who comes after it, leaves an older entry, and an answer ends it."""

    async def test(store: RedisStore) -> None:
        await store.begin(KEY, ONE, LONG, 300.0)
        await store.land(KEY, ONE, b"old", 50.0)
        await store.begin(KEY, ONE, LONG, math.inf)
        await store.fail(KEY, ONE, b"bad", LONG)
        assert await store.begin(KEY, OTHER, LONG, 300.0) == (HELD, b"old", b"bad")
        await store.begin(KEY, OTHER, LONG, math.inf)
        await store.land(KEY, OTHER, b"new", LONG)
        assert await store.begin(KEY, OTHER, LONG, 10.0) == (HELD, b"new", None)

    run(server, test)


def test_a_refusal_ends_everything(server: RedisServer) -> None:
    """Entry and lease are gone, whoever held it; the failure is there and the news went out."""

    async def test(store: RedisStore) -> None:
        heard: list[bytes] = []
        listening, told = asyncio.Event(), asyncio.Event()
        store.joined, store.heard = listening.set, lambda message: (heard.append(message), told.set())
        store.start()
        await asyncio.wait_for(listening.wait(), LONG)
        await store.begin(KEY, ONE, LONG, 300.0)
        await store.land(KEY, ONE, b"good", LONG)
        await store.begin(KEY, ONE, LONG, math.inf)
        await store.refuse(KEY, b"no", LONG, b"news")
        await asyncio.wait_for(told.wait(), LONG)
        assert not await store.land(KEY, ONE, b"late", LONG)
        assert await store.begin(KEY, OTHER, LONG, 300.0) == (HELD, None, b"no")
        assert heard == [b"news"]

    run(server, test)


def test_what_is_too_long_is_not_read(server: RedisServer) -> None:
    """A record that somebody blew up is none, and never leaves Redis."""

    async def test(store: RedisStore) -> None:
        await store.begin(KEY, ONE, LONG, 300.0)
        await store.land(KEY, ONE, b"x" * 1001, LONG)
        assert await store.begin(KEY, ONE, LONG, 10.0) == (CLAIMED, None, None)

    run(server, test)


def test_many_commands_share_few_connections(server: RedisServer) -> None:
    """A burst waits for its turn and is no outage."""

    async def test(store: RedisStore) -> None:
        keys = [bytes([n % 256, n // 256]) * 16 for n in range(500)]
        begun = await asyncio.gather(*(store.begin(key, ONE, LONG, 300.0) for key in keys))
        assert {CLAIMED} == {one.state for one in begun}
        assert server.client.info("clients")["connected_clients"] < 40

    run(server, test)


def test_the_rights_in_the_docs_are_enough(server: RedisServer) -> None:
    """The user that docs/caching.md describes can do all that is needed, and nothing beyond its own names."""
    (line,) = re.findall(r"^user scailookup on .*$", DOCS.read_text(), re.MULTILINE)
    name, *rules = line.split()[1:]
    server.client.acl_setuser(name, enabled=True)
    server.client.execute_command("ACL", "SETUSER", name, *rules)
    server.client.script_flush()
    url = server.url.replace("//", f"//{name}:PASSWORD@")

    async def inside() -> None:
        async with opened(url) as store:
            listening, told = asyncio.Event(), asyncio.Event()
            store.joined, store.heard = listening.set, lambda message: told.set()
            store.start()
            await asyncio.wait_for(listening.wait(), LONG)
            await store.probe()
            await store.begin(KEY, ONE, LONG, 300.0)
            await store.extend(KEY, ONE, LONG)
            await store.fail(KEY, ONE, b"bad", LONG)
            await store.begin(KEY, ONE, LONG, math.inf)
            await store.land(KEY, ONE, b"good", LONG)
            await store.release(KEY, ONE)
            await store.refuse(KEY, b"no", LONG, b"news")
            await asyncio.wait_for(told.wait(), LONG)
            assert not store.alone

    asyncio.run(inside())
    with redis.Redis.from_url(url) as client:
        for command in (("GET", "other"), ("KEYS", "*"), ("FLUSHALL",), ("PUBLISH", "other", "x")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)


def test_without_the_right_to_listen_redis_stays_lost(server: RedisServer) -> None:
    """Writes that work do not bring it back, tried again and again; the right does, once."""
    rules = ("on", ">PASSWORD", "~*", "&*", "+@all")
    server.client.execute_command("ACL", "SETUSER", "deaf", *rules, "-subscribe")
    server.client.config_resetstat()

    def refused() -> int:
        stats = server.client.info("commandstats")
        return int(stats.get("cmdstat_subscribe", {}).get("rejected_calls", 0))

    async def inside() -> None:
        async with opened(server.url.replace("//", "//deaf:PASSWORD@")) as store:
            returns: list[bool] = []
            back = asyncio.Event()

            async def returned() -> None:
                returns.append(store.alone)
                back.set()

            store.back = returned
            with pytest.raises(StoreLost, match="not permitted"):
                await store.probe()
            store.start()
            while refused() < 4:
                await asyncio.sleep(0.02)
            assert (True, []) == (store.alone, returns)
            server.client.execute_command("ACL", "SETUSER", "deaf", "+subscribe")
            await asyncio.wait_for(back.wait(), LONG)
            assert [False] == returns

    asyncio.run(inside())


def test_tls_is_verified(tmp_path: Path) -> None:
    """A certificate of an unknown CA is refused; with its CA named Redis is used."""
    pem = str(certificate(tmp_path / "server.pem"))
    port = free_port()
    files = ("--tls-cert-file", pem, "--tls-key-file", pem, "--tls-ca-cert-file", pem)
    server = RedisServer("--tls-port", str(port), "--tls-auth-clients", "no", *files)
    try:
        url = f"rediss://127.0.0.1:{port}"

        async def works(url: str) -> bool:
            async with opened(url) as store:
                try:
                    await store.probe()
                except StoreLost:
                    return False
                return True

        trusted = f"{url}?ssl_ca_certs={quote(pem)}"
        assert (False, True) == (asyncio.run(works(url)), asyncio.run(works(trusted)))
        assert not asyncio.run(works(trusted.replace("127.0.0.1", "localhost")))
    finally:
        server.stop()

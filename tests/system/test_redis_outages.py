"""Redis taken away in every way there is: lookups go on, one event says so, and it comes back by itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contract.support import AUDIENCE, MODELS, Answer, Issuer, Reply, Server, Upstream, run_cli

from system.redis_server import RedisServer, free_port, wait_until

KEY = "the-key-that-seals-what-lies-in-redis"
PASSWORD = "marker-password-of-redis"
API = "/api/v1/scaigrid/models"
DENIED = Reply({"error": {"code": "FORBIDDEN", "message": "no"}}, 403)


class World:
    """Two nodes before one Redis; every token is another list."""

    def __init__(self) -> None:
        self.redis, self.issuer, self.grid = RedisServer(), Issuer(), Upstream()
        self.grid.on(MODELS, {"data": [{"slug": "m/one"}]})
        self.servers: list[Server] = []
        self.node, self.other = self.start(), self.start()
        self._number = 0

    def start(self, url: str = "", **settings: str) -> Server:
        """One more node."""
        server = Server(
            {
                "SCAIGRID_BASE_URL": self.grid.base,
                "SCAIKEY_BASE_URL": self.issuer.base,
                "SCAIKEY_AUDIENCE": AUDIENCE,
                "SCAILOOKUP_CACHE_URL": url or self.redis.url,
                "SCAILOOKUP_CACHE_KEY": KEY,
                **settings,
            }
        )
        self.servers.append(server)
        return server

    def token(self) -> str:
        """A caller whose list nobody holds."""
        self._number += 1
        return self.issuer.token(sub=f"usr_{self._number}")

    def ask(self, node: Server | None = None, token: str = "") -> Answer:
        """A list that must be fetched, unless a token says whose."""
        return (node or self.node).get(API, token or self.token())

    def shares(self) -> bool:
        """Whether what one node fetches comes to the other by way of Redis."""
        token, before = self.token(), len(self.grid.calls())
        self.ask(self.node, token)
        wait_until(lambda: len(self.grid.calls()) > before, "the call")
        return "detail=shared" in (self.ask(self.other, token).header("Cache-Status") or "")

    def count(self, name: str, node: Server | None = None) -> int:
        """How often an event was logged."""
        return sum(event["event"] == name for event in (node or self.node).events)

    def stop(self) -> None:
        """End everything."""
        for server in self.servers:
            server.stop()
        self.issuer.stop()
        self.grid.stop()
        self.redis.stop()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The world, whole again after each outage."""
    made = World()
    yield made
    made.stop()


def killed(server: RedisServer) -> Callable[[], None]:
    """Redis is gone, and is started again empty."""
    server.kill()
    return server.start


def paused(server: RedisServer) -> Callable[[], None]:
    """Redis hangs and goes on."""
    server.pause()
    return server.resume


def full(server: RedisServer) -> Callable[[], None]:
    """Redis takes no more writes, until it has room."""
    server.client.config_set("maxmemory-policy", "noeviction")
    server.client.config_set("maxmemory", "1")
    return lambda: server.client.config_set("maxmemory", "0")


def locked(server: RedisServer) -> Callable[[], None]:
    """Redis wants a password that we do not have, until it wants none."""
    server.client.config_set("requirepass", PASSWORD)
    server.client.client_kill_filter(_type="normal", skipme=True)
    server.client.client_kill_filter(_type="pubsub")

    def unlock() -> None:
        with redis.Redis(port=server.port, password=PASSWORD) as client:
            client.config_set("requirepass", "")

    return unlock


@pytest.mark.parametrize(
    ("harm", "reasons"),
    [
        (killed, {"unreachable"}),
        (paused, {"too slow"}),
        (full, {"full"}),
        (locked, {"credentials refused"}),
    ],
)
def test_an_outage(
    world: World, harm: Callable[[RedisServer], Callable[[], None]], reasons: set[str]
) -> None:
    """Every lookup is answered, one event says why, one that Redis is back, and the nodes share again."""
    for node in (world.node, world.other):
        node.lines.clear()
        node.events.clear()
    mend = harm(world.redis)
    try:
        assert [200] * 10 == [world.ask(node).status for node in (world.node, world.other) for _ in range(5)]
        for node in (world.node, world.other):
            assert node.event("shared_cache_lost")["reason"] in reasons
    finally:
        mend()
    for node in (world.node, world.other):
        assert "info" == node.event("shared_cache_back")["level"]
    wait_until(world.shares, "they share again")
    assert [1, 1] == [world.count("shared_cache_lost", node) for node in (world.node, world.other)]


def test_it_need_not_be_there_at_the_start(world: World) -> None:
    """A node whose Redis is not there serves all the same, and says so before anybody asks."""
    gone = RedisServer()
    gone.stop()
    node = world.start(gone.url)
    assert ("unreachable", 200) == (node.event("shared_cache_lost")["reason"], world.ask(node).status)


def test_a_refusal_during_an_outage_is_told_after_it(world: World) -> None:
    """What the upstream refused while Redis was away is gone from Redis soon after it is back."""
    token, before = world.token(), world.redis.names("entry")
    world.ask(world.other, token)
    (name,) = wait_until(lambda: sorted(set(world.redis.names("entry")) - set(before)), "the entry")
    node = world.start()
    world.redis.pause()
    world.grid.on(MODELS, DENIED)
    assert 502 == world.ask(node, token).status
    world.redis.resume()
    wait_until(lambda: not world.redis.client.exists(name), "the entry is gone")
    world.grid.on(MODELS, {"data": [{"slug": "m/one"}]})


@pytest.mark.parametrize("there", [True, False])
def test_check_tries_it(world: World, there: bool) -> None:
    """`scailookup check` says whether the shared cache can be used, and does not show its address."""
    settings = {
        "SCAIGRID_BASE_URL": world.grid.base,
        "SCAIKEY_BASE_URL": world.issuer.base,
        "SCAIKEY_AUDIENCE": AUDIENCE,
        "SCAILOOKUP_CACHE_URL": world.redis.url if there else f"redis://:{PASSWORD}@127.0.0.1:{free_port()}",
        "SCAILOOKUP_CACHE_KEY": KEY,
    }
    status, out, _ = run_cli("check", env=settings)
    wanted = "ok    shared cache" if there else "FAIL  shared cache: SCAILOOKUP_CACHE_URL: unreachable"
    assert (0 if there else 1, True, False) == (status, wanted in out, PASSWORD in out)


def test_a_node_that_is_killed_during_its_call_is_replaced(world: World) -> None:
    """Who waited for its answer makes the call as soon as the lease is over, and has the list."""
    holder, token, before = world.start(), world.token(), len(world.grid.calls())
    world.grid.on(MODELS, Reply({"data": []}, delay=60.0), {"data": [{"slug": "m/second"}]})
    with ThreadPoolExecutor(2) as pool:
        dead = pool.submit(world.ask, holder, token)
        wait_until(lambda: len(world.grid.calls()) > before, "the call")
        looked = world.redis.scripts()
        waiting = pool.submit(world.ask, world.other, token)
        wait_until(lambda: world.redis.scripts() > looked + 5, "the other looks again and again")
        assert 1 == len(world.grid.calls()) - before
        holder.process.kill()
        answer = waiting.result()
        assert dead.exception() is not None
    assert (200, "m/second") == (answer.status, answer.json["data"][0]["slug"])
    assert 2 == len(world.grid.calls()) - before
    world.grid.on(MODELS, {"data": [{"slug": "m/one"}]})


def test_no_password_is_logged(world: World) -> None:
    """The address's password stands in no line, refused though it is."""
    secret = "marker-wrong-password"
    node = world.start(world.redis.url.replace("//", f"//user:{secret}@"), SCAILOOKUP_LOG_LEVEL="debug")
    assert "credentials refused" == node.event("shared_cache_lost")["reason"]
    world.ask(node)
    node.stop()
    assert secret not in "\n".join(node.lines)
    assert json.dumps(KEY)[1:-1] not in "\n".join(node.lines)


def test_it_ends_cleanly_without_redis(world: World) -> None:
    """SIGTERM ends a node with status 0 though Redis hangs."""
    node = world.start()
    world.redis.pause()
    try:
        assert 0 == node.stop()
    finally:
        world.redis.resume()

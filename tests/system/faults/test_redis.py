"""The shared cache taken away: every list comes from the node's own memory or from upstream meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ..redis_server import RedisServer
from .scene import Scene

Make = Callable[..., Scene]


@pytest.fixture
def shared() -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    server = RedisServer()
    yield server
    server.stop()


def over(scene: Make, shared: RedisServer) -> Scene:
    """The service with its cache there, and something in it."""
    key = "the-key-that-seals-what-lies-in-redis"
    return scene(SCAILOOKUP_CACHE_URL=shared.url, SCAILOOKUP_CACHE_KEY=key)


def test_redis_is_killed(scene: Make, shared: RedisServer) -> None:
    """It ends without a word, and is started again with nothing in it."""
    with over(scene, shared) as s:
        shared.kill()
        s.load.more(60)
        shared.start()
        s.server.event("shared_cache_back")
        s.load.more(30)


def test_redis_hangs(scene: Make, shared: RedisServer) -> None:
    """It takes what it is sent and answers nothing."""
    with over(scene, shared) as s:
        shared.pause()
        s.load.more(60)
        shared.resume()
        s.server.event("shared_cache_back")
        s.load.more(30)


def test_redis_is_emptied(scene: Make, shared: RedisServer) -> None:
    """Everything in it is thrown away, again and again."""
    with over(scene, shared) as s:
        for _ in range(5):
            shared.client.flushall()
            s.load.more(20)
        assert shared.names("entry")

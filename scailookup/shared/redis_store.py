"""The store in Redis or Valkey, and the way back to it when it is lost.

One failure of any kind (too slow, refused, full, gone) is enough to go on alone: no
request asks again before a try of our own has worked.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog
from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from scailookup.shared.tier import Begun, StoreLost

__all__ = ["PATIENCE", "RedisStore"]

# Seconds: for one command; between two tries to come back; without a sign of life on the line for news.
PATIENCE = 0.5
RETRY = 1.0
BEAT = 5.0
_CONNECTIONS = 32
_PREFIX = b"scailookup:1:"
_log = structlog.get_logger("scailookup.shared")

# KEYS: entry, failure, lease. Each script starts with what it is given in ARGV.
_BEGIN = """
local function read(key)
  if redis.call('STRLEN', key) > tonumber(ARGV[4]) then return false end
  return redis.call('GET', key)
end
local entry, failure, left = read(KEYS[1]), read(KEYS[2]), tonumber(ARGV[3])
if left >= 0 and (failure or (entry and redis.call('PTTL', KEYS[1]) > left)) then
  return {0, entry, failure}
end
if redis.call('SET', KEYS[3], ARGV[1], 'NX', 'PX', ARGV[2]) or redis.call('GET', KEYS[3]) == ARGV[1] then
  return {1, entry, failure}
end
return {2, entry, failure}
"""
_EXTEND = """
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[3], ARGV[2])
"""
_RELEASE = "if redis.call('GET', KEYS[3]) == ARGV[1] then redis.call('DEL', KEYS[3]) end"
_LAND = """
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[2], KEYS[3])
return 1
"""
_FAIL = """
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('DEL', KEYS[3])
return 1
"""
_REFUSE = """
redis.call('DEL', KEYS[1], KEYS[3])
if ARGV[1] ~= '' then redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2]) end
redis.call('PUBLISH', ARGV[3], ARGV[4])
"""


class RedisStore:
    """A ``Store`` over one Redis. ``channel`` is where news goes; ``largest`` bounds what is read, in bytes.

    ``heard`` gets each message; ``joined`` runs whenever listening begins anew, for what
    was missed; ``back`` once commands and listening work again. None of them may raise.
    """

    def __init__(self, url: str, *, channel: bytes, largest: int) -> None:
        options: dict[str, Any] = {}
        if url.startswith("rediss:"):
            options = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=PATIENCE,
            socket_timeout=None,  # every command has a clock of ours, and a second one costs
            socket_connect_timeout=PATIENCE,
            # A connection that Redis closed while it was idle is replaced at once; nothing else is repeated.
            retry=Retry(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError,)),
            protocol=2,
            **options,
        )
        self._redis: Any = Redis.from_pool(pool)
        self._channel = channel
        self._largest = largest
        self._begin, self._extend, self._release, self._land, self._fail, self._refuse = (
            self._redis.register_script(text) for text in (_BEGIN, _EXTEND, _RELEASE, _LAND, _FAIL, _REFUSE)
        )
        self._with_us = asyncio.Event()
        self._with_us.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.heard: Callable[[bytes], None] = lambda message: None
        self.joined: Callable[[], None] = lambda: None
        self.back: Callable[[], Awaitable[None]] = _nothing

    @property
    def alone(self) -> bool:
        """Whether Redis is lost at the moment."""
        return not self._with_us.is_set()

    def start(self) -> None:
        """Listen to the news."""
        self._own(self._listen())

    async def close(self) -> None:
        """Leave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(exceptions.RedisError, OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._redis.aclose()

    async def begin(self, key: bytes, holder: bytes, lease: float, left: float) -> Begun:
        """See ``Store``; a record longer than ``largest`` is none."""
        hint = -1 if math.isinf(left) else _ms(left)
        state, entry, failure = await self._run(
            self._begin(_names(key), [holder, _ms(lease), hint, self._largest])
        )
        return Begun(state, entry, failure)

    async def extend(self, key: bytes, holder: bytes, lease: float) -> bool:
        """See ``Store``."""
        return bool(await self._run(self._extend(_names(key), [holder, _ms(lease)])))

    async def release(self, key: bytes, holder: bytes) -> None:
        """See ``Store``."""
        await self._run(self._release(_names(key), [holder]))

    async def land(self, key: bytes, holder: bytes, entry: bytes, life: float) -> bool:
        """See ``Store``."""
        return bool(await self._run(self._land(_names(key), [holder, entry, _ms(life)])))

    async def fail(self, key: bytes, holder: bytes, failure: bytes, life: float) -> bool:
        """See ``Store``."""
        return bool(await self._run(self._fail(_names(key), [holder, failure, _ms(life)])))

    async def refuse(self, key: bytes, failure: bytes | None, life: float, news: bytes) -> None:
        """See ``Store``."""
        arguments: list[Any] = [failure or b"", _ms(life), self._channel, news]
        await self._run(self._refuse(_names(key), arguments))

    async def tell(self, news: bytes) -> None:
        """See ``Store``."""
        await self._run(self._redis.publish(self._channel, news))

    async def probe(self) -> None:
        """Raise StoreLost unless Redis takes a write and lets us listen."""
        try:
            await self._try()
        except (exceptions.RedisError, OSError, TimeoutError) as exc:
            raise StoreLost(_reason(exc)) from None

    async def _run(self, command: Awaitable[Any]) -> Any:
        """One command within its time, and none at all while Redis is lost."""
        if self.alone:
            command.close()  # type: ignore[attr-defined]
            raise StoreLost("lost")
        try:
            async with asyncio.timeout(PATIENCE):
                return await command
        except (exceptions.RedisError, OSError, TimeoutError) as exc:
            self._lose(exc)
            raise StoreLost(_reason(exc)) from None

    def _lose(self, exc: Exception) -> None:
        if self.alone:
            return
        self._with_us.clear()
        # The library's own text may hold an address with a password: ours says enough.
        _log.warning("shared_cache_lost", reason=_reason(exc))
        self._own(self._return(time.monotonic()))

    async def _return(self, since: float) -> None:
        while self.alone:
            await asyncio.sleep(RETRY)
            try:
                await self._try()
            except (exceptions.RedisError, OSError, TimeoutError):
                continue
            self._with_us.set()
        _log.info("shared_cache_back", seconds=round(time.monotonic() - since, 1))
        with suppress(StoreLost):  # what it missed will be told the next time
            await self.back()

    async def _try(self) -> None:
        """A write, since a full or a read-only Redis answers a PING; and to listen, a right of its own."""
        async with asyncio.timeout(PATIENCE):
            await self._redis.set(_PREFIX + b"probe", b"", px=1000)
        async with self._redis.pubsub() as ear, asyncio.timeout(PATIENCE):
            await ear.subscribe(self._channel)
            await ear.get_message(timeout=None)  # a refusal comes as the answer

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as ear:
                    async with asyncio.timeout(PATIENCE):
                        await ear.subscribe(self._channel)
                    await self._hear(ear)
            except (exceptions.RedisError, OSError, TimeoutError) as exc:
                self._lose(exc)
            await self._with_us.wait()

    async def _hear(self, ear: Any) -> None:
        silent = False
        while True:
            message = await ear.get_message(timeout=BEAT)
            if message is None:
                if silent:
                    raise TimeoutError
                silent = True
                async with asyncio.timeout(PATIENCE):
                    await ear.ping()
                continue
            silent = False
            if message["type"] == "subscribe":
                self.joined()
            elif message["type"] == "message":
                self.heard(message["data"])

    def _own(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _nothing() -> None:
    return None


def _names(key: bytes) -> list[bytes]:
    # The braces keep the three in one slot of a cluster.
    stem = _PREFIX + b"{" + key.hex().encode() + b"}:"
    return [stem + b"entry", stem + b"failure", stem + b"lease"]


def _ms(seconds: float) -> int:
    return max(1, math.ceil(seconds * 1000)) if seconds else 0


def _reason(exc: Exception) -> str:
    """Why Redis was lost, in words of ours."""
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (exceptions.AuthenticationError, "credentials refused"),
        (exceptions.NoPermissionError, "not permitted"),
        (exceptions.OutOfMemoryError, "full"),
        (exceptions.ReadOnlyError, "read only"),
        (exceptions.BusyLoadingError, "still loading"),
        (exceptions.TimeoutError, "too slow"),
        (TimeoutError, "too slow"),
        (exceptions.ConnectionError, "unreachable"),
        (OSError, "unreachable"),
    )
    return next((reason for kind, reason in kinds if isinstance(exc, kind)), "a command failed")

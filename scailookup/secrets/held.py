"""Secrets held in memory: fresh for a while, kept through outages, read once for many.

A read belongs to the holder and not to who asked first, so a caller that goes away
takes nobody along. Every read has a number: what an older read or a write finishing
late brings never replaces what a newer one found.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from scailookup.errors import SecretsUnavailable
from scailookup.seams import SecretStore

__all__ = ["HeldSecrets"]

log = structlog.get_logger()

Secret = Mapping[str, str]

# Seconds between two tries of a path that fails.
_PAUSE = 1.0
_FOREVER_AGO = float("-inf")


@dataclass(slots=True)
class _Entry:
    """What is known of one path; all times are the holder's clock."""

    value: Secret | None = field(default=None, repr=False)
    read_at: float = _FOREVER_AGO
    fresh_until: float = _FOREVER_AGO
    number: int = 0
    doubt: int = 0  # reads up to this number may have missed a write that may have landed
    failure: SecretsUnavailable | None = None
    retry_at: float = _FOREVER_AGO
    warned: bool = False


@dataclass(frozen=True, slots=True)
class _Read:
    task: asyncio.Task[None]
    forced: bool


class HeldSecrets:
    """The ``Secrets`` the rooms above use, over one store or none.

    ``fresh``, ``hold`` and ``missing`` in seconds: how long a value is answered from
    memory, how long it stands in for a failing store, and how long "there is none" is
    remembered. ``fresh=0`` reads every time. A store that hangs longer than ``patience``
    seconds is answered for by the value still held: it must not eat the deadline of a
    lookup. At most ``size`` paths are held; the least recently used leaves. ``changed`` is
    told the path of each secret that was, or may have been, changed here.
    """

    def __init__(
        self,
        store: SecretStore | None,
        *,
        fresh: float,
        hold: float,
        missing: float = 5.0,
        patience: float = 2.0,
        size: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._fresh = fresh
        self._hold = hold
        self._missing = missing if fresh else 0.0
        self._patience = patience
        self._size = size
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._reads: dict[str, _Read] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0
        self._values: tuple[str, ...] | None = ()
        self.changed: Callable[[str], None] = lambda path: None
        self._answered: float | None = None
        self.reads = 0
        self.failures = 0

    @property
    def age(self) -> float | None:
        """Seconds since the store last answered a read; None when it never did."""
        return None if self._answered is None else self._clock() - self._answered

    async def get(self, path: str, *, fresh: bool = False) -> Secret | None:
        """The secret at ``path``, None when there is none or no store.

        ``fresh`` makes it a read that starts now. Raises SecretsUnavailable when the
        store fails and nothing young enough is held; a forced read never answers
        from what is held.
        """
        if self._store is None:
            return None
        entry = self._entry(path)
        now = self._clock()
        if not fresh and now < entry.fresh_until and not self._in_doubt(path):
            return entry.value
        if now >= entry.retry_at:
            task = self._read(path, entry, forced=fresh)
            spare = not fresh and self._spare(entry)
            # Known to fail, and something to answer with: the retry runs behind.
            patience = (0.0 if entry.failure else self._patience) if spare else None
            done, _ = await asyncio.wait({task}, timeout=patience)
            if done:
                task.result()  # a fault that is not the store's
                if entry.failure is None:
                    return entry.value
        return self._fallback(path, entry, forced=fresh)

    def held(self, path: str) -> Secret | None:
        """What ``get`` would answer from memory; raises LookupError when it would have to ask."""
        if self._store is None:
            return None
        entry = self._entries.get(path)
        if entry is None or self._clock() >= entry.fresh_until or self._in_doubt(path):
            raise LookupError(path)
        self._entries.move_to_end(path)
        return entry.value

    async def put(self, path: str, data: Secret) -> None:
        """Write the secret through to the store, then hold it.

        A caller that goes away does not stop the write. Raises SecretsUnavailable.
        """
        if self._store is None:
            raise SecretsUnavailable(
                "no secret store is configured",
                "The operator must configure one: VAULT_ADDR, SCAIVAULT_URL or SCAILOOKUP_SECRETS_FILE.",
                retry_after=None,
            )
        await asyncio.shield(self._own(self._write(self._store, path, dict(data))))

    def doubt(self, path: str | None) -> None:
        """Ask the store before answering ``path`` again, or any path with None: it may have changed there.

        What is held still stands in for a store that fails.
        """
        for known in (path,) if path is not None else tuple(self._entries):
            entry = self._entries.get(known)
            if entry is not None:
                entry.fresh_until, entry.doubt = _FOREVER_AGO, self._number
            self._reads.pop(known, None)

    def take_over(self, before: HeldSecrets) -> None:
        """Hold what ``before`` holds of the same store, in case the store fails; all is read anew."""
        for path, entry in before._entries.items():
            self._entries.setdefault(path, replace(entry, number=0, doubt=0, fresh_until=_FOREVER_AGO))
        self._values = None
        self._answered = before._answered

    def values(self) -> Iterable[str]:
        """Every string of every secret held, for scrubbing texts; a snapshot."""
        if self._values is None:
            held = [e.value for e in list(self._entries.values()) if e.value]
            self._values = tuple({text for secret in held for text in secret.values() if text})
        return self._values

    async def close(self) -> None:
        """Stop the reads under way, then close the store."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._store is not None:
            await self._store.close()

    def _entry(self, path: str) -> _Entry:
        entry = self._entries.get(path)
        if entry is None:
            entry = self._entries[path] = _Entry()
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)
                self._values = None
        else:
            self._entries.move_to_end(path)
        return entry

    def _in_doubt(self, path: str) -> bool:
        """Whether a forced read is under way: what is held was refused, and who asks now waits for it."""
        read = self._reads.get(path)
        return read is not None and read.forced and not read.task.done()

    def _spare(self, entry: _Entry) -> bool:
        """Whether ``entry`` holds a value young enough to stand in for the store."""
        return entry.value is not None and self._clock() - entry.read_at <= self._hold

    def _fallback(self, path: str, entry: _Entry, *, forced: bool) -> Secret | None:
        if not forced and self._spare(entry):
            if not entry.warned:
                entry.warned = True
                log.warning("secrets_held", path=path, age=round(self._clock() - entry.read_at, 1))
            return entry.value
        failure = entry.failure or SecretsUnavailable("the secret store does not answer")
        # Each caller gets an exception of its own: they are annotated on the way out.
        raise SecretsUnavailable(
            failure.message, failure.fix, retry_after=failure.extra.get("retry_after")
        ) from None

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even when every caller has gone

    def _read(self, path: str, entry: _Entry, *, forced: bool) -> asyncio.Task[None]:
        """The read under way that will do, else a new one."""
        running = self._reads.get(path)
        if running and (running.forced or not forced) and not running.task.done():
            return running.task
        assert self._store is not None
        self._number += 1
        task = self._own(self._fill(self._store, path, entry, self._number, forced))
        read = self._reads[path] = _Read(task, forced)
        task.add_done_callback(lambda _: self._forget(path, read))
        return task

    def _forget(self, path: str, read: _Read) -> None:
        if self._reads.get(path) is read:
            del self._reads[path]

    async def _fill(self, store: SecretStore, path: str, entry: _Entry, number: int, forced: bool) -> None:
        before = entry.value
        try:
            value = await store.read(path)
        except SecretsUnavailable as failure:
            self.failures += 1
            if number >= entry.number:
                entry.number = number
                entry.failure = failure.with_traceback(None)
                entry.retry_at = self._clock() + _PAUSE
            return
        self.reads += 1
        self._answered = self._clock()
        self._keep(entry, value, number)
        if forced and before is not None and value != before:
            self.changed(path)  # others hold what was just refused here

    async def _write(self, store: SecretStore, path: str, data: dict[str, str]) -> None:
        try:
            await store.write(path, data)
        except SecretsUnavailable:
            self.doubt(path)  # it may have landed all the same
            raise
        finally:
            self.changed(path)
        self._number += 1
        self._keep(self._entry(path), data, self._number)

    def _keep(self, entry: _Entry, value: Secret | None, number: int) -> None:
        if number < entry.number:
            return
        now = self._clock()
        entry.value, entry.number, entry.read_at = value, number, now
        entry.fresh_until = now + (self._missing if value is None else self._fresh)
        if number <= entry.doubt:
            entry.fresh_until = _FOREVER_AGO
        entry.failure, entry.retry_at, entry.warned = None, _FOREVER_AGO, False
        self._values = None

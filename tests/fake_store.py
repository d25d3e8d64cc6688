"""A fake at the seam of the shared cache: a Store in memory, on a clock that goes when told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from scailookup.shared.tier import BUSY, CLAIMED, HELD, Begun, StoreLost


@dataclass
class FakeStore:
    """Records with their ends, as Redis keeps them. While ``lost`` every command fails."""

    clock: Callable[[], float]
    records: dict[tuple[str, bytes], tuple[bytes, float]] = field(default_factory=dict)
    listeners: list[Callable[[bytes], None]] = field(default_factory=list)
    lost: bool = False
    begun: int = 0

    def put(self, kind: str, key: bytes, value: bytes, life: float) -> None:
        """Have a record."""
        self.records[kind, key] = (value, self.clock() + life)

    def get(self, kind: str, key: bytes) -> bytes | None:
        """A record that has not ended."""
        value, end = self.records.get((kind, key), (None, 0.0))
        return value if end > self.clock() else None

    def _drop(self, key: bytes, *kinds: str) -> None:
        for kind in kinds:
            self.records.pop((kind, key), None)

    def _there(self) -> None:
        if self.lost:
            raise StoreLost("lost")

    async def begin(self, key: bytes, holder: bytes, lease: float, left: float) -> Begun:
        self._there()
        self.begun += 1
        entry, failure = self.get("entry", key), self.get("failure", key)
        rest = self.records.get(("entry", key), (b"", 0.0))[1] - self.clock()
        if left != float("inf") and (failure or (entry and rest > left)):
            return Begun(HELD, entry, failure)
        if self.get("lease", key) in (None, holder):
            self.put("lease", key, holder, lease)
            return Begun(CLAIMED, entry, failure)
        return Begun(BUSY, entry, failure)

    async def extend(self, key: bytes, holder: bytes, lease: float) -> bool:
        self._there()
        if self.get("lease", key) != holder:
            return False
        self.put("lease", key, holder, lease)
        return True

    async def release(self, key: bytes, holder: bytes) -> None:
        self._there()
        if self.get("lease", key) == holder:
            self._drop(key, "lease")

    async def land(self, key: bytes, holder: bytes, entry: bytes, life: float) -> bool:
        self._there()
        if self.get("lease", key) != holder:
            return False
        self.put("entry", key, entry, life)
        self._drop(key, "failure", "lease")
        return True

    async def fail(self, key: bytes, holder: bytes, failure: bytes, life: float) -> bool:
        self._there()
        if self.get("lease", key) != holder:
            return False
        self.put("failure", key, failure, life)
        self._drop(key, "lease")
        return True

    async def refuse(self, key: bytes, failure: bytes | None, life: float, news: bytes) -> None:
        self._there()
        self._drop(key, "entry", "lease")
        if failure is not None:
            self.put("failure", key, failure, life)
        await self.tell(news)

    async def tell(self, news: bytes) -> None:
        self._there()
        for listener in self.listeners:
            listener(news)

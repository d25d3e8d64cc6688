"""Puts the parts of the shared cache together and passes its news on."""

from __future__ import annotations

from collections.abc import Callable

from scailookup.cache import Ages
from scailookup.settings import Settings
from scailookup.shared.news import News
from scailookup.shared.records import Records
from scailookup.shared.redis_store import RedisStore
from scailookup.shared.seal import Broken, Seal, derive
from scailookup.shared.tier import Lease, StoreLost, Tier

__all__ = ["SharedCache", "open_shared", "probe_shared"]

LARGEST = 2 * 1024 * 1024
_LONGEST_LEASE = 3.0


class SharedCache:
    """The shared cache of one process.

    ``pepper`` is what keys of lists are hashed with: equal for processes that hold the
    same secret and make the same lists (``kind`` says which).
    """

    def __init__(
        self,
        store: RedisStore,
        secret: str,
        kind: bytes,
        ages: Ages,
        lease: Lease,
    ) -> None:
        seal = Seal(secret)
        self._store = store
        self._news = News(seal)
        self.tier = Tier(store, Records(seal), self._news, ages, lease, largest=LARGEST)
        self.pepper = derive(secret, b"keys " + kind)

    def start(self, *, on_refused: Callable[[bytes], None], on_secret: Callable[[str | None], None]) -> None:
        """Begin to listen. Of what others tell, the one gets keys of lists, the other paths of secrets.

        The path is None when some of them may have been missed.
        """
        self._on_refused, self._on_secret = on_refused, on_secret
        self._store.heard = self._heard
        self._store.joined = lambda: on_secret(None)
        self._store.back = self.tier.recovered
        self._store.start()

    @property
    def lost(self) -> bool:
        """Whether each process is on its own at the moment."""
        return self._store.alone

    def tell_secret(self, path: str) -> None:
        """Have all others read the secret at ``path`` again."""
        self.tier.tell_secret(path)

    async def close(self) -> None:
        """Write what is left to write, then leave."""
        await self.tier.close()
        await self._store.close()

    def _heard(self, message: bytes) -> None:
        try:
            told = self._news.read(message)
        except Broken:
            self.tier.rejected()
            return
        if told is None:
            return
        if told.about == "refused":
            self.tier.refused(told.subject)
            self._on_refused(told.subject)
        else:
            self._on_secret(told.subject.decode(errors="replace"))


def open_shared(settings: Settings, kind: bytes, ages: Ages, *, patience: float) -> SharedCache:
    """The cache that ``SCAILOOKUP_CACHE_URL`` names; Redis itself is asked later.

    ``patience`` is how long any lookup may take, in seconds.
    """
    assert settings.cache_url is not None
    secret = settings.cache_secret
    store = _store(settings.cache_url.get_secret_value(), secret)
    lease = Lease(min(_LONGEST_LEASE, settings.deadline / 2), patience)
    return SharedCache(store, secret, kind, ages, lease)


async def probe_shared(settings: Settings) -> str | None:
    """Why the shared cache cannot be used, in a word or two; None when it can."""
    assert settings.cache_url is not None
    store = _store(settings.cache_url.get_secret_value(), settings.cache_secret)
    try:
        await store.probe()
    except StoreLost as exc:
        return str(exc)
    finally:
        await store.close()
    return None


def _store(url: str, secret: str) -> RedisStore:
    channel = b"scailookup:1:news:" + derive(secret, b"channel")[:8].hex().encode()
    return RedisStore(url, channel=channel, largest=LARGEST)

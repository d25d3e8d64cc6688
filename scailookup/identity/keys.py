"""ScaiKey's signing keys: found by discovery, fetched on the loop, never lost to an outage.

One fetch serves everybody who waits for it. An unknown key id asks for one more at
most every 30 s, so that random ids cannot turn us on ScaiKey; a fetch that fails or
brings nothing usable leaves the good keys as they are.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from time import monotonic
from typing import Any

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from scailookup.errors import CallFailed, IdentityUnavailable
from scailookup.model import USER_AGENT, Request
from scailookup.replies import judge, launder
from scailookup.seams import Fetch

__all__ = ["ALGORITHMS", "KeySet", "discovery_urls"]

ALGORITHMS = {"RS256": RSAPublicKey, "ES256": EllipticCurvePublicKey}
COOLDOWN = 30.0
REFRESH = 600.0
FAILURE_MEMORY = 1.0
FETCH_TIME = 5.0
_MOST_KEYS = 64
_log = structlog.get_logger("scailookup.identity")


def discovery_urls(base: str) -> tuple[str, str]:
    """Where ScaiKey says its ``jwks_uri``, in the order to try."""
    tail = "/.well-known/openid-configuration"
    return f"{base}/api/v1/platform/oauth{tail}", f"{base}{tail}"


class KeySet:
    """The public keys that tokens are verified with.

    ``generation`` grows with every change of the keys: what was verified under an
    older one is to be verified again.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        jwks_url: str | None = None,
        base_url: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._fixed_url = jwks_url
        self._found_url: str | None = None
        self._base_url = base_url
        self._clock = clock
        self._keys: dict[str | None, list[Any]] = {}
        self._prints: frozenset[tuple[str | None, str]] = frozenset()
        self._flight: asyncio.Task[None] | None = None
        self._fetched: float | None = None
        self._asked_for_unknown = float("-inf")
        self._failed: tuple[float, IdentityUnavailable] | None = None
        self.generation = 0
        self.fetches = 0
        self.failures = 0

    @property
    def age(self) -> float | None:
        """Seconds since the keys were last fetched; None when they never were."""
        return None if self._fetched is None else self._clock() - self._fetched

    async def find(self, kid: str | None, algorithm: str) -> list[Any]:
        """The keys to try for ``kid`` (every key when the token names none); none when unknown.

        Raises IdentityUnavailable when no key was ever had.
        """
        if self._fetched is None:
            await self._share()
        found = self._match(kid, algorithm)
        if found is None and self._flight is not None:
            await self._quietly()
            found = self._match(kid, algorithm)
        if found is None and self._clock() - self._asked_for_unknown >= COOLDOWN:
            self._asked_for_unknown = self._clock()
            await self._quietly()
            found = self._match(kid, algorithm)
        else:
            self.keep_fresh()
        return found or []

    def keep_fresh(self) -> None:
        """Fetch old keys anew, behind; after a failure not at once. Whoever uses keys calls it."""
        if (self.age or 0) > REFRESH and self._flight is None and not self._rests(COOLDOWN):
            self._start()

    async def ready(self) -> None:
        """Have keys; raises IdentityUnavailable when they cannot be had."""
        if self._fetched is None:
            await self._share()

    def _match(self, kid: str | None, algorithm: str) -> list[Any] | None:
        """Keys of the right kind; None when the key id is not known at all."""
        kind = ALGORITHMS[algorithm]
        if kid is None:
            return [key for keys in self._keys.values() for key in keys if isinstance(key, kind)] or None
        keys = self._keys.get(kid)
        return None if keys is None else [key for key in keys if isinstance(key, kind)]

    async def _quietly(self) -> None:
        try:
            await self._share()
        except IdentityUnavailable:
            return  # logged by the fetch itself; the keys we have stay good

    async def _share(self) -> None:
        """Join the fetch under way or start one; a caller that leaves does not end it."""
        if self._flight is None:
            if self._failed is not None and self._rests(FAILURE_MEMORY):
                raise self._failed[1].again()
            self._start()
        assert self._flight is not None
        try:
            await asyncio.shield(self._flight)
        except IdentityUnavailable as exc:
            raise exc.again() from None

    def _rests(self, seconds: float) -> bool:
        """Whether the last fetch failed, and did so less than that ago."""
        return self._failed is not None and self._clock() - self._failed[0] < seconds

    def _start(self) -> None:
        task = asyncio.ensure_future(self._refresh())
        self._flight = task

        def done(finished: asyncio.Task[None]) -> None:
            self._flight = None
            if not finished.cancelled():
                finished.exception()  # seen: nobody may be waiting for it

        task.add_done_callback(done)

    async def _refresh(self) -> None:
        try:
            keys = await self._load()
        except CallFailed as failed:
            self.failures += 1
            exc = launder(failed, lambda text: text)
            self._found_url = None  # the address may be what changed
            failure = IdentityUnavailable(f"ScaiKey's signing keys cannot be had ({exc.code})")
            self._failed = (self._clock(), failure)
            _log.warning(
                "signing_keys_failed", code=exc.code, status=exc.status, reason=exc.text, held=len(self._keys)
            )
            raise failure from None
        self._failed = None
        self.fetches += 1
        self._fetched = self._clock()
        self._replace(keys)
        _log.info("signing_keys_fetched", keys=len(keys))

    def _replace(self, keys: list[tuple[str | None, str, Any]]) -> None:
        prints = frozenset((kid, mark) for kid, mark, _ in keys)
        if prints == self._prints:
            return
        self._prints = prints
        self._keys = {}
        for kid, _, key in keys:
            self._keys.setdefault(kid, []).append(key)
        self.generation += 1

    async def _load(self) -> list[tuple[str | None, str, Any]]:
        url = self._fixed_url or self._found_url or await self._discover()
        body = await self._get(url)
        keys = usable_keys(body)
        if not keys:
            raise CallFailed("bad_shape", "the key set holds no usable RS256 or ES256 key")
        self._found_url = url
        return keys

    async def _discover(self) -> str:
        assert self._base_url is not None
        failure = CallFailed("bad_shape", "the discovery document names no jwks_uri")
        for url in discovery_urls(self._base_url):
            try:
                body = await self._get(url)
            except CallFailed as exc:
                failure = exc
                continue
            found = body.get("jwks_uri") if isinstance(body, dict) else None
            if isinstance(found, str) and found.startswith(("https://", "http://")) and found.isascii():
                return found
        raise failure

    async def _get(self, url: str) -> Any:
        deadline = monotonic() + FETCH_TIME
        headers = (("Accept", "application/json"), ("User-Agent", USER_AGENT))
        return judge(await self._fetch(Request(url, headers), deadline=deadline))


def usable_keys(body: Any) -> list[tuple[str | None, str, Any]]:
    """``(kid, fingerprint, public key)`` of every key of a JWKS that may verify our tokens.

    Symmetric keys, encryption keys, RSA below 2048 bits and curves other than P-256
    are passed over, each on its own: one odd key does not cost the others.
    """
    found = []
    listed = body.get("keys") if isinstance(body, dict) else None
    for raw in listed if isinstance(listed, list) else ():
        if not isinstance(raw, dict) or raw.get("use", "sig") != "sig" or raw.get("kty") not in ("RSA", "EC"):
            continue
        if str(raw.get("alg", "RS256")) not in ALGORITHMS:
            continue
        try:
            key = jwt.PyJWK(raw, algorithm="RS256" if raw["kty"] == "RSA" else "ES256").key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, RSAPublicKey) and key.key_size < 2048:
            continue
        if isinstance(key, EllipticCurvePublicKey) and key.curve.name != "secp256r1":
            continue
        if not isinstance(key, RSAPublicKey | EllipticCurvePublicKey):
            continue  # a private key has no business here
        kid = raw.get("kid")
        mark = str(raw.get("n") or raw.get("x"))
        found.append((kid if isinstance(kid, str) else None, mark, key))
    return found[:_MOST_KEYS]

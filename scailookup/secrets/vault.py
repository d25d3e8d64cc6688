"""HashiCorp Vault or OpenBao, KV version 2: hvac's blocking calls, kept off the loop."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog

from scailookup.errors import SecretsUnavailable
from scailookup.secrets.paths import PLAIN, legible, require
from scailookup.secrets.vault_session import Missing, VaultSession
from scailookup.settings import Settings

__all__ = ["VaultStore"]

log = structlog.get_logger()

T = TypeVar("T")

_THREADS = 4
# Seconds for one operation, waiting for a thread and a new login included.
_WHOLE = 15.0
# Seconds before the token is looked at again after that failed.
_RETRY = 5.0
_REFUSED = "secret_path_refused"


class VaultStore:
    """The KV v2 mount ``VAULT_MOUNT``; a secret is the string fields of its newest version."""

    name = "vault"

    def __init__(self, settings: Settings) -> None:
        self._session = VaultSession(settings)
        self._mount = settings.vault_mount
        self._pool: ThreadPoolExecutor | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._closed = False
        self._mount_seen = False

    async def read(self, path: str) -> Mapping[str, str] | None:
        """The secret at ``path``, None when missing or deleted; raises SecretsUnavailable."""
        if not legible(path, PLAIN, _REFUSED):
            return None
        return await self._run(lambda: self._read(path))

    async def write(self, path: str, data: Mapping[str, str]) -> None:
        """Add a version. Raises SecretsUnavailable, InvalidParameter for an impossible path."""
        require(path, PLAIN, _REFUSED)
        await self._run(lambda: self._write(path, dict(data)))

    async def probe(self) -> None:
        """Raise SecretsUnavailable unless the token is known and the mount is a KV v2 one."""
        await self._run(self._probe)

    async def close(self) -> None:
        """Stop renewing and drop the connections; a call under way ends by itself."""
        self._closed = True
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    async def _run(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise SecretsUnavailable("the secret store is closed")
        loop = asyncio.get_running_loop()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="vault")
            # Not in the context of the request that happens to be the first.
            self._watcher = contextvars.Context().run(loop.create_task, self._watch())
        future = loop.run_in_executor(self._pool, work)
        try:
            # Not wait_for: before Python 3.12 it can swallow a cancellation.
            done, _ = await asyncio.wait({future}, timeout=_WHOLE)
            if not done:
                raise SecretsUnavailable("Vault did not answer in time")
            return future.result()
        finally:
            future.cancel()

    def _read(self, path: str) -> dict[str, str] | None:
        try:
            answer = self._session.call(
                lambda client: client.secrets.kv.v2.read_secret_version(
                    path, mount_point=self._mount, raise_on_deleted_version=True
                )
            )
        except Missing:
            self._check_mount()
            return None
        outer = answer.get("data")
        data = outer.get("data") if isinstance(outer, dict) else None
        if not isinstance(data, dict):
            raise SecretsUnavailable("Vault's answer holds no KV v2 data", _MOUNT_FIX)
        return {str(name): value for name, value in data.items() if isinstance(value, str)}

    def _write(self, path: str, data: dict[str, str]) -> None:
        try:
            self._session.call(
                lambda client: client.secrets.kv.v2.create_or_update_secret(
                    path, data, mount_point=self._mount
                )
            )
        except Missing:
            raise SecretsUnavailable("Vault's mount takes no KV v2 secrets", _MOUNT_FIX) from None

    def _probe(self) -> None:
        try:
            self._session.call(lambda client: client.auth.token.lookup_self())
            self._require_kv2(self._describe_mount())
        except Missing:
            raise SecretsUnavailable("VAULT_ADDR answers, but not as Vault does") from None

    def _check_mount(self) -> None:
        """Once: a mount that is no KV v2 says "missing" to everything."""
        if self._mount_seen:
            return
        try:
            found = self._describe_mount()
        except (SecretsUnavailable, Missing):
            return  # not ours to see; the read itself was answered
        self._require_kv2(found)

    def _describe_mount(self) -> Any:
        path = f"/v1/sys/internal/ui/mounts/{self._mount.strip('/')}"
        return self._session.call(lambda client: client.adapter.get(path)).get("data")

    def _require_kv2(self, found: Any) -> None:
        options = found.get("options") if isinstance(found, dict) else None
        if not isinstance(options, dict) or options.get("version") != "2":
            raise SecretsUnavailable(f"Vault's mount {self._mount!r} is not KV version 2", _MOUNT_FIX)
        self._mount_seen = True

    async def _watch(self) -> None:
        """Keep the token alive, and say once when that cannot be done."""
        failing = False
        while True:
            try:
                pause = await self._run(self._session.tend)
                failing = False
            except (SecretsUnavailable, Missing) as exc:
                if not failing:
                    log.warning("vault_token_unwatched", reason=str(exc))
                failing, pause = True, _RETRY
            await asyncio.sleep(pause)


_MOUNT_FIX = "The operator must set VAULT_MOUNT to the name of a KV version 2 mount."

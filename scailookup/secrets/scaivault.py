"""ScaiVault, the platform's own store, through its REST interface."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from scailookup.errors import CallFailed, SecretsUnavailable
from scailookup.model import Reply, Request
from scailookup.seams import Fetch
from scailookup.secrets.paths import SCAIVAULT, legible, require
from scailookup.settings import Settings

__all__ = ["ScaiVaultStore"]

# Seconds for one call.
_TIMEOUT = 5.0
_UNREPRESENTABLE = "secret_path_unrepresentable"
_FIXES = {
    401: "The operator must set SCAIVAULT_TOKEN to a valid ScaiVault token.",
    403: "The operator must let the policy of SCAIVAULT_TOKEN reach the secrets of the tenants.",
    404: "The operator must check that SCAIVAULT_URL is ScaiVault's address.",
}


class ScaiVaultStore:
    """The secrets below ``SCAIVAULT_URL``; a secret is the string members of ``data``."""

    name = "scaivault"

    def __init__(self, settings: Settings, fetch: Fetch) -> None:
        self._url = settings.scaivault_url or ""
        token = settings.scaivault_token.get_secret_value() if settings.scaivault_token else ""
        self._headers = (("Authorization", f"Bearer {token}"), ("Accept", "application/json"))
        self._fetch = fetch

    async def read(self, path: str) -> Mapping[str, str] | None:
        """The secret at ``path``, None when there is none; raises SecretsUnavailable."""
        if not legible(path, SCAIVAULT, _UNREPRESENTABLE):
            return None
        reply = await self._send(Request(self._address(path), self._headers))
        if reply.status == 404 and _says_missing(reply.body):
            return None
        _require_success(reply)
        return _fields(reply.body)

    async def write(self, path: str, data: Mapping[str, str]) -> None:
        """Add a version. Raises SecretsUnavailable, InvalidParameter for an impossible path."""
        require(path, SCAIVAULT, _UNREPRESENTABLE)
        body = json.dumps({"data": dict(data), "secret_type": "kv"}).encode()
        headers = (*self._headers, ("Content-Type", "application/json"))
        _require_success(await self._send(Request(self._address(path), headers, "PUT", body)))

    async def probe(self) -> None:
        """Raise SecretsUnavailable unless ScaiVault says that it is well; reads no secret."""
        request = Request(f"{self._url}/v1/health", (("Accept", "application/json"),))
        _require_success(await self._send(request))

    async def close(self) -> None:
        """Nothing runs in the background."""

    def _address(self, path: str) -> str:
        return f"{self._url}/v1/secrets/{path}"

    async def _send(self, request: Request) -> Reply:
        deadline = asyncio.get_running_loop().time() + _TIMEOUT
        try:
            return await self._fetch(request, deadline=deadline)
        except CallFailed as exc:
            code = exc.code if re.fullmatch(r"[a-z_]{1,32}", exc.code) else "failed"
            raise SecretsUnavailable(f"ScaiVault cannot be reached ({code})") from None


def _require_success(reply: Reply) -> None:
    if 200 <= reply.status < 300:
        return
    raise SecretsUnavailable(
        f"ScaiVault answered {reply.status}",
        _FIXES.get(reply.status, ""),
        retry_after=_retry_after(reply),
    )


def _retry_after(reply: Reply) -> int:
    """The seconds ScaiVault asks us to wait, at most an hour; 5 when it does not say."""
    value = reply.headers.get("retry-after", "").strip()
    return min(int(value), 3600) if re.fullmatch(r"[0-9]{1,9}", value) else 5


def _parsed(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``, an empty one when it is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _says_missing(body: bytes) -> bool:
    """Whether a 404 is ScaiVault's word on a secret, and not a gateway's on a route."""
    error = _parsed(body).get("error")
    return (error.get("code") if isinstance(error, dict) else error) == "secret_not_found"


def _fields(body: bytes) -> dict[str, str]:
    data = _parsed(body).get("data")
    if not isinstance(data, dict):
        raise SecretsUnavailable("ScaiVault's answer holds no secret", _FIXES[404])
    return {name: value for name, value in data.items() if isinstance(value, str)}

"""scailookup plugin: a tenant's own ScaiGrid key, read masked, tried, and set anew, as in ScaiFlow."""

import re
from collections.abc import Mapping
from time import monotonic
from typing import Any, ClassVar

import msgspec

from scailookup import Route, hookimpl
from scailookup.credentials import (
    BASE_URL_FIELDS,
    KEY_FIELDS,
    allowed_base_url,
    base_url_path,
    field_of,
    key_path,
)
from scailookup.envelopes import records
from scailookup.errors import CallFailed, InvalidParameter, UpstreamApi, UpstreamAuth, UpstreamError
from scailookup.hookspecs import Services
from scailookup.model import Errand, Grant, Judged, Reply, Trace
from scailookup.replies import judge
from scailookup.seams import Secrets
from scailookup.web import ANY_CALLER, Handler, Need, Role

_ADMINS = Role(frozenset({"tenant_admin", "super_admin"}))
_PATH = "/tenants/me/scaigrid_credentials"
_KEY = re.compile(r"sgk_[\x21-\x7e]{8,256}")
_STATUS = {
    "application/json": {
        "schema": {
            "type": "object",
            "properties": {
                "configured": {"type": "boolean"},
                "base_url": {"type": ["string", "null"]},
                "masked_key": {"type": ["string", "null"]},
            },
            "required": ["configured", "base_url", "masked_key"],
        },
        "example": {"configured": True, "base_url": None, "masked_key": "sgk_…9f2c"},
    }
}
_TRIED = {
    "application/json": {
        "schema": {
            "type": "object",
            "properties": {"rows": {"type": "integer"}, "duration_ms": {"type": "number"}},
            "required": ["rows", "duration_ms"],
        }
    }
}
_NEW = {
    "application/json": {
        "schema": {
            "type": "object",
            "properties": {
                "api_key": {"type": "string", "pattern": r"^sgk_[\x21-\x7e]{8,256}$"},
                "base_url": {
                    "type": "string",
                    "description": "An address of the tenant's own, on a host that the operator allows.",
                },
            },
            "required": ["api_key"],
            "additionalProperties": False,
        }
    }
}


def read_body(raw: bytes, tenant_hosts: tuple[str, ...]) -> tuple[str, str | None]:
    """Key and address of a POST's body; raises InvalidParameter naming the member that is wrong."""
    try:
        body: Any = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise _refused("body", "is not a JSON object")
    for name in body:
        if name not in ("api_key", "base_url"):
            shown = name if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) else "body"
            raise _refused(shown, "is not a member of the body" if shown == name else "has an unknown member")
    key, url = body.get("api_key"), body.get("base_url")
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise _refused("api_key", "must be sgk_ and 8 to 256 printable characters")
    if url is not None:
        reason = allowed_base_url(url, tenant_hosts) if isinstance(url, str) else "it is no text"
        if reason is not None:
            raise _refused("base_url", f"cannot be used: {reason}")
    return key, url


def masked(key: str | None) -> str | None:
    """The first four and the last four characters; only the first four of a key too short to cut."""
    if key is None:
        return None
    return f"{key[:4]}…{key[-4:] if len(key) >= 12 else ''}"


class CredentialsHandler(Handler):
    """GET what is configured, POST to set or rotate it. The tenant is always the caller's own."""

    needs: ClassVar[Mapping[str, Need]] = {
        "GET": ANY_CALLER,
        "POST": _ADMINS,
    }
    max_body: ClassVar[int] = 8 * 1024
    operations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "get": {
            "summary": "Whether the tenant has a ScaiGrid key of its own.",
            "responses": {
                "200": {"description": "The key is masked; nulls where nothing is set.", "content": _STATUS}
            },
        },
        "post": {
            "summary": "Set or rotate the tenant's ScaiGrid key.",
            "requestBody": {"required": True, "content": _NEW},
            "responses": {"204": {"description": "Stored."}},
        },
    }
    secrets: Secrets
    tenant_hosts: tuple[str, ...]

    async def get(self) -> None:
        """200 ``{"configured","base_url","masked_key"}``, nulls where nothing is set."""
        assert self.caller is not None
        key = field_of(await self.secrets.get(key_path(self.caller.tenant)), KEY_FIELDS)
        url = field_of(await self.secrets.get(base_url_path(self.caller.tenant)), BASE_URL_FIELDS)
        self.send_json({"configured": key is not None, "base_url": url, "masked_key": masked(key)})

    async def post(self) -> None:
        """204 once key and address are stored."""
        assert self.caller is not None
        key, url = read_body(self.request.body, self.tenant_hosts)
        # The address first: a key must never be used with the address of the one before.
        if url is not None:
            await self.secrets.put(base_url_path(self.caller.tenant), {"value": url})
        await self.secrets.put(key_path(self.caller.tenant), {"value": key})
        self.set_status(204)
        self.finish()


def _refused(name: str, reason: str) -> InvalidParameter:
    return InvalidParameter(
        name,
        f"{name} {reason}",
        'Send {"api_key": "sgk_…"} and, where the tenant has an address of its own, "base_url": "https://…".',
    )


class Trial:
    """Tries a key that nobody has stored yet, with the call that the model lookup makes first."""

    def __init__(self, services: Services) -> None:
        self._settings = services.settings
        self._secrets = services.secrets
        self._way_out = services.way_out

    async def call(self, key: str, url: str | None, tenant: str, trace: Trace) -> int:
        """How many models the first page shows; raises UpstreamAuth or UpstreamApi.

        The key goes where it would go once stored: to ``url``, else to the tenant's own
        address where it may be used, else to the operator's.
        """
        base = (url or await self._own_address(tenant) or self._settings.grid_url).rstrip("/")
        path = self._settings.models_path
        grant = Grant("tenant", base, (("Authorization", f"Bearer {key}"),), key)
        errand = Errand(
            upstream="scaigrid",
            lookup="credentials_test",
            tenant=tenant,
            url=base + path,
            template=base + path.partition("?")[0],
            grant=grant,
            trace=trace,
            deadline=monotonic() + self._settings.deadline,
        )
        try:
            rows: int = await self._way_out.call(errand, _counted)
        except CallFailed as failure:
            raise _not_good(failure) from None
        return rows

    async def _own_address(self, tenant: str) -> str | None:
        hosts = self._settings.tenant_hosts
        url = field_of(await self._secrets.get(base_url_path(tenant)), BASE_URL_FIELDS) if hosts else None
        return url if url is not None and allowed_base_url(url, hosts) is None else None


async def _counted(reply: Reply) -> Judged[int]:
    count = len(records(judge(reply)))
    return Judged(count, count, 0)


def _not_good(failure: CallFailed) -> UpstreamError:
    """What became of the trial; the key was not stored, so the fix is not that of a stored one."""
    kind: type[UpstreamError] = UpstreamApi
    fix = "Try again shortly; if it stays, the operator must look at ScaiGrid's address."
    if failure.status in (401, 403):
        kind, fix = UpstreamAuth, "Check the key, or make another one in ScaiGrid; nothing was stored."
    error = kind(
        "scaigrid",
        failure.text,
        fix,
        code=failure.code,
        upstream_status=failure.status,
        retry_after=failure.retry_after,
    )
    error.credential = "tenant"
    return error


class TrialHandler(Handler):
    """POST a key to have it tried. It is used for that one call, and neither stored nor logged."""

    needs: ClassVar[Mapping[str, Need]] = {"POST": _ADMINS}
    max_body: ClassVar[int] = 8 * 1024
    operations: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "post": {
            "summary": "Try a key with one call, and keep nothing of it.",
            "requestBody": {"required": True, "content": _NEW},
            "responses": {
                "200": {"description": "It works; how many models it sees.", "content": _TRIED},
                "502": {"$ref": "#/components/responses/Error502"},
            },
        }
    }
    trial: Trial
    tenant_hosts: tuple[str, ...]

    async def post(self) -> None:
        """200 ``{"rows","duration_ms"}``; else 502 with what ScaiGrid said."""
        assert self.caller is not None
        key, url = read_body(self.request.body, self.tenant_hosts)
        started = monotonic()
        rows = await self.trial.call(key, url, self.caller.tenant, self.trace)
        self.send_json({"rows": rows, "duration_ms": round((monotonic() - started) * 1000, 1)})


@hookimpl
def scailookup_handlers(services: Services) -> list[Route]:
    """The routes, on both prefixes."""
    hosts = services.settings.tenant_hosts
    return [
        Route(_PATH, CredentialsHandler, {"secrets": services.secrets, "tenant_hosts": hosts}),
        Route(f"{_PATH}/test", TrialHandler, {"trial": Trial(services), "tenant_hosts": hosts}),
    ]

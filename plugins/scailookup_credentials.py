"""scailookup plugin: a tenant's own ScaiGrid key, read masked and set anew, as in ScaiFlow."""

import re
from collections.abc import Mapping
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
from scailookup.errors import InvalidParameter
from scailookup.hookspecs import Services
from scailookup.seams import Secrets
from scailookup.web import ANY_CALLER, Handler, Need, Role

_KEY = re.compile(r"sgk_[\x21-\x7e]{8,256}")


def masked(key: str | None) -> str | None:
    """The first four and the last four characters; only the first four of a key too short to cut."""
    if key is None:
        return None
    return f"{key[:4]}…{key[-4:] if len(key) >= 12 else ''}"


class CredentialsHandler(Handler):
    """GET what is configured, POST to set or rotate it. The tenant is always the caller's own."""

    needs: ClassVar[Mapping[str, Need]] = {
        "GET": ANY_CALLER,
        "POST": Role(frozenset({"tenant_admin", "super_admin"})),
    }
    max_body: ClassVar[int] = 8 * 1024
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
        key, url = self._body()
        # The address first: a key must never be used with the address of the one before.
        if url is not None:
            await self.secrets.put(base_url_path(self.caller.tenant), {"value": url})
        await self.secrets.put(key_path(self.caller.tenant), {"value": key})
        self.set_status(204)
        self.finish()

    def _body(self) -> tuple[str, str | None]:
        """Key and address of the body; raises InvalidParameter naming the member that is wrong."""
        try:
            body: Any = msgspec.json.decode(self.request.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise _refused("body", "is not a JSON object")
        for name in body:
            if name not in ("api_key", "base_url"):
                shown = name if re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) else "body"
                raise _refused(
                    shown, "is not a member of the body" if shown == name else "has an unknown member"
                )
        key, url = body.get("api_key"), body.get("base_url")
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise _refused("api_key", "must be sgk_ and 8 to 256 printable characters")
        if url is not None:
            reason = allowed_base_url(url, self.tenant_hosts) if isinstance(url, str) else "it is no text"
            if reason is not None:
                raise _refused("base_url", f"cannot be used: {reason}")
        return key, url


def _refused(name: str, reason: str) -> InvalidParameter:
    return InvalidParameter(
        name,
        f"{name} {reason}",
        'Send {"api_key": "sgk_…"} and, where the tenant has an address of its own, "base_url": "https://…".',
    )


@hookimpl
def scailookup_handlers(services: Services) -> list[Route]:
    """The one route, on both prefixes."""
    options = {"secrets": services.secrets, "tenant_hosts": services.settings.tenant_hosts}
    return [Route("/tenants/me/scaigrid_credentials", CredentialsHandler, options)]

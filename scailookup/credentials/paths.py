"""Where a tenant's own key and address lie, how a secret's value is read, which address a tenant may name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from scailookup.checks import check_base_url
from scailookup.settings import is_loopback

__all__ = [
    "BASE_URL_FIELDS",
    "KEY_FIELDS",
    "allowed_base_url",
    "base_url_path",
    "field_of",
    "key_path",
    "legal",
]

KEY_FIELDS = ("value", "api_key", "key")
BASE_URL_FIELDS = ("value", "base_url", "url")
_ADDRESS = re.compile(r"[0-9.]+|[0-9a-f:.]*:[0-9a-f:.]*")
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")


def key_path(tenant: str) -> str:
    """Where a tenant's key lies; raises ValueError for a tenant id that must not be in a path."""
    return f"tenants/{legal(tenant)}/scaigrid_api_key"


def base_url_path(tenant: str) -> str:
    """Where a tenant's own ScaiGrid address lies; raises ValueError as ``key_path``."""
    return f"tenants/{legal(tenant)}/scaigrid_base_url"


def legal(tenant: str) -> str:
    """The tenant id as a part of a path; raises ValueError for one that must not be."""
    if not _TENANT.fullmatch(tenant):
        raise ValueError("a tenant id is 1 to 64 of A-Z a-z 0-9 _ -")
    return tenant


def field_of(secret: Mapping[str, str] | None, names: tuple[str, ...]) -> str | None:
    """The value of the first field present, or of the only field there is; None without one."""
    if not secret:
        return None
    for name in names:
        value = secret.get(name, "").strip()
        if value:
            return value
    values = list(secret.values())
    return values[0].strip() or None if len(values) == 1 else None


def allowed_base_url(url: str, hosts: tuple[str, ...]) -> str | None:
    """Why a tenant must not use ``url``; None when it may.

    Allowed is https, or http to loopback, to a host (any port) that ``hosts`` names.
    """
    try:
        check_base_url(url)
        parts = urlsplit(url)
    except ValueError as exc:
        return str(exc)
    host = (parts.hostname or "").lower()
    if parts.scheme != "https" and not is_loopback(host):
        return "it must start with https://"
    for pattern in (h.lower().strip("[]") for h in hosts):
        below = pattern.startswith("*.") and host.endswith(pattern[1:]) and not _ADDRESS.fullmatch(host)
        if host == pattern or below:
            return None
    return "its host is not among those the operator allows (SCAILOOKUP_TENANT_HOSTS)"

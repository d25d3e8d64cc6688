"""Which credential goes upstream, and to which address (contract section 3).

The first credential found is the one used; nothing here ever falls through from one
that was refused to the next. A caller's token goes to the operator's address only.
"""

from __future__ import annotations

import base64
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import structlog

from scailookup.auth import Anonymous, Basic, Bearer, ForwardCaller, Header, Platform, SecretRef
from scailookup.declare import Upstream, check_base_url
from scailookup.errors import MissingCredentials, SecretsUnavailable
from scailookup.model import Caller, Grant, Secrets
from scailookup.settings import Settings, is_loopback

__all__ = [
    "BASE_URL_FIELDS",
    "KEY_FIELDS",
    "Credentials",
    "allowed_base_url",
    "base_url_path",
    "field_of",
    "key_path",
]

KEY_FIELDS = ("value", "api_key", "key")
BASE_URL_FIELDS = ("value", "base_url", "url")
_ADDRESS = re.compile(r"[0-9.]+|[0-9a-f:.]*:[0-9a-f:.]*")
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST_WARNED = 10_000
_log = structlog.get_logger("scailookup.credentials")

_SIGN_IN = (
    "Sign in with ScaiKey, or have a tenant_admin set the tenant's ScaiGrid key with "
    "POST /v1/tenants/me/scaigrid_credentials."
)


def key_path(tenant: str) -> str:
    """Where a tenant's key lies; raises ValueError for a tenant id that must not be in a path."""
    return f"tenants/{_legal(tenant)}/scaigrid_api_key"


def base_url_path(tenant: str) -> str:
    """Where a tenant's own ScaiGrid address lies; raises ValueError as ``key_path``."""
    return f"tenants/{_legal(tenant)}/scaigrid_base_url"


def _legal(tenant: str) -> str:
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


Look = Callable[[str], Mapping[str, str] | None]


class _Unknown(Exception):
    """A secret that the chain needs and that is not at hand."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Credentials:
    """Chooses the Grant of each call.

    The chain itself asks nobody: it looks secrets up in what is at hand and says which
    one is missing. So the same rules serve a hit, which may not wait, and a miss.
    """

    def __init__(self, settings: Settings, secrets: Secrets) -> None:
        self._settings = settings
        self._secrets = secrets
        self._warned: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def choose(self, upstream: Upstream, caller: Caller, *, fresh: bool = False) -> Grant:
        """The credential and address for ``caller`` at ``upstream``.

        ``fresh`` reads a stored secret anew. Raises MissingCredentials, or
        SecretsUnavailable when the store failed and holds nothing.
        """
        known: dict[str, Mapping[str, str] | SecretsUnavailable | None] = {}

        def look(path: str) -> Mapping[str, str] | None:
            if path not in known:
                raise _Unknown(path)
            value = known[path]
            if isinstance(value, SecretsUnavailable):
                raise value
            return value

        while True:
            try:
                return self._chain(upstream, caller, look)
            except _Unknown as need:
                path = need.path
            try:
                known[path] = await self._secrets.get(path, fresh=fresh)
            except SecretsUnavailable as exc:
                known[path] = exc

    def recall(self, upstream: Upstream, caller: Caller) -> Grant | None:
        """The same from memory alone; None when somebody would have to be asked, or there is none."""
        try:
            return self._chain(upstream, caller, self._secrets.held)
        except (LookupError, MissingCredentials):
            return None

    def _chain(self, upstream: Upstream, caller: Caller, look: Look) -> Grant:
        auth = upstream.auth
        if isinstance(auth, Platform):
            return self._platform(upstream, caller, look)
        if isinstance(auth, Anonymous):
            return Grant("none", upstream.base_url)
        if isinstance(auth, ForwardCaller):
            return self._forward(upstream, caller)
        return self._stored(auth, upstream, caller, look)

    def _platform(self, upstream: Upstream, caller: Caller, look: Look) -> Grant:
        pin = self._settings.deploy_auth
        if pin != "api_key" and caller.token is not None:
            return self._forward(upstream, caller)
        if pin != "user_jwt":
            grant = self._tenant(upstream, caller, look) or self._env(upstream)
            if grant is not None:
                return grant
        raise MissingCredentials("there is no credential for this tenant", _SIGN_IN)

    def _forward(self, upstream: Upstream, caller: Caller) -> Grant:
        if caller.token is None:
            raise MissingCredentials(
                "this upstream takes the caller's own token, and there is none", _SIGN_IN
            )
        return Grant("caller", upstream.base_url, _bearer(caller.token), caller.token)

    def _tenant(self, upstream: Upstream, caller: Caller, look: Look) -> Grant | None:
        key = field_of(look(key_path(caller.tenant)), KEY_FIELDS)
        if key is None:
            return None
        if not _sendable(key):
            self._warn("stored_key_unusable", caller.tenant, "it is not one line of printable ASCII")
            return None
        url = self._tenant_url(caller.tenant, look) or upstream.base_url
        return Grant("tenant", url.rstrip("/"), _bearer(key), key)

    def _tenant_url(self, tenant: str, look: Look) -> str | None:
        """The tenant's own address, when it has one that it may use."""
        hosts = self._settings.tenant_hosts
        try:
            stored = look(base_url_path(tenant))
        except SecretsUnavailable:
            if hosts:
                raise  # the key must not go to another address than the tenant's own
            return None  # no address would be allowed anyway
        url = field_of(stored, BASE_URL_FIELDS)
        refusal = None if url is None else allowed_base_url(url, hosts)
        if refusal is not None:
            self._warn("tenant_base_url_ignored", tenant, refusal)
            return None
        return url

    def _warn(self, event: str, tenant: str, reason: str) -> None:
        """Say it once, not with every request."""
        if (event, tenant) in self._warned:
            return
        self._warned[event, tenant] = None
        if len(self._warned) > _MOST_WARNED:
            self._warned.popitem(last=False)
        _log.warning(event, tenant=tenant, reason=reason)

    def _env(self, upstream: Upstream) -> Grant | None:
        if not self._settings.dev_mode or self._settings.grid_key is None:
            return None
        key = self._settings.grid_key.get_secret_value()
        return Grant("env", upstream.base_url, _bearer(key), key)

    def _stored(self, auth: Bearer | Header | Basic, upstream: Upstream, caller: Caller, look: Look) -> Grant:
        ref = SecretRef.parse(auth.secret)
        secret = look(ref.path.replace("{tenant}", _legal(caller.tenant)))
        value = (secret or {}).get(ref.field, "").strip() if ref.field else field_of(secret, KEY_FIELDS)
        if not value or not (isinstance(auth, Basic) or _sendable(value)):
            raise MissingCredentials(
                f"there is no usable secret for the upstream {upstream.name}",
                f"The operator must store it at `{ref.path}` in the secret store.",
            )
        step = "tenant" if ref.per_tenant else "shared"
        return Grant(step, upstream.base_url, _signed(auth, value), value)


def _signed(auth: Bearer | Header | Basic, value: str) -> tuple[tuple[str, str], ...]:
    if isinstance(auth, Bearer):
        return _bearer(value)
    if isinstance(auth, Header):
        return ((auth.name, auth.prefix + value),)
    pair = value if auth.user is None else f"{auth.user}:{value}"
    return (("Authorization", "Basic " + base64.b64encode(pair.encode()).decode()),)


def _bearer(value: str) -> tuple[tuple[str, str], ...]:
    return (("Authorization", f"Bearer {value}"),)


def _sendable(value: str) -> bool:
    """Whether ``value`` may stand in a header: one line of printable ASCII."""
    return value != "" and value.isascii() and value.isprintable() and " " not in value

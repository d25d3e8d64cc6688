"""Which credential goes upstream, and to which address (contract section 3).

The first credential found is the one used; nothing here ever falls through from one
that was refused to the next. A caller's token goes to the operator's address only.
"""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

import structlog

from scailookup.auth import (
    Anonymous,
    Basic,
    Bearer,
    ClientCredentials,
    ForwardCaller,
    Header,
    Platform,
    Stored,
)
from scailookup.credentials.paths import (
    BASE_URL_FIELDS,
    KEY_FIELDS,
    allowed_base_url,
    base_url_path,
    field_of,
    key_path,
    legal,
)
from scailookup.declare import Upstream
from scailookup.errors import MissingCredentials, SecretsUnavailable
from scailookup.model import Caller, Exchange, Grant, Headers
from scailookup.seams import Secrets
from scailookup.settings import Settings

__all__ = ["Credentials"]

_MOST_WARNED = 10_000
_log = structlog.get_logger("scailookup.credentials")

_SIGN_IN = (
    "Sign in with ScaiKey, or have a tenant_admin set the tenant's ScaiGrid key with "
    "POST /v1/tenants/me/scaigrid_credentials."
)


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

    def doubt(self, upstream: Upstream, caller: Caller) -> None:
        """Have the stored secret that was just refused asked for before it is used again, by whomever."""

        def look(path: str) -> Mapping[str, str] | None:
            self._secrets.doubt(path)
            raise LookupError(path)

        with suppress(LookupError, MissingCredentials):
            self._chain(upstream, caller, look)

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
        if pin == "api_key":
            self._pass_over("caller", "SCAIFLOW_DEPLOY_AUTH=api_key leaves the caller's token out")
        elif caller.token is None:
            self._pass_over("caller", "the caller has no token: authentication is off")
        else:
            return self._forward(upstream, caller)
        if pin == "user_jwt":
            self._pass_over("tenant", "SCAIFLOW_DEPLOY_AUTH=user_jwt leaves stored keys out")
        else:
            grant = self._tenant(upstream, caller, look) or self._env(upstream)
            if grant is not None:
                return grant
        raise MissingCredentials("there is no credential for this tenant", _SIGN_IN)

    def _pass_over(self, step: str, reason: str) -> None:
        """A step of the chain is not used. Nobody is told here; `Watched` is."""

    def _forward(self, upstream: Upstream, caller: Caller) -> Grant:
        if caller.token is None:
            raise MissingCredentials(
                "this upstream takes the caller's own token, and there is none", _SIGN_IN
            )
        return Grant("caller", upstream.base_url, _bearer(caller.token), caller.token)

    def _tenant(self, upstream: Upstream, caller: Caller, look: Look) -> Grant | None:
        key = field_of(look(key_path(caller.tenant)), KEY_FIELDS)
        if key is None:
            self._pass_over("tenant", "nothing is stored for the tenant")
            return None
        if not _sendable(key):
            self._pass_over("tenant", "what is stored is not one line of printable ASCII")
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
            self._pass_over("env", "SCAIGRID_API_KEY is used in development only, and when it is set")
            return None
        key = self._settings.grid_key.get_secret_value()
        return Grant("env", upstream.base_url, _bearer(key), key)

    def _stored(self, auth: Stored, upstream: Upstream, caller: Caller, look: Look) -> Grant:
        ref = auth.ref
        fields: Mapping[str, str] | None
        if ref.setting is not None:
            step, fields = "env", {"value": self._settings.own.secret(ref.setting)}
            where = f"set `{ref.setting}`"
        else:
            step = "tenant" if ref.per_tenant else "shared"
            fields = look(ref.path.replace("{tenant}", legal(caller.tenant)))
            where = f"store it at `{ref.path}` in the secret store"
        client = isinstance(auth, ClientCredentials)
        value = (fields or {}).get(ref.field, "").strip() if ref.field else field_of(fields, _names(auth))
        if not value or not (client or isinstance(auth, Basic) or _sendable(value)):
            raise MissingCredentials(
                f"there is no usable secret for the upstream {upstream.name}", f"The operator must {where}."
            )
        if isinstance(auth, ClientCredentials):
            return _exchanged(auth, upstream, Grant(step, upstream.base_url, (), value), fields or {})
        return Grant(step, upstream.base_url, _signed(auth, value), value)


def _names(auth: Stored) -> tuple[str, ...]:
    """Where the value stands in a secret whose field is not said."""
    client = isinstance(auth, ClientCredentials)
    return ("client_secret", *KEY_FIELDS) if client else KEY_FIELDS


def _exchanged(auth: ClientCredentials, upstream: Upstream, grant: Grant, fields: Mapping[str, str]) -> Grant:
    """A grant to be signed with a token when the call is made; its secret is what answers are kept under."""
    client_id = auth.client_id or fields.get("client_id", "").strip()
    if not client_id:
        raise MissingCredentials(
            f"there is no client id for the upstream {upstream.name}",
            f"The operator must store `client_id` beside `client_secret` at `{auth.ref.path}`.",
        )
    return replace(
        grant,
        exchange=Exchange(
            upstream.name,
            auth.token_url,
            client_id,
            grant.secret,
            auth.scope,
            tuple(auth.more.items()),
            auth.in_body,
        ),
    )


def _signed(auth: Bearer | Header | Basic, value: str) -> Headers:
    if isinstance(auth, Bearer):
        return _bearer(value)
    if isinstance(auth, Header):
        return ((auth.name, auth.prefix + value),)
    pair = value if auth.user is None else f"{auth.user}:{value}"
    return (("Authorization", "Basic " + base64.b64encode(pair.encode()).decode()),)


def _bearer(value: str) -> Headers:
    return (("Authorization", f"Bearer {value}"),)


def _sendable(value: str) -> bool:
    """Whether ``value`` may stand in a header: one line of printable ASCII."""
    return value != "" and value.isascii() and value.isprintable() and " " not in value

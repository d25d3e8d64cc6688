"""How a call to an upstream is signed: values that name a credential and never hold one.

A secret is named as ``path#field`` in the configured secret store, for example
``weather/api#key``. ``{tenant}`` in the path stands for the caller's tenant.
Without ``#field`` the first of ``value``, ``api_key``, ``key`` is read, or the
only field there is. ``$SCAILOOKUP_WEATHER_KEY`` names a setting of the plugin's own
in the place of a stored secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from scailookup.checks import check_base_url, check_header_name

__all__ = [
    "Anonymous",
    "Auth",
    "Basic",
    "Bearer",
    "ClientCredentials",
    "ForwardCaller",
    "Header",
    "Platform",
    "SecretRef",
    "Stored",
]

_SECRET_PATH = re.compile(r"[A-Za-z0-9_{}-][A-Za-z0-9_{}./-]*")
_SETTING = re.compile(r"\$(SCAILOOKUP_[A-Z0-9_]+)")
# What a request may carry only once and only by our own hand.
_RESERVED = frozenset(
    [
        *("accept", "accept-encoding", "connection", "content-length", "content-type", "expect", "host"),
        *("te", "traceparent", "tracestate", "transfer-encoding", "upgrade", "user-agent", "x-request-id"),
    ]
)


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A parsed ``path#field``; ``field`` is None when it is not said.

    ``setting`` is the variable's name where the reference is one.
    """

    path: str
    field: str | None = None
    setting: str | None = None

    @classmethod
    def parse(cls, text: str) -> SecretRef:
        """Read ``path#field`` or ``$SETTING``; raises ValueError when it is not of that form."""
        match = _SETTING.fullmatch(text)
        if match is not None:
            return cls("", None, match[1])
        path, _, field = text.partition("#")
        parts = path.split("/")
        if not _SECRET_PATH.fullmatch(path) or any(p in ("", ".", "..") for p in parts):
            raise ValueError(f"{text!r} is not a secret reference of the form path#field")
        if path.replace("{tenant}", "").count("{"):
            raise ValueError(f"{text!r}: {{tenant}} is the only placeholder a secret may have")
        return cls(path, field or None)

    @property
    def per_tenant(self) -> bool:
        """Whether each tenant has a secret of its own here."""
        return "{tenant}" in self.path


def _refer(value: Basic | Bearer | ClientCredentials | Header) -> None:
    object.__setattr__(value, "ref", SecretRef.parse(value.secret))


@dataclass(frozen=True, slots=True)
class Platform:
    """A Scai upstream: the caller's JWT, else the tenant's key, else the dev key.

    ``needs`` is the platform permission a caller must hold upstream; a refusal
    names it (contract section 4).
    """

    needs: str


@dataclass(frozen=True, slots=True)
class Bearer:
    """``Authorization: Bearer <secret>``."""

    secret: str
    ref: SecretRef = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _refer(self)


@dataclass(frozen=True, slots=True)
class Header:
    """``<name>: <prefix><secret>``, for example ``Header("X-Api-Key", secret="weather/api#key")``.

    Another scheme is a prefix: ``Header("Authorization", secret=…, prefix="token ")``.
    """

    name: str
    secret: str
    prefix: str = ""
    ref: SecretRef = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _refer(self)
        check_header_name(self.name)
        if self.name.lower() in _RESERVED:
            raise ValueError(f"the header {self.name} is set by scailookup itself")
        if not self.prefix.isprintable() or not self.prefix.isascii():
            raise ValueError("a header prefix holds printable ASCII characters only")


@dataclass(frozen=True, slots=True)
class Basic:
    """``Authorization: Basic``; the secret is the password, or ``user:password`` without ``user``."""

    secret: str
    user: str | None = None
    ref: SecretRef = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _refer(self)
        if self.user is not None and (":" in self.user or not self.user.isprintable()):
            raise ValueError("a Basic user holds printable characters and no colon")


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """A token fetched by OAuth 2.0 client credentials (RFC 6749, 4.4) and sent as a bearer.

    ``secret`` is the client's secret. Without ``client_id`` both stand in one stored
    secret, in its fields ``client_id`` and ``client_secret``. They go to ``token_url``
    as Basic, or with ``in_body`` as form fields. ``more`` are further form fields, such
    as ``audience``. A token is fetched once for all who need it, renewed before its end,
    and once after the upstream refused it.
    """

    token_url: str
    secret: str
    client_id: str | None = None
    scope: str = ""
    more: Mapping[str, str] = field(default_factory=dict, hash=False)
    in_body: bool = False
    ref: SecretRef = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _refer(self)
        check_base_url(self.token_url)
        if self.client_id == "" or (self.client_id is None and (self.ref.setting or self.ref.field)):
            raise ValueError("client credentials need a client_id, or a stored secret that has it")
        for name in self.more:
            if name in ("grant_type", "scope", "client_id", "client_secret"):
                raise ValueError(f"the form field {name} is set by scailookup itself")
        object.__setattr__(self, "more", MappingProxyType(dict(self.more)))


@dataclass(frozen=True, slots=True)
class Anonymous:
    """No credential at all. It has to be said."""


@dataclass(frozen=True, slots=True)
class ForwardCaller:
    """The caller's own ScaiKey token, to an upstream that is meant to receive it.

    With it the upstream can act as the caller: declare it only for a service
    that accepts ScaiKey tokens and that you trust as much as ScaiGrid.
    """


Stored = Bearer | Header | Basic | ClientCredentials
Auth = Platform | Stored | Anonymous | ForwardCaller

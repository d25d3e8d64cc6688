"""How a call to an upstream is signed: values that name a credential and never hold one.

A secret is named as ``path#field`` in the configured secret store, for example
``weather/api#key``. ``{tenant}`` in the path stands for the caller's tenant.
Without ``#field`` the first of ``value``, ``api_key``, ``key`` is read, or the
only field there is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = [
    "Anonymous",
    "Auth",
    "Basic",
    "Bearer",
    "ForwardCaller",
    "Header",
    "Platform",
    "SecretRef",
]

# RFC 9110's token, which is what a header name is made of.
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_SECRET_PATH = re.compile(r"[A-Za-z0-9_{}-][A-Za-z0-9_{}./-]*")
# What a request may carry only once and only by our own hand.
_RESERVED = frozenset(
    [
        *("accept", "accept-encoding", "connection", "content-length", "expect", "host", "te"),
        *("traceparent", "tracestate", "transfer-encoding", "upgrade", "user-agent", "x-request-id"),
    ]
)


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A parsed ``path#field``; ``field`` is None when it is not said."""

    path: str
    field: str | None = None

    @classmethod
    def parse(cls, text: str) -> SecretRef:
        """Read ``path#field``; raises ValueError when it is not of that form."""
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

    def __post_init__(self) -> None:
        SecretRef.parse(self.secret)


@dataclass(frozen=True, slots=True)
class Header:
    """``<name>: <prefix><secret>``, for example ``Header("X-Api-Key", secret="weather/api#key")``."""

    name: str
    secret: str
    prefix: str = ""

    def __post_init__(self) -> None:
        SecretRef.parse(self.secret)
        if not _HEADER_NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not a header name")
        if self.name.lower() in _RESERVED:
            raise ValueError(f"the header {self.name} is set by scailookup itself")
        if not self.prefix.isprintable() or not self.prefix.isascii():
            raise ValueError("a header prefix holds printable ASCII characters only")


@dataclass(frozen=True, slots=True)
class Basic:
    """``Authorization: Basic``; the secret is the password, or ``user:password`` without ``user``."""

    secret: str
    user: str | None = None

    def __post_init__(self) -> None:
        SecretRef.parse(self.secret)
        if self.user is not None and (":" in self.user or not self.user.isprintable()):
            raise ValueError("a Basic user holds printable characters and no colon")


@dataclass(frozen=True, slots=True)
class Anonymous:
    """No credential at all. It has to be said."""


@dataclass(frozen=True, slots=True)
class ForwardCaller:
    """The caller's own ScaiKey token, to an upstream that is meant to receive it.

    With it the upstream can act as the caller: declare it only for a service
    that accepts ScaiKey tokens and that you trust as much as ScaiGrid.
    """


Auth = Platform | Bearer | Header | Basic | Anonymous | ForwardCaller

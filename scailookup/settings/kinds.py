"""The kinds of value that settings have, and what makes each of them sound."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from scailookup.checks import check_base_url, check_upstream_path

_SHORTEST_KEY = 32


def is_loopback(host: str) -> bool:
    """Whether ``host`` is a loopback address or the name ``localhost``."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def split(value: object) -> object:
    """A comma separated text as a tuple of its words."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def base_url(value: str) -> str:
    check_base_url(value)
    return value.rstrip("/")


def upstream_path(value: str) -> str:
    check_upstream_path(value)
    return value


def header_value(value: str) -> str:
    """Secrets go into headers: one line of printable characters."""
    value = value.strip()
    if not value.isascii() or not value.isprintable():
        raise ValueError("must be one line of printable ASCII characters")
    return value


def listener(value: str) -> str:
    """``host:port`` with brackets around IPv6, or ``off``."""
    if value == "off":
        return value
    host, colon, port = value.rpartition(":")
    bare = host.strip("[]")
    if not colon or not bare or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be host:port, or off")
    if ":" in bare and not host.startswith("["):
        raise ValueError("an IPv6 address stands in brackets: [::1]:8002")
    return value


def host_patterns(value: object) -> object:
    words = split(value)
    for word in words if isinstance(words, tuple) else ():
        if not re.fullmatch(r"(\*\.)?[A-Za-z0-9._-]+|\[?[0-9A-Fa-f:]+\]?", word):
            raise ValueError(f"{word!r} is not a host name; *.example.com takes every host below")
    return words


def origins(value: object) -> object:
    words = split(value)
    for word in words if isinstance(words, tuple) else ():
        parts = urlsplit(word)
        if parts.scheme not in ("http", "https") or word != f"{parts.scheme}://{parts.netloc}":
            raise ValueError(f"{word!r} is not an origin such as https://app.example.com")
    return words


def cache_problems(url: str, key: SecretStr | None) -> list[str]:
    """What is wrong with the address of the shared cache and the key that seals what lies there."""
    problems = []
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, named = urlsplit(""), False
    if parts.scheme not in ("redis", "rediss", "unix"):
        problems.append("SCAILOOKUP_CACHE_URL must start with redis://, rediss:// or unix://")
    elif not (parts.path if parts.scheme == "unix" else named):
        problems.append("SCAILOOKUP_CACHE_URL names no host, or no socket")
    elif not set(parse_qs(parts.query, keep_blank_values=True)) <= {"db", "ssl_ca_certs"}:
        # Others could switch the checks of TLS off, or a timeout.
        problems.append("SCAILOOKUP_CACHE_URL may have the parameters db and ssl_ca_certs, no others")
    if key is not None and len(key.get_secret_value()) < _SHORTEST_KEY:
        problems.append(
            f"SCAILOOKUP_CACHE_URL needs a SCAILOOKUP_CACHE_KEY of {_SHORTEST_KEY} characters or more"
        )
    elif not problems and sealing_secret(url, key) is None:
        problems.append(
            "SCAILOOKUP_CACHE_URL needs SCAILOOKUP_CACHE_KEY, the same on all hosts, or a password in the "
            "address: the network must not read or forge what lies there"
        )
    return problems


def sealing_secret(url: str, key: SecretStr | None) -> str | None:
    """What the shared cache is sealed with: the key, else what the address has; None when that is nothing.

    A password is known to whoever may use that Redis, but not to who only sees its data. On this
    machine a Redis without either is taken for one to try things with, and the seal says nothing.
    """
    if key is not None:
        return key.get_secret_value()
    words = passwords(SecretStr(url))
    if words:
        return hashlib.scrypt(words[-1].encode(), salt=b"scailookup:1", n=2**14, r=8, p=1).hex()
    parts = urlsplit(url)
    here = parts.scheme == "unix" or is_loopback(parts.hostname or "")
    return "a cache of this machine alone" if here else None


def passwords(url: SecretStr | None) -> list[str]:
    """The password in an address, as it stands there and as it is meant."""
    try:
        word = urlsplit(url.get_secret_value()).password if url else None
    except ValueError:
        word = None
    return list(dict.fromkeys((word, unquote(word)))) if word else []


Url = Annotated[str, BeforeValidator(base_url)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)]
Seconds = Annotated[float, Field(ge=0, le=86_400 * 365, allow_inf_nan=False)]
Some = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Secret = Annotated[SecretStr, BeforeValidator(lambda v: header_value(v) if isinstance(v, str) else v)]
Source = Literal["claims", "roles", "scaigrid"]
Flag = bool

"""The kinds of value that settings have, and what makes each of them sound."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from scailookup.checks import check_base_url, check_upstream_path


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


Url = Annotated[str, BeforeValidator(base_url)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)]
Seconds = Annotated[float, Field(ge=0, le=86_400 * 365, allow_inf_nan=False)]
Some = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Secret = Annotated[SecretStr, BeforeValidator(lambda v: header_value(v) if isinstance(v, str) else v)]
Source = Literal["claims", "roles", "scaigrid"]
Flag = bool

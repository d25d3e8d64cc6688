"""What must hold of names, addresses, paths and headers, wherever they are declared or set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

__all__ = [
    "FIELD_NAME",
    "NAME",
    "check_base_url",
    "check_header_name",
    "check_headers",
    "check_seconds",
    "check_upstream_path",
]

NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# RFC 9110's token, which is what a header name is made of.
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# What says who asks, where to, or how a message is framed: never a plugin's to fix.
_FORBIDDEN_HEADERS = frozenset(
    [
        *("accept-encoding", "authorization", "connection", "content-encoding", "content-length"),
        *("content-type", "cookie", "expect", "forwarded", "host", "keep-alive", "origin", "range"),
        *("referer", "set-cookie", "te", "traceparent", "tracestate", "trailer", "transfer-encoding"),
        *("upgrade", "user-agent", "via", "x-http-method-override", "x-real-ip", "x-request-id"),
    ]
)
_FORBIDDEN_BEGINNINGS = ("proxy-", "x-forwarded-", "if-")
_LONGEST_SECONDS = 365 * 86_400


def check_base_url(url: str) -> None:
    """Raise ValueError unless ``url`` is http(s)://host[:port][/path] and nothing more.

    The message never holds a part of the url: somebody may have put a password there.
    """
    # urlsplit drops blanks and control characters in silence; what it judged would not be what is used.
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("a base URL holds printable ASCII characters and no blanks")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("a base URL has a host and, if any, a port up to 65535") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("a base URL starts with https:// (or http://) and a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a base URL holds no user or password")
    if "?" in url or "#" in url:
        raise ValueError("a base URL has no query and no fragment")
    if not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+", parts.hostname):
        raise ValueError("a base URL's host is a name or an address")
    if parts.path:
        check_upstream_path(parts.path)


def check_upstream_path(path: str) -> None:
    """Raise ValueError unless ``path`` is a plain absolute path, perhaps with a query."""
    if not path.startswith("/"):
        raise ValueError(f"the path {path!r} must start with /")
    if "#" in path or not path.isascii() or any(c <= " " or c == "\x7f" for c in path):
        raise ValueError("a path holds printable ASCII characters and no fragment")
    folded = path.partition("?")[0].lower().replace("%2e", ".")
    if any(part in (".", "..") for part in folded.split("/")) or "//" in folded:
        raise ValueError(f"the path {path!r} has an empty or dot segment")


def check_header_name(name: str) -> None:
    """Raise ValueError unless ``name`` can be a header's."""
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name")


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise ValueError unless these fixed headers may be sent: no credential, no framing, each once."""
    seen = set()
    for name, value in headers.items():
        # Some servers take "_" for "-": a second spelling must not slip through.
        plain = name.lower().replace("_", "-")
        check_header_name(name)
        if plain in _FORBIDDEN_HEADERS or plain.startswith(_FORBIDDEN_BEGINNINGS):
            raise ValueError(f"the header {name} is not a plugin's to fix; a credential belongs into `auth`")
        if plain in seen:
            raise ValueError(f"the header {name} is given twice")
        if not value.isascii() or not value.isprintable() or value != value.strip() or not value:
            raise ValueError(f"the header {name} needs one line of printable ASCII characters")
        seen.add(plain)


def check_seconds(what: str, seconds: float | None, *, zero: bool = False) -> None:
    """Raise ValueError unless ``seconds`` is None or a sound time; zero only where it means something."""
    if seconds is None:
        return
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not (0 if zero else 1e-3) <= seconds <= _LONGEST_SECONDS:
        raise ValueError(f"{what} is a number of seconds{'' if zero else ' above zero'}")

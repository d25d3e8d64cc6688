"""The head of a plain GET, read cheaply: all that the short way needs of a request, or None."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple, Protocol

__all__ = ["LONGEST_HEAD", "LONGEST_NAME", "Fields", "Head", "plain_head"]

# Bytes of a head with its empty line, and characters of a field's name: beyond them nothing is read.
LONGEST_HEAD = 64 * 1024
LONGEST_NAME = 256

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Tornado refuses other hosts when it makes a request object, which the short way does not.
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
_TARGET = re.compile(r"/[!-~]*")
# What the short way reads. Each may come once; the ordinary road knows what two of them mean.
_READ = frozenset(
    ("Host", "Authorization", "Accept-Encoding", "If-None-Match", "X-Request-Id", "Traceparent", "Tracestate")
)
# A browser of another origin, or a body: the ordinary road knows what to do with them.
_NOT_PLAIN = frozenset(("Origin", "Content-Length", "Transfer-Encoding"))
# Plain when they say what goes without saying.
_SAYING = frozenset(("Connection", "Expect"))


class Fields(Protocol):
    """The fields of a request's head, as far as both roads read them."""

    def get_list(self, name: str) -> list[str]:
        """Every value of the field ``name``, in Tornado's spelling."""


class Head(NamedTuple):
    """The target of a plain GET and those of its fields that are read, by Tornado's spelling."""

    target: str
    fields: dict[str, str]

    def get_list(self, name: str) -> list[str]:
        """The values of the field ``name``: one or none."""
        value = self.fields.get(name)
        return [] if value is None else [value]


def plain_head(block: bytes) -> Head | None:
    """The head in ``block`` (with its empty line) when it is a plain GET without a query; else None.

    Nothing is refused here: whatever looks odd is None, and Tornado's own reading has the word.
    """
    # A bare LF ends a line too, but not here: nothing may be cut off unread below.
    if not block.endswith(b"\r\n\r\n") or len(block) > LONGEST_HEAD:
        return None
    start, *lines = block.decode("latin-1").split("\r\n")
    if not start.startswith("GET /") or not start.endswith(" HTTP/1.1"):
        return None
    target = start[4:-9]
    if "?" in target or not _TARGET.fullmatch(target):
        return None
    fields: dict[str, str] = {}
    try:
        for line in lines[:-2]:
            name, colon, value = line.partition(":")
            kind = _kind(name)
            if kind is None or not colon or not line.isprintable():
                return None
            if kind:
                value = value.strip(" ")
                if kind in fields or (kind in _SAYING and not _goes_without_saying(kind, value.lower())):
                    return None
                fields[kind] = value
    except _LongName:
        return None
    return Head(target, fields) if _HOST.fullmatch(fields.get("Host", "")) else None


class _LongName(Exception):
    """A field name that is not to be remembered."""


def _goes_without_saying(kind: str, value: str) -> bool:
    return value == "keep-alive" if kind == "Connection" else value != "100-continue"


@lru_cache(1024)
def _kind(name: str) -> str | None:
    """A field name in Tornado's spelling when it is read; empty when it is not, None when not plain."""
    if len(name) > LONGEST_NAME:
        raise _LongName  # what is raised is not kept
    if not _TOKEN.fullmatch(name):
        return None
    spelt = "-".join([part.capitalize() for part in name.split("-")])
    if spelt in _NOT_PLAIN:
        return None
    return spelt if spelt in _READ or spelt in _SAYING else ""

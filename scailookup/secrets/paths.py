"""What a secret's path may look like, and what is said of one that may not.

HTTP libraries fold ``.`` and ``..``: ``a/../b`` would read the secret at ``b``. So
the alphabet is closed here, before a path reaches any library.
"""

from __future__ import annotations

import re

import structlog

from scailookup.errors import InvalidParameter

__all__ = ["PLAIN", "SCAIVAULT", "legible", "require"]

log = structlog.get_logger()

PLAIN = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*")
SCAIVAULT = re.compile(r"(?=.{1,512}\Z)[a-z0-9_-]+(?:/[a-z0-9_-]+){0,9}")


def legible(path: str, alphabet: re.Pattern[str], event: str) -> bool:
    """Whether ``path`` fits ``alphabet``; logs the warning ``event`` when it does not."""
    if alphabet.fullmatch(path):
        return True
    log.warning(event, path=path[:200])
    return False


def require(path: str, alphabet: re.Pattern[str], event: str) -> None:
    """Raise InvalidParameter naming ``tenant_id`` unless ``path`` fits ``alphabet``."""
    if not legible(path, alphabet, event):
        raise InvalidParameter(
            "tenant_id",
            "this tenant's id cannot be part of a path in the secret store",
            "The operator must give the tenant an id the secret store takes, or use another store.",
        )

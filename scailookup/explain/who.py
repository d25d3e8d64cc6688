"""The first two steps: whose token it is, and what grants the permission."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from scailookup.errors import Forbidden, IdentityUnavailable, Unauthenticated
from scailookup.explain.steps import OK, SKIPPED, WARN, Asked, Step, failed
from scailookup.identity import CHECKS, Permissions
from scailookup.model import Caller, Trace

__all__ = ["permission", "token", "token_refused"]

_GRANTED = {
    "roles": "a role in the token",
    "scaigrid": "ScaiGrid, asked for it (/v1/me)",
    "development": "authentication being off",
}


def token(caller: Caller) -> Step:
    """A token that was verified."""
    whose = {"tenant": caller.tenant, "subject": caller.subject, "roles": sorted(caller.roles)}
    if caller.token is None:
        text = f"authentication is off: everybody is the developer of tenant {caller.tenant}"
        return Step("token", SKIPPED, text, details=whose)
    checks = [{"name": name, "status": "ok"} for name in CHECKS]
    ends = datetime.fromtimestamp(min(caller.expires, 253402300799), UTC).isoformat().replace("+00:00", "Z")
    details = {**whose, "expires": ends, "checks": checks}
    left = caller.expires - time.time()
    text = f"the token of {caller.subject}, tenant {caller.tenant}, is good until {ends}"
    if left > 0:
        return Step("token", OK, text, details=details)
    text = f"the token has expired {-left:.0f} s ago and is taken only because clocks may differ"
    return Step("token", WARN, text, "Sign in again.", details)


def token_refused(exc: Unauthenticated | IdentityUnavailable) -> Step:
    """One that was not: ``checks`` say how far it came."""
    check = exc.check if isinstance(exc, Unauthenticated) else "signature"
    at = CHECKS.index(check)
    words = [*("ok" for _ in CHECKS[:at]), "failed", *("skipped" for _ in CHECKS[at + 1 :])]
    checks = [{"name": name, "status": word} for name, word in zip(CHECKS, words, strict=True)]
    return failed("token", exc, check=check, checks=checks)


async def permission(permissions: Permissions, asked: Asked, caller: Caller, trace: Trace) -> Step:
    """Whether the caller may, and who says so."""
    lookup = asked.bound.lookup
    details = {"permission": lookup.permission, "sources": permissions.heard(caller)}
    try:
        await permissions.require(caller, lookup.permission, trace, lookup.roles)
    except (Forbidden, IdentityUnavailable) as exc:
        return failed("permission", exc, **details)
    source = permissions.source(caller, lookup.permission, lookup.roles) or ""
    claim = "permissions" if caller.permissions is not None else "scope"
    word = _GRANTED.get(source, f"the token's `{claim}` claim")
    return Step(
        "permission", OK, f"`{lookup.permission}` is granted by {word}", details={**details, "source": source}
    )

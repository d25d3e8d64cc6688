"""The steps before the call: credential, address, name, connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from scailookup.credentials import Watched
from scailookup.errors import ScailookupError
from scailookup.explain.steps import FAILED, OK, SKIPPED, WARN, Asked, Step, failed, ms
from scailookup.lookup import Place
from scailookup.settings import Settings, is_loopback
from scailookup.transport.probe import Certificate, ProbeFailed, connect_to, resolve

__all__ = ["address", "credential", "credential_failed", "network"]

# A certificate that ends sooner is worth a warning.
_DAYS = 14
_LONGEST = 200
_MEND_NETWORK = "The operator must check the base URL, the network between, and that the upstream runs."
_MEND_TLS = "The operator must mend the upstream's certificate, or the CA bundle that scailookup trusts."
_STEPS = {
    "caller": "the caller's own token signs the call",
    "tenant": "the tenant's stored key signs the call",
    "env": "a key from the operator's settings signs the call",
    "shared": "a stored secret common to all tenants signs the call",
    "none": "the upstream is asked without a credential",
}
_SAID = {
    "tenant_base_url_ignored": "the tenant's own address is ignored",
    "stored_key_unusable": "the tenant's key is ignored",
}


def credential(place: Place, watched: Watched, settings: Settings) -> Step:
    """Which credential was chosen, and why none before it."""
    grant = place.grant
    details = {"step": grant.step, **_looked(watched, settings)}
    if grant.exchange is not None:
        details["token_url"] = grant.exchange.url
    said = [f"{_SAID.get(event, event)}: {reason}" for event, reason in watched.said.items()]
    text = "; ".join([_STEPS.get(grant.step, grant.step), *said])
    fix = "A tenant_admin must set the tenant's key and address anew, or the operator must allow it."
    return Step("credential", WARN if said else OK, text, fix if said else "", details)


def credential_failed(exc: ScailookupError, watched: Watched, settings: Settings) -> Step:
    """None was found, or the store did not answer."""
    return failed("credential", exc, **_looked(watched, settings))


def _looked(watched: Watched, settings: Settings) -> dict[str, Any]:
    return {
        "passed_over": [{"step": step, "reason": reason} for step, reason in watched.passed.items()],
        "looked_at": [looked._asdict() for looked in watched.looked],
        "store": (settings.stores or ["none"])[0],
    }


def address(place: Place, asked: Asked) -> Step:
    """Where the call goes; a list made of other upstreams' has no address of its own."""
    base = place.grant.base_url
    if not base:
        names = ", ".join(dict.fromkeys(source.name for source in asked.bound.lookup.sources))
        return Step("address", SKIPPED, f"the list is made of those of {names}")
    own = base != asked.bound.upstream.base_url
    url = asked.bound.template(base)
    details = {"address": base, "url": url, "of": "tenant" if own else "operator"}
    parts = urlsplit(base)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        fix = "The operator must set an https address."
        return Step("address", WARN, f"{url}: credentials cross the network unprotected", fix, details)
    return Step("address", OK, f"{url}{' (the tenant has its own)' if own else ''}", details=details)


async def network(place: Place, settings: Settings, deadline: float) -> AsyncIterator[Step]:
    """Name and connection, tried by a connection of their own over which nothing is sent."""
    base = place.grant.base_url
    if not base or settings.proxy is not None:
        why = "the proxy (SCAILOOKUP_PROXY) resolves and connects" if base else "it has no address of its own"
        for name in ("dns", "connection"):
            yield Step(name, SKIPPED, why)
        return

    def left() -> float:
        return max(0.001, min(settings.connect_timeout, deadline - monotonic()))

    try:
        found = await resolve(base, left())
    except ProbeFailed as exc:
        fix = "The operator must check the host in the base URL, and the name server."
        yield Step("dns", FAILED, str(exc), fix)
        yield Step("connection", SKIPPED, "there is no address to connect to")
        return
    details: dict[str, Any] = {"host": found.host, "addresses": found.addresses}
    if found.seconds is None:
        yield Step(
            "dns", SKIPPED, f"{found.host} is an address: there is no name to resolve", details=details
        )
    else:
        text = f"{found.host} is {', '.join(found.addresses)}"
        yield Step("dns", OK, text, details=details | {"ms": ms(found.seconds)})
    yield await _connection(place, left())


async def _connection(place: Place, seconds: float) -> Step:
    try:
        made = await connect_to(place.grant.base_url, place.bound.upstream.tls, seconds)
    except ProbeFailed as exc:
        fix = _MEND_TLS if exc.tls else _MEND_NETWORK
        return Step("connection", FAILED, str(exc), fix, _certificate(exc.certificate))
    details: dict[str, Any] = {"address": made.address, "connect_ms": ms(made.seconds)}
    if made.protocol is None:
        return Step("connection", OK, f"{made.address} answers, without TLS", details=details)
    details |= {"tls_ms": ms(made.tls_seconds), "protocol": made.protocol, "cipher": made.cipher}
    details |= _certificate(made.certificate)
    text = f"{made.address} answers with {made.protocol}"
    days = made.certificate.days_left if made.certificate is not None else _DAYS
    if days < _DAYS:
        fix = "The operator must renew the upstream's certificate."
        return Step("connection", WARN, f"{text}; its certificate ends in {days} days", fix, details)
    return Step("connection", OK, text, details=details)


def _certificate(shown: Certificate | None) -> dict[str, Any]:
    if shown is None:
        return {}
    return {
        "subject": shown.subject[:_LONGEST],
        "issuer": shown.issuer[:_LONGEST],
        "ends": shown.ends.isoformat().replace("+00:00", "Z"),
        "days_left": shown.days_left,
    }

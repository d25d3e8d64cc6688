"""From a failed call to what the caller reads: code, message, and who must do what."""

from __future__ import annotations

from scailookup.auth import Platform, Stored
from scailookup.declare import Upstream
from scailookup.errors import CallFailed, UpstreamApi, UpstreamAuth, UpstreamError
from scailookup.model import Grant

__all__ = ["blame", "blame_exchange"]

_FIXES = {
    "timeout": "Try again shortly; if it stays, the operator must find out why {name} is slow "
    "(or raise SCAILOOKUP_DEADLINE).",
    "unreachable": "The operator must check that {name} runs and that its base URL is right "
    "(`scailookup check`).",
    "tls": "The operator must mend {name}'s certificate, or the CA bundle that scailookup trusts.",
    "bad_shape": "The operator must check that {name}'s base URL and path lead to its list, "
    "not to a page or another service.",
    "circuit_open": "Wait as `retry_after` says; the operator must find out why {name} does not answer.",
    "too_large": "The operator must raise SCAILOOKUP_MAX_BODY, or the upstream must answer in smaller pages.",
    "redirected": "The operator must set {name}'s base URL to the address it redirects to.",
}
_LIMITED = "Wait as `retry_after` says; if it happens often, the operator of {name} must raise the limit."
_ABSENT = "Check the ids in the path; if they are right, the operator must check {name}'s base URL and path."
_THEIRS = "Try again shortly; if it stays, the operator of {name} must look at it, with the request id."
_REFUSED = "The operator must look at what {name} refuses: its code and message are above."


def blame(failure: CallFailed, upstream: Upstream, grant: Grant) -> UpstreamError:
    """The error that a (laundered) ``failure`` of a call signed with ``grant`` becomes."""
    kind = UpstreamAuth if failure.status in (401, 403) else UpstreamApi
    error = kind(
        upstream.name,
        failure.text,
        _refusal_fix(upstream, grant, failure) if kind is UpstreamAuth else _fix(upstream.name, failure),
        code=failure.code,
        upstream_status=failure.status,
        retry_after=failure.retry_after,
    )
    error.credential = grant.step
    return error


def blame_exchange(failure: CallFailed, upstream: Upstream, grant: Grant) -> UpstreamError:
    """The error that the failure of a call for a token becomes; a refusal there is one of the credential."""
    refused = failure.status in (400, 401, 403)
    kind = UpstreamAuth if refused else UpstreamApi
    error = kind(
        upstream.name,
        failure.text,
        f"The operator must set the client id and secret of {upstream.name} anew."
        if refused
        else _fix(f"the token endpoint of {upstream.name}", failure),
        code=failure.code,
        upstream_status=failure.status,
        retry_after=failure.retry_after,
    )
    error.credential = grant.step
    return error


def _refusal_fix(upstream: Upstream, grant: Grant, failure: CallFailed) -> str:
    needs = upstream.auth.needs if isinstance(upstream.auth, Platform) else None
    if grant.step == "caller" and needs:
        return f"Caller needs the `{needs}` permission on this tenant."
    if grant.step == "caller":
        return f"Caller needs access to {upstream.name} on this tenant."
    with_permission = f", of a user who holds `{needs}`" if needs and failure.status == 403 else ""
    if grant.step == "tenant" and needs:
        return (
            "A tenant_admin must set the tenant's ScaiGrid key anew with "
            f"POST /v1/tenants/me/scaigrid_credentials{with_permission}."
        )
    if grant.step == "env" and isinstance(upstream.auth, Stored):
        return f"The operator must set {upstream.auth.ref.setting} anew to what {upstream.name} accepts."
    if grant.step == "env":
        return f"The operator must set SCAIGRID_API_KEY anew to a key that ScaiGrid accepts{with_permission}."
    if grant.step == "none":
        return (
            f"The operator must give the upstream {upstream.name} a credential: it no longer answers without."
        )
    return f"The operator must store the credential of {upstream.name} anew in the secret store."


def _fix(name: str, failure: CallFailed) -> str:
    status = failure.status or 0
    # With a status of failure the code is the upstream's own, even when it reads like one of ours.
    text = None if status >= 400 else _FIXES.get(failure.code)
    if text is None and status == 429:
        text = _LIMITED
    elif text is None and status in (404, 410):
        text = _ABSENT
    elif text is None:
        text = _THEIRS if status >= 500 else _REFUSED
    return text.format(name=name)

"""The last steps: the call, what was made of its answer, and what memory knows."""

from __future__ import annotations

from typing import Any

from scailookup.cache import Held
from scailookup.errors import ScailookupError, UpstreamError
from scailookup.explain.steps import FAILED, OK, SKIPPED, WARN, Asked, Step, failed, ms
from scailookup.lookup import Trial
from scailookup.model import Served

__all__ = ["answered", "cached", "not_asked", "refused"]

_LONGEST = 100


def answered(trial: Trial, served: Served, asked: Asked, seconds: float) -> tuple[Step, Step]:
    """The call and the answer, when all went well."""
    answer = served.answer
    called = {**_heard(trial), "ms": ms(seconds), "credential": answer.credential}
    call = Step("call", OK, f"{called.get('status', 'answered')} in {called['ms']} ms", details=called)
    reader = trial.reader
    assert reader is not None  # it was read
    details = _read(trial, asked)
    details |= {
        "pages": answer.calls,
        "rows": len(reader.rows),
        "truncated": bool(answer.meta.get("truncated")),
    }
    details |= {"dropped": reader.dropped, "first_dropped": reader.first_dropped}
    if not asked.selection.everything:
        details["selected"] = len(asked.selection.apply(answer.rows(), asked.bound.lookup.key))
    pages = "1 page" if answer.calls == 1 else f"{answer.calls} pages"
    text = f"{len(reader.rows)} rows of {pages}"
    if reader.dropped:
        text += f"; {reader.dropped} could not be read, the first because {reader.first_dropped}"
        return call, Step("answer", WARN, text, "The operator must look at these records.", details)
    if details["truncated"]:
        fix = "The operator may raise SCAILOOKUP_MAX_PAGES and SCAILOOKUP_MAX_ROWS, or look at its paging."
        return call, Step("answer", WARN, f"{text}; there is more that was not fetched", fix, details)
    return call, Step("answer", OK, text, details=details)


def refused(trial: Trial, exc: ScailookupError, asked: Asked, seconds: float) -> tuple[Step, Step]:
    """The same, when it failed: with a good status it is the answer that is at fault."""
    called = {**_heard(trial), "ms": ms(seconds), "credential": exc.credential}
    status = exc.upstream_status if isinstance(exc, UpstreamError) else None
    if status is not None and 200 <= status < 300:
        call = Step("call", OK, f"{status} in {called['ms']} ms", details=called)
        return call, failed("answer", exc, **_read(trial, asked))
    return failed("call", exc, **called), Step("answer", SKIPPED, "there is no answer to read")


def not_asked(exc: UpstreamError) -> tuple[Step, Step]:
    """The upstream said how long to wait, and that is not over."""
    text = f"{exc.message} (said a moment ago; it is not asked again before its time)"
    call = Step("call", FAILED, text, exc.fix, {"error": exc.error, **exc.extra, "remembered": True})
    return call, Step("answer", SKIPPED, "the upstream was not asked")


def _heard(trial: Trial) -> dict[str, Any]:
    """Of the replies: the last status, all their bytes, and their kind."""
    if not trial.heard:
        return {}
    last = trial.heard[-1]
    kind = last.content_type.partition(";")[0]  # never cut: half a secret is not recognised
    kind = kind if kind.isprintable() and len(kind) <= _LONGEST else "not a media type"
    size = sum(heard.bytes for heard in trial.heard)
    return {"status": last.status, "replies": len(trial.heard), "bytes": size, "content_type": kind}


def _read(trial: Trial, asked: Asked) -> dict[str, Any]:
    lookup = asked.bound.lookup
    if lookup.gather is not None:
        return {"envelope": "made of several calls by the plugin"}
    if lookup.layout is not None:
        return {"envelope": f"declared by the plugin: {lookup.layout!r}"[:_LONGEST]}
    return {"envelope": trial.heard[0].envelope if trial.heard else None}


def cached(held: Held, circuit: tuple[str, int], *, shared: bool) -> Step:
    """What this process holds of it, and whether the upstream's circuit is closed."""
    state, left = circuit
    details: dict[str, Any] = {
        "state": held.state,
        "circuit": {"state": state, "retry_after": left},
        "shared_cache": shared,
        "under_way": held.flying,
    }
    text = "this process holds no answer"
    if held.state != "none":
        details |= {"age": round(held.age, 1), "left": round(held.left, 1)}
        text = f"this process holds an answer, {held.state}, {held.age:.0f} s old"
    fixes = []
    if held.failure is not None:
        details["failure"] = {"error": held.failure.error, "message": held.failure.message}
        text += f"; it remembers a failure: {held.failure.message}"
        fixes.append("Wait until it is forgotten (SCAILOOKUP_FAILURE_MEMORY, or the upstream's Retry-After).")
    if state != "closed":
        text += f"; the circuit is {state}"
        fixes.append("The operator must find out why the upstream does not answer.")
    return Step("cache", WARN if fixes else OK, text, " ".join(fixes), details)

"""`scailookup doctor`: all that `check` looks at, and one lookup explained for the bearer of a token."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TextIO

import click

from scailookup.app import Service
from scailookup.errors import (
    IdentityUnavailable,
    InvalidParameter,
    PluginFailed,
    SettingsError,
    Unauthenticated,
)
from scailookup.explain import Asked, Step, rest, token_refused, worst
from scailookup.log import scrubber
from scailookup.metrics import Metrics
from scailookup.model import Trace
from scailookup.report import Finding, findings
from scailookup.settings import Settings
from scailookup.terminal import Progress, plain

__all__ = ["DEFAULT", "Found", "doctor", "examine"]

DEFAULT = "scaigrid/models"
STATUS = {"ok": 0, "failed": 1, "warn": 3}
"""Exit statuses; 2 is for settings and a command line that cannot work."""
SERVICE = "the service"
_MARKS = {"ok": "ok", "warn": "warn", "failed": "FAIL", "skipped": "skip", "note": "note"}
_COLOURS = {"ok": "green", "warn": "yellow", "failed": "red", "skipped": "bright_black", "note": "cyan"}
_HINT = "Give --token-file to have a lookup explained for the bearer of a token."


class Found(NamedTuple):
    """One thing found, and what it is about: the service, or a lookup for somebody."""

    about: str
    step: Step


async def examine(
    settings: Settings, *, token: str | None, lookup: str | None, begin: Callable[[str], None]
) -> AsyncIterator[Found]:
    """Each thing as it is found: first the service, then the lookup where somebody asks for it.

    ``begin`` is told of what is looked at next, where that may take a while.
    Raises SettingsError first, for a lookup that there is not as well.
    """
    service = Service(settings, Metrics())
    try:
        wanted = token is not None or settings.auth_disabled
        asked = _asked(service, lookup or DEFAULT) if wanted else None
        async for finding in findings(settings, begin):
            yield Found(SERVICE, _step(finding))
        if asked is not None:
            begin(f"explaining {asked.path}")
            async for found in _explained(service, token, asked):
                yield found
    finally:
        await service.close()


def _step(finding: Finding) -> Step:
    status = {True: "ok", False: "failed", None: "warn" if finding.warning else "note"}[finding.ok]
    return Step(finding.subject, status, scrubber(finding.text), "" if finding.ok else finding.fix)


def _asked(service: Service, lookup: str) -> Asked | None:
    """The lookup; None where its plugin failed, which is found besides."""
    try:
        return service.explanations.asked(lookup)
    except PluginFailed:
        return None
    except InvalidParameter as exc:
        raise SettingsError(f"{lookup}: {exc.message} (`scailookup plugins` lists them)") from None


async def _explained(service: Service, token: str | None, asked: Asked) -> AsyncIterator[Found]:
    try:
        caller = await service.web.guard.whose([f"Bearer {token}"])
    except (Unauthenticated, IdentityUnavailable) as exc:
        for step in (token_refused(exc), *rest("token", "nobody is known without a token")):
            yield Found(asked.path, step)
        return
    # Nothing is served from here, so there is no memory worth telling of.
    explainer = replace(service.explanations.explainer, running=False)
    about = f"{asked.path} for {caller.subject} of {caller.tenant}"
    async for step in explainer.explain(asked, caller, Trace("doctor"), whole=True):
        yield Found(about, step)


async def doctor(
    settings: Settings,
    *,
    token: str | None,
    lookup: str | None,
    as_json: bool,
    out: TextIO,
    err: TextIO,
) -> int:
    """Print what is found, as it is found or as one JSON value; the exit status by the worst of it."""
    paper = _Paper(out)
    found: list[Found] = []
    with Progress(err) as progress:
        async for one in examine(settings, token=token, lookup=lookup, begin=progress.step):
            if not as_json:
                progress.clear()
                paper.add(one)
            found.append(one)
    status = worst(each.step for each in found)
    if as_json:
        paper.write(json.dumps(_json(found, status), indent=2, default=list) + "\n")
    else:
        explained = any(each.about != SERVICE for each in found)
        paper.end(Counter(each.step.status for each in found), "" if explained else _HINT)
    return STATUS[status]


def _json(found: list[Found], status: str) -> dict[str, Any]:
    explained = [each for each in found if each.about != SERVICE]
    return {
        "status": status,
        "service": [each.step.shown() for each in found if each.about == SERVICE],
        "lookup": explained[0].about.partition(" ")[0] if explained else None,
        "steps": [each.step.shown() for each in explained],
    }


class _Paper:
    """A tree of three levels on a text stream: what it is about, what was found, its details."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._about = ""
        self._skipped: list[Step] = []
        bare = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        self._coloured = out.isatty() and not bare

    def add(self, found: Found) -> None:
        """Print one thing found."""
        if self._skipped and (found.step.status, found.step.message) != _key(self._skipped[0]):
            self._skips()
        if found.step.status == "skipped" and not found.step.details:
            self._skipped.append(found.step)
            return
        if found.about != self._about:
            self.write(f"{chr(10) if self._about else ''}{self._styled(plain(found.about), bold=True)}\n")
            self._about = found.about
        step = found.step
        self._line(step, step.name)
        if step.fix:
            self.write(f"        -> {plain(step.fix)}\n")
        for name, value in step.shown().get("details", {}).items():
            detail = f"          {name}: {plain(_words(value))}"
            self.write(self._styled(detail, fg="bright_black") + "\n")
        self._out.flush()

    def _skips(self) -> None:
        """The steps skipped for one reason, on one line."""
        if self._skipped:
            self._line(self._skipped[0], ", ".join(step.name for step in self._skipped))
        self._skipped = []

    def _line(self, step: Step, names: str) -> None:
        mark = self._styled(f"{_MARKS[step.status]:<4}", fg=_COLOURS[step.status])
        self.write(f"  {mark}  {plain(names)}: {plain(step.message)}\n")

    def end(self, counts: Mapping[str, int], hint: str) -> None:
        """Print what it comes to."""
        self._skips()
        failed, warned = counts["failed"], counts["warn"]
        told = [f"{failed} failed"] * bool(failed) + [f"{warned} to look at"] * bool(warned)
        colour = "red" if failed else "yellow" if warned else "green"
        self.write(f"\n{self._styled(', '.join(told) or 'All is well.', fg=colour)}\n")
        if hint:
            self.write(hint + "\n")

    def write(self, text: str) -> None:
        """Print a text; what the stream has no letters for, escaped."""
        encoding = getattr(self._out, "encoding", None) or "utf-8"
        self._out.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def _styled(self, text: str, **style: Any) -> str:
        return click.style(text, **style) if self._coloured else text


def _key(step: Step) -> tuple[str, str]:
    return step.status, step.message


def _words(value: Any) -> str:
    """A detail on one line."""
    if isinstance(value, Mapping):
        return ": ".join(_words(inner) for inner in value.values())
    if isinstance(value, list | tuple):
        return "; ".join(_words(inner) for inner in value)
    return str(value).lower() if isinstance(value, bool) else str(value)

"""The switch that breaks the demo platform: ``/demo/faults``.

``POST`` adds to the faults of a path prefix (all paths when none is named; null
mends one), ``DELETE`` mends everything, ``GET`` shows what is broken. Where
several prefixes fit, the longer one wins, fault by fault.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from tornado.web import HTTPError, RequestHandler

from scailookup.demo.answers import Envelope
from scailookup.settings import is_loopback

__all__ = ["FAULTS_PATH", "Change", "Fault", "Faults", "FaultsHandler"]

FAULTS_PATH = "/demo/faults"


class Fault(Struct, frozen=True, omit_defaults=True):
    """What is wrong with one path.

    ``status``: an error of that status. ``delay``: seconds before anything else
    happens. ``envelope``: lists come in this one. ``reset``: the connection is cut.
    ``html``: a login page, ``empty``: no body at all, both with status 200 unless
    ``status`` says otherwise. ``redirect``: 302 to another host. ``rate_limit``
    false: keys may ask as often as they like.
    """

    status: int | None = None
    delay: float = 0.0
    envelope: Envelope | None = None
    reset: bool = False
    html: bool = False
    empty: bool = False
    redirect: bool = False
    rate_limit: bool = True


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a ``POST``: what becomes of the faults below ``path``."""

    path: Annotated[str, Meta(pattern="^/")] = "/"
    status: Annotated[int, Meta(ge=400, le=599)] | UnsetType | None = UNSET
    delay: Annotated[float, Meta(ge=0, le=600)] | UnsetType | None = UNSET
    envelope: Envelope | UnsetType | None = UNSET
    reset: bool | UnsetType | None = UNSET
    html: bool | UnsetType | None = UNSET
    empty: bool | UnsetType | None = UNSET
    redirect: bool | UnsetType | None = UNSET
    rate_limit: bool | UnsetType | None = UNSET

    def said(self) -> dict[str, Any]:
        """What the change names, null included."""
        named = msgspec.structs.asdict(self)
        return {name: value for name, value in named.items() if name != "path" and value is not UNSET}


class Faults:
    """What is broken, by path prefix."""

    def __init__(self) -> None:
        self._rules: dict[str, dict[str, Any]] = {}
        self._stopping = asyncio.Event()

    def change(self, change: Change) -> None:
        """Break something, or mend it with None."""
        rule = self._rules.get(change.path, {}) | change.said()
        kept = {name: value for name, value in rule.items() if value is not None}
        if kept:
            self._rules[change.path] = kept
        else:
            self._rules.pop(change.path, None)

    def told(self, body: bytes) -> None:
        """Change what the JSON ``body`` of a ``POST`` names; raises ValueError for what it cannot mean."""
        change = msgspec.json.decode(body, type=Change)  # its errors are ValueErrors
        if not change.said():
            raise ValueError("name at least one of " + ", ".join(Fault.__struct_fields__))
        self.change(change)

    def clear(self) -> None:
        """Mend everything."""
        self._rules.clear()

    def at(self, path: str) -> Fault:
        """What is wrong with this path."""
        found: dict[str, Any] = {}
        for prefix in sorted(self._rules, key=len):
            if path.startswith(prefix):
                found |= self._rules[prefix]
        return Fault(**found)

    def shown(self) -> dict[str, Any]:
        """The rules, as ``/demo/faults`` answers them."""
        return {"faults": [{"path": path, **rule} for path, rule in sorted(self._rules.items())]}

    async def wait(self, delay: float) -> None:
        """Wait for a fault's delay, or until the platform stops."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay)

    def stop(self) -> None:
        """End every delay."""
        self._stopping.set()


class FaultsHandler(RequestHandler):
    """The switch itself. Anybody on this machine may throw it, nobody else."""

    def initialize(self, faults: Faults) -> None:
        self.faults = faults

    def prepare(self) -> None:
        """Refuse other machines, and web pages that reach this one through a browser."""
        if not is_loopback(self.request.remote_ip or "") or "Origin" in self.request.headers:
            raise HTTPError(403, "the switch is for this machine only")

    def get(self) -> None:
        """What is broken."""
        self.finish(self.faults.shown())

    def post(self) -> None:
        """Break something."""
        try:
            self.faults.told(self.request.body)
        except ValueError as exc:
            raise HTTPError(400, "%s", str(exc)) from None
        self.finish(self.faults.shown())

    def delete(self) -> None:
        """Mend everything."""
        self.faults.clear()
        self.finish(self.faults.shown())

    def log_exception(self, *exc_info: Any) -> None:
        """A mistyped fault is told to the one who typed it, not to the log."""
        if not isinstance(exc_info[1], HTTPError):
            super().log_exception(*exc_info)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Errors of the switch are JSON too."""
        problem = (kwargs.get("exc_info") or (None, None))[1]
        message = problem.get_message() if isinstance(problem, HTTPError) else None
        self.finish({"error": {"message": message or self._reason}})

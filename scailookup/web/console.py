"""The page for people: its files, what it must know before anybody signed in, and the demo's switch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit

from scailookup.errors import InvalidParameter
from scailookup.settings import Settings
from scailookup.version import __version__
from scailookup.web.guard import OPEN, Need
from scailookup.web.handler import Handler
from scailookup.web.router import Routes, Target
from scailookup.web.static import CONSOLE, PICKERS, static_target

__all__ = ["Demo", "add_console"]

# Pages of other origins load the pickers; which of them may is CORS's word.
_ANYWHERE = {"Cross-Origin-Resource-Policy": "cross-origin"}
_OURS = {"Cross-Origin-Resource-Policy": "same-origin"}


class Switch(Protocol):
    """What breaks and mends the demo's platform."""

    def shown(self) -> dict[str, Any]:
        """What is broken."""

    def told(self, body: bytes) -> None:
        """Break or mend what ``body`` names; raises ValueError for what it cannot mean."""

    def clear(self) -> None:
        """Mend everything."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo adds to the page. ``tokens`` by name; the switch of its platform's faults."""

    switch: Switch
    tokens: Mapping[str, str] = field(repr=False)


def add_console(routes: Routes, settings: Settings, demo: Demo | None, forget: Callable[[], None]) -> None:
    """Mount the page at ``/console``, and all it loads below. ``forget`` empties the cache."""
    for name in PICKERS:
        routes.add(f"/console/{name}", static_target("pickers", name, _ANYWHERE))
    for name in CONSOLE:
        routes.add(f"/console/{name}", static_target("console", name, _OURS))
    routes.add("/console", static_target("console", "index.html", page_headers(settings)))
    facts = {"facts": page_facts(settings, demo)}
    routes.add("/console/facts.json", Target(FactsHandler, "console", facts))
    if demo is not None:
        options = {"switch": demo.switch, "forget": forget}
        routes.add("/console/faults", Target(FaultsHandler, "console", options))


def page_headers(settings: Settings) -> dict[str, str]:
    """The page's policy: our own files and nothing else; ScaiKey is asked where people sign in there."""
    signing = sign_in(settings)
    parts = urlsplit(signing["issuer"]) if signing else None
    asked = f"'self' {parts.scheme}://{parts.netloc}" if parts else "'self'"
    return {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            f"connect-src {asked}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        ),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
        **_OURS,
    }


def sign_in(settings: Settings) -> dict[str, Any] | None:
    """What the page needs to have people sign in with ScaiKey; None when that is not configured."""
    if settings.auth_disabled or not (settings.scaikey_url and settings.scaikey_client_id):
        return None
    return {"issuer": settings.scaikey_url, "client_id": settings.scaikey_client_id}


def page_facts(settings: Settings, demo: Demo | None) -> dict[str, Any]:
    """What anybody may know: the version, how to sign in, and the demo's worthless tokens."""
    return {
        "version": __version__,
        "developer": settings.dev_tenant if settings.auth_disabled else None,
        "sign_in": sign_in(settings),
        "demo": None if demo is None else {"tokens": dict(demo.tokens)},
    }


class FactsHandler(Handler):
    """GET what the page must know before anybody signed in."""

    needs: ClassVar[Mapping[str, Need]] = {"GET": OPEN}
    facts: Mapping[str, Any]

    async def get(self) -> None:
        """200, the same for everybody."""
        self.send_json(self.facts)


class FaultsHandler(Handler):
    """The demo's switch, on the page's own origin. Who may look may break: the platform is made up.

    It takes the token in a header, which no page of another origin can have a browser send.
    What is held in memory goes with each change, so that the change is seen at once.
    """

    max_body: ClassVar[int] = 1024
    switch: Switch
    forget: Callable[[], None]

    async def get(self) -> None:
        """200 with what is broken."""
        self.send_json(self.switch.shown())

    async def post(self) -> None:
        """Break or mend one thing; 200 with what is broken then."""
        try:
            self.switch.told(self.request.body)
        except ValueError as exc:
            raise InvalidParameter("body", str(exc), "Send a fault as `scailookup demo` shows.") from None
        self.forget()
        await self.get()

    async def delete(self) -> None:
        """Mend everything; 200."""
        self.switch.clear()
        self.forget()
        await self.get()

"""Why a lookup answers as it does for the caller: each step with its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

from scailookup.errors import IdentityUnavailable, InvalidParameter, Unauthenticated
from scailookup.explain import Asked, Explainer, rest, token_refused, worst
from scailookup.lookup import Bound, parse_query, parse_values, unquote
from scailookup.web.guard import ANY_CALLER, Need
from scailookup.web.handler import Handler
from scailookup.web.lookups import FailedPluginHandler, LookupHandler, failed
from scailookup.web.router import PREFIXES, Routes, Target

__all__ = ["ExplainHandler", "Explanations", "add_explain"]

_PARAMETER = "lookup"
_FIX = "Send lookup=, a path that GET /api/v1/lookups names, with its values, encoded as a query value."
# What may stand in a raw path as it is; the rest is encoded for who did not.
_RAW = "/%:@!$&'()*+,;=~"


@dataclass(frozen=True, slots=True)
class Explanations:
    """The lookups that can be explained, by the table of routes, and who explains them."""

    routes: Routes
    explainer: Explainer

    def asked(self, text: str) -> Asked:
        """The lookup that ``text`` names: a path below either prefix and perhaps a query, as in a URL.

        Raises InvalidParameter for what is none, PluginFailed where its plugin is not there.
        """
        path, _, query = text.partition("?")
        found = self.routes.find(f"{PREFIXES[0]}/{quote(path.removeprefix('/'), safe=_RAW)}")
        target, raw = found or (Target(Handler, ""), {})
        if target.handler is FailedPluginHandler:
            raise failed(target.options["plugin"])
        if target.handler is not LookupHandler:
            raise InvalidParameter(_PARAMETER, "lookup names no lookup that there is", _FIX)
        lookup = target.options["lookup"]
        values = parse_values(lookup, raw)
        selection = parse_query(query, lookup)
        return Asked(Bound(target.options["upstream"], lookup, values, selection.handed), selection)


def add_explain(routes: Routes, explainer: Explainer) -> Explanations:
    """Mount the route on both prefixes."""
    explanations = Explanations(routes, explainer)
    for prefix in PREFIXES:
        target = Target(ExplainHandler, "explain", {"explanations": explanations})
        routes.add(f"{prefix}/explain", target)
    return explanations


class ExplainHandler(Handler):
    """GET the steps of one lookup for the caller: all of them for who administers, else the own ones."""

    needs: ClassVar[dict[str, Need]] = {"GET": ANY_CALLER}
    explanations: Explanations

    async def prepare(self) -> None:
        """As everywhere; a token that is refused is told by its checks besides."""
        try:
            await super().prepare()
        except (Unauthenticated, IdentityUnavailable) as exc:
            steps = [token_refused(exc), *rest("token", "nobody is known without a token")]
            exc.extra["steps"] = [step.shown() for step in steps]
            raise

    async def get(self) -> None:
        """200 with the steps; one that failed is what the answer is about, not a failure of it."""
        assert self.caller is not None
        explainer = self.explanations.explainer
        asked = self.explanations.asked(_text(self.request.query))
        whole = explainer.sees_whole(self.caller)
        steps = [step async for step in explainer.explain(asked, self.caller, self.trace, whole=whole)]
        answer: dict[str, Any] = {"lookup": asked.path, "status": worst(steps), "whole": whole}
        self.send_json({**answer, "steps": [step.shown() for step in steps]})


def _text(raw: str) -> str:
    """The one parameter, decoded once; raises InvalidParameter."""
    given = [part.partition("=") for part in raw.split("&") if part]
    for name, _, _ in given:
        if name != _PARAMETER:
            raise InvalidParameter("query", "/explain takes no parameter but lookup", _FIX)
    values = [unquote(value.replace("+", " ")) for _, _, value in given]
    if len(values) != 1 or not values[0]:
        wrong = "is missing" if not values else "is given twice" if len(values) > 1 else "is no lookup's path"
        raise InvalidParameter(_PARAMETER, f"lookup {wrong}", _FIX)
    return values[0]

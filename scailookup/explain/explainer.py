"""One explanation from the token to the cache."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

from scailookup.credentials import Watched
from scailookup.errors import (
    Forbidden,
    MissingCredentials,
    ScailookupError,
    SecretsUnavailable,
    UpstreamError,
)
from scailookup.explain import outcome, way, who
from scailookup.explain.pace import Pace
from scailookup.explain.steps import FAILED, SKIPPED, Asked, Step, rest
from scailookup.identity import Permissions
from scailookup.log import scrubber
from scailookup.lookup import Lookups, Place, Trial
from scailookup.model import Caller, Trace, forms
from scailookup.seams import Secrets
from scailookup.settings import Settings
from scailookup.transport import Circuits, address_of

__all__ = ["WHOLE_ROLES", "Explainer"]

WHOLE_ROLES = frozenset({"tenant_admin", "super_admin"})
"""Who is shown every step; others are shown what concerns themselves."""
_NOT_SHOWN = "shown to tenant_admin and super_admin"


@dataclass(frozen=True, slots=True)
class Explainer:
    """Explains lookups with the parts of a service. ``running``: lookups are served from them, too."""

    settings: Settings
    secrets: Secrets
    permissions: Permissions
    lookups: Lookups
    circuits: Circuits
    running: bool = True
    pace: Pace = field(default_factory=Pace)

    def sees_whole(self, caller: Caller) -> bool:
        """Whether the caller may see more than the own token and permission."""
        try:
            self.permissions.require_role(caller, WHOLE_ROLES)
        except Forbidden:
            return False
        return True

    async def explain(
        self, asked: Asked, caller: Caller, trace: Trace, *, whole: bool
    ) -> AsyncIterator[Step]:
        """Each step as it is taken, in the order of ``NAMES``; ``caller`` is who was authenticated.

        It asks the upstream for real and keeps nothing of the answer. No step holds a secret.
        """
        # Whatever is told passes here; the list grows by the credential once that is chosen.
        secrets = forms(caller.token or "")
        async for step in self._steps(asked, caller, trace, whole, secrets):
            yield _clean(step, secrets)

    async def _steps(
        self, asked: Asked, caller: Caller, trace: Trace, whole: bool, secrets: list[str]
    ) -> AsyncIterator[Step]:
        yield who.token(caller)
        granted = await who.permission(self.permissions, asked, caller, trace)
        yield granted
        if granted.status == FAILED or not whole:
            why = "the caller lacks the permission" if granted.status == FAILED else _NOT_SHOWN
            for step in rest("permission", why):
                yield step
            return
        watched = Watched(self.settings, self.secrets, asked.bound.upstream)
        trial = Trial(self.lookups, watched)
        deadline = trial.deadline(asked.bound)
        try:
            place = await trial.choose(asked.bound, caller, deadline)
        except (MissingCredentials, SecretsUnavailable) as exc:
            yield way.credential_failed(exc, watched, self.settings)
            for step in rest("credential", "there is no credential to ask with"):
                yield step
            return
        secrets += place.grant.forms()
        yield way.credential(place, watched, self.settings)
        yield way.address(place, asked)
        async for step in self._asking(trial, place, asked, trace, deadline):
            yield step

    async def _asking(
        self, trial: Trial, place: Place, asked: Asked, trace: Trace, deadline: float
    ) -> AsyncIterator[Step]:
        """What goes over the network, where the pace allows it; and what memory knows."""
        key = place.caller.tenant, asked.bound.upstream.name
        wait = self.pace.enter(key)
        if wait:
            for step in rest("address", f"explanations have a pace; have it explained again in {wait} s"):
                yield self._cache(trial, place) if step.name == "cache" else step
            return
        retry_after: int | None = None
        try:
            async for step in way.network(place, self.settings, deadline):
                yield step
            call, answer, retry_after = await self._asked(trial, place, asked, trace, deadline)
        finally:
            self.pace.leave(key, retry_after)
        yield call
        yield answer
        yield self._cache(trial, place)

    async def _asked(
        self, trial: Trial, place: Place, asked: Asked, trace: Trace, deadline: float
    ) -> tuple[Step, Step, int | None]:
        """The call and the answer; and for how long the upstream wants not to be asked."""
        remembered = trial.known(place).failure
        if remembered is not None and remembered.upstream_status == 429:
            return *outcome.not_asked(remembered), remembered.retry_after
        started = monotonic()
        try:
            served = await trial.ask(place, trace, deadline)
        except ScailookupError as exc:
            limited = isinstance(exc, UpstreamError) and exc.upstream_status == 429
            wait = exc.extra.get("retry_after") if limited else None
            return *outcome.refused(trial, exc, asked, monotonic() - started), wait
        return *outcome.answered(trial, served, asked, monotonic() - started), None

    def _cache(self, trial: Trial, place: Place) -> Step:
        if not self.running:
            return Step("cache", SKIPPED, "what a running service remembers is in its own memory")
        base = place.grant.base_url
        circuit = self.circuits.state(address_of(base)) if base else ("closed", 0)
        return outcome.cached(trial.known(place), circuit, shared=self.settings.cache_url is not None)


def _clean(step: Step, secrets: Iterable[str]) -> Step:
    """The step without any secret known."""
    cleaned: dict[str, Any] = _scrubbed(step.details, secrets)
    return replace(
        step, message=scrubber(step.message, *secrets), fix=scrubber(step.fix, *secrets), details=cleaned
    )


def _scrubbed(value: Any, secrets: Iterable[str]) -> Any:
    if isinstance(value, str):
        return scrubber(value, *secrets)
    if isinstance(value, Mapping):
        return {name: _scrubbed(inner, secrets) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(inner, secrets) for inner in value]
    return value

"""The same chain with somebody watching: what was passed over and why, which secrets were looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from scailookup.credentials.chain import Credentials, Look
from scailookup.declare import Upstream
from scailookup.errors import SecretsUnavailable
from scailookup.model import Caller, Grant
from scailookup.seams import Secrets
from scailookup.settings import Settings

__all__ = ["Looked", "Watched"]


class Looked(NamedTuple):
    """A secret's path and what was there: ``found``, ``nothing`` or ``failed``; never its value."""

    path: str
    outcome: str


class Watched(Credentials):
    """Chooses as ``Credentials`` does, over the same secrets, and keeps how it came to that.

    ``passed`` holds the steps not used for ``upstream`` and why, ``looked`` the paths, ``said`` what
    is worth a warning; all of the last choice made. Made for one explanation.
    """

    def __init__(self, settings: Settings, secrets: Secrets, upstream: Upstream) -> None:
        super().__init__(settings, secrets)
        self._upstream = upstream
        self.passed: dict[str, str] = {}
        self.looked: list[Looked] = []
        self.said: dict[str, str] = {}

    def recall(self, upstream: Upstream, caller: Caller) -> Grant | None:
        """None: what is explained is chosen in full."""
        return None

    def doubt(self, upstream: Upstream, caller: Caller) -> None:
        """An explanation changes nothing for those who ask in earnest."""

    def _chain(self, upstream: Upstream, caller: Caller, look: Look) -> Grant:
        if upstream is not self._upstream:  # a source, whose credential is a matter of its own
            kept = self.passed, self.looked, self.said
            try:
                return super()._chain(upstream, caller, look)
            finally:
                self.passed, self.looked, self.said = kept
        # It begins anew for each secret that had to be fetched.
        self.passed, self.looked, self.said = {}, [], {}

        def seen(path: str) -> Mapping[str, str] | None:
            try:
                value = look(path)
            except SecretsUnavailable:
                self.looked.append(Looked(path, "failed"))
                raise
            self.looked.append(Looked(path, "found" if value else "nothing"))
            return value

        return super()._chain(upstream, caller, seen)

    def _pass_over(self, step: str, reason: str) -> None:
        self.passed[step] = reason

    def _warn(self, event: str, tenant: str, reason: str) -> None:
        """Kept, not logged: the service itself logs it once."""
        self.said[event] = reason

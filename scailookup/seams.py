"""The Protocols that the rooms are joined by; tests put their fakes here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from scailookup.model import Call, Errand, Judged, Reply, Request, Trace

__all__ = ["Fetch", "Judge", "Secret", "SecretStore", "Secrets", "Spans", "WayOut"]

_T = TypeVar("_T")
Secret = Mapping[str, str]
Judge = Callable[[Reply], Awaitable[Judged[_T]]]


class Fetch(Protocol):
    """Send one request; the only thing the rooms know of the transport.

    ``deadline`` is a time of ``time.monotonic``, which is the loop's clock too. Raises CallFailed.
    """

    def __call__(self, request: Request, *, deadline: float) -> Awaitable[Reply]: ...


class SecretStore(Protocol):
    """Where secrets lie. A secret is a flat mapping of strings."""

    name: str

    async def read(self, path: str) -> Secret | None:
        """The secret at ``path``, None when there is none; raises SecretsUnavailable."""

    async def write(self, path: str, data: Secret) -> None:
        """Set or replace the secret; raises SecretsUnavailable."""

    async def probe(self) -> None:
        """Raise SecretsUnavailable unless the store answers and knows us."""

    async def close(self) -> None:
        """Stop what runs in the background."""


class Secrets(Protocol):
    """Secrets as the rooms above use them: held, coalesced, kept through outages."""

    async def get(self, path: str, *, fresh: bool = False) -> Secret | None:
        """The secret at ``path``, None when there is none; raises SecretsUnavailable."""

    def held(self, path: str) -> Secret | None:
        """The same from memory alone; raises LookupError when a fresh value is not held."""

    def doubt(self, path: str) -> None:
        """Ask the store before answering ``path`` again: what is held was refused."""

    async def put(self, path: str, data: Secret) -> None:
        """Set or replace the secret; raises SecretsUnavailable."""


class WayOut(Protocol):
    """The transport, as a lookup sees it: the one way to an upstream."""

    async def call(self, errand: Errand, judge: Judge[_T]) -> _T:
        """Make one call and have ``judge`` read the reply; raises CallFailed or Overloaded."""


class Spans(Protocol):
    """What is told of each request and each upstream call, where they are traced."""

    def begin(self, trace: Trace, seconds_ago: float = 0.0) -> Trace:
        """A request has come; its trace from now on, which upstream calls belong to."""

    def end(
        self,
        trace: Trace,
        *,
        route: str,
        method: str,
        status: int,
        error: str | None,
        tenant: str | None,
        outcome: str,
    ) -> None:
        """The request is answered."""

    def call(self, errand: Errand) -> Errand:
        """A call begins; it is sent with the trace that the errand has now."""

    def called(self, errand: Errand, call: Call) -> None:
        """The call of ``errand`` has ended."""

    def close(self, seconds: float) -> None:
        """Send what is left, within ``seconds``; blocks for as long."""

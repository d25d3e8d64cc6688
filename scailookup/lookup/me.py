"""Asking ScaiGrid what a caller may: ``GET /v1/me`` with the caller's own token."""

from __future__ import annotations

from time import monotonic
from typing import Any

from scailookup.model import Caller, Errand, Grant, Judged, Reply, Trace
from scailookup.replies import judge
from scailookup.seams import WayOut

__all__ = ["PATH", "ask_me"]

PATH = "/v1/me"


def ask_me(way_out: WayOut, grid_url: str, seconds: float) -> Any:
    """The question as identity asks it; ``seconds`` is its deadline. It raises CallFailed or Overloaded."""

    async def ask(caller: Caller, trace: Trace) -> Any:
        token = caller.token or ""
        grant = Grant("caller", grid_url, (("Authorization", f"Bearer {token}"),), token)
        errand = Errand(
            upstream="scaigrid",
            lookup="me",
            tenant=caller.tenant,
            url=grid_url + PATH,
            template=grid_url + PATH,
            grant=grant,
            trace=trace,
            deadline=monotonic() + seconds,
        )
        return await way_out.call(errand, _judged)

    return ask


async def _judged(reply: Reply) -> Judged[Any]:
    return Judged(judge(reply))

"""How each upstream does: what the page for people draws. Nothing of any tenant is in it."""

from __future__ import annotations

from typing import Any

from scailookup.declare import Upstream
from scailookup.history import SPAN, STEP
from scailookup.plugins import Plugins
from scailookup.transport import Circuits, address_of
from scailookup.web.handler import Handler
from scailookup.web.router import PREFIXES, Routes, Target

__all__ = ["UpstreamsHandler", "add_upstreams"]


def add_upstreams(routes: Routes, plugins: Plugins, circuits: Circuits) -> None:
    """Mount the route on both prefixes."""
    options = {"plugins": plugins, "circuits": circuits}
    for prefix in PREFIXES:
        routes.add(f"{prefix}/upstreams", Target(UpstreamsHandler, "upstreams", options))


class UpstreamsHandler(Handler):
    """GET the state of every upstream, as this process has seen it."""

    plugins: Plugins
    circuits: Circuits

    async def get(self) -> None:
        """200: ``span`` and ``step`` in seconds, and per upstream its circuit, last error, calls, times."""
        entries = [
            {
                "name": upstream.name,
                "summary": upstream.summary,
                "plugin": {"name": p.name, "distribution": p.distribution, "version": p.version},
                "circuit": self._circuit(upstream),
                **self.web.history.of(upstream.name),
            }
            for p, upstream in self.plugins.upstreams
        ]
        self.send_json({"span": SPAN, "step": STEP, "data": entries})

    def _circuit(self, upstream: Upstream) -> dict[str, Any]:
        state, left = self.circuits.state(address_of(upstream.base_url))
        return {"state": state, "retry_after": left}

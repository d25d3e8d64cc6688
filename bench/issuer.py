"""A ScaiKey for the benchmark: discovery, keys, and ``GET /mint?count=N`` for the tokens of N tenants."""

from __future__ import annotations

import asyncio
import json
import sys

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from scailookup.demo.issuer import Issuer

__all__ = ["MintHandler"]


class MintHandler(RequestHandler):
    """RS256 tokens of viewers, one tenant each."""

    def initialize(self, issuer: Issuer) -> None:
        """Take the issuer that signs."""
        self.issuer = issuer

    def get(self) -> None:
        """A JSON list of tokens; the same tenant stands at the same place in every answer."""
        count = int(self.get_argument("count"))
        tokens = [
            self.issuer.issue(f"usr_{n}", f"tnt_{n:04}", roles=("tenant_viewer",)) for n in range(count)
        ]
        self.finish({"tokens": tokens})


async def _serve() -> None:
    sockets = bind_sockets(0, "127.0.0.1")
    port = sockets[0].getsockname()[1]
    issuer = Issuer(f"http://127.0.0.1:{port}")
    server = HTTPServer(Application([*issuer.routes(), ("/mint", MintHandler, {"issuer": issuer})]))
    server.add_sockets(sockets)
    print(json.dumps({"port": port, "audience": issuer.audience}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(_serve()))

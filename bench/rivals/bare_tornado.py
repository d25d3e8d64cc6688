"""Tornado with nothing on it: a RequestHandler that writes the bytes of a file."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

__all__ = ["ReadyHandler"]


class ReadyHandler(RequestHandler):
    """The same bytes for everybody."""

    def initialize(self, payload: bytes) -> None:
        """Take the bytes."""
        self.payload = payload

    def get(self) -> None:
        """200 with the bytes."""
        self.set_header("Content-Type", "application/json")
        self.finish(self.payload)


async def _serve(path: str) -> None:
    payload = Path(path).read_bytes()
    server = HTTPServer(Application([("/.*", ReadyHandler, {"payload": payload})]))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    print(json.dumps({"port": sockets[0].getsockname()[1]}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(_serve(sys.argv[1])))

"""Tornado as a proxy in the usual way: its curl client, the json module, a RequestHandler."""

from __future__ import annotations

import asyncio
import json
import sys

from tornado.curl_httpclient import CurlAsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from bench.rivals.normal import listing

__all__ = ["ProxyHandler"]


class ProxyHandler(RequestHandler):
    """Fetch, decode, normalise, encode."""

    def initialize(self, client: CurlAsyncHTTPClient, url: str) -> None:
        """Take the client and the upstream's address."""
        self.client, self.url = client, url

    async def get(self) -> None:
        """200 with the upstream's list in our form."""
        authorization = self.request.headers.get("Authorization", "")
        reply = await self.client.fetch(self.url, headers={"Authorization": authorization})
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(listing(json.loads(reply.body))))


async def _serve(url: str) -> None:
    client = CurlAsyncHTTPClient(max_clients=100)
    server = HTTPServer(Application([("/.*", ProxyHandler, {"client": client, "url": url})]))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    print(json.dumps({"port": sockets[0].getsockname()[1]}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(_serve(sys.argv[1])))

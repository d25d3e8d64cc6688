"""The same proxy on FastAPI and httpx, one uvicorn worker with all of its accelerators."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from bench.rivals.normal import listing

__all__ = ["application"]


def application(url: str) -> FastAPI:
    """The application, with one client for its whole life."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with httpx.AsyncClient(trust_env=False) as client:
            app.state.client = client
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/{path:path}")
    async def lookup(request: Request) -> JSONResponse:
        authorization = request.headers.get("Authorization", "")
        reply = await app.state.client.get(url, headers={"Authorization": authorization})
        reply.raise_for_status()
        return JSONResponse(listing(reply.json()))

    return app


def _serve(url: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = uvicorn.Config(application(url), log_level="warning", access_log=False)
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    sys.exit(_serve(sys.argv[1]))

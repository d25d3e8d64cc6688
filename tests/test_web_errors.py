"""The errors that no client can bring about from outside, each with its whole body."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import contextmanager
from typing import ClassVar

import pytest
from fakes import settings
from pluggy import PluginManager
from structlog.testing import capture_logs
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from scailookup.auth import Anonymous
from scailookup.cache import Ages, Memory
from scailookup.credentials import Credentials
from scailookup.declare import Lookup, Upstream
from scailookup.errors import Overloaded
from scailookup.identity import Permissions
from scailookup.lookup import Limits, Lookups
from scailookup.metrics import Metrics
from scailookup.model import Caller
from scailookup.plugins import Plugin, Plugins
from scailookup.secrets import HeldSecrets
from scailookup.web.guard import OPEN, Guard
from scailookup.web.handler import Handler
from scailookup.web.router import Target
from scailookup.web.site import public_site
from scailookup.web.state import Web

GOOD = Plugin(
    "weather",
    "scailookup-weather",
    "1.0",
    "weather",
    (Upstream("weather", "http://weather.example", Anonymous(), (Lookup("stations", "/stations"),)),),
)
BROKEN = Plugin("tides", "scailookup-tides", "2.0", "tides", reason="ImportError: no module named moon")


class Faulty(Handler):
    """A handler with a fault of its own."""

    needs: ClassVar = {"GET": OPEN}

    async def get(self) -> None:
        """Fail with something secret in the text."""
        raise RuntimeError("planted-internal-text")


class Setter(Handler):
    """A handler that changes something for the caller."""

    async def post(self) -> None:
        """Done."""
        self.send_json({})


class Full:
    """A way out with no place left."""

    async def call(self, errand, judge):
        """Always overloaded."""
        raise Overloaded("too many calls to this upstream are under way", retry_after=2)


@contextmanager
def faults():
    """What Tornado logs of exceptions that nobody caught."""
    records = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = records.append
    logger = logging.getLogger("tornado.application")
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)


async def nobody(caller, trace):
    """Nobody has to be asked."""
    raise AssertionError("not asked")


def site():
    """The routes of a service with a good plugin, a broken one and a faulty handler."""
    web = Web(Guard(None, Permissions(("claims",), nobody), Caller("dev", "dev", everything=True)), Metrics())
    lookups = Lookups(
        Limits(5, 5, 100),
        Memory(Ages(15, 60, 300, 1)),
        Credentials(settings(SCAIFLOW_AUTH_DISABLED="true"), HeldSecrets(None, fresh=60, hold=600)),
        Full(),
    )
    routes = public_site(web, Plugins((GOOD, BROKEN), PluginManager("scailookup")), lookups, lambda: None)
    routes.add("/faulty", Target(Faulty, "faulty"))
    routes.add("/setter", Target(Setter, "setter"))
    return routes


async def ask(path, method="GET", **headers):
    """Status, the headers asked about, and the body of one request."""
    sock, port = bind_unused_port()
    server = HTTPServer(site())
    server.add_socket(sock)
    try:
        reply = await AsyncHTTPClient(force_instance=True).fetch(
            f"http://127.0.0.1:{port}{path}",
            method=method,
            allow_nonstandard_methods=True,
            headers={"X-Request-ID": "r1", **headers},
            raise_error=False,
        )
    finally:
        server.stop()
        await server.close_all_connections()
    return reply.code, reply.headers.get("Retry-After"), reply.headers["Content-Type"], json.loads(reply.body)


@pytest.mark.gen_test
async def test_internal():
    """A fault of ours shows nothing but the request id."""
    body = {
        "detail": {
            "error": "internal",
            "message": "internal error",
            "fix": "Tell the operator the request id; the log holds the cause under it.",
            "request_id": "r1",
        }
    }
    assert (500, None, "application/json", body) == await ask("/faulty")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"}, 403),
    ],
)
async def test_a_strangers_page_changes_nothing(headers, status):
    """With authentication off no token holds a foreign page back: what a browser says of it does."""
    assert status == (await ask("/setter", "POST", **headers))[0]


@pytest.mark.gen_test
async def test_overloaded():
    """A queue that is too long is a 503 that says when to come back."""
    body = {
        "detail": {
            "error": "overloaded",
            "message": "too many calls to this upstream are under way",
            "fix": "Try again shortly; if it stays, the operator must add workers or hosts.",
            "retry_after": 2,
            "request_id": "r1",
        }
    }
    assert (503, "2", "application/json", body) == await ask("/api/v1/weather/stations")


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/api/v1/tides/ports", "/v1/tides", "/v1/tides/a/b/c"])
async def test_plugin_failed(path):
    """Every route below the name of a plugin that did not load says so; the reason stays inside."""
    body = {
        "detail": {
            "error": "plugin_failed",
            "message": "the plugin tides did not load",
            "fix": "The operator must mend or disable tides of scailookup-tides 2.0 "
            "(`scailookup plugins` says why it failed).",
            "request_id": "r1",
        }
    }
    assert (503, None, "application/json", body) == await ask(path)


@pytest.mark.gen_test
@pytest.mark.parametrize(("path", "events"), [("/faulty", ["internal_error"]), ("/v1/tides", [])])
async def test_only_faults_of_ours_are_logged_as_such(path, events):
    """A fault leaves its traceback in the log, an expected failure does not."""
    with capture_logs() as logged:
        await ask(path)
    assert events == [event["event"] for event in logged if event["log_level"] == "error"]


@pytest.mark.gen_test
async def test_an_unknown_method_is_no_fault():
    """A method that nobody knows is a 405, and nothing for the log to complain of."""
    with capture_logs() as logged:
        status = (await ask("/api/v1/weather/stations", "BREW"))[0]
    assert (405, []) == (status, [event for event in logged if event["log_level"] == "error"])


@pytest.mark.gen_test
@pytest.mark.parametrize("length", [b"\xb2", b"9" * 5000, b"-1", b"1,2"])
async def test_a_length_that_is_none_is_no_fault(length):
    """A Content-Length that no number can be made of is refused, and nothing for the log to complain of."""
    sock, port = bind_unused_port()
    server = HTTPServer(site())
    server.add_socket(sock)
    with capture_logs() as logged, faults() as complaints:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/lookups HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n")
        answer = await reader.read()
        writer.close()
    server.stop()
    await server.close_all_connections()
    assert (b"HTTP/1.1 400", [], []) == (
        answer[:12],
        complaints,
        [event for event in logged if event["log_level"] == "error"],
    )

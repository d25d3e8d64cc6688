"""Fakes for unit tests, one at each seam: the clock, Fetch, Secrets; and a loopback server of raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import hypothesis
import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from scailookup.cache import Ages, Memory
from scailookup.credentials import Credentials
from scailookup.declare import Upstream
from scailookup.lookup import Bound, Limits, Lookups
from scailookup.model import Call, Caller, Reply, Request, Served, Trace
from scailookup.settings import Settings, load
from scailookup.testing import FakeSecrets, reply
from scailookup.transport import Door

# A loaded machine is slow, and no test here is about time.
hypothesis.settings.register_profile(
    "calm", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("calm")

BASICS = {"SCAIKEY_BASE_URL": "https://scaikey.example", "SCAIKEY_AUDIENCE": "app_scaiflow"}

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


TEXT = st.text()
LATIN = st.text(st.characters(max_codepoint=255))


def json_with(*names: str) -> st.SearchStrategy[Any]:
    """Arbitrary JSON whose objects often use ``names``."""
    key = st.sampled_from(names) | st.text(max_size=5)
    return st.recursive(
        SCALARS | st.sampled_from(names),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(key, inner, max_size=6),
        max_leaves=25,
    )


def settings(**names: str) -> Settings:
    """Sound settings, with these variables besides; a plugin ``weather`` is there."""
    return load({**BASICS, **names}, system_file=None, plugins=["weather"])


class FakeClock:
    """A clock that goes when told."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeFetch:
    """A Fetch that answers each url as told: a Reply, an exception, a body, or a function of the request.

    While ``gate`` is an event, every request waits for it.
    """

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        self.answers = dict(answers or {})
        self.requests: list[Request] = []
        self.deadlines: list[float] = []
        self.gate: asyncio.Event | None = None

    @property
    def urls(self) -> list[str]:
        """The urls asked for, in order."""
        return [request.url for request in self.requests]

    async def __call__(self, request: Request, *, deadline: float) -> Reply:
        self.requests.append(request)
        self.deadlines.append(deadline)
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answers.get(request.url, Reply(404, {}, b"{}"))
        answer = answer(request) if callable(answer) else answer
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, Reply) else reply(answer)


class Asked:
    """Lookups over a real door: ``fetch`` answers, ``ask`` looks one lookup up for tenant ``tnt_acme``."""

    def __init__(
        self, answers: Mapping[str, Any] | None = None, secrets: Mapping[str, Any] | None = None, **more: Any
    ) -> None:
        self.fetch = FakeFetch(answers)
        self.calls: list[Call] = []
        self.secrets = FakeSecrets(secrets)
        self.clock = FakeClock()
        self.token = "j.w.t"
        names = {name: more.pop(name) for name in list(more) if name.isupper()}
        self.settings = settings(**names)
        ages = Ages(
            **{"fresh": 0.0, "stale": 0.0, "stale_if_error": 0.0, "failure": 0.0} | more.pop("ages", {})
        )
        limits = Limits(**{"deadline": 30.0, "pages": 20, "rows": 1000} | more)
        self.door = Door(lambda upstream: self.fetch, self.calls.append)
        self.lookups = Lookups(
            limits, Memory(ages, clock=self.clock), Credentials(self.settings, self.secrets), self.door
        )

    async def ask(
        self,
        upstream: Upstream,
        name: str | None = None,
        handed: Mapping[str, str] | None = None,
        **values: str,
    ) -> Served:
        """One lookup of an upstream, the first where none is named."""
        found = [look for look in upstream.lookups if name in (None, look.name)]
        bound = Bound(upstream, found[0], values, tuple((handed or {}).items()))
        return await self.lookups.answer(bound, Caller("usr_1", "tnt_acme", self.token), Trace("req-1"))


def said(served: Served) -> dict[str, Any]:
    """The body of an answer."""
    found: dict[str, Any] = msgspec.json.decode(served.form.body)
    return found


@dataclass(frozen=True)
class Says:
    """What a Wire does with one request: send ``data``, then keep, close, reset or hang."""

    data: bytes = b""
    then: str = "keep"


def ok(body: bytes = b"{}", *lines: str, status: str = "200 OK") -> Says:
    """A complete answer on a connection that stays open."""
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines))
    return Says(head.encode() + b"\r\n" + body)


class Wire:
    """A loopback server of raw bytes: it keeps what came in and says what it is told, in turn."""

    def __init__(self, says: list[Says]) -> None:
        self._says = says
        self.requests: list[bytes] = []
        self.connections = 0
        self.tasks: list[asyncio.Task[None] | None] = []
        self.gone = asyncio.Event()
        self.asked = asyncio.Event()
        self.port = 0

    def lines(self, number: int = 0) -> list[str]:
        """The lines of a request, the first one and its headers."""
        return self.requests[number].decode("latin-1").rstrip("\r\n").split("\r\n")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from start to end."""
        self.connections += 1
        self.tasks.append(asyncio.current_task())
        try:
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                self.asked.set()
                say = self._says.pop(0) if len(self._says) > 1 else self._says[0]
                writer.write(say.data)
                await writer.drain()
                if say.then == "hang":
                    await reader.read()
                if say.then == "reset":
                    sock = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if say.then != "keep":
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.gone.set()
            writer.close()


@contextlib.asynccontextmanager
async def wire(*says: Says, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """A Wire that listens while the block runs."""
    made = Wire(list(says) or [ok()])
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in made.tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*filter(None, made.tasks), return_exceptions=True)


def jwks(*keys: tuple[str, Any]) -> dict[str, Any]:
    """The key set of these ``(kid, private key)``."""
    return {"keys": [_jwk(kid, key) for kid, key in keys]}


def _jwk(kid: str, key: Any) -> dict[str, Any]:
    kind, alg = (RSAAlgorithm, "RS256") if isinstance(key, rsa.RSAPrivateKey) else (ECAlgorithm, "ES256")
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", "alg": alg}


class NoWayOut:
    """A way out that nobody may take."""

    async def call(self, errand: Any, judge: Any) -> Any:
        """Fail the test."""
        raise AssertionError(f"nobody was to be asked, but {errand.url} was")

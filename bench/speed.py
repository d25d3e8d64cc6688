"""The main comparison: hits and misses of the service beside its rivals."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.client import Answer, ask, bearer
from bench.edge import start_edge
from bench.lab import MODELS, Lab, tell
from bench.load import Figure, Row, measure
from bench.processes import BenchError, Child
from bench.rivals.start import start_nginx, start_python
from bench.service import NO_MEMORY, Service, start_service

__all__ = ["BIG", "ROWS", "measure_speed"]

HITS = ("hit", "hit-304", "hit-gzip", "hit-q")
NGINX = ("nginx-static", "nginx-proxy", "nginx-cache", "nginx-same", "nginx-caller")
# What is compared stands together, so that it is measured together.
ROWS = ("hit", "tornado", "miss", "proxy", "fastapi", "hit-304", "hit-gzip", "hit-q", *NGINX, "microcache")
# Rows and connections: few, so that requests cut off at the end of a round weigh little.
BIG = {"miss-1000": (1000, 8), "miss-10000": (10_000, 2)}
# So many tenants in turn that no two requests under way are the same one.
STRANGERS = 128


def measure_speed(lab: Lab, wanted: Sequence[str], rounds: int, seconds: int) -> dict[str, Figure]:
    """The figures of the rows wanted, by name."""
    tell("speed")
    rows = _Rows(lab)
    small = [rows.make(name) for name in ROWS if name in wanted]
    big = [rows.make(name) for name in BIG if name in wanted]
    figures = measure(lab, small, rounds, seconds) + measure(lab, big, rounds, seconds)
    lab.stop(*rows.children)
    return {figure.name: figure for figure in figures}


class _Rows:
    """Makes rows, starting what they need when it is needed first."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._services: dict[str, Service] = {}
        self._nginx: Any = None
        self.children: list[Child] = []
        self._auth = bearer(lab.tokens[0])
        self._strangers = lab.rotation("strangers", [MODELS], lab.tokens[:STRANGERS])
        self._payload: bytes | None = None

    def make(self, name: str) -> Row:
        """The row of this name."""
        if name in HITS:
            return self._hit(name)
        if name in NGINX:
            return self._of_nginx(name)
        if name == "microcache":
            return self._microcache()
        if name == "tornado":
            file = self._lab.work / "payload"
            file.write_bytes(self.payload())
            return self._rival(name, "bare_tornado", str(file), {"path": MODELS, "headers": self._auth})
        if name in ("proxy", "fastapi"):
            module = {"proxy": "bare_proxy", "fastapi": "fastapi_app"}[name]
            more = {"path": MODELS, "rotation": self._strangers, "calls": 1.0, "gentle": True}
            return self._rival(name, module, f"{self._lab.upstream.base}/v1/models", more)
        return self._miss(name)

    def payload(self) -> bytes:
        """What the service answers: the rivals with ready bytes answer the same."""
        if self._payload is None:
            self._lab.upstream.serve(60)
            answer = ask(self._service("hit").port, MODELS, self._auth)
            if answer.status != 200:
                raise BenchError(f"the service answered {answer.status}: {answer.body[:300]!r}")
            self._payload = answer.body
        return self._payload

    def _service(self, name: str, settings: Mapping[str, str] | None = None) -> Service:
        if name not in self._services:
            self._services[name] = start_service(self._lab, name, settings)
            self.children.append(self._services[name].child)
        return self._services[name]

    def _hit(self, name: str) -> Row:
        service = self._service("hit")
        self.payload()
        path, headers, check = MODELS, dict(self._auth), _expects(200)
        if name == "hit-304":
            headers["If-None-Match"] = ask(service.port, MODELS, self._auth).headers.get("etag", '""')
            check = _expects(304)
        elif name == "hit-gzip":
            headers["Accept-Encoding"] = "gzip"
            check = _compressed
        elif name == "hit-q":
            path, check = f"{MODELS}?q=model-0003", _filtered
        return Row(name, service.child, service.port, path, headers, calls=0.0, check=check)

    def _lending(self) -> Service:
        """The node that lets nginx keep its answers."""
        return self._service("lending", {"SCAILOOKUP_MICROCACHE": "5"})

    def _microcache(self) -> Row:
        service = self._lending()
        edge, port = start_edge(self._lab, [service.port], core=self._lab.server_core, microcache=True)
        self.children.append(edge)
        return Row("microcache", edge, port, MODELS, self._auth, calls=0.0, check=_kept)

    def _miss(self, name: str) -> Row:
        service = self._service("miss", NO_MEMORY)
        rows, connections = BIG.get(name, (60, 32))
        return Row(
            name,
            service.child,
            service.port,
            MODELS,
            rotation=self._strangers,
            rows=rows,
            calls=1.0,
            check=_lists(rows),
            connections=connections,
            gentle=True,
        )

    def _rival(self, name: str, module: str, argument: str, more: dict[str, Any]) -> Row:
        payload = self.payload()
        rival = start_python(self._lab, module, argument)
        self.children.append(rival.child)
        return Row(name, rival.child, rival.port, check=_same_as(payload), **more)

    def _of_nginx(self, name: str) -> Row:
        if self._nginx is None:
            self._nginx = start_nginx(self._lab, self.payload(), self._lending().port)
            self.children.append(self._nginx.child)
        own = {
            "nginx-static": "/static/models",
            "nginx-same": "/same/models",
            "nginx-caller": f"/caller{MODELS}",
        }
        path = own.get(name, f"/{name.removeprefix('nginx-')}/v1/models")
        calls = 1.0 if name == "nginx-proxy" else 0.0
        return Row(name, self._nginx.child, self._nginx.port, path, self._auth, calls=calls)


def _expects(status: int) -> Callable[[Answer], str | None]:
    return lambda answer: None if answer.status == status else f"status {answer.status}, not {status}"


def _kept(answer: Answer) -> str | None:
    kept = answer.headers.get("cache-status", "").endswith("nginx; hit")
    return None if kept else "the answer is not the microcache's"


def _compressed(answer: Answer) -> str | None:
    return None if answer.headers.get("content-encoding") == "gzip" else "the answer is not compressed"


def _filtered(answer: Answer) -> str | None:
    found = len(json.loads(answer.body)["data"])
    return None if found == 10 else f"{found} rows, not the 10 that q selects"


def _lists(rows: int) -> Callable[[Answer], str | None]:
    def check(answer: Answer) -> str | None:
        found = len(json.loads(answer.body)["data"])
        return None if found == rows else f"{found} rows, not {rows}"

    return check


def _same_as(payload: bytes) -> Callable[[Answer], str | None]:
    """The rival's rows must be the service's: else it does other work."""
    wanted = json.loads(payload)["data"]

    def check(answer: Answer) -> str | None:
        return None if json.loads(answer.body)["data"] == wanted else "other rows than the service's"

    return check

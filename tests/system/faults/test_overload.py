"""Callers who are too many, or who keep connections for nothing."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable
from pathlib import Path

from contract.support import API_MODELS, API_SCOPES, MODEL, MODELS, Reply, script_all

from ..flood import Flood, connect, wire
from ..load import until
from .scene import Scene

Make = Callable[..., Scene]


def memory(s: Scene) -> float:
    """MiB that the node holds."""
    text = Path("/proc", str(s.server.process.pid), "statm").read_text()
    return int(text.split()[1]) * 4096 / 2**20


def metric(s: Scene, name: str) -> float:
    """The sum of a family's samples."""
    lines = s.server.get("/metrics", admin=True).body.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_more_come_than_one_process_can_answer(scene: Make) -> None:
    """Hundreds ask without a pause: lists are answered all the while, health too, and nothing piles up."""
    with scene(SCAILOOKUP_MAX_WAIT="0.02") as s:
        request = wire(API_MODELS, s.site.issuer.token())
        with Flood(s.server.port, [request] * 400) as flood:
            flood.more(503, 500)
            s.sees("503 overloaded", "200")
            before = memory(s)
            flood.more(200, 500)
            flood.more(503, 2000)
            assert s.server.get("/healthz").status == 200
            assert memory(s) < before + 32
        s.recovers()
        s.server.event("overload_over")
        assert metric(s, 'scailookup_turned_away_total{reason="wait"}') >= 2500


def test_an_upstream_hangs_under_hundreds_of_callers(scene: Make) -> None:
    """Who asks another upstream is answered as if nothing were; who joins that line now is refused."""
    with scene(SCAILOOKUP_DEADLINE="12", SCAILOOKUP_CIRCUIT="0", SCAILOOKUP_MAX_WAIT="0.2") as s:
        s.grid.on(MODELS, Reply({"data": [MODEL]}, delay=600))
        s.ask = lambda path, token: s.site.get(API_SCOPES, token)
        s.load.settle()
        requests = [wire(API_MODELS, s.site.issuer.token(sub=f"caller-{n}")) for n in range(380)]
        with Flood(s.server.port, requests[:300], again=False) as waiting:
            until(lambda: metric(s, "scailookup_requests_busy") >= 270)
            s.load.mark()
            with contextlib.ExitStack() as late:
                # One after the other: as the line grows older, whoever joins it would wait too long.
                comers = iter(requests[300:])
                joined: list[socket.socket] = []

                def one_is_refused() -> bool:
                    joined.append(late.enter_context(connect(s.server.port)))
                    joined[-1].sendall(next(comers))
                    answered, _, _ = select.select(joined, [], [], 0.1)
                    return any(line.recv(64).startswith(b"HTTP/1.1 503 ") for line in answered)

                until(one_is_refused)
            s.load.more(100)
            assert set(s.load.seen) <= {"200", "200 stale"}
            assert waiting.seen.keys() <= {502, 503}
        script_all(s.site)


def test_clients_do_not_read_what_they_asked_for(scene: Make) -> None:
    """Each wants megabytes and takes nothing: they are cut, and what waited for them is gone."""
    with scene(SCAILOOKUP_FRESH="600") as s, contextlib.ExitStack() as lines:
        rows = [MODEL | {"id": f"m{n}", "slug": f"m{n}", "description": "x" * 2000} for n in range(3500)]
        s.grid.on(MODELS, {"data": rows})
        token = s.site.issuer.token()
        for _ in range(40):
            lines.enter_context(connect(s.server.port, window=4096)).sendall(wire(API_MODELS, token))
        until(lambda: metric(s, 'scailookup_connections_cut_total{reason="unread"}') >= 20)
        s.load.more(20)


def test_clients_hold_connections_and_say_nothing(scene: Make) -> None:
    """They take every connection there is, again and again."""
    with scene(SCAILOOKUP_MAX_CONNECTIONS="20") as s, contextlib.ExitStack() as lines:
        for _ in range(3):
            for _ in range(20):
                lines.enter_context(connect(s.server.port))
            s.sees("200")
        until(lambda: metric(s, 'scailookup_connections_cut_total{reason="idle"}') >= 20)
        s.load.more(20)
        s.recovers()

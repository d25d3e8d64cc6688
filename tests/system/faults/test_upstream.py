"""The upstream taken away, in every way it may go."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from contract.support import MODEL, MODELS, Reply, Upstream, script_all
from harness import certificate

from .scene import Scene

Make = Callable[..., Scene]
LIST = {"data": [MODEL]}


def test_an_upstream_is_killed(scene: Make) -> None:
    """Connections break and are refused; then it runs again."""
    with scene() as s:
        s.grid.stop()
        s.sees("200 stale", "502 scaigrid_api unreachable", "502 scaigrid_api circuit_open")
        s.again()
        s.recovers()


def test_an_upstream_hangs(scene: Make) -> None:
    """It takes requests and answers none of them."""
    with scene() as s:
        s.grid.on(MODELS, Reply(LIST, delay=600))
        s.sees("200 stale", "502 scaigrid_api timeout", "502 scaigrid_api circuit_open")
        waits = [call["duration_ms"] for call in s.told("upstream_call") if call.get("code") == "timeout"]
        assert max(waits) >= 900
        script_all(s.site)
        s.recovers()


def test_an_upstream_is_slow(scene: Make) -> None:
    """It takes long, and no longer than a lookup may."""
    with scene() as s:
        s.grid.on(MODELS, Reply(LIST, delay=0.3))
        s.load.more(60)
        assert max(call["duration_ms"] for call in s.told("upstream_call")) >= 300


def test_an_upstream_flaps(scene: Make) -> None:
    """Every other call is broken off: the second attempt is answered, mostly."""
    turn = itertools.count()
    with scene() as s:
        s.grid.on(MODELS, lambda _: Reply(reset=True) if next(turn) % 2 else Reply(LIST))
        s.load.mark()
        s.load.more(100)
        seen = s.load.seen
        assert sum(seen.values()) > 2 * seen["502 scaigrid_api unreachable"]
        script_all(s.site)
        s.recovers()


def test_an_upstream_sends_half_of_its_answers(scene: Make) -> None:
    """The rest of the body never comes: nobody is given half a list."""
    with scene() as s:
        s.grid.on(MODELS, Reply(LIST, cut=True))
        s.sees("200 stale", "502 scaigrid_api unreachable")
        script_all(s.site)
        s.recovers()


def test_an_upstream_resets_connections(scene: Make) -> None:
    """Every request is answered by a reset."""
    with scene() as s:
        s.grid.on(MODELS, Reply(reset=True))
        s.sees("200 stale", "502 scaigrid_api unreachable", "502 scaigrid_api circuit_open")
        script_all(s.site)
        s.recovers()


def test_an_upstream_answers_429_to_everything(scene: Make) -> None:
    """A caller who was refused is not sent again before the time it was told."""
    with scene() as s:
        body = {"error": {"code": "RATE_LIMITED", "message": "slow down"}}
        s.grid.on(MODELS, Reply(body, 429, {"Retry-After": "30"}))
        before = len(s.grid.calls())
        s.sees("200 stale", "502 scaigrid_api RATE_LIMITED")
        s.sees("200 stale")
        refused = Counter(seen.header("Authorization") for seen in s.grid.calls()[before:])
        assert {1} == set(refused.values())
        script_all(s.site)
        s.sees("200")


def test_an_upstream_s_certificate_expires(scene: Make, tmp_path: Path) -> None:
    """It comes back with a certificate that was good until yesterday."""
    good = certificate(tmp_path / "good.pem")
    grid = Upstream(tls=good)
    grid.on(MODELS, LIST)
    trusted = tmp_path / "trusted.pem"
    over = certificate(tmp_path / "over.pem", days=-1)
    trusted.write_bytes(good.read_bytes() + over.read_bytes())
    with scene(SCAIGRID_BASE_URL=grid.base, SSL_CERT_FILE=str(trusted)) as s:
        grid.stop()
        expired = Upstream(tls=over, port=grid.port)
        s.sees("200 stale", "502 scaigrid_api tls", "502 scaigrid_api circuit_open")
        expired.stop()
        renewed = Upstream(tls=good, port=grid.port)
        renewed.on(MODELS, LIST)
        s.recovers()
        renewed.stop()

"""ScaiKey taken away, its keys changed, and the clock that tokens are judged by."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from contract.support import Server, detail

from .scene import Scene

Make = Callable[..., Scene]
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), "Debian's faketime is not installed")


def test_scaikey_is_down(scene: Make) -> None:
    """Keys once good stay good, for tokens not seen before too."""
    with scene() as s:
        s.site.issuer.stop()
        s.load.more(60)
        assert {"200", "200 stale"} >= set(s.load.seen)
        s.site.issuer.rotate("rsa-2")
        s.claims = {"kid": "rsa-2"}
        s.sees("401 unauthenticated")


def test_scaikey_is_down_when_a_node_starts(scene: Make) -> None:
    """Without any key the node serves nobody, and says that it is not ready."""
    with scene() as s:
        s.site.issuer.stop()
        late = Server(s.site.settings)
        s.ask = lambda path, token: late.get(path, token)
        s.sees("503 identity_unavailable")
        detail(late.get("/readyz"), 503, "identity_unavailable")
        s.ask = s.site.get
        s.load.settle()
        s.server.events.extend(late.events)
        late.stop()


def test_scaikey_s_keys_are_rotated(scene: Make) -> None:
    """The new key signs from now on, the old one is withdrawn."""
    with scene() as s:
        s.site.issuer.rotate("rsa-2")
        old = s.site.issuer.keys.pop("rsa-1")
        s.claims = {"kid": "rsa-2"}
        s.sees("401 unauthenticated")
        s.load.mark()
        s.sees("200", "401 unauthenticated")
        assert old


def test_the_clock_jumps(scene: Make, tmp_path: Path) -> None:
    """By less than the minute allowed nobody notices; by more tokens look expired, until it is back."""
    offset = tmp_path / "offset"
    offset.write_text("+0")
    fake = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with scene(**fake) as s:
        s.claims = {"exp": int(time.time()) + 600}
        offset.write_text("-50")
        s.load.more(40)
        assert {"200", "200 stale"} >= set(s.load.seen)
        offset.write_text("+7200")
        s.sees("401 unauthenticated")
        offset.write_text("+0")
        s.recovers()
        offset.write_text("-7200")
        s.sees("401 unauthenticated")
        offset.write_text("+0")
        s.recovers()

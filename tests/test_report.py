"""What `check` prints: the same for people and as JSON, with every secret out of it."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

import pytest
from fakes import settings
from harness import run_cli
from test_terminal import Tty

from scailookup.report import check

pytestmark = pytest.mark.gen_test
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class WeatherSettings:
    """A plugin's settings whose author forgot that a key is a secret."""

    key: str = ""


@pytest.mark.parametrize("as_json", [False, True])
async def test_what_check_prints_is_scrubbed(as_json):
    """What has the shape of a key is taken out in either form."""
    found = settings(
        SCAILOOKUP_WEATHER_KEY="sgk_planted-in-a-setting",
        SCAIGRID_BASE_URL=NOWHERE,
        SCAIFLOW_AUTH_DISABLED="true",
    )
    found.of("weather", WeatherSettings)
    out = io.StringIO()
    await check(found, as_json=as_json, out=out, err=io.StringIO())
    assert (False, True) == ("planted" in out.getvalue(), "[redacted]" in out.getvalue())
    assert not as_json or isinstance(json.loads(out.getvalue())["findings"], list)


async def test_check_sends_nobody_to_check():
    """What to do about a store that cannot be reached is not the command that just said so."""
    given = settings(SCAIGRID_BASE_URL=NOWHERE, VAULT_ADDR=NOWHERE, VAULT_TOKEN="hvs.x")
    out = io.StringIO()
    await check(given, as_json=True, out=out, err=io.StringIO())
    (store,) = [one for one in json.loads(out.getvalue())["findings"] if one["subject"] == "secret store"]
    assert (False, True) == (store["ok"], store["fix"].startswith("Check VAULT_ADDR"))


async def test_what_is_asked_next_is_shown_on_a_terminal(monkeypatch):
    """Each wait has its line, which is gone before a finding is printed and in the end."""
    monkeypatch.setenv("TERM", "xterm")
    one = Tty()  # as where both streams are the same terminal
    given = settings(SCAIGRID_BASE_URL=NOWHERE, SCAIFLOW_AUTH_DISABLED="true")
    await check(given, as_json=False, out=one, err=one)
    drawn = [part for part in one.getvalue().split("\r\x1b[K") if part]
    waits = ["loading plugins", "asking ScaiKey", "asking the secret store", f"asking {NOWHERE}"]
    assert waits == [part for part in drawn if "\n" not in part]
    assert all(part.startswith(("ok  ", "FAIL", "note")) for part in drawn if "\n" in part)


async def test_nothing_is_shown_in_a_pipe():
    """Scripts find no progress among what they read."""
    err = io.StringIO()
    given = settings(SCAIGRID_BASE_URL=NOWHERE, SCAIFLOW_AUTH_DISABLED="true")
    await check(given, as_json=True, out=Tty(), err=err)
    assert "" == err.getvalue()


def test_the_reason_of_a_plugin_cannot_command_the_terminal(tmp_path):
    """What broken code says of itself is shown plain."""
    (tmp_path / "loud.py").write_text('raise RuntimeError("\\x1b]0;owned\\x07")\n')
    (tmp_path / "loud-1.dist-info").mkdir()
    (tmp_path / "loud-1.dist-info/METADATA").write_text("Name: loud\nVersion: 1\n")
    (tmp_path / "loud-1.dist-info/entry_points.txt").write_text("[scailookup]\nloud = loud\n")
    status, out, _ = run_cli("plugins", env={"PYTHONPATH": str(tmp_path)})
    assert (1, True, False) == (
        status,
        "RuntimeError: \N{REPLACEMENT CHARACTER}]0;owned" in out,
        "\x1b" in out,
    )

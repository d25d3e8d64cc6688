"""`scailookup doctor`: what it says, as text and as JSON, and its exit statuses."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .support import (
    AUDIENCE,
    MODELS,
    Site,
    environment,
    grid_error,
    run_cli,
)

COLOUR = "\x1b["


def given(site: Site, **changes: str) -> dict[str, str]:
    """The settings that fit a site's parts."""
    own = {"SCAIGRID_BASE_URL": site.grid.base, "SCAIKEY_BASE_URL": site.issuer.base}
    return own | {"SCAIKEY_AUDIENCE": AUDIENCE} | changes


def doctor(
    site: Site, tmp_path: Path, *args: str, token: str | None = "", **changes: str
) -> tuple[int, str, str]:
    """Run it for the bearer of a token, a tenant viewer's unless told otherwise; None gives none."""
    file = tmp_path / "token"
    file.write_text((site.issuer.token() if token == "" else token or "") + "\n")
    more = () if token is None else ("--token-file", str(file))
    return run_cli("doctor", *more, *args, env=given(site, **changes))


def told(site: Site, tmp_path: Path, *args: str, **more: Any) -> tuple[int, Any]:
    """Its exit status and its JSON."""
    status, out, err = doctor(site, tmp_path, "--json", *args, **more)
    assert "Traceback" not in err
    return status, json.loads(out)


def test_all_well(site: Site, tmp_path: Path) -> None:
    """Status 0; the service is looked at, and every step of the lookup is there, for a viewer too."""
    status, said = told(site, tmp_path)
    assert (0, "ok", "/scaigrid/models") == (status, said["status"], said["lookup"])
    assert {"ScaiKey", "secret store", "plugin scaigrid"} <= {one["name"] for one in said["service"]}
    found = {step["name"]: step["status"] for step in said["steps"]}
    assert ("ok", "ok", "skipped") == (found["credential"], found["answer"], found["cache"])


def test_a_failure(site: Site, tmp_path: Path) -> None:
    """Status 1, with what failed and what to do."""
    site.grid.on(MODELS, grid_error("BROKEN", "it is broken", 500))
    status, out, _ = doctor(site, tmp_path)
    assert (1, True) == (status, "FAIL  call: BROKEN: it is broken" in out)
    assert "-> " in out.partition("FAIL  call")[2]
    assert out.rstrip().endswith("1 failed")


def test_a_warning(site: Site, tmp_path: Path) -> None:
    """Status 3 when nothing failed and something is to be looked at."""
    site.grid.on(MODELS, {"data": [{"slug": "a"}, {"x": 1}]})
    status, said = told(site, tmp_path)
    assert (3, "warn") == (status, said["status"])


def test_a_setting_that_is_probably_not_meant(site: Site, tmp_path: Path) -> None:
    """It is a warning, too."""
    status, out, _ = doctor(site, tmp_path, SCAIGRID_API_KEY="sgk_development_only_1")
    assert (3, True, False) == (status, "warn  settings: SCAIGRID_API_KEY" in out, "sgk_dev" in out)


def test_a_token_that_is_refused(site: Site, tmp_path: Path) -> None:
    """Status 1: the check that failed is named, and the rest is skipped on one line."""
    status, out, _ = doctor(site, tmp_path, token=site.issuer.token(aud="other"))
    assert (1, True) == (status, "FAIL  token: the access token is for another audience" in out)
    assert "expiry: ok; audience: failed; tenant: skipped" in out
    assert "skip  permission, credential, address, dns, connection, call, answer, cache:" in out


@pytest.mark.parametrize("token", ["", "two\nlines", "\x00\x1b[31m", "ü" * 99, "x" * 40_000])
def test_what_is_no_token(site: Site, tmp_path: Path, token: str) -> None:
    """Whatever is in the file is refused as a token, without a traceback and without being shown."""
    status, out, err = doctor(site, tmp_path, token=token or " ")
    assert (1, False) == (status, "Traceback" in out + err)
    assert "\x1b" not in out


def test_without_a_token(site: Site, tmp_path: Path) -> None:
    """The service alone is looked at, and how to have a lookup explained is said."""
    status, out, _ = doctor(site, tmp_path, token=None)
    assert (0, True, False) == (status, "--token-file" in out, "/scaigrid/models" in out)
    assert [] == site.grid.calls(MODELS)


def test_from_standard_input(site: Site) -> None:
    """The token may come through a pipe, for any lookup with its values."""
    command = [sys.executable, "-m", "scailookup", "doctor", "--token-file", "-", "--json"]
    done = subprocess.run(
        [*command, "scaiqueue/scopes/scp_1/queues"],
        input=site.issuer.token(),
        env=environment(given(site)),
        capture_output=True,
        text=True,
    )
    assert (0, "/scaiqueue/scopes/{scope_id}/queues") == (done.returncode, json.loads(done.stdout)["lookup"])


def test_with_authentication_off(site: Site, tmp_path: Path) -> None:
    """Nobody needs a token then."""
    off = {"SCAIFLOW_AUTH_DISABLED": "true", "SCAIGRID_API_KEY": "sgk_development_only_1"}
    status, said = told(site, tmp_path, token=None, **off)
    assert (3, "env") == (status, said["steps"][2]["details"]["step"])


@pytest.mark.parametrize(
    ("args", "token", "word"),
    [
        (["scaigrid/nothing"], "", "no lookup"),
        (["scaigrid/models"], None, "--token-file"),
        (["--token-file", "/nowhere/at/all"], None, "/nowhere/at/all"),
    ],
)
def test_a_command_line_that_cannot_work(
    site: Site, tmp_path: Path, args: list[str], token: str | None, word: str
) -> None:
    """Status 2 with a line that says why."""
    status, out, err = doctor(site, tmp_path, *args, token=token)
    assert (2, "", True) == (status, out, word in err)


def test_settings_that_cannot_work(site: Site, tmp_path: Path) -> None:
    """Status 2, as with every command."""
    status, _, err = doctor(site, tmp_path, SCAILOOKUP_DEADLINE="soon")
    assert (2, True) == (status, "SCAILOOKUP_DEADLINE" in err)


def test_neither_token_nor_key_is_shown(site: Site, tmp_path: Path) -> None:
    """Not when the upstream sends the token back, not on stderr either."""
    site.grid.on(MODELS, lambda seen: grid_error("NO", f"you sent {seen.header('Authorization')}", 403))
    token = site.issuer.token()
    for form in ([], ["--json"]):
        _, out, err = doctor(site, tmp_path, *form, token=token)
        assert (True, False) == ("[redacted]" in out, token.split(".")[1] in out + err)


def test_a_subject_commands_no_terminal(site: Site, tmp_path: Path) -> None:
    """Whatever a token says of its bearer is shown plain, in the heading too."""
    _, out, _ = doctor(site, tmp_path, token=site.issuer.token(sub="usr\x1b]0;mine\x07\u202e"))
    assert ("/scaigrid/models for usr" in out, False, False) == (True, "\x1b" in out, "\u202e" in out)


def on_a_terminal(site: Site, **changes: str) -> str:
    """What it writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "scailookup", "doctor"]
    process = subprocess.Popen(
        command, env=environment({"TERM": "xterm", **given(site, **changes)}), stdout=theirs
    )
    os.close(theirs)
    said = b""
    try:
        while chunk := os.read(ours, 4096):
            said += chunk
    except OSError:  # how a terminal ends on Linux
        pass
    os.close(ours)
    assert 0 == process.wait()
    return said.decode()


def test_colours_on_a_terminal(site: Site) -> None:
    """There are colours there, and nowhere else; NO_COLOR and a dumb terminal have none."""
    assert COLOUR in on_a_terminal(site)
    assert COLOUR not in on_a_terminal(site, NO_COLOR="1")
    assert COLOUR not in on_a_terminal(site, TERM="dumb")
    assert COLOUR not in run_cli("doctor", env=given(site))[1]

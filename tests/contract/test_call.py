"""`scailookup call`, from outside: a running service and the settings alone give the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .support import MODELS, Site, run_cli


@pytest.fixture
def token(site: Site, tmp_path: Path) -> str:
    """A file that holds a viewer's token."""
    file = tmp_path / "token.txt"
    file.write_text(site.issuer.token() + "\n")
    return str(file)


def test_service_and_settings_answer_the_same(site: Site, token: str) -> None:
    """Byte for byte; the platform is asked with the caller's token either way."""
    ask = ("call", "scaigrid/models", "--token-file", token, "--json", "-p", "modality=chat")
    far = run_cli(*ask, "--url", f"http://127.0.0.1:{site.server.port}")
    near = run_cli(*ask, env=site.settings)

    assert (0, far) == (far[0], near)
    assert ["openai/gpt-4o"] == [row["slug"] for row in json.loads(near[1])["data"]]
    sent = [value for seen in site.grid.calls(MODELS) for value in seen.all("Authorization")]
    assert [f"Bearer {Path(token).read_text().strip()}"] * 2 == sent


def test_settings_that_cannot_work(token: str) -> None:
    """One line and status 2, as `serve` does; with an address no setting is looked at."""
    bad = {"SCAILOOKUP_DEADLINE": "soon"}
    status, out, err = run_cli("call", "scaigrid/models", "--token-file", token, env=bad)
    assert (2, "", 1, True) == (status, out, len(err.splitlines()), "SCAILOOKUP_DEADLINE" in err), err

    status, out, err = run_cli("call", "scaigrid/models", "--url", "http://127.0.0.1:9", env=bad)
    assert (5, "", True) == (status, out, "unreachable" in err), err


@pytest.mark.parametrize("args", [["serve", "--workers", "0"], ["serve", "--port", "x"], ["call"]])
def test_a_bad_command_line_is_one_line(args: list[str]) -> None:
    """In the form of a bad setting."""
    status, out, err = run_cli(*args)

    assert (2, "", 1, True) == (status, out, len(err.splitlines()), err.startswith("scailookup: ")), err


def test_letters_that_the_stream_lacks(site: Site, token: str) -> None:
    """A table shows them escaped, JSON as JSON does: the value stays; nothing ends in a traceback."""
    site.grid.on(MODELS, {"data": [{"slug": "qwen/大", "display_name": "通义"}]})
    ask, env = ("call", "scaigrid/models", "--token-file", token), {"PYTHONIOENCODING": "latin-1"}
    status, out, err = run_cli(*ask, env=site.settings | env)
    assert (0, r"qwen/\u5927", "") == (status, out.splitlines()[1].split()[0], err)

    _, out, _ = run_cli(*ask, "--json", env=site.settings | env)
    assert (True, "qwen/大") == (out.isascii(), json.loads(out)["data"][0]["slug"])

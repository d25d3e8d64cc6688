"""Contract section 6: the commands and their exit statuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from .support import AUDIENCE, Answer, Site, Sites, environment, fetch, rows, run_cli

PLUGINS = ["scaiqueue", "scaibunker", "scaigrid"]


@pytest.fixture(scope="module")
def demo() -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """`scailookup demo --json`, and the line it printed once it served."""
    command = [sys.executable, "-m", "scailookup", "demo", "--json"]
    process = subprocess.Popen(
        command,
        env=environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    line = process.stdout.readline() if process.stdout else ""
    yield process, json.loads(line or "{}")
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def ask(told: dict[str, Any], path: str, who: str) -> Answer:
    """Ask the demo as one of its people."""
    port = int(told["url"].rstrip("/").rpartition(":")[2])
    return fetch(port, path, headers={"Authorization": f"Bearer {told['tokens'][who]}"})


def settings(site: Site, **changes: str) -> dict[str, str]:
    """Return the settings that fit a site's parts."""
    return {
        "SCAIGRID_BASE_URL": site.grid.base,
        "SCAIKEY_BASE_URL": site.issuer.base,
        "SCAIKEY_AUDIENCE": AUDIENCE,
    } | changes


def test_demo_line(demo: tuple[Any, dict[str, Any]]) -> None:
    """The demo tells where it serves and whose tokens it has."""
    _, told = demo

    assert {"url", "admin_url", "upstream_url", "issuer", "tokens"} == set(told)
    assert {"viewer", "admin", "user", "globex"} == set(told["tokens"])


@pytest.mark.parametrize("who", ["viewer", "admin", "globex"])
@pytest.mark.parametrize("path", ["/scaiqueue/scopes", "/scaibunker/bunkers", "/scaigrid/models"])
def test_demo_lists(demo: tuple[Any, dict[str, Any]], path: str, who: str) -> None:
    """The demo's viewers see lists."""
    assert isinstance(rows(ask(demo[1], "/api/v1" + path, who)), list)


def test_demo_user_sees_nothing(demo: tuple[Any, dict[str, Any]]) -> None:
    """The demo's user has no scaicore:view."""
    assert 403 == ask(demo[1], "/v1/scaigrid/models", "user").status


def test_demo_ends_cleanly(demo: tuple[Any, dict[str, Any]]) -> None:
    """SIGTERM ends the demo with status 0."""
    process, _ = demo
    process.send_signal(signal.SIGTERM)

    assert 0 == process.wait(30)


def test_plugins() -> None:
    """`plugins` lists the built-in three and succeeds."""
    status, out, err = run_cli("plugins")

    assert (0, []) == (status, [name for name in PLUGINS if name not in out]), err


@pytest.mark.parametrize("args", [["nothing"], ["serve", "--nothing"], ["serve", "--port", "http"]])
def test_bad_command_line(args: list[str]) -> None:
    """A command line nobody understands is status 2 without a traceback."""
    status, _, err = run_cli(*args)

    assert (2, False) == (status, "Traceback" in err)


def test_check_finds_what_is_not_well(site: Site) -> None:
    """`check` is 1 when ScaiKey is not to be had."""
    status, out, err = run_cli("check", env=settings(site, SCAIKEY_BASE_URL="http://127.0.0.1:9"))

    assert (1, False) == (status, "Traceback" in out + err), out + err


def test_check_all_well(site: Site) -> None:
    """`check` is 0 when everything it looks at is well."""
    for path in ("/health", "/health/ready"):
        site.grid.on(path, {"status": "ok"})

    status, out, err = run_cli("check", env=settings(site))

    assert 0 == status, out + err


def test_check_shows_no_secret(site: Site) -> None:
    """`check` shows no key."""
    secret = "sgk_env_Wq71bNvTy46Hd"

    _, out, err = run_cli("check", env=settings(site, SCAIGRID_API_KEY=secret, SCAILOOKUP_DEV="true"))

    assert secret not in out + err


def test_check_refuses_bad_settings(site: Site) -> None:
    """`check` with a bad setting is not well, and names it."""
    status, out, err = run_cli("check", env=settings(site, SCAILOOKUP_DEADLINE="soon"))

    assert (True, True) == (status in {1, 2}, "SCAILOOKUP_DEADLINE" in out + err)


def test_sigterm(sites: Sites) -> None:
    """SIGTERM ends the server with status 0."""
    site = sites(SCAILOOKUP_DEV="true")

    assert 0 == site.server.stop()


def test_serve_prints_nothing_on_stdout(sites: Sites) -> None:
    """The server writes to stderr alone."""
    site = sites(SCAILOOKUP_DEV="true", SCAILOOKUP_LOG_LEVEL="debug")
    site.get("/healthz")
    site.server.stop()

    assert "" == (site.server.process.stdout.read() if site.server.process.stdout else "")

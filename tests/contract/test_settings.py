"""Contract section 6: settings that stop the start, and those that do not."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from .support import Site, Sites, start_status, write_secrets

GOOD = {
    "SCAIGRID_BASE_URL": "https://grid.example",
    "SCAIKEY_BASE_URL": "https://id.example",
    "SCAIKEY_AUDIENCE": "app_scaiflow",
}
HASHICORP = {"VAULT_ADDR": "http://127.0.0.1:9", "VAULT_TOKEN": "hvs.x"}
SCAIVAULT = {"SCAIVAULT_URL": "http://127.0.0.1:9", "SCAIVAULT_TOKEN": "skt_x"}
SECRETS_FILE = {"SCAILOOKUP_SECRETS_FILE": "{good_secrets}"}
REFUSED: dict[str, tuple[str, dict[str, str | None]]] = {
    # what it is: (the name the line must have, the settings)
    "unknown name": ("SCAILOOKUP_FOO", {"SCAILOOKUP_FOO": "1"}),
    "misspelt name": ("SCAILOOKUP_DEADLINES", {"SCAILOOKUP_DEADLINES": "1"}),
    "text for a number": ("SCAILOOKUP_DEADLINE", {"SCAILOOKUP_DEADLINE": "soon"}),
    "negative": ("SCAILOOKUP_FRESH", {"SCAILOOKUP_FRESH": "-1"}),
    "nan": ("SCAILOOKUP_DEADLINE", {"SCAILOOKUP_DEADLINE": "nan"}),
    "infinite": ("SCAILOOKUP_DEADLINE", {"SCAILOOKUP_DEADLINE": "inf"}),
    "no deadline": ("SCAILOOKUP_DEADLINE", {"SCAILOOKUP_DEADLINE": "0"}),
    "no pages": ("SCAILOOKUP_MAX_PAGES", {"SCAILOOKUP_MAX_PAGES": "0"}),
    "half a row": ("SCAILOOKUP_MAX_ROWS", {"SCAILOOKUP_MAX_ROWS": "1.5"}),
    "no workers": ("SCAILOOKUP_WORKERS", {"SCAILOOKUP_WORKERS": "0"}),
    "unknown source": ("SCAILOOKUP_PERMISSIONS", {"SCAILOOKUP_PERMISSIONS": "claims,magic"}),
    "unknown pin": ("SCAIFLOW_DEPLOY_AUTH", {"SCAIFLOW_DEPLOY_AUTH": "both"}),
    "maybe": ("SCAILOOKUP_DEV", {"SCAILOOKUP_DEV": "maybe"}),
    "auth maybe disabled": ("SCAIFLOW_AUTH_DISABLED", {"SCAIFLOW_AUTH_DISABLED": "maybe"}),
    "no url": ("SCAIGRID_BASE_URL", {"SCAIGRID_BASE_URL": "grid.example"}),
    "ftp": ("SCAIGRID_BASE_URL", {"SCAIGRID_BASE_URL": "ftp://grid.example"}),
    "jwks is no url": ("SCAIKEY_JWKS_URL", {"SCAIKEY_JWKS_URL": "jwks.json"}),
    "admin without a port": ("SCAILOOKUP_ADMIN", {"SCAILOOKUP_ADMIN": "nowhere"}),
    "log level": ("SCAILOOKUP_LOG_LEVEL", {"SCAILOOKUP_LOG_LEVEL": "loud"}),
    "log format": ("SCAILOOKUP_LOG_FORMAT", {"SCAILOOKUP_LOG_FORMAT": "xml"}),
    "port": ("SCAIFLOW_API_PORT", {"SCAIFLOW_API_PORT": "http"}),
    "dev tenant": ("SCAILOOKUP_DEV_TENANT", {"SCAILOOKUP_DEV_TENANT": "a/b"}),
    "origin with a path": ("SCAILOOKUP_CORS_ORIGINS", {"SCAILOOKUP_CORS_ORIGINS": "http://a.example/x"}),
    "no key source": ("SCAIKEY_BASE_URL", {"SCAIKEY_BASE_URL": None}),
    "no audience": ("SCAIKEY_AUDIENCE", {"SCAIKEY_AUDIENCE": None}),
    "two stores": ("", HASHICORP | SCAIVAULT),
    "vault and a file": ("", HASHICORP | SECRETS_FILE),
    "scaivault and a file": ("", SCAIVAULT | SECRETS_FILE),
    "open secrets": ("SCAILOOKUP_SECRETS_FILE", {"SCAILOOKUP_SECRETS_FILE": "{open_secrets}"}),
    "secrets for the group": ("SCAILOOKUP_SECRETS_FILE", {"SCAILOOKUP_SECRETS_FILE": "{group_secrets}"}),
    "no secrets": ("SCAILOOKUP_SECRETS_FILE", {"SCAILOOKUP_SECRETS_FILE": "{missing}"}),
    "secrets that are no toml": ("SCAILOOKUP_SECRETS_FILE", {"SCAILOOKUP_SECRETS_FILE": "{no_toml}"}),
    "bad value in the file": ("SCAILOOKUP_DEADLINE", {"SCAIFLOW_ENV_FILE": "{bad_env}"}),
    "unknown name in the file": ("SCAILOOKUP_FOO", {"SCAIFLOW_ENV_FILE": "{unknown_env}"}),
}
SERVED: dict[str, dict[str, str | None]] = {
    "as it is": {},
    "another SCAI name": {"SCAIFLOW_SOMETHING": "1", "SCAIGRID_TIMEOUT": "x"},
    "real variable wins": {"SCAIFLOW_ENV_FILE": "{bad_env}", "SCAILOOKUP_DEADLINE": "3"},
    "secrets file": SECRETS_FILE,
    "file has the rest": {"SCAIFLOW_ENV_FILE": "{whole_env}", "SCAIKEY_AUDIENCE": None},
    "keys by their address alone": {"SCAIKEY_JWKS_URL": "https://id.example/keys", "SCAIKEY_BASE_URL": None},
    "no auth needs no issuer": {
        "SCAIFLOW_AUTH_DISABLED": "true",
        "SCAIKEY_BASE_URL": None,
        "SCAIKEY_AUDIENCE": None,
    },
}
Outcome = tuple[int, list[str]]
Outcomes = Callable[[str], Outcome]


def files(directory: Path) -> dict[str, str]:
    """Make the files the cases name."""
    made = {name: directory / name for name in ("missing", "good_secrets", "open_secrets", "group_secrets")}
    for name in ("good_secrets", "open_secrets", "group_secrets"):
        write_secrets(made[name], {"tnt_acme": {"scaigrid_api_key": "sgk_acme_key_0001"}})
    os.chmod(made["open_secrets"], 0o604)
    os.chmod(made["group_secrets"], 0o640)
    texts = {
        "no_toml": "not = = toml",
        "bad_env": "SCAILOOKUP_DEADLINE=soon\n",
        "unknown_env": "SCAILOOKUP_FOO=1\n",
        "whole_env": "# a comment\n\nSCAIKEY_AUDIENCE=app_from_file\n",
    }
    for name, text in texts.items():
        made[name] = directory / name
        made[name].touch(mode=0o600)
        made[name].write_text(text)
    return {name: str(path) for name, path in made.items()}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    """How the server started with each case's settings: all cases run side by side, once."""
    named = files(tmp_path_factory.mktemp("settings"))
    cases = {name: settings for name, (_, settings) in REFUSED.items()} | SERVED
    with ThreadPoolExecutor(3) as pool:
        running: dict[str, Future[Outcome]] = {}
        for name, settings in cases.items():
            merged = {key: value for key, value in (GOOD | settings).items() if value is not None}
            running[name] = pool.submit(
                start_status, {key: value.format(**named) for key, value in merged.items()}
            )
        yield lambda name: running[name].result()


@pytest.mark.parametrize("case", REFUSED)
def test_start_refused(outcomes: Outcomes, case: str) -> None:
    """A setting that is unknown, bad or missing stops the start with status 2."""
    status, lines = outcomes(case)

    assert 2 == status, lines


@pytest.mark.parametrize("case", REFUSED)
def test_one_clear_line(outcomes: Outcomes, case: str) -> None:
    """The start is stopped with one line that names the setting."""
    _, lines = outcomes(case)

    assert (1, True) == (len(lines), REFUSED[case][0] in " ".join(lines)), lines


@pytest.mark.parametrize("case", SERVED)
def test_served(outcomes: Outcomes, case: str) -> None:
    """Settings within the contract serve, and SIGTERM ends it with status 0."""
    status, lines = outcomes(case)

    assert 0 == status, lines


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_no_auth_listens_on_loopback_only(host: str) -> None:
    """With auth disabled the server refuses to listen on anything but loopback."""
    settings = GOOD | {"SCAIFLOW_AUTH_DISABLED": "true"}

    status, lines = start_status(settings, "serve", "--host", host, "--port", "0")

    assert (False, False) == (status == 0, any('"listening"' in line for line in lines))


@pytest.mark.parametrize("how", ["argument", "SCAIFLOW_API_PORT"])
def test_taken_port(how: str) -> None:
    """A port that is taken ends the start with status 1."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = str(held.getsockname()[1])
        settings = GOOD | ({} if how == "argument" else {"SCAIFLOW_API_PORT": port})
        args = ["serve", "--port", port] if how == "argument" else ["serve"]

        status, lines = start_status(settings, *args)

    assert (1, False) == (status, any("Traceback" in line for line in lines)), lines


def test_taken_admin_port(site: Site) -> None:
    """An admin port that is taken ends the start with status 1."""
    settings = GOOD | {"SCAILOOKUP_ADMIN": f"127.0.0.1:{site.server.admin_port}"}

    status, lines = start_status(settings)

    assert 1 == status, lines


def test_http_upstream_warns(sites: Sites) -> None:
    """An operator's http address that is not loopback is allowed, with a warning."""
    site = sites(SCAIGRID_BASE_URL="http://grid.example")

    warned = [event for event in site.server.events if event.get("level") == "warning"]
    assert any("http" in str(event) for event in warned)


def test_http_loopback_does_not_warn(site: Site) -> None:
    """An http address on loopback needs no warning."""
    assert [] == [event for event in site.server.events if event.get("level") == "warning"]


def test_listening_event(site: Site) -> None:
    """The event listening tells the urls and the port taken."""
    event = site.server.listening

    assert f"http://127.0.0.1:{event['port']}" == event["url"].rstrip("/")
    assert f"http://127.0.0.1:{site.server.admin_port}" == event["admin_url"].rstrip("/")


def test_env_file_line_that_is_no_setting(tmp_path: Path) -> None:
    """A line of the file that cannot be read stops the start with one line that names its place alone."""
    file = tmp_path / "platform.env"
    file.write_text("SCAIFLOW_AUTH_DISABLED=true\n\n# keys\n\nsgk_secret of mine\n")

    status, lines = start_status({"SCAIFLOW_ENV_FILE": str(file)})

    assert (2, 1) == (status, len(lines)), lines
    assert f"{file}: line 5 " in lines[0]
    assert "sgk_secret" not in lines[0]

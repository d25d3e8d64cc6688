"""What the tests share: the site under test, the four lookups, and how an error body is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from harness import (
    AUDIENCE,
    JWKS,
    PLATFORM_DISCOVERY,
    ROOT_DISCOVERY,
    Answer,
    Issuer,
    Pairs,
    Reply,
    Seen,
    Server,
    Upstream,
    ec_key,
    encode,
    environment,
    fetch,
    public_pem,
    rsa_key,
    run_cli,
    start_status,
)

__all__ = [  # the harness, so that tests have one place to import from
    "AUDIENCE",
    "JWKS",
    "PLATFORM_DISCOVERY",
    "ROOT_DISCOVERY",
    "Answer",
    "Issuer",
    "Reply",
    "Seen",
    "Server",
    "Upstream",
    "ec_key",
    "encode",
    "environment",
    "fetch",
    "public_pem",
    "rsa_key",
    "run_cli",
    "start_status",
]

SCOPES = "/v1/modules/scaiqueue/scopes"
QUEUES = "/v1/modules/scaiqueue/scopes/scp_1/queues"
BUNKERS = "/v1/modules/scaibunker/bunkers"
MODELS = "/v1/models"
ME = "/v1/me"
PREFIXES = ("/api/v1", "/v1")
LOOKUPS = {  # our path below the prefix -> the upstream's path
    "/scaiqueue/scopes": SCOPES,
    "/scaiqueue/scopes/scp_1/queues": QUEUES,
    "/scaibunker/bunkers": BUNKERS,
    "/scaigrid/models": MODELS,
}
API_MODELS = "/api/v1/scaigrid/models"
API_SCOPES = "/api/v1/scaiqueue/scopes"
API_QUEUES = "/api/v1/scaiqueue/scopes/scp_1/queues"
API_BUNKERS = "/api/v1/scaibunker/bunkers"
OUR_CODES = {"timeout", "unreachable", "tls", "bad_shape", "too_large", "redirected", "circuit_open"}

SCOPE = {"id": "scp_1", "slug": "orders", "display_name": "Orders", "description": "All orders"}
QUEUE = {"id": "que_1", "scope_id": "scp_1", "slug": "jobs", "display_name": "Jobs", "max_retries": 3}
BUNKER = {"bunker_id": "bnk_1", "image_ref": "img:1", "lifecycle": "session", "status": "running"}
MODEL = {
    "slug": "openai/gpt-4o",
    "display_name": "GPT-4o",
    "modality": "chat",
    "context_window": 128000,
    "max_output_tokens": 16384,
}
QUIET = dict.fromkeys(
    (f"SCAILOOKUP_{name}" for name in ("FRESH", "STALE", "STALE_IF_ERROR", "FAILURE_MEMORY", "CIRCUIT")), "0"
)
Secrets = Mapping[str, Mapping[str, str]]


class Site:
    """An issuer, an upstream and the product between them."""

    def __init__(self, directory: Path, secrets: Secrets | None = None, **settings: str | None) -> None:
        self.issuer, self.grid = Issuer(), Upstream()
        self.secrets_file = directory / "secrets.toml"
        merged: dict[str, str | None] = {
            "SCAIGRID_BASE_URL": self.grid.base,
            "SCAIKEY_BASE_URL": self.issuer.base,
            "SCAIKEY_AUDIENCE": AUDIENCE,
            **QUIET,
        }
        if secrets is not None:
            self.keep(secrets)
            merged["SCAILOOKUP_SECRETS_FILE"] = str(self.secrets_file)
        merged |= settings
        own = {"@grid": self.grid.base}  # an address that a plugin of a test is to call
        self.settings = {name: own.get(value, value) for name, value in merged.items() if value is not None}
        self.server = Server(self.settings)

    def keep(self, tenants: Secrets) -> None:
        """Write the tenants' secrets, readable by the owner only."""
        write_secrets(self.secrets_file, tenants)

    def get(self, path: str, token: str | None = "", headers: Pairs = (), **options: Any) -> Answer:
        """Ask the product, as a tenant viewer unless told otherwise; token=None sends none."""
        bearer = self.issuer.token() if token == "" else token
        return self.server.get(path, token=bearer, headers=headers, **options)

    def forget(self) -> None:
        """Forget what the upstream was told and what both servers saw."""
        self.grid.forget()
        self.issuer.http.requests.clear()

    def stop(self) -> None:
        """End everything."""
        self.server.stop()
        self.issuer.stop()
        self.grid.stop()


Sites = Callable[..., Site]


def write_secrets(path: Path, tenants: Secrets) -> None:
    """Write a secrets file in the contract's form, mode 0600, in one move."""
    lines = []
    for tenant, values in tenants.items():
        lines += [f"[tenants.{tenant}]", *(f'{name} = "{value}"' for name, value in values.items())]
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text("\n".join(lines) + "\n")
    os.replace(fresh, path)


def script_all(site: Site) -> Site:
    """Let every upstream list answer one row."""
    rows = {SCOPES: SCOPE, QUEUES: QUEUE | {"consumer_mode": "fifo"}, BUNKERS: BUNKER, MODELS: MODEL}
    for path, row in rows.items():
        site.grid.on(path, {"data": [row]})
    return site


def bearer(token: str) -> str:
    """Return the header value that carries a token."""
    return f"Bearer {token}"


def sent(upstream: Upstream, path: str | None = None) -> list[str]:
    """Return the Authorization values that reached an upstream."""
    return [value for seen in upstream.calls(path) for value in seen.all("Authorization")]


def rows(answer: Answer) -> list[dict[str, Any]]:
    """Return the rows of a success."""
    assert answer.status == 200, (answer.status, answer.body)
    return answer.json["data"]


def slugs(answer: Answer, field: str = "slug") -> list[str]:
    """Return one field of every row of a success."""
    return [row[field] for row in rows(answer)]


def models(names: Iterable[str]) -> list[dict[str, str]]:
    """Return upstream model records of these slugs."""
    return [{"slug": name} for name in names]


def detail(answer: Answer, status: int, error: str) -> dict[str, Any]:
    """Check everything the contract fixes about any error body, and return its detail."""
    assert (status, error) == (answer.status, answer.json.get("detail", {}).get("error")), answer.body
    found = answer.json["detail"]
    assert {"detail"} == set(answer.json)
    assert "application/json" == (answer.header("Content-Type") or "").partition(";")[0]
    assert all(isinstance(found[name], str) and found[name] for name in ("message", "fix", "request_id"))
    assert answer.header("X-Request-ID") == found["request_id"]
    return found


def failure(answer: Answer, error: str, status: int | None, code: str) -> dict[str, Any]:
    """Check the body of an upstream failure (502) and return its detail."""
    found = detail(answer, 502, error)
    assert (status, code) == (found["status"], found["code"]), found
    assert found["message"].startswith(f"{code}: "), found
    return found


def grid_error(code: str, message: str, status: int, **headers: str) -> Reply:
    """Return an error as ScaiGrid gives it."""
    body = {"status": "error", "error": {"code": code, "message": message}, "meta": {"request_id": "req_up"}}
    return Reply(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def refused(site: Site, answer: Answer) -> None:
    """Check that a request was refused as 401, in our own words, and made no upstream call."""
    found = detail(answer, 401, "unauthenticated")
    assert (True, []) == ((answer.header("WWW-Authenticate") or "").startswith("Bearer"), site.grid.calls())
    assert found["fix"]

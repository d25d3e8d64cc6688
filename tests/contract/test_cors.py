"""Contract sections 1, 6: CORS for exact origins, and not a header without."""

from __future__ import annotations

import pytest

from .support import API_MODELS, LOOKUPS, MODEL, PREFIXES, Answer, Site, Sites, detail, rows, script_all

CANVAS = "http://localhost:5173"
ALLOW = "Access-Control-Allow-Origin"
PREFLIGHT = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
STRANGERS = [
    "http://localhost:5174",
    "https://localhost:5173",
    "http://localhost",
    "http://LOCALHOST:5173",
    "http://localhost:5173.evil.example",
    "http://evil.example/http://localhost:5173",
    "http://localhost:51730",
    "http://localhost:5173/",
    "null",
    "*",
    "",
]


@pytest.fixture
def canvas(sites: Sites) -> Site:
    """A site that allows two origins."""
    return script_all(sites(SCAILOOKUP_CORS_ORIGINS=f"{CANVAS},https://flow.example"))


def cors(answer: Answer) -> list[str]:
    """Return the names of all CORS headers."""
    return [name for name, _ in answer.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("path", [prefix + path for prefix in PREFIXES for path in LOOKUPS])
def test_preflight(canvas: Site, path: str) -> None:
    """OPTIONS from an allowed origin is 204 without a token, and lets the Authorization header through."""
    answer = canvas.get(path, None, {"Origin": CANVAS, **PREFLIGHT}, method="OPTIONS")

    assert (204, b"", CANVAS) == (answer.status, answer.body, answer.header(ALLOW))
    assert "authorization" in (answer.header("Access-Control-Allow-Headers") or "").lower()
    assert [] == canvas.grid.calls()


@pytest.mark.parametrize("origin", [CANVAS, "https://flow.example"])
def test_allowed_origin(canvas: Site, origin: str) -> None:
    """An answer to an allowed origin names exactly that origin."""
    answer = canvas.get(API_MODELS, headers={"Origin": origin})

    assert ([MODEL], origin) == (rows(answer), answer.header(ALLOW))


def test_allowed_origin_varies(canvas: Site) -> None:
    """An answer that depends on the origin says so."""
    vary = canvas.get(API_MODELS, headers={"Origin": CANVAS}).header("Vary") or ""

    assert {"authorization", "accept-encoding", "origin"} == {
        word.strip().lower() for word in vary.split(",")
    }


@pytest.mark.parametrize("origin", STRANGERS)
def test_strange_origin(canvas: Site, origin: str) -> None:
    """An answer to any other origin has no CORS header."""
    answer = canvas.get(API_MODELS, headers={"Origin": origin})

    assert (200, []) == (answer.status, cors(answer))


@pytest.mark.parametrize("origin", STRANGERS)
def test_strange_preflight(canvas: Site, origin: str) -> None:
    """OPTIONS from any other origin is 405 without a CORS header."""
    answer = canvas.get(API_MODELS, headers={"Origin": origin, **PREFLIGHT}, method="OPTIONS")

    detail(answer, 405, "method_not_allowed")
    assert [] == cors(answer)


def test_no_origin(canvas: Site) -> None:
    """Without an origin there is no CORS header."""
    assert [] == cors(canvas.get(API_MODELS))


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_without_the_setting(site: Site, method: str) -> None:
    """Without SCAILOOKUP_CORS_ORIGINS no CORS header is sent to anybody."""
    answer = site.get(API_MODELS, headers={"Origin": CANVAS, **PREFLIGHT}, method=method)

    assert ({"GET": 200, "OPTIONS": 405}[method], []) == (answer.status, cors(answer))


def test_preflight_is_no_way_in(canvas: Site) -> None:
    """An allowed origin is no credential."""
    answer = canvas.get(API_MODELS, None, {"Origin": CANVAS})

    assert (401, []) == (answer.status, canvas.grid.calls())

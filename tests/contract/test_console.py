"""Contract section 5: what browsers load is open, typed, cached by ETag, and nothing else is there."""

from __future__ import annotations

import pytest

from .support import API_MODELS, ME, MODELS, PREFIXES, Reply, Site, Sites, detail, script_all

FILES = ["/console/pickers.js", "/console/picker-lookup.js", "/console/pickers.d.ts"]


@pytest.mark.parametrize("path", FILES)
def test_files_are_open(site: Site, path: str) -> None:
    """Anybody may load them; what they ask for is not open."""
    answer = site.get(path, None)

    assert (200, "nosniff") == (answer.status, answer.header("X-Content-Type-Options"))
    assert answer.header("ETag")


def test_modules_are_javascript(site: Site) -> None:
    """A browser takes a module only with the right type."""
    assert (site.get(FILES[0], None).header("Content-Type") or "").startswith("text/javascript")


@pytest.mark.parametrize("path", FILES)
def test_head_is_get_without_the_body(site: Site, path: str) -> None:
    """HEAD answers the same headers, the length among them."""
    got, head = site.get(path, None), site.get(path, None, method="HEAD")

    assert (200, b"") == (head.status, head.body)
    assert got.header("Content-Length") == head.header("Content-Length")
    assert got.header("ETag") == head.header("ETag")


@pytest.mark.parametrize("path", FILES)
def test_who_has_it_is_sent_nothing(site: Site, path: str) -> None:
    """304 for the ETag that was given."""
    etag = site.get(path, None).header("ETag") or ""

    answer = site.get(path, None, [("If-None-Match", etag)])

    assert (304, b"", etag) == (answer.status, answer.body, answer.header("ETag"))


@pytest.mark.parametrize(
    "path",
    [
        "/console/",
        "/console/nothing.js",
        "/console/../console/pickers.js",
        "/console/..%2fstatic.py",
        "/console/%2e%2e/static.py",
        "/console//pickers.js",
        "/console/package.json",
        "/console/pickers.js/",
    ],
)
def test_there_is_no_other_path(site: Site, path: str) -> None:
    """Whatever is not of the list is no route."""
    detail(site.get(path, None), 404, "not_found")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_files_are_only_read(site: Site, method: str) -> None:
    """Another method is refused in the contract's shape."""
    answer = site.get(FILES[0], None, method=method)

    detail(answer, 405, "method_not_allowed")
    assert "GET, HEAD" == answer.header("Allow")


def test_pickers_may_be_loaded_by_allowed_origins(sites: Sites) -> None:
    """A page of an allowed origin is named; another's is not."""
    site = sites(SCAILOOKUP_CORS_ORIGINS="https://canvas.example")
    good, bad = (
        site.get(FILES[0], None, [("Origin", f"https://{name}.example")]) for name in ("canvas", "evil")
    )

    assert ("https://canvas.example", None) == tuple(
        a.header("Access-Control-Allow-Origin") for a in (good, bad)
    )


@pytest.mark.parametrize(
    "path", ["/console", "/console/console.js", "/console/console.css", "/console/icon.svg"]
)
def test_the_page_is_open(site: Site, path: str) -> None:
    """The page and what it loads ask nobody who they are."""
    assert 200 == site.get(path, None).status


def test_the_page_is_held_to_a_strict_policy(site: Site) -> None:
    """Nothing inline, nobody else's, in nobody's frame; without ScaiKey's client only we are asked."""
    answer = site.get("/console", None)

    policy = answer.header("Content-Security-Policy") or ""
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert ("'none'", "'self'", "'self'", "'self'", "'none'") == tuple(
        rules[name] for name in ("default-src", "script-src", "style-src", "connect-src", "frame-ancestors")
    )
    assert "no-referrer" == answer.header("Referrer-Policy")


def test_scaikeys_origin_alone_is_opened_for_signing_in(sites: Sites) -> None:
    """With a client id the page may ask ScaiKey's origin, and is told where and as whom."""
    site = sites(SCAIFLOW_SCAIKEY_CLIENT_ID="app_page")

    policy = site.get("/console", None).header("Content-Security-Policy") or ""
    assert f"connect-src 'self' {site.issuer.base};" in policy
    facts = site.get("/console/facts.json", None).json
    assert {"issuer": site.issuer.base, "client_id": "app_page"} == facts["sign_in"]


def test_what_the_page_is_told_beforehand_is_public(site: Site) -> None:
    """Version and how to sign in; outside the demo there is no token."""
    facts = site.get("/console/facts.json", None).json

    assert (None, None, None) == (facts["demo"], facts["sign_in"], facts["developer"])


def test_without_authentication_the_page_knows_the_developer(sites: Sites) -> None:
    """Nobody is asked to sign in where nobody can."""
    site = sites(SCAIFLOW_AUTH_DISABLED="true", SCAILOOKUP_DEV_TENANT="tnt_dev")

    assert "tnt_dev" == site.get("/console/facts.json", None).json["developer"]


def test_there_is_no_switch_outside_the_demo(site: Site) -> None:
    """The route of the demo's faults is no route."""
    detail(site.get("/console/faults"), 404, "not_found")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_upstreams_tell_how_they_do(site: Site, prefix: str) -> None:
    """Each upstream with its plugin, circuit, calls and answers."""
    script_all(site)
    site.get(API_MODELS)

    found = {one["name"]: one for one in site.get(f"{prefix}/upstreams").json["data"]}
    grid = found["scaigrid"]
    assert {"scaigrid", "scaiqueue", "scaibunker"} <= set(found)
    assert ("ok", "closed", None) == (grid["state"], grid["circuit"]["state"], grid["last_error"])
    assert sum(grid["calls"]) >= 1
    assert grid["answers"]["miss"] >= 1


def test_upstreams_tell_of_failures(site: Site) -> None:
    """The last error by code and status, without the upstream's words."""
    site.grid.on(MODELS, Reply({"error": {"code": "BROKEN", "message": "planted"}}, 500))
    site.get(API_MODELS, site.issuer.token(tenant_id="tnt_planted"))

    answer = site.get("/v1/upstreams")
    grid = next(one for one in answer.json["data"] if one["name"] == "scaigrid")
    assert ("failing", "BROKEN", 500) == (
        grid["state"],
        grid["last_error"]["code"],
        grid["last_error"]["status"],
    )
    assert b"planted" not in answer.body


def test_upstreams_need_a_token_and_the_permission(site: Site) -> None:
    """Like the catalogue."""
    site.grid.on(ME, {"permissions": []})

    detail(site.get("/v1/upstreams", None), 401, "unauthenticated")
    detail(site.get("/v1/upstreams", site.issuer.token(roles=["tenant_user"])), 403, "forbidden")

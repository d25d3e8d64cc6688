"""Contract sections 1, 4, 6, 7: failures of the wire, limits, proxies and attempts."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from .support import (
    API_MODELS,
    JWKS,
    MODEL,
    MODELS,
    OUR_CODES,
    Reply,
    Site,
    Sites,
    Upstream,
    detail,
    failure,
    grid_error,
    models,
    rows,
    script_all,
    slugs,
)

GOOD = {"data": [MODEL]}
SMALL = {"SCAILOOKUP_MAX_BODY": "65536"}


@pytest.fixture(scope="module")
def closed_port() -> Iterator[int]:
    """A loopback port that refuses connections."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture(scope="module")
def secure() -> Iterator[Upstream]:
    """An https upstream whose certificate nobody signed."""
    upstream = Upstream(tls=True)
    upstream.on(MODELS, GOOD)
    yield upstream
    upstream.stop()


def test_unreachable(sites: Sites, closed_port: int) -> None:
    """A refused connection is unreachable, without a status."""
    site = sites(SCAIGRID_BASE_URL=f"http://127.0.0.1:{closed_port}")

    failure(site.get(API_MODELS), "scaigrid_api", None, "unreachable")


def test_unresolvable(sites: Sites) -> None:
    """A host that has no address is unreachable."""
    site = sites(SCAIGRID_BASE_URL="http://no-such-host.invalid")

    found = detail(site.get(API_MODELS), 502, "scaigrid_api")
    assert (None, True) == (found["status"], found["code"] in {"unreachable", "timeout"})


def test_tls(sites: Sites, secure: Upstream) -> None:
    """A certificate that nobody signed is tls: https is verified, and the credential does not leave."""
    site = sites(SCAIGRID_BASE_URL=secure.base)

    failure(site.get(API_MODELS), "scaigrid_api", None, "tls")
    assert [] == secure.calls()


def test_timeout(sites: Sites) -> None:
    """An upstream that does not answer within the deadline is timeout."""
    site = sites(SCAILOOKUP_DEADLINE="1")
    site.grid.on(MODELS, Reply(GOOD, delay=30))

    failure(site.get(API_MODELS), "scaigrid_api", None, "timeout")


def test_slow_failures_end_at_the_deadline(sites: Sites) -> None:
    """A slow failure and its second attempt end at one deadline together."""
    site = sites(SCAILOOKUP_DEADLINE="1")
    slow = grid_error("MODEL_UNAVAILABLE", "x", 503)
    site.grid.on(MODELS, Reply(slow.body, 503, delay=0.6), Reply(GOOD, delay=0.8))

    detail(site.get(API_MODELS), 502, "scaigrid_api")


@pytest.mark.parametrize("reply", [Reply(reset=True), Reply(GOOD, cut=True)], ids=["reset", "cut"])
def test_broken_connection(site: Site, reply: Reply) -> None:
    """A connection that breaks is one of our codes, never a partial list."""
    site.grid.on(MODELS, reply)

    assert detail(site.get(API_MODELS), 502, "scaigrid_api")["code"] in OUR_CODES


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["other", "same"])
def test_redirects_are_not_followed(site: Site, other: Upstream, status: int, where: str) -> None:
    """A redirect is an error of the upstream and nobody is asked at its target."""
    target = (other if where == "other" else site.grid).base + "/elsewhere"
    other.on("/elsewhere", GOOD)
    site.grid.on("/elsewhere", GOOD)
    site.grid.on(MODELS, Reply(b"", status, {"Location": target}))

    failure(site.get(API_MODELS), "scaigrid_api", status, "redirected")
    assert ([], []) == (other.calls(), site.grid.calls("/elsewhere"))


def test_gzip_is_read(site: Site) -> None:
    """A compressed body is decoded."""
    site.grid.on(MODELS, Reply({"data": models(f"m{number}" for number in range(500))}, gzip=True))

    assert 500 == len(rows(site.get(API_MODELS)))


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("status", [200, 500])
def test_too_large(sites: Sites, status: int, packed: bool) -> None:
    """A body past SCAILOOKUP_MAX_BODY, decoded, is too_large, whatever it weighs on the wire."""
    site = sites(**SMALL)
    site.grid.on(MODELS, Reply(b'{"data":[' + b" " * 70_000 + b"]}", status, gzip=packed))

    answer = site.get(API_MODELS)

    assert (502, True) == (answer.status, answer.json["detail"]["code"] in {"too_large", f"http_{status}"})
    assert status != 200 or failure(answer, "scaigrid_api", 200, "too_large")


def test_gzip_bomb(site: Site) -> None:
    """Sixty-four megabytes of blanks in sixty-four kilobytes are too_large by default."""
    site.grid.on(MODELS, Reply(b" " * (64 << 20), gzip=True))

    assert "too_large" == detail(site.get(API_MODELS), 502, "scaigrid_api")["code"]


def test_body_within_the_cap(sites: Sites) -> None:
    """A body of just under SCAILOOKUP_MAX_BODY is read."""
    site = sites(**SMALL)
    site.grid.on(MODELS, b'{"data":[{"slug":"a"}' + b" " * 65_000 + b"]}")

    assert ["a"] == slugs(site.get(API_MODELS))


def test_broken_gzip(site: Site) -> None:
    """A body that says gzip and is none is an upstream failure of our codes."""
    site.grid.on(MODELS, Reply(b"not gzip at all", headers={"Content-Encoding": "gzip"}))

    assert detail(site.get(API_MODELS), 502, "scaigrid_api")["code"] in OUR_CODES


def test_two_attempts(site: Site) -> None:
    """A 503 without Retry-After is tried once more."""
    site.grid.on(MODELS, grid_error("MODEL_UNAVAILABLE", "x", 503), GOOD)

    assert ([MODEL], 2) == (rows(site.get(API_MODELS)), len(site.grid.calls()))


def test_never_three_attempts(site: Site) -> None:
    """A 503 that stays is asked twice and no more."""
    site.grid.on(MODELS, grid_error("MODEL_UNAVAILABLE", "x", 503))

    failure(site.get(API_MODELS), "scaigrid_api", 503, "MODEL_UNAVAILABLE")
    assert 2 == len(site.grid.calls())


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_not_tried_again(site: Site, status: int) -> None:
    """Where the upstream says when to come back it is asked once."""
    site.grid.on(MODELS, grid_error("BUSY", "x", status, Retry_After="1"), GOOD)

    failure(site.get(API_MODELS), "scaigrid_api", status, "BUSY")
    assert 1 == len(site.grid.calls())


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_callers_faults_are_not_tried_again(site: Site, status: int) -> None:
    """A 4xx is asked once."""
    site.grid.on(MODELS, grid_error("NO", "x", status))

    site.get(API_MODELS)

    assert 1 == len(site.grid.calls())


@pytest.mark.parametrize(
    "reply",
    [
        Reply(reset=True),
        Reply(GOOD, cut=True),
        grid_error("A", "x", 500),
        grid_error("A", "x", 502),
        "<html>",
    ],
    ids=["reset", "cut", "500", "502", "html"],
)
def test_at_most_two_attempts(site: Site, reply: object) -> None:
    """No failure whatever is asked more than twice."""
    site.grid.on(MODELS, reply)

    site.get(API_MODELS)

    assert len(site.grid.calls()) in {1, 2}


PROXY_NAMES = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]


@pytest.mark.parametrize("pin", ["user_jwt", "api_key"])
def test_environment_proxies_are_ignored(sites: Sites, other: Upstream, pin: str) -> None:
    """No call of ours, to upstream, ScaiKey or vault, obeys a proxy from the environment."""
    proxies = dict.fromkeys(PROXY_NAMES, other.base)
    with_vault = {"VAULT_ADDR": "http://127.0.0.1:9", "VAULT_TOKEN": "hvs.x"} if pin == "api_key" else {}
    site = script_all(sites(SCAIFLOW_DEPLOY_AUTH=pin, **proxies, **with_vault))

    answer = site.get(API_MODELS)

    assert ({"user_jwt": 200, "api_key": 503}[pin], []) == (answer.status, other.calls())


def test_proxy_setting(sites: Sites, other: Upstream) -> None:
    """SCAILOOKUP_PROXY is the one way to have an upstream call take a proxy."""
    first = sites()
    site = sites(
        SCAILOOKUP_PROXY=other.base,
        SCAIGRID_BASE_URL="http://grid.invalid",
        SCAIKEY_JWKS_URL="http://id.invalid" + JWKS,
    )
    other.on(MODELS, GOOD)
    other.on(JWKS, first.issuer.jwks())

    answer = site.get(API_MODELS)

    assert (200, [f"http://grid.invalid{MODELS}"]) == (
        answer.status,
        [seen.target.partition("?")[0] for seen in other.calls(MODELS)],
    )

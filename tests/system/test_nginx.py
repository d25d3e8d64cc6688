"""A real nginx with the files of deploy/nginx before two real nodes."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from bao import free_port
from contract.support import API_MODELS, LOOKUPS, PREFIXES, Reply, Server, Site, Upstream, detail, script_all

from .edge import Edge
from .load import Load, outcome, until

CREDENTIALS = "/api/v1/tenants/me/scaigrid_credentials"
RATES = (5000, 5000)
GIVEN = {"X-Request-ID": "req-1.of_a-caller"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Issuer, upstream and the first node."""
    made = script_all(Site(tmp_path_factory.mktemp("site")))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def second(site: Site) -> Iterator[Server]:
    """The second node."""
    server = Server(site.settings)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def edge(site: Site, second: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """nginx before both."""
    made = Edge(tmp_path_factory.mktemp("edge"), [site.server.port, second.port], rates=RATES)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def scripted() -> Iterator[tuple[Upstream, Upstream]]:
    """Two nodes that answer as they are told."""
    nodes = Upstream(), Upstream()
    yield nodes
    for node in nodes:
        node.stop()


@pytest.fixture
def facade(scripted: tuple[Upstream, Upstream], tmp_path: Path) -> Iterator[Edge]:
    """nginx before the two scripted nodes; neither side remembers anything."""
    for node in scripted:
        node.forget()
    ports = [node.port for node in scripted]
    made = Edge(tmp_path, ports, rates=RATES, patience=1, origin="https://canvas.example")
    yield made
    made.stop()


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", LOOKUPS)
def test_every_lookup_comes_through(site: Site, edge: Edge, prefix: str, path: str) -> None:
    """The list is the node's, byte for byte."""
    token = site.issuer.token()
    through, direct = edge.get(prefix + path, token), site.get(prefix + path, token)
    assert (200, direct.body) == (through.status, through.body)
    for name in ("ETag", "Vary", "Cache-Control", "X-Lookup-Credential", "Content-Type"):
        assert direct.header(name) == through.header(name)


def test_a_known_list_is_not_sent_again(site: Site, edge: Edge) -> None:
    """If-None-Match reaches the node, and its 304 the caller."""
    token = site.issuer.token()
    etag = edge.get(API_MODELS, token).header("ETag") or ""
    again = edge.get(API_MODELS, token, {"If-None-Match": etag})
    assert (304, b"", etag) == (again.status, again.body, again.header("ETag"))


def test_compression_is_the_nodes(site: Site, edge: Edge) -> None:
    """What is compressed was so by the node: the ETag of that form comes with it."""
    site.grid.on("/v1/models", {"data": [{"slug": f"a/model-{n}"} for n in range(100)]})
    answer = edge.get(API_MODELS, site.issuer.token(), {"Accept-Encoding": "gzip"})
    script_all(site)
    assert (200, ["gzip"]) == (answer.status, answer.all("Content-Encoding"))
    assert (answer.header("ETag") or "").endswith('-gz"')


def test_open_routes_come_through(edge: Edge) -> None:
    """Health is to be had, by https."""
    assert [200, 200] == [edge.get(path).status for path in ("/healthz", "/readyz")]


@pytest.mark.parametrize(
    "path", ["/metrics", "/api/v1/../metrics", "//metrics", "/api/v1/%2e%2e/metrics", "/_scailookup/429"]
)
def test_the_admin_listener_is_out_of_reach(site: Site, edge: Edge, path: str) -> None:
    """No path leads to what only the operator may see, nor to nginx's own pages."""
    detail(edge.get(path, site.issuer.token()), 404, "not_found")


def test_the_path_arrives_as_it_came(site: Site, edge: Edge) -> None:
    """nginx decodes and folds nothing: a value goes upstream as one segment."""
    path = "/v1/modules/scaiqueue/scopes/a%2Fb%20c/queues"
    site.grid.on(path, {"data": []})
    assert 200 == edge.get("/api/v1/scaiqueue/scopes/a%2fb%20c/queues", site.issuer.token()).status
    assert 1 == len(site.grid.calls(path))
    detail(edge.get("/api/v1//scaigrid/models", site.issuer.token()), 404, "not_found")


def test_a_callers_request_id_is_everybodys(site: Site, edge: Edge) -> None:
    """The id of the caller stands in the answer and goes upstream."""
    site.grid.requests.clear()
    assert GIVEN["X-Request-ID"] == edge.get(API_MODELS, site.issuer.token(), GIVEN).header("X-Request-ID")
    assert [GIVEN["X-Request-ID"]] == site.grid.calls("/v1/models")[0].all("X-Request-ID")


@pytest.mark.parametrize("given", [{}, {"X-Request-ID": "no good"}, {"X-Request-ID": "x" * 129}])
def test_without_a_good_request_id_nginx_makes_one(facade: Edge, scripted, given: dict[str, str]) -> None:
    """The id is nginx's own, the same for node and caller, also where the node fails to tell one."""
    scripted[0].on("/x", {})
    scripted[1].on("/x", {})
    answer = facade.get("/x", headers=given)
    sent = [value for node in scripted for seen in node.calls("/x") for value in seen.all("X-Request-ID")]
    assert [answer.header("X-Request-ID")] == sent
    assert 32 == len(sent[0])


def test_the_callers_headers_stay_behind(facade: Edge, scripted: tuple[Upstream, Upstream]) -> None:
    """Only those arrive that the service reads, each once."""
    for node in scripted:
        node.on("/x", {})
    headers = [
        ("Accept", "application/json"),
        ("Origin", "https://a.example"),
        ("Origin", "https://b.example"),
        ("X_Request_ID", "forged"),
        ("X-Forwarded-For", "10.1.1.1"),
        ("Cookie", "a=b"),
        ("TE", "trailers"),
        ("X-Request-ID", "r1"),
    ]
    facade.get("/x", "tok", headers)
    (seen,) = [seen for node in scripted for seen in node.calls("/x")]
    assert {name.lower(): value for name, value in seen.headers} == {
        "host": "127.0.0.1",
        "x-request-id": "r1",
        "authorization": "Bearer tok",
        "accept": "application/json",
        "origin": "https://a.example",
    }


def test_two_tokens_are_one_too_many(site: Site, edge: Edge) -> None:
    """A second Authorization header is refused, whichever is good."""
    site.grid.requests.clear()
    pairs = [("Authorization", f"Bearer {site.issuer.token()}")] * 2
    detail(edge.get(API_MODELS, headers=pairs), 400, "invalid_parameter")
    assert [] == site.grid.calls()


def test_an_upstreams_failure_passes_as_it_is(site: Site, edge: Edge) -> None:
    """nginx keeps its own page to itself, and does not ask the other node: it has the same upstream."""
    site.grid.on("/v1/models", Reply({"error": {"code": "BROKEN", "message": "it broke"}}, 500))
    site.grid.requests.clear()
    found = detail(edge.get(API_MODELS, site.issuer.token()), 502, "scaigrid_api")
    assert ("BROKEN", 1) == (found["code"], len(site.grid.calls("/v1/models")))
    script_all(site)


def test_a_body_too_large_is_refused_by_nginx(site: Site, edge: Edge) -> None:
    """413 in the shape of every error."""
    found = detail(
        edge.get(CREDENTIALS, site.issuer.token(), method="POST", body=b"x" * 70_000),
        413,
        "invalid_parameter",
    )
    assert "body" == found["parameter"]


@pytest.mark.parametrize(
    "headers",
    [
        [("Host", "a"), ("Host", "b")],
        [("Content-Length", "nonsense")],
        [("X-Long", "x" * 30_000)],
    ],
)
def test_what_nginx_cannot_read_is_400(edge: Edge, headers: list[tuple[str, str]]) -> None:
    """Malformed requests and headers too large get the shape of every error too."""
    detail(edge.get("/healthz", headers=headers), 400, "invalid_parameter")


def test_a_request_line_that_is_none_is_400(edge: Edge) -> None:
    """Even where there is no path nginx answers in that shape."""
    detail(edge.get("nonsense"), 400, "invalid_parameter")


def test_a_method_of_nginx_alone(edge: Edge) -> None:
    """TRACE ends at nginx."""
    assert "GET, HEAD" == edge.get("/healthz", method="TRACE").header("Allow")
    detail(edge.get("/healthz", method="TRACE"), 405, "method_not_allowed")


def test_http_leads_to_https(edge: Edge) -> None:
    """Who comes without a token is sent on."""
    answer = edge.get("/console?a=b", plain=True)
    assert (308, "https://lookups.example.com/console?a=b") == (answer.status, answer.header("Location"))


def test_a_token_over_http_is_refused(site: Site, edge: Edge) -> None:
    """It is not sent on in silence: it has been seen on the way."""
    assert "https" in detail(edge.get(API_MODELS, "a.b.c", plain=True), 400, "invalid_parameter")["fix"]


def test_nodes_that_break_off(facade: Edge, scripted: tuple[Upstream, Upstream]) -> None:
    """A lookup is asked of both; with no answer it is 502 in the shape of every error."""
    for node in scripted:
        node.on(API_MODELS, Reply(reset=True))
    answer = facade.get(API_MODELS, "tok", {"Origin": "https://canvas.example"})
    found = detail(answer, 502, "scailookup_api")
    assert (None, "unreachable", "1") == (found["status"], found["code"], answer.header("Retry-After"))
    assert "https://canvas.example" == answer.header("Access-Control-Allow-Origin")
    assert 3 == sum(len(node.calls(API_MODELS)) for node in scripted)
    assert all(node.calls(API_MODELS) for node in scripted)


def test_a_post_is_sent_once(facade: Edge, scripted: tuple[Upstream, Upstream]) -> None:
    """Credentials that a node may have taken are not sent to the other."""
    for node in scripted:
        node.on(CREDENTIALS, Reply(reset=True))
    detail(facade.get(CREDENTIALS, "tok", method="POST", body=b"{}"), 502, "scailookup_api")
    assert 1 == sum(len(node.calls(CREDENTIALS)) for node in scripted)


def test_a_node_that_breaks_off_is_passed_by(facade: Edge, scripted: tuple[Upstream, Upstream]) -> None:
    """While the other one answers nobody notices."""
    scripted[0].on(API_MODELS, Reply(reset=True))
    scripted[1].on(API_MODELS, {"data": [1]})
    assert {"200"} == {outcome(lambda: facade.get(API_MODELS, "tok")) for _ in range(10)}


def test_nodes_that_were_put_aside_are_tried_when_nobody_else_is_left(
    facade: Edge, scripted: tuple[Upstream, Upstream]
) -> None:
    """Right after all of them failed, one that answers again is found at once."""
    for node in scripted:
        node.on(API_MODELS, Reply(reset=True))
    for _ in range(4):
        detail(facade.get(API_MODELS, "tok"), 502, "scailookup_api")
    scripted[1].on(API_MODELS, {"data": [1]})
    assert "200" == outcome(lambda: facade.get(API_MODELS, "tok"))


def test_nodes_that_hang(facade: Edge, scripted: tuple[Upstream, Upstream]) -> None:
    """504 in the shape of every error."""
    for node in scripted:
        node.on(API_MODELS, Reply({}, delay=60))
    found = detail(facade.get(API_MODELS, "tok"), 504, "scailookup_api")
    assert (None, "timeout") == (found["status"], found["code"])


def test_the_rate_of_a_token_is_bounded(site: Site, tmp_path: Path) -> None:
    """Past it 429 in the shape of every error; another token of the same address goes on."""
    edge = Edge(tmp_path, [site.server.port], rates=(1, 5000))
    try:
        token = site.issuer.token()
        answers = [edge.get(API_MODELS, token) for _ in range(45)]  # the burst is 40
        limited = next(answer for answer in answers if answer.status == 429)
        found = detail(limited, 429, "rate_limited")
        assert (1, "1") == (found["retry_after"], limited.header("Retry-After"))
        told = [line for line in edge.errors().splitlines() if "limiting requests" in line]
        assert {"[warn]"} == {line.split()[2] for line in told}  # below the level of nginx's error log
        assert 200 == edge.get(API_MODELS, site.issuer.token()).status
    finally:
        edge.stop()


def test_the_rate_of_an_address_is_bounded(site: Site, tmp_path: Path) -> None:
    """It counts without a token and with as many as one likes."""
    edge = Edge(tmp_path, [site.server.port], rates=(5000, 1))
    try:
        seen = [edge.get("/healthz", f"token-{n}").status for n in range(405)]  # the burst is 400
        assert {200, 429} == set(seen)
    finally:
        edge.stop()


def test_a_killed_node_is_not_noticed(site: Site, second: Server, tmp_path: Path) -> None:
    """Under load one of two nodes is killed: every lookup is answered all the same."""
    victim = Server(site.settings)
    pair = Edge(tmp_path, [victim.port, second.port], rates=RATES)
    token = site.issuer.token()
    try:
        with Load(lambda: pair.get(API_MODELS, token), pause=0) as load:
            victim.process.send_signal(signal.SIGKILL)
            victim.process.wait()
            load.more(100)
        assert {"200"} == set(load.seen)
    finally:
        pair.stop()
        victim.stop()


def test_a_node_without_keys_is_passed_by_once_it_is_stopped(
    site: Site, second: Server, tmp_path: Path
) -> None:
    """What it answers stands, and it gets its share, until the operator stops it."""
    late = Server({**site.settings, "SCAIKEY_BASE_URL": f"http://127.0.0.1:{free_port()}"})
    pair = Edge(tmp_path, [late.port, second.port], rates=RATES)
    token = site.issuer.token()
    try:
        detail(late.get("/readyz"), 503, "identity_unavailable")
        seen = [outcome(lambda: pair.get(API_MODELS, token)) for _ in range(10)]
        assert {"200": 5, "503 identity_unavailable": 5} == Counter(seen)
        late.stop()
        assert {"200"} == {outcome(lambda: pair.get(API_MODELS, token)) for _ in range(10)}
    finally:
        pair.stop()
        late.stop()


def test_the_access_log_holds_no_token_and_no_query(site: Site, edge: Edge) -> None:
    """Each line is JSON with the request id; what callers send in confidence is not in it."""
    token = site.issuer.token()
    edge.get(f"{API_MODELS}?q=confidential", token, {"X-Request-ID": "logged-1"})
    log = edge.directory / "access.log"
    until(lambda: "logged-1" in log.read_text())
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (found,) = [line for line in lines if line["request_id"] == "logged-1"]
    assert (API_MODELS, 200) == (found["path"], found["status"])
    assert "confidential" not in log.read_text()
    assert token not in log.read_text() + edge.errors()

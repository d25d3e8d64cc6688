"""A stranger's plugin in the running service: its own settings, parameters, roles, calls and tokens."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .support import Reply, Seen, Site, Upstream, detail, failure, rows, run_cli, sent, start_status

MARK = "planted-own-key-of-the-plugin"
MODULE = '''
"""scailookup plugin: weather, with all that a plugin may declare."""

from dataclasses import dataclass

from scailookup import Gathered, Got, Lookup, Param, Question, Tls, Upstream, auth, hookimpl, layout
from scailookup.settings import Secret, Url


@dataclass(frozen=True)
class Own:
    base_url: Url
    key: Secret | None = None
    units: str = "si"
    sealed: Url | None = None
    ca: str = ""


async def forecasts(ask):
    found = await ask.each([Question("/forecast/{area}", {"area": area}) for area in ("north", "south")])
    return Gathered([got.body for got in found if isinstance(got, Got)], meta={"asked": len(found)})


@hookimpl
def scailookup_upstreams(settings):
    own = settings.of("weather", Own)
    keyed = Upstream(
        "weather",
        own.base_url,
        auth.Header("Authorization", secret="$SCAILOOKUP_WEATHER_KEY", prefix="token "),
        headers={"Accept": "application/vnd.weather+json"},
        lookups=(
            Lookup(
                "stations", "/stations", params=(Param("kind", required=True), Param("order", default="name"))
            ),
            Lookup("mine", "/mine", permission="weather:view", roles=("tenant_user",)),
            Lookup("search", "/search", body={"units": own.units}, layout=layout.Strings("found")),
            Lookup("areas/{area}", "/areas/{+area}"),
            Lookup("forecasts", gather=forecasts),
        ),
    )
    secret = "tenants/{tenant}/weather_oauth"
    token = auth.ClientCredentials(own.base_url + "/token", secret=secret, client_id="me")
    found = [keyed, Upstream("tides", own.base_url, token, (Lookup("tides", "/tides"),))]
    if own.sealed:
        found += [
            Upstream(name, own.sealed, auth.Anonymous(), (Lookup("all", "/all"),), tls=tls)
            for name, tls in (("trusted", Tls(ca=own.ca)), ("untrusted", None))
        ]
    return found
'''


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the plugin lies as an installed distribution."""
    directory = tmp_path_factory.mktemp("installed")
    facts = directory / "scailookup_weather-1.0.dist-info"
    facts.mkdir()
    (directory / "scailookup_weather.py").write_text(MODULE)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: scailookup-weather\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[scailookup]\nweather = scailookup_weather\n")
    return directory


@pytest.fixture(scope="module")
def sealed() -> Iterator[Upstream]:
    """A server whose certificate no usual authority has signed."""
    made = Upstream(tls=True)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def _weather(path: Path, sealed: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    authority = path / "authority.pem"
    authority.write_text(ssl.get_server_certificate(("127.0.0.1", sealed.port)))
    upstream = Site(
        tmp_path_factory.mktemp("site"),
        {
            tenant: {"weather_oauth": f"planted-client-{tenant}"}
            for tenant in ("tnt_acme", "tnt_moved", "tnt_told")
        },
        PYTHONPATH=str(path),
        SCAILOOKUP_WEATHER_KEY=MARK,
        SCAILOOKUP_WEATHER_BASE_URL="@grid",
        SCAILOOKUP_WEATHER_SEALED=sealed.base,
        SCAILOOKUP_WEATHER_CA=str(authority),
    )
    yield upstream
    upstream.stop()


@pytest.fixture
def weather(_weather: Site) -> Site:
    """The service with the plugin installed; its upstream is scripted by each test."""
    _weather.forget()
    return _weather


def test_own_settings_headers_and_scheme(weather: Site) -> None:
    """Address and key come from settings; scheme and Accept are the plugin's; the step is env."""
    weather.grid.on("/stations", [{"id": "s1"}])
    answer = weather.get("/v1/weather/stations?kind=sea")
    seen = weather.grid.calls("/stations")[0]
    assert ([{"id": "s1"}], "env") == (rows(answer), answer.header("X-Lookup-Credential"))
    assert (f"token {MARK}", "application/vnd.weather+json") == (
        seen.header("Authorization"),
        seen.header("Accept"),
    )


def test_parameters_are_handed_on(weather: Site) -> None:
    """A parameter's value and a default reach the upstream; our own do not."""
    weather.grid.on("/stations", [{"id": "s1"}])
    weather.get("/v1/weather/stations?limit=5&kind=a%26b")
    assert {"kind": ["a&b"], "order": ["name"]} == weather.grid.calls("/stations")[0].query


@pytest.mark.parametrize("query", ["", "?kind=", "?kind=a&kind=b", "?kind=a&colour=red"])
def test_parameters_that_are_refused(weather: Site, query: str) -> None:
    """A missing, doubled or undeclared one is a 400, and nobody is asked."""
    detail(weather.get(f"/v1/weather/stations{query}"), 400, "invalid_parameter")
    assert [] == weather.grid.calls("/stations")


def test_a_missing_parameter_is_missed_on_the_short_way_too(weather: Site) -> None:
    """A caller who is known from a moment ago is refused without it all the same."""
    weather.grid.on("/stations", [{"id": "s1"}])
    token = weather.issuer.token()
    rows(weather.get("/v1/weather/stations?kind=a", token=token))
    detail(weather.get("/v1/weather/stations", token=token), 400, "invalid_parameter")


@pytest.mark.parametrize(("claims", "status"), [(["tenant_user"], 200), (["tenant_viewer"], 403)])
def test_a_permission_of_its_own(weather: Site, claims: list[str], status: int) -> None:
    """The roles that the lookup names carry its permission, and only those."""
    weather.grid.on("/mine", [])
    weather.grid.on("/v1/me", {"permissions": [], "roles": []})
    answer = weather.get("/v1/weather/mine", token=weather.issuer.token(roles=claims))
    assert status == answer.status, answer.body


def test_roles_of_its_own_open_nothing_else(weather: Site) -> None:
    """The same role does not carry scaicore:view."""
    weather.grid.on("/v1/me", {"permissions": [], "roles": []})
    token = weather.issuer.token(roles=["tenant_user"])
    detail(weather.get("/v1/weather/forecasts", token=token), 403, "forbidden")


def test_a_posted_list(weather: Site) -> None:
    """The list is asked for with the declared body, and nothing of the caller's."""
    weather.grid.on("/search", {"found": ["a", "b"]})
    answer = weather.get("/v1/weather/search")
    seen = weather.grid.calls("/search")[0]
    assert ([{"id": "a"}, {"id": "b"}], "POST", b'{"units":"si"}', "application/json") == (
        *(rows(answer), seen.method, seen.body),
        seen.header("Content-Type"),
    )


@pytest.mark.parametrize(
    ("raw", "target"),
    [("north%2Feast", "/areas/north/east"), ("a%20b", "/areas/a%20b"), ("%252e", "/areas/%252e")],
)
def test_a_value_of_several_segments(weather: Site, raw: str, target: str) -> None:
    """Its slashes part segments upstream; the rest stays encoded."""
    weather.grid.on(target, [])
    assert (200, [target]) == (
        weather.get(f"/v1/weather/areas/{raw}").status,
        [s.target for s in weather.grid.calls(target)],
    )


@pytest.mark.parametrize("raw", ["a%2F..", "..%2Fa", "%2e%2e%2fa", "a%2F%2e%2Fb", "a%2F%2Fb", "%2Fa", ".."])
def test_a_value_of_several_segments_climbs_nowhere(weather: Site, raw: str) -> None:
    """A dot segment or an empty one is a 400, and nobody is asked."""
    detail(weather.get(f"/v1/weather/areas/{raw}"), 400, "invalid_parameter")
    assert [] == [seen for seen in weather.grid.calls() if not seen.path.startswith("/keys")]


def test_several_calls(weather: Site) -> None:
    """One answer is made of several calls, each with an event of its own; a failed one costs its own rows."""
    weather.grid.on("/forecast/north", {"id": "north"})
    weather.grid.on("/forecast/south", Reply({"error": {"code": "GONE", "message": f"no {MARK}"}}, 404))
    answer = weather.get("/v1/weather/forecasts", headers={"X-Request-ID": "several-1"})
    assert ([{"id": "north"}], {"asked": 2}) == (rows(answer), answer.json["meta"])
    for status in (200, 404):
        event = weather.server.event("upstream_call", request_id="several-1", status=status)
        assert ("weather", "forecasts", "env") == (event["upstream"], event["lookup"], event["credential"])
        assert event["url"].endswith("/forecast/{area}")
    assert not any(MARK in line for line in weather.server.lines)


def test_a_token_by_client_credentials(weather: Site) -> None:
    """The token is fetched with the tenant's secret, sent as a bearer, and fetched anew after a 401, once."""
    tokens = iter(["token-one-of-two", "token-two-of-two"])
    weather.grid.on("/token", lambda seen: {"access_token": next(tokens), "expires_in": 600})

    def tides(seen: Seen) -> Any:
        return [{"id": "t1"}] if "two-of-two" in (seen.header("Authorization") or "") else Reply({}, 401)

    weather.grid.on("/tides", tides)
    answer = weather.get("/v1/tides/tides")
    assert ([{"id": "t1"}], "tenant") == (rows(answer), answer.header("X-Lookup-Credential"))
    assert ["Bearer token-one-of-two", "Bearer token-two-of-two"] == sent(weather.grid, "/tides")
    assert not any("of-two" in line or "planted-client" in line for line in weather.server.lines)


def test_secrets_that_another_upstream_sends_back(weather: Site) -> None:
    """A plugin's key and a fetched token are scrubbed wherever they come from."""
    weather.grid.on("/token", {"access_token": "token-two-of-two", "expires_in": 600})
    weather.grid.on("/tides", [])
    rows(weather.get("/v1/tides/tides"))
    text = f"seen {MARK} and token-two-of-two"
    weather.grid.on("/v1/models", Reply({"error": {"code": "ODD", "message": text}}, 500))
    found = failure(weather.get("/v1/scaigrid/models"), "scaigrid_api", 500, "ODD")
    assert "ODD: seen [redacted] and [redacted]" == found["message"]


def test_a_tenant_without_a_client(weather: Site) -> None:
    """Secrets are each tenant's own: another tenant has none."""
    token = weather.issuer.token(tenant_id="tnt_globex")
    found = detail(weather.get("/v1/tides/tides", token=token), 412, "missing_credentials")
    assert "tenants/{tenant}/weather_oauth" in found["fix"]


def test_an_endpoint_that_redirects(weather: Site) -> None:
    """The client's secret follows no redirect."""
    token = weather.issuer.token(tenant_id="tnt_moved")
    weather.grid.on("/token", Reply({}, 307, {"Location": f"{weather.grid.base}/elsewhere"}))
    failure(weather.get("/v1/tides/tides", token=token), "tides_api", 307, "redirected")
    assert [] == weather.grid.calls("/elsewhere")


def test_an_authority_of_its_own(weather: Site, sealed: Upstream) -> None:
    """An upstream's own authority is trusted for that upstream, and for no other at the same address."""
    sealed.on("/all", [{"id": "a"}])
    assert [{"id": "a"}] == rows(weather.get("/v1/trusted/all"))
    failure(weather.get("/v1/untrusted/all"), "untrusted_api", None, "tls")


def environment(path: Path, **more: str) -> dict[str, str]:
    """What a start without authentication needs, with the plugin installed."""
    return {
        "SCAIFLOW_AUTH_DISABLED": "true",
        "SCAIGRID_BASE_URL": "http://127.0.0.1:9",
        "PYTHONPATH": str(path),
        **{f"SCAILOOKUP_WEATHER_{name}": value for name, value in more.items()},
    }


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"BASE_URL": "http://127.0.0.1:9", "COLOUR": "red"}, "SCAILOOKUP_WEATHER_COLOUR: no such setting"),
        ({"BASE_URL": "not an address"}, "SCAILOOKUP_WEATHER_BASE_URL: "),
        ({}, "SCAILOOKUP_WEATHER_BASE_URL: field required"),
    ],
)
def test_a_setting_that_stops_the_start(path: Path, settings: dict[str, str], line: str) -> None:
    """An unknown, bad or missing setting of a plugin is status 2 and one line, as for every other."""
    status, lines = start_status(environment(path, **settings))
    assert (2, 1, True) == (status, len(lines), lines[0].startswith(f"scailookup: {line}")), lines


def test_check_shows_own_settings(path: Path) -> None:
    """Values are shown, defaults marked, a secret only said to be set."""
    _, out, _ = run_cli("check", env=environment(path, BASE_URL="http://127.0.0.1:9", KEY=MARK))
    for line in (
        "WEATHER_BASE_URL = http://127.0.0.1:9\n",
        "WEATHER_KEY = (set)\n",
        "WEATHER_UNITS = si (default)\n",
    ):
        assert f"note  settings: SCAILOOKUP_{line}" in out
    assert MARK not in out


def explained(site: Site, lookup: str, tenant: str) -> dict[str, Any]:
    """The steps of a lookup by name, for an admin of a tenant that had nothing explained before."""
    token = site.issuer.token(roles=["tenant_admin"], tenant_id=tenant)
    answer = site.get(f"/v1/explain?lookup={lookup}", token)
    assert (200, False, False) == (answer.status, MARK in answer.body.decode(), b"planted" in answer.body)
    return {step["name"]: step for step in answer.json["steps"]}


def test_a_key_of_the_settings_is_explained(weather: Site) -> None:
    """The step is the operator's, no store is looked into, and parameters reach the upstream."""
    weather.grid.on("/stations", [{"id": "s1"}])
    found = explained(weather, "weather/stations%3Fkind=sea", "tnt_e1")
    assert {"step": "env", "store": "SCAILOOKUP_SECRETS_FILE"} == found["credential"]["details"]
    assert ("ok", "sea") == (found["answer"]["status"], weather.grid.calls("/stations")[0].query["kind"][0])


def test_client_credentials_are_explained(weather: Site) -> None:
    """The tenant's path and the token endpoint are told; a refusal there is a failed call."""
    weather.grid.on(
        "/token", Reply({"error": "invalid_client", "error_description": "no planted-client-tnt_told"}, 401)
    )
    found = explained(weather, "tides/tides", "tnt_told")
    told = found["credential"]["details"]
    assert ("tenant", f"{weather.grid.base}/token") == (told["step"], told["token_url"])
    assert [{"path": "tenants/tnt_told/weather_oauth", "outcome": "found"}] == told["looked_at"]
    assert ("failed", "tides_auth") == (found["call"]["status"], found["call"]["details"]["error"])


def test_a_missing_secret_is_explained(weather: Site) -> None:
    """Where it should lie is told."""
    step = explained(weather, "tides/tides", "tnt_e2")["credential"]
    assert "failed" == step["status"]
    assert [{"path": "tenants/tnt_e2/weather_oauth", "outcome": "nothing"}] == step["details"]["looked_at"]


@pytest.mark.parametrize(
    ("name", "statuses"), [("trusted", ["warn", "ok"]), ("untrusted", ["failed", "failed"])]
)
def test_own_certificates_are_explained(
    weather: Site, sealed: Upstream, name: str, statuses: list[str]
) -> None:
    """The connection that is looked at trusts what the upstream's calls trust; this one ends in a day."""
    sealed.on("/all", [{"id": "a"}])
    found = explained(weather, f"{name}/all", "tnt_e3")
    assert statuses == [found[step]["status"] for step in ("connection", "call")]


def test_several_calls_are_explained(weather: Site) -> None:
    """They count, and the list is the plugin's."""
    for area in ("north", "south"):
        weather.grid.on(f"/forecast/{area}", {"id": area})
    step = explained(weather, "weather/forecasts", "tnt_e4")["answer"]
    assert (2, 2) == (step["details"]["pages"], step["details"]["rows"])

"""What plugin authors test with: a lookup against a script, an echo, the whole service."""

from __future__ import annotations

import json
import subprocess
import sys
import types
import urllib.request
from dataclasses import dataclass, replace

import pytest

from scailookup import Ask, Filter, Gathered, Lookup, Param, Upstream, auth, hookimpl, paging
from scailookup.errors import (
    CallFailed,
    InvalidParameter,
    MissingCredentials,
    SettingsError,
    UpstreamApi,
    UpstreamAuth,
)
from scailookup.settings import Secret
from scailookup.testing import Echo, FakeSecrets, look_up, reply, serve, settings


@dataclass(frozen=True)
class Weather:
    """Settings with a secret."""

    key: Secret | None = None


@dataclass(frozen=True)
class Mine:
    """Settings with an address."""

    base_url: str = ""


STATIONS = {"data": [{"id": "s1", "kind": "sea"}, {"id": "s2", "kind": "land"}]}
SECRETS = {"weather/api#key": "k-1"}
WEATHER = Upstream(
    "weather",
    "https://weather.example/base",
    auth.Header("X-Api-Key", secret="weather/api#key"),
    (
        Lookup("stations", "/v3/stations", filters=(Filter("kind"),)),
        Lookup("stations/{region}/alerts", "/v3/{region}/alerts", params=(Param("since"),)),
    ),
)


def test_rows_come_through_the_core() -> None:
    """A row is what the service would answer."""
    looked = look_up(WEATHER, "stations", replies={"/base/v3/stations": STATIONS}, secrets=SECRETS)
    assert looked.rows == STATIONS["data"]
    assert looked.meta == {}


def test_meta_is_the_answers() -> None:
    """A record that cannot be read is counted."""
    body = {"data": [{"id": "s1"}, {"no": "id"}]}
    looked = look_up(WEATHER, "stations", replies={"/base/v3/stations": body}, secrets=SECRETS)
    assert looked.meta == {"dropped": 1}


def test_what_would_have_left() -> None:
    """The request has the credential, our headers, and the path value as one segment."""
    looked = look_up(
        WEATHER,
        "stations/a%2Fb/alerts?since=2%20d",
        replies={"/base/v3/a%2Fb/alerts?since=2%20d": {"data": []}},
        secrets=SECRETS,
    )
    [sent] = looked.requests
    assert sent.method == "GET"
    assert sent.url == "https://weather.example/base/v3/a%2Fb/alerts?since=2%20d"
    assert sent.headers["x-api-key"] == "k-1"
    assert sent.headers["accept"] == "application/json"


def test_the_query_selects() -> None:
    """Filters, q and limit are applied as by the service."""
    replies = {"/base/v3/stations": STATIONS}
    looked = look_up(WEATHER, "stations?kind=SEA", replies=replies, secrets=SECRETS)
    assert [row["id"] for row in looked.rows] == ["s1"]
    with pytest.raises(InvalidParameter):
        look_up(WEATHER, "stations?colour=red", replies=replies, secrets=SECRETS)


def test_an_upstreams_refusal_is_the_services_error() -> None:
    """The author sees what a caller would."""
    replies = {"/base/v3/stations": reply({"error": {"code": "no", "message": "No."}}, 403)}
    with pytest.raises(UpstreamAuth) as caught:
        look_up(WEATHER, "stations", replies=replies, secrets=SECRETS)
    assert caught.value.detail()["error"] == "weather_auth"


def test_without_a_secret() -> None:
    """A store without the secret is 412."""
    with pytest.raises(MissingCredentials):
        look_up(WEATHER, "stations", replies={})


def test_a_request_without_a_reply_fails_the_test() -> None:
    """It names what was asked for and what there was."""
    with pytest.raises(AssertionError, match="GET /base/v3/stations; there are replies for: /v3/stations"):
        look_up(WEATHER, "stations", replies={"/v3/stations": STATIONS}, secrets=SECRETS)


def test_a_coroutine_cannot_hide_a_request_without_a_reply() -> None:
    """It fails the test though the answer stands."""

    async def gather(ask: Ask) -> Gathered:
        await ask.each(["/a", "/b"])
        return Gathered([{"id": "1"}])

    upstream = Upstream("two", "https://two.example", auth.Anonymous(), (Lookup("all", gather=gather),))
    assert look_up(upstream, "all", replies={"/a": {}, "/b": {}}).rows == [{"id": "1"}]
    with pytest.raises(AssertionError, match="no reply for GET /b"):
        look_up(upstream, "all", replies={"/a": {}})


def test_pages_and_functions_of_the_request() -> None:
    """A POST whose body pages is answered by a function of what was sent."""
    lookup = Lookup("all", "/search", body={"size": 1}, paging=paging.Offset("from", size=1))
    upstream = Upstream("found", "https://found.example", auth.Anonymous(), (lookup,))
    pages = [{"data": [{"id": "1"}]}, {"data": [{"id": "2"}]}, {"data": []}]
    looked = look_up(upstream, "all", replies={"/search": lambda sent: pages[sent.json()["from"]]})
    assert [row["id"] for row in looked.rows] == ["1", "2"]
    assert [sent.json()["from"] for sent in looked.requests] == [0, 1, 2]


def test_the_order_of_a_query_does_not_matter_and_its_values_do() -> None:
    """A target is compared as path and parameters."""
    upstream = Upstream("q", "https://q.example", auth.Anonymous(), (Lookup("all", "/x?a=1&b=2"),))
    assert look_up(upstream, "all", replies={"/x?b=2&a=1": STATIONS}).rows
    with pytest.raises(AssertionError):
        look_up(upstream, "all", replies={"/x?b=2&a=2": STATIONS})


def test_an_exception_in_the_place_of_a_reply() -> None:
    """An error is raised where the upstream would be asked."""
    with pytest.raises(UpstreamApi) as caught:
        look_up(
            WEATHER, "stations", replies={"/base/v3/stations": CallFailed("timeout", "late")}, secrets=SECRETS
        )
    assert caught.value.detail()["code"] == "timeout"


def test_an_unknown_path_and_a_bad_target_are_told() -> None:
    """Both are mistakes of the test's."""
    with pytest.raises(ValueError, match="weather has no lookup at 'station'; it has: stations,"):
        look_up(WEATHER, "station", replies={})
    with pytest.raises(ValueError, match="'v3/stations' is not a target"):
        look_up(WEATHER, "stations", replies={"v3/stations": {}})


def test_a_literal_route_goes_before_a_field() -> None:
    """As in the service, the route without a field wins."""
    upstream = Upstream(
        "two", "https://two.example", auth.Anonymous(), (Lookup("{any}", "/x/{any}"), Lookup("all", "/all"))
    )
    assert look_up(upstream, "all", replies={"/all": STATIONS}).rows
    assert look_up(upstream, "one", replies={"/x/one": STATIONS}).rows


def test_a_setting_in_the_place_of_a_secret() -> None:
    """Settings that a plugin has read are used."""
    given = settings(SCAILOOKUP_WEATHER_KEY="from-the-env")
    given.own.of("weather", Weather)
    upstream = replace(WEATHER, auth=auth.Bearer("$SCAILOOKUP_WEATHER_KEY"))
    looked = look_up(upstream, "stations", replies={"/base/v3/stations": STATIONS}, settings=given)
    assert looked.requests[0].headers["authorization"] == "Bearer from-the-env"


def test_secrets_are_given_by_reference_or_whole() -> None:
    """Both ways name the same secret."""
    assert FakeSecrets({"a/b#key": "k", "a/b#user": "u", "c": "v"}).data == {
        "a/b": {"key": "k", "user": "u"},
        "c": {"value": "v"},
    }


def test_the_echo_says_what_it_received() -> None:
    """Without a reply of its own it answers a list of one record; what came in is kept."""
    with Echo({"/known": {"data": []}}) as upstream:
        request = urllib.request.Request(f"{upstream.url}/any?x=1", headers={"X-Mark": "m"}, data=b"{}")
        with urllib.request.urlopen(request) as answer:
            [record] = json.load(answer)["data"]
        with urllib.request.urlopen(f"{upstream.url}/known") as answer:
            assert answer.read() == b'{"data":[]}'
    assert (record["method"], record["target"], record["body"]) == ("POST", "/any?x=1", "{}")
    assert record["headers"]["x-mark"] == "m"
    assert [sent.target for sent in upstream.requests] == ["/any?x=1", "/known"]


def test_the_service_around_an_upstream() -> None:
    """The whole road, over sockets, with a secret out of the store."""
    with Echo() as upstream, serve(replace(WEATHER, base_url=upstream.url), secrets=SECRETS) as service:
        answer = service.get("/weather/stations")
        assert answer.status == 200
        assert answer.headers["x-lookup-credential"] == "shared"
        assert answer.json()["data"][0]["target"] == "/v3/stations"
        assert service.get("/scaigrid/models").status == 404
    assert upstream.requests[0].headers["x-api-key"] == "k-1"


def test_the_service_around_a_module_with_its_settings() -> None:
    """A module with hooks is taken as if it were installed."""
    module = types.ModuleType("mine")

    @hookimpl
    def scailookup_upstreams(settings) -> list[Upstream]:
        own = settings.of("mine", Mine)
        return [Upstream("mine", own.base_url, auth.Anonymous(), (Lookup("all", "/all"),))]

    module.scailookup_upstreams = scailookup_upstreams
    with Echo() as upstream, serve(module, SCAILOOKUP_MINE_BASE_URL=upstream.url) as service:
        assert service.get("/mine/all").json()["data"][0]["target"] == "/all"


def test_a_plugin_that_breaks_a_rule_ends_the_start() -> None:
    """Two upstreams of one name are refused by name."""
    with pytest.raises(SettingsError, match="the name weather is taken"), serve(WEATHER, WEATHER):
        raise AssertionError("it must not serve")


def test_hypothesis_is_not_needed_but_by_conforms() -> None:
    """Without it the rest works and `conforms` says what to install."""
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from scailookup import Lookup, Upstream, auth\n"
        "from scailookup.testing import conforms, look_up\n"
        "up = Upstream('a', 'https://a.example', auth.Anonymous(), (Lookup('all', '/all'),))\n"
        "assert look_up(up, 'all', replies={'/all': [{'id': '1'}]}).rows\n"
        "try: conforms(up, {'all': [{'id': '1'}]})\n"
        "except RuntimeError as exc: assert 'pip install hypothesis' in str(exc)\n"
        "else: raise SystemExit(1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

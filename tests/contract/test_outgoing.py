"""Contract section 7: what leaves for an upstream, and the event that tells of it."""

from __future__ import annotations

import re

from .support import (
    API_MODELS,
    API_QUEUES,
    MODELS,
    Site,
    Sites,
    bearer,
    grid_error,
    models,
    script_all,
)

TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=1,b=2"}
ALWAYS = {"host", "accept", "accept-encoding", "user-agent", "x-request-id", "authorization"}
FIELDS = {
    "upstream",
    "lookup",
    "tenant",
    "status",
    "code",
    "attempt",
    "bytes",
    "rows",
    "dropped",
    "duration_ms",
    "request_id",
}
FOREIGN = {
    "Cookie": "a=b",
    "X-Api-Key": "k",
    "X-Forwarded-For": "1.2.3.4",
    "X_Forwarded_For": "1.2.3.4",
    "X-Forwarded-Host": "evil.example",
    "X-Real-IP": "1.2.3.4",
    "Forwarded": "for=1.2.3.4",
    "Accept-Language": "fr",
    "If-None-Match": '"x"',
    "If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT",
    "Range": "bytes=0-1",
    "Referer": "http://a.example/",
    "Origin": "http://a.example",
    "X-Tenant-Id": "tnt_globex",
    "X-User": "root",
    "Proxy-Authorization": "Basic eDp5",
    "X-HTTP-Method-Override": "DELETE",
    "Content-Type": "text/evil",
    "baggage": "a=b",
    "DNT": "1",
}


def outgoing(site: Site, headers: dict[str, str]) -> dict[str, str]:
    """Return the headers of the one upstream call, names in lower case, `Connection` aside."""
    site.get(API_MODELS, headers=headers)
    (seen,) = site.grid.calls()
    names = [name.lower() for name, _ in seen.headers if name.lower() != "connection"]
    assert len(names) == len(set(names)), names
    return {name.lower(): value for name, value in seen.headers if name.lower() != "connection"}


def test_nothing_else_of_the_callers_request(site: Site) -> None:
    """Exactly the contract's headers leave, whatever the caller sent."""
    assert ALWAYS == set(outgoing(site, FOREIGN))


def test_trace_context_comes_along(site: Site) -> None:
    """traceparent and tracestate are passed on when present."""
    assert ALWAYS | set(TRACE) == set(outgoing(site, TRACE))


def test_tracestate_stays(site: Site) -> None:
    """tracestate is passed on as it came."""
    assert TRACE["tracestate"] == outgoing(site, TRACE)["tracestate"]


def test_trace_id_stays(site: Site) -> None:
    """The trace that the caller began goes on."""
    assert TRACE["traceparent"].split("-")[1] == outgoing(site, TRACE)["traceparent"].split("-")[1]


def test_accept(site: Site) -> None:
    """JSON is asked for, whatever the caller accepts."""
    assert "application/json" == outgoing(site, {"Accept": "text/html"})["accept"]


def test_user_agent(site: Site) -> None:
    """The user agent is ours with its version."""
    assert re.fullmatch(r"scailookup/\d\S*", outgoing(site, {"User-Agent": "evil/1"})["user-agent"])


def test_accept_encoding(site: Site) -> None:
    """Compression is asked for on our own terms."""
    assert "planted" not in outgoing(site, {"Accept-Encoding": "planted"})["accept-encoding"]


def test_request_id_goes_along(site: Site) -> None:
    """The caller's request id goes upstream."""
    assert "abc-1" == outgoing(site, {"X-Request-ID": "abc-1"})["x-request-id"]


def test_own_request_id_goes_along(site: Site) -> None:
    """Our own request id goes upstream and comes back, the same."""
    answer = site.get(API_MODELS)

    (seen,) = site.grid.calls()
    assert answer.header("X-Request-ID") == seen.header("X-Request-ID")


def test_host(site: Site) -> None:
    """The host named is the upstream's."""
    assert f"127.0.0.1:{site.grid.port}" == outgoing(site, {})["host"]


def test_no_body(site: Site) -> None:
    """A GET leaves without a body."""
    site.get(API_MODELS, headers={"Content-Type": "application/json"}, body=b'{"a":1}')

    assert [b""] == [seen.body for seen in site.grid.calls()]


def test_head_is_a_get_upstream(site: Site) -> None:
    """HEAD asks the upstream as GET does: a list is needed to tell its headers."""
    site.get(API_MODELS, method="HEAD")

    assert ["GET"] == [seen.method for seen in site.grid.calls()]


def test_event(site: Site) -> None:
    """Each upstream call makes one event with the contract's fields."""
    site.grid.on(MODELS, {"data": [*models("ab"), 7]})
    site.get(API_MODELS, headers={"X-Request-ID": "event-1"})

    event = site.server.event("upstream_call", request_id="event-1")

    expected = {
        "upstream": "scaigrid",
        "tenant": "tnt_acme",
        "status": 200,
        "attempt": 1,
        "rows": 2,
        "dropped": 1,
    }
    assert expected == {name: event.get(name) for name in expected}
    assert (True, True, True) == (FIELDS <= set(event), event["bytes"] > 0, event["duration_ms"] > 0)


def test_event_names_the_credential_step(site: Site) -> None:
    """The event says which credential went, as the header does."""
    site.get(API_MODELS, headers={"X-Request-ID": "event-2"})

    assert "caller" in site.server.event("upstream_call", request_id="event-2").values()


def test_event_of_a_failure(site: Site) -> None:
    """A failed call's event has the upstream's status and code."""
    site.grid.on(MODELS, grid_error("BACKEND_ERROR", "x", 502))
    site.get(API_MODELS, headers={"X-Request-ID": "event-3"})

    event = site.server.event("upstream_call", request_id="event-3")

    assert (502, "BACKEND_ERROR") == (event["status"], event["code"])


def test_one_event_a_call(site: Site) -> None:
    """Two attempts and two pages are as many events as calls."""
    site.grid.on(
        MODELS,
        grid_error("A", "x", 503),
        {"data": models("a"), "next_cursor": "2"},
        {"data": models("b")},
    )
    site.get(API_MODELS, headers={"X-Request-ID": "event-4"})
    site.get(API_MODELS, headers={"X-Request-ID": "event-4-end"})
    site.server.event("upstream_call", request_id="event-4-end")

    found = [event for event in site.server.events if event.get("request_id") == "event-4"]
    assert 3 == len([event for event in found if event["event"] == "upstream_call"])


def test_event_has_the_template(site: Site) -> None:
    """The event holds the url's template, not the value in it, and no query."""
    site.get(API_QUEUES.replace("scp_1", "planted-scope"), headers={"X-Request-ID": "event-5"})

    event = site.server.event("upstream_call", request_id="event-5")

    urls = [str(value) for value in event.values() if "/v1/modules/scaiqueue/scopes" in str(value)]
    assert (True, False) == (bool(urls), any("planted" in url or "?" in url for url in urls))


def test_bearer_is_not_forwarded_without_auth(sites: Sites) -> None:
    """With auth disabled a bearer stays here, and ScaiKey is not needed at all."""
    site = script_all(
        sites(SCAIFLOW_AUTH_DISABLED="true", SCAIGRID_API_KEY="sgk_env_key_0003", SCAIKEY_BASE_URL=None)
    )

    site.get(API_MODELS, "some.other.token")

    assert [bearer("sgk_env_key_0003")] == [seen.header("Authorization") for seen in site.grid.calls()]

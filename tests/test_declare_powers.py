"""The further declarations: parameters, bodies, headers, times, certificates, gathering."""

from __future__ import annotations

from typing import Any

import pytest

from scailookup import Filter, Lookup, Param, Tls, Upstream, auth, layout, paging
from scailookup.declare import fill

ANYBODY = auth.Anonymous()


async def nothing(ask: Any) -> list[Any]:
    """A coroutine that gathers nothing."""
    return []


@pytest.mark.parametrize(
    ("template", "values", "path"),
    [
        ("/a/{x}", {"x": "b/c"}, "/a/b%2Fc"),
        ("/a/{+x}/d", {"x": "b/c d"}, "/a/b/c%20d/d"),
        ("/a/{+x}", {"x": "%2e%2e/é"}, "/a/%252e%252e/%C3%A9"),
        ("/a?kind={x}", {"x": "b&c=d"}, "/a?kind=b%26c%3Dd"),
        ("/a/{x}/{y}", {"x": "{y}", "y": "1"}, "/a/%7By%7D/1"),
    ],
)
def test_fill(template, values, path):
    """A value is one encoded segment, or keeps its slashes where the path says so; it is never read again."""
    assert path == fill(template, values)


@pytest.mark.parametrize("value", ["..", ".", "a/../b", "a/.", "./a", "a//b", "/a", "a/", ""])
def test_a_value_of_several_segments_climbs_nowhere(value):
    """No segment may be empty or a dot segment."""
    with pytest.raises(ValueError, match="segment"):
        fill("/x/{+a}", {"a": value})


@pytest.mark.parametrize("name", ["", "q", "limit", "A", "a b", "a-b"])
def test_refused_params(name):
    """A parameter has a plain name that is not taken."""
    with pytest.raises(ValueError, match="cannot be a parameter"):
        Param(name)


@pytest.mark.parametrize(
    "more",
    [
        {"sent_as": "a b"},
        {"default": "c", "choices": ("a", "b")},
        {"required": True, "default": "a"},
        {"choices": ("",)},
        {"default": "\n"},
        {"default": "x" * 257},
    ],
)
def test_unsound_params(more):
    """Choices and default must be values that would be taken."""
    with pytest.raises(ValueError, match="parameter a"):
        Param("a", **more)


def test_a_param_keeps_its_name_upstream():
    """Without another name it is sent under its own."""
    assert ("core_id", "coreId") == (Param("core_id").sent_as, Param("core_id", sent_as="coreId").sent_as)


@pytest.mark.parametrize(
    "more",
    [
        {"filters": (Filter("a"),), "params": (Param("a"),)},
        {"params": (Param("a"), Param("a"))},
        {"params": (Param("a", sent_as="x"), Param("b", sent_as="x"))},
        {"params": (Param("a", sent_as="page"),), "paging": paging.Number()},
        {"filters": (Filter("a"), Filter("a"))},
    ],
)
def test_a_name_stands_once(more):
    """Two parameters of one name, here or upstream, are refused."""
    with pytest.raises(ValueError, match=r"twice|cannot be a filter"):
        Lookup("things", "/things", **more)


@pytest.mark.parametrize("name", ["params", "filters", "roles", "key_of", "sources"])
def test_one_text_is_no_list(name):
    """A text where names are listed would be taken for its letters."""
    with pytest.raises(TypeError, match=name):
        Lookup("things", "/things", **{name: "abc"})


FORBIDDEN = [
    *("Authorization", "authorization", "Proxy-Authorization", "Cookie", "cookie", "Set-Cookie", "Host"),
    *("Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "TE", "Upgrade", "Expect"),
    *("X-Forwarded-For", "X_Forwarded_Host", "Forwarded", "X-Real-IP", "X-Request-ID", "traceparent"),
    *("User-Agent", "Accept-Encoding", "If-None-Match", "Origin", "Range", "X-HTTP-Method-Override"),
]


@pytest.mark.parametrize("name", FORBIDDEN)
def test_headers_that_are_not_a_plugins(name):
    """Credentials, addresses and framing are refused, on the upstream and on the lookup."""
    with pytest.raises(ValueError, match="not a plugin's"):
        Upstream("a", "https://x", ANYBODY, headers={name: "x"})
    with pytest.raises(ValueError, match="not a plugin's"):
        Lookup("a", "/a", headers={name: "x"})


@pytest.mark.parametrize(
    "headers",
    [
        {"X A": "1"},
        {"X-A": "a\r\nb"},
        {"X-A": ""},
        {"X-A": " a"},
        {"X-A": "é"},
        {"X-A": "1", "x_a": "2"},
        {"": "a"},
    ],
)
def test_unsound_headers(headers):
    """A header is a name, once, with one line of text."""
    with pytest.raises(ValueError, match="header"):
        Upstream("a", "https://x", ANYBODY, headers=headers)


def test_a_lookups_headers_win():
    """The lookup's headers stand in for the upstream's, in any case, and an Accept for ours."""
    lookup = Lookup("a", "/a", headers={"accept": "application/vnd.b+json", "X-One": "2"})
    upstream = Upstream(
        "up", "https://x", ANYBODY, (lookup, Lookup("b", "/b")), headers={"x-one": "1", "X-Two": "3"}
    )
    assert (
        (("accept", "application/vnd.b+json"), ("X-One", "2"), ("X-Two", "3")),
        (("Accept", "application/json"), ("x-one", "1"), ("X-Two", "3")),
    ) == (upstream.headers_of(lookup), upstream.headers_of(upstream.lookups[1]))


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan"), True, "5"])
def test_unsound_deadlines(seconds):
    """A deadline is a number of seconds above zero."""
    with pytest.raises(ValueError, match="deadline"):
        Lookup("a", "/a", deadline=seconds)
    with pytest.raises(ValueError, match="deadline"):
        Upstream("a", "https://x", ANYBODY, deadline=seconds)


def test_freshness_may_be_nothing():
    """Zero seconds switch the memory off; less than that is refused."""
    assert 0 == Lookup("a", "/a", fresh=0).fresh
    with pytest.raises(ValueError, match="fresh"):
        Lookup("a", "/a", fresh=-1)


@pytest.mark.parametrize("body", [{"a": object()}, {1, 2}.union, {"a": {1: {2: object()}}}])
def test_a_body_is_json(body):
    """What cannot be sent is refused when it is declared."""
    with pytest.raises(ValueError, match="not JSON"):
        Lookup("a", "/a", body=body)


def test_the_first_page_is_worked_out_once():
    """Paging's first parameters stand in the path, or in the body."""
    paged = {"paging": paging.Offset("page.skip", size=5, size_param="page.take")}
    by_query = Lookup("a", "/a?x=1", paging=paging.Number(size=5, size_param="n"))
    by_body = Lookup("a", "/a", body={"page": {"sort": "id"}}, **paged)
    assert ("/a?x=1&page=1&n=5", "/a", {"page": {"sort": "id", "skip": 0, "take": 5}}) == (
        *(by_query.target, by_body.target),
        by_body.body,
    )


def test_an_id_of_two_fields():
    """Each part is percent-encoded, so that no two pairs read the same."""
    lookup = Lookup("queues", "/queues", key_of=("vhost", "name"))
    rows = [
        lookup.row({"vhost": v, "name": n}) for v, n in (("/", "a"), ("a/b", "c"), ("a", "b/c"), ("a", 1))
    ]
    assert ["%2F/a", "a%2Fb/c", "a/b%2Fc", "a/1"] == [row["id"] for row in rows]


@pytest.mark.parametrize(
    "raw", [{"vhost": "/"}, {"vhost": "/", "name": ""}, {"vhost": True, "name": "a"}, {}]
)
def test_half_an_id_is_none(raw):
    """A record without one of the parts cannot be read."""
    assert None is Lookup("queues", "/queues", key_of=("vhost", "name")).row(raw)


INNER = Upstream("in", "https://in.example", ANYBODY, (Lookup("rows", "/rows"),))


def test_gathering_from_sources_needs_no_address():
    """An upstream whose lookups all gather from other upstreams has none of its own."""
    merged = Upstream("all", "", ANYBODY, (Lookup("rows", gather=nothing, sources=(INNER,)),))
    assert "" == merged.base_url


@pytest.mark.parametrize(
    "lookups",
    [
        (),
        (Lookup("a", "/a"),),
        (Lookup("a", gather=nothing),),
        (Lookup("a", gather=nothing), Lookup("b", "/b")),
    ],
)
def test_everything_else_needs_an_address(lookups):
    """Without an address nothing can be called."""
    with pytest.raises(ValueError, match="base URL"):
        Upstream("all", "", ANYBODY, lookups)


@pytest.mark.parametrize(
    "more",
    [
        {"path": "/a"},
        {"body": {"a": 1}},
        {"layout": layout.List()},
        {"paging": paging.Single()},
        {"sources": (Upstream("in", "https://x", ANYBODY, (Lookup("rows/{a}", "/{a}"),)),)},
        {
            "sources": (
                Upstream(
                    "in", "https://x", ANYBODY, (Lookup("r", "/", params=(Param("a", required=True),)),)
                ),
            )
        },
        {"sources": (Upstream("in", "https://x", ANYBODY, (Lookup("r", "/", permission="x:y"),)),)},
        {"sources": (Upstream("in", "https://x", ANYBODY, (Lookup("r", "/", roles=("x",)),)),)},
    ],
)
def test_what_does_not_go_with_gathering(more):
    """What belongs to a single call is refused, and a source that cannot be asked or needs more."""
    with pytest.raises(ValueError, match="lookup 'a'"):
        Lookup("a", gather=nothing, **more)


def test_sources_are_for_gathering():
    """A lookup with a path of its own has no use for sources."""
    with pytest.raises(ValueError, match="sources"):
        Lookup("a", "/a", sources=(INNER,))


@pytest.mark.parametrize(
    "make",
    [
        lambda: auth.ClientCredentials("ftp://x", secret="w/oauth"),
        lambda: auth.ClientCredentials("https://u:p@x/token", secret="w/oauth"),
        lambda: auth.ClientCredentials("https://x/token", secret="w/../oauth"),
        lambda: auth.ClientCredentials("https://x/token", secret="w/oauth#client_secret"),
        lambda: auth.ClientCredentials("https://x/token", secret="$SCAILOOKUP_WEATHER_SECRET"),
        lambda: auth.ClientCredentials("https://x/token", secret="w/oauth", client_id=""),
        lambda: auth.ClientCredentials("https://x/token", secret="w/oauth", more={"client_secret": "x"}),
    ],
)
def test_unsound_client_credentials(make):
    """A token address is a base URL, a client has an id, and no form field is set twice."""
    with pytest.raises(ValueError):
        make()


@pytest.mark.parametrize(
    "text", ["$", "$weather", "$SCAIGRID_API_KEY", "$SCAILOOKUP_", "$SCAILOOKUP_A b", "x$SCAILOOKUP_A"]
)
def test_settings_that_hold_no_secret(text):
    """Only a setting of the service's kind may stand for a stored secret."""
    with pytest.raises(ValueError, match="secret"):
        auth.Bearer(text)


def test_certificates_are_looked_at_when_declared(tmp_path):
    """A file that is not there, or holds something else, is found at the start."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for more in (
        {"ca": tmp_path / "none.pem"},
        {"ca": wrong},
        {"cert": wrong},
        {"cert": tmp_path / "none.pem"},
    ):
        with pytest.raises(ValueError, match="tls"):
            Tls(**more)
    with pytest.raises(ValueError, match="certificate"):
        Tls(key=wrong)

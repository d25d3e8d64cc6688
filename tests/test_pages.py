"""One lookup through a real door: pages, bodies, parameters and headers, as its declaration says."""

from __future__ import annotations

import json
from time import monotonic
from typing import Any

import pytest
from fakes import Asked, reply, said

from scailookup import Lookup, Param, Upstream, auth, layout, paging
from scailookup.errors import CallFailed, UpstreamApi
from scailookup.model import Request

pytestmark = pytest.mark.gen_test
BASE = "https://up.example"


def upstream(*lookups: Lookup, **more: Any) -> Upstream:
    """An upstream that asks for nothing."""
    return Upstream("up", BASE, auth.Anonymous(), lookups, **more)


def things(path: str = "/things", **more: Any) -> Upstream:
    """An upstream with one lookup."""
    return upstream(Lookup("things", path, **more))


def rows(*names: str) -> list[dict[str, str]]:
    """Records of these ids."""
    return [{"id": name} for name in names]


async def test_page_numbers_to_the_end():
    """Pages are asked for by number until one is short; the size goes along."""
    asked = Asked({f"{BASE}/things?page=1&n=2": rows("a", "b"), f"{BASE}/things?n=2&page=2": rows("c")})
    served = await asked.ask(things(paging=paging.Number(size=2, size_param="n")))
    assert {"data": rows("a", "b", "c")} == said(served)


async def test_offsets_to_the_total():
    """An offset goes on by what really came, up to the total."""
    first = {"items": rows("a", "b"), "total": 3}
    asked = Asked({f"{BASE}/things?skip=0": first, f"{BASE}/things?skip=2": {"items": rows("c"), "total": 3}})
    served = await asked.ask(things(paging=paging.Offset("skip", total="total")))
    assert ({"data": rows("a", "b", "c")}, 2) == (said(served), len(asked.fetch.urls))


async def test_an_upstream_that_does_not_know_the_parameter():
    """The same page again and again ends the list, and says so."""
    asked = Asked({f"{BASE}/things?page={n}": rows("a", "b") for n in range(1, 20)})
    served = await asked.ask(things(paging=paging.Number()))
    assert ({"data": rows("a", "b"), "meta": {"truncated": True}}, 2) == (said(served), len(asked.fetch.urls))


async def test_a_cursor_that_repeats():
    """A cursor that was sent before ends the list, and says so."""
    page = {"items": rows("a"), "next": "c"}
    asked = Asked({f"{BASE}/things": page, f"{BASE}/things?after=c": page})
    served = await asked.ask(things(paging=paging.Cursor("after", at="next")))
    assert ({"truncated": True}, 2) == (said(served)["meta"], len(asked.fetch.urls))


@pytest.mark.parametrize("url", ["https://evil.example/x", "//evil.example/x", "https://up.example:1/x"])
async def test_a_next_url_leads_to_no_other_host(url):
    """Neither a declared next URL nor a Link header is followed to another host."""
    asked = Asked({f"{BASE}/things": reply({"rows": rows("a"), "go": url}, link=f'<{url}>; rel="next"')})
    where = {"layout": layout.List("rows")}
    for how in (paging.NextUrl("go"), paging.LinkHeader()):
        served = await asked.ask(things(paging=how, **where))
        assert {"data": rows("a"), "meta": {"truncated": True}} == said(served)
    assert {f"{BASE}/things"} == set(asked.fetch.urls)


async def test_a_link_header_is_followed():
    """The next page of a Link header is asked for, on our own host."""
    asked = Asked(
        {
            f"{BASE}/things": reply(rows("a"), link='</things?n=2>; rel="next"'),
            f"{BASE}/things?n=2": rows("b"),
        }
    )
    assert {"data": rows("a", "b")} == said(await asked.ask(things(paging=paging.LinkHeader())))


async def test_the_cap_on_pages_holds_for_declared_paging():
    """However a list goes on, it ends at the bound and says so."""
    asked = Asked({f"{BASE}/things?page={n}": rows(f"r{n}") for n in range(1, 20)}, pages=3)
    served = await asked.ask(things(paging=paging.Number()))
    assert (3, {"truncated": True}) == (len(asked.fetch.urls), said(served)["meta"])


async def test_a_posted_list():
    """The body goes out as JSON, with the path value in its place and the cursor in the next one."""
    seen: list[tuple[str, Any, dict[str, str]]] = []

    def answer(request: Request) -> Any:
        body = json.loads(request.body or b"")
        seen.append((request.method, body, dict(request.headers)))
        return {"data": {"nodes": rows(f"r{len(seen)}"), "end": "c2" if len(seen) == 1 else None}}

    lookup = Lookup(
        "areas/{area}/things",
        "/graph",
        body={"query": "{ things }", "variables": {"area": "{area}", "kind": "{kind}"}},
        layout=layout.List("data.nodes"),
        paging=paging.Cursor("variables.after", at="data.end"),
        params=(Param("kind", sent_as="variables.kind"),),
    )
    asked = Asked({f"{BASE}/graph": answer})
    served = await asked.ask(upstream(lookup), handed={"kind": "k"}, area="north")
    first = {"query": "{ things }", "variables": {"area": "north", "kind": "k"}}
    second = {"query": "{ things }", "variables": {"area": "north", "kind": "k", "after": "c2"}}
    assert (rows("r1", "r2"), [first, second], {"POST"}, "application/json") == (
        *(said(served)["data"], [body for _, body, _ in seen], {method for method, _, _ in seen}),
        seen[0][2]["Content-Type"],
    )


async def test_a_posted_list_is_a_read():
    """A failure that a GET would be tried again after is tried again; the request says that it only reads."""
    answers = [CallFailed("unreachable", "it broke", repeatable=True), rows("a")]
    asked = Asked({f"{BASE}/things": lambda request: answers.pop(0)})
    served = await asked.ask(things(body={}))
    assert (rows("a"), [True, True]) == (said(served)["data"], [r.reads for r in asked.fetch.requests])


async def test_a_body_that_repeats():
    """The same body to the same address is not sent twice."""
    asked = Asked({f"{BASE}/things": {"items": rows("a"), "next": "c"}})
    served = await asked.ask(things(body={"size": 1}, paging=paging.Cursor("after", at="next")))
    assert ({"truncated": True}, 2) == (said(served)["meta"], len(asked.fetch.urls))


async def test_handed_parameters():
    """What is handed on stands in the query under the upstream's name, encoded, before any cursor."""
    params = (Param("core_id", sent_as="coreId"), Param("kind"))
    asked = Asked(
        {
            f"{BASE}/things?x=1&coreId=a%26b": {"items": rows("a"), "next_cursor": "c"},
            f"{BASE}/things?x=1&coreId=a%26b&cursor=c": rows("b"),
        }
    )
    served = await asked.ask(things("/things?x=1", params=params), handed={"core_id": "a&b"})
    assert rows("a", "b") == said(served)["data"]


async def test_each_value_handed_on_has_an_answer_of_its_own():
    """Two values never share an answer; the same one does."""
    asked = Asked({f"{BASE}/things?kind={k}": rows(k) for k in ("a", "b")}, ages={"fresh": 60.0})
    up = things(params=(Param("kind"),))
    found = [said(await asked.ask(up, handed={"kind": k}))["data"] for k in ("a", "b", "a")]
    assert ([rows("a"), rows("b"), rows("a")], 2) == (found, len(asked.fetch.urls))


async def test_headers_of_the_declaration():
    """An Accept takes the place of ours, other fixed headers go along, ours stay."""
    up = upstream(
        Lookup("things", "/things", headers={"Accept": "application/vnd.x+json"}), headers={"X-Version": "2"}
    )
    asked = Asked({f"{BASE}/things": rows("a")})
    await asked.ask(up)
    headers = [(name, value) for name, value in asked.fetch.requests[0].headers if name != "User-Agent"]
    assert [("Accept", "application/vnd.x+json"), ("X-Version", "2"), ("X-Request-ID", "req-1")] == headers


async def test_values_of_one_and_of_several_segments():
    """A slash stays encoded in one segment, or parts several where the path says so; the log sees neither."""
    up = upstream(Lookup("one/{a}", "/v/{a}/x"), Lookup("many/{a}", "/v/{+a}/x"))
    asked = Asked({f"{BASE}/v/b%2Fc/x": rows("1"), f"{BASE}/v/b/c/x": rows("2")})
    found = [said(await asked.ask(up, name, a="b/c"))["data"] for name in ("one/{a}", "many/{a}")]
    assert ([rows("1"), rows("2")], [f"{BASE}/v/{{a}}/x", f"{BASE}/v/{{+a}}/x"]) == (
        found,
        [call.url for call in asked.calls],
    )


async def test_a_map_and_strings():
    """A map keyed by id and a list of strings are lists like any other."""
    asked = Asked({f"{BASE}/m": {"m": {"x": {"n": 1}}}, f"{BASE}/s": ["a", "b", "a"]})
    up = upstream(Lookup("m", "/m", layout=layout.Map("m")), Lookup("s", "/s", layout=layout.Strings()))
    found = [said(await asked.ask(up, name))["data"] for name in ("m", "s")]
    assert [[{"id": "x", "n": 1}], rows("a", "b")] == [[dict(sorted(r.items())) for r in f] for f in found]


async def test_a_list_that_is_not_where_it_was_said():
    """An answer without the list is bad_shape."""
    asked = Asked({f"{BASE}/things": {"data": rows("a")}})
    with pytest.raises(UpstreamApi, match="bad_shape") as caught:
        await asked.ask(things(layout=layout.List("result")))
    assert 200 == caught.value.upstream_status


async def test_a_deadline_of_its_own():
    """The lookup's deadline stands in for the upstream's, and that for the service's."""
    asked = Asked({f"{BASE}/{name}": rows("a") for name in "abc"}, deadline=1000.0)
    lookups = (Lookup("a", "/a", deadline=3000.0), Lookup("b", "/b"))
    now = monotonic()
    await asked.ask(upstream(*lookups, deadline=2000.0), "a")
    await asked.ask(upstream(*lookups, deadline=2000.0), "b")
    await asked.ask(upstream(Lookup("c", "/c")))
    assert [3, 2, 1] == [round((until - now) / 1000) for until in asked.fetch.deadlines]


async def test_a_freshness_of_its_own():
    """A lookup's own freshness stands in for the service's, longer, shorter or none."""
    asked = Asked({f"{BASE}/{name}": rows("a") for name in "abc"}, ages={"fresh": 10.0})
    up = upstream(Lookup("a", "/a", fresh=100.0), Lookup("b", "/b"), Lookup("c", "/c", fresh=0))
    for _ in range(2):
        for name in "abc":
            await asked.ask(up, name)
        asked.clock.now += 50
    assert [f"{BASE}/{name}" for name in "abcbc"] == asked.fetch.urls

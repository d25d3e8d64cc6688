"""The plugin in the running service, before a ScaiGrid that answers as its module might."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from harness import AUDIENCE, Answer, Issuer, Reply, Seen, Server, Upstream

EVENTS, CHECKPOINTS = "/v1/modules/scaicore/events", "/v1/modules/scaicore/checkpoints"
EVENT = {
    "id": "evt_1",
    "core_id": "core_a",
    "type": "step.finished",
    "status": "ok",
    "created_at": "2026-06-01T10:00:00Z",
    "tenant_id": "tnt_acme",
    "payload": {"api_key": "planted-secret-of-an-event"},
}
CHECKPOINT = {"id": "chk_1", "core_id": "core_a", "status": "pending", "created_at": "2026-06-01T10:00:00Z"}


class World:
    """An issuer, a grid and the service between them."""

    def __init__(self) -> None:
        self.issuer, self.grid = Issuer(), Upstream()
        off = {f"SCAILOOKUP_{name}": "0" for name in ("FRESH", "STALE", "STALE_IF_ERROR", "FAILURE_MEMORY")}
        self.server = Server(
            {
                "SCAIGRID_BASE_URL": self.grid.base,
                "SCAIKEY_BASE_URL": self.issuer.base,
                "SCAIKEY_AUDIENCE": AUDIENCE,
                **off,
            }
        )

    def get(self, path: str, **claims: Any) -> Answer:
        """Ask as a tenant viewer, or with other claims."""
        return self.server.get(path, token=self.issuer.token(**claims))

    def stop(self) -> None:
        """End everything."""
        self.server.stop()
        self.issuer.stop()
        self.grid.stop()


@pytest.fixture(scope="module")
def _world() -> Iterator[World]:
    made = World()
    yield made
    made.stop()


@pytest.fixture
def world(_world: World) -> World:
    """The world with an empty script."""
    _world.grid.forget()
    return _world


def rows(answer: Answer) -> list[dict[str, Any]]:
    """The rows of a success."""
    assert answer.status == 200, answer.body
    found: list[dict[str, Any]] = answer.json["data"]
    return found


def test_an_event(world: World) -> None:
    """Its plain fields come through; what it carries besides stays behind."""
    world.grid.on(EVENTS, {"data": {"events": [EVENT], "next_cursor": None}})
    answer = world.get("/v1/scaicore/events")
    assert rows(answer) == [{k: v for k, v in EVENT.items() if k not in ("payload", "tenant_id")}]
    assert "planted-secret" not in answer.body.decode()


def test_all_pages(world: World) -> None:
    """The cursor is followed with the page's size and the caller's core."""

    def page(seen: Seen) -> Any:
        if seen.query.get("cursor") == ["c2"]:
            return {"data": {"events": [EVENT | {"id": "evt_2"}], "next_cursor": None}}
        return {"data": {"events": [EVENT], "next_cursor": "c2"}}

    world.grid.on(EVENTS, page)
    assert [row["id"] for row in rows(world.get("/v1/scaicore/events?core_id=core_a"))] == ["evt_1", "evt_2"]
    assert [seen.query for seen in world.grid.calls(EVENTS)] == [
        {"limit": ["500"], "core_id": ["core_a"]},
        {"limit": ["500"], "core_id": ["core_a"], "cursor": ["c2"]},
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"events": [EVENT]}},
        {"events": [EVENT]},
        {"data": {"items": [EVENT]}},
        {"data": [EVENT]},
        {"items": [EVENT]},
        [EVENT],
    ],
)
def test_envelopes(world: World, body: Any) -> None:
    """The list is found under its own name and in the usual envelopes."""
    world.grid.on(EVENTS, body)
    assert [row["id"] for row in rows(world.get("/v1/scaicore/events"))] == ["evt_1"]


@pytest.mark.parametrize("body", [{"data": {"events": None}}, {"data": None}, {"data": {"events": []}}])
def test_an_empty_list(world: World, body: Any) -> None:
    """No events are an empty list."""
    world.grid.on(EVENTS, body)
    assert rows(world.get("/v1/scaicore/events")) == []


@pytest.mark.parametrize("body", [{}, {"data": {}}, {"data": {"rows": []}}, "text"])
def test_what_is_no_list(world: World, body: Any) -> None:
    """An answer without a list is an error."""
    world.grid.on(EVENTS, body)
    answer = world.get("/v1/scaicore/events")
    assert (answer.status, answer.json["detail"]["code"]) == (502, "bad_shape")


def test_other_tenants_events_are_left_out(world: World) -> None:
    """An event of another tenant is no row, and is not counted as dropped."""
    world.grid.on(EVENTS, {"data": {"events": [EVENT, EVENT | {"id": "evt_2", "tenant_id": "tnt_globex"}]}})
    answer = world.get("/v1/scaicore/events")
    assert ([row["id"] for row in rows(answer)], "meta" in answer.json) == (["evt_1"], False)


def test_checkpoints(world: World) -> None:
    """Core and status are handed on, and nothing else is."""
    world.grid.on(CHECKPOINTS, {"data": {"checkpoints": [CHECKPOINT]}})
    answer = world.get("/v1/scaicore/checkpoints?status=pending&core_id=core_a&limit=5&q=chk")
    assert rows(answer) == [CHECKPOINT]
    assert world.grid.calls(CHECKPOINTS)[0].query == {"status": ["pending"], "core_id": ["core_a"]}


@pytest.mark.parametrize(
    "query", ["status=done", "status=pending&status=failed", "cursor=c", "core_id=" + "x" * 257]
)
def test_refused_queries(world: World, query: str) -> None:
    """Only what is declared is taken, once, with a value that may be."""
    assert world.get(f"/v1/scaicore/checkpoints?{query}").status == 400
    assert world.grid.calls(CHECKPOINTS) == []


def test_the_callers_token_goes_along(world: World) -> None:
    """ScaiCore is asked as ScaiGrid is: with the caller's own token."""
    world.grid.on(EVENTS, {"data": []})
    answer = world.get("/v1/scaicore/events")
    assert answer.header("X-Lookup-Credential") == "caller"
    assert (world.grid.calls(EVENTS)[0].header("Authorization") or "").startswith("Bearer eyJ")


def test_a_refusal_names_the_permission(world: World) -> None:
    """ScaiCore's 403 is told with what the caller needs."""
    world.grid.on(EVENTS, Reply({"error": {"code": "AUTHZ_PERMISSION_DENIED", "message": "no"}}, 403))
    found = world.get("/v1/scaicore/events").json["detail"]
    assert (found["error"], "`scaicore:view`" in found["fix"]) == ("scaicore_auth", True)


def test_who_may(world: World) -> None:
    """A caller without scaicore:view is refused before ScaiCore is asked."""
    answer = world.get("/v1/scaicore/events", permissions=[])
    assert (answer.status, world.grid.calls(EVENTS)) == (403, [])

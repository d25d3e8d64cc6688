"""The plugin in the running service, before sources of several makes: alive, dead, slow, paging, refusing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from harness import Answer, NeverListened, Reply, Seen, Server, Upstream
from scailookup_openai import merged

from scailookup import Failed, Gathered, Listed

PLAIN = {
    "object": "list",
    "data": [{"id": "llama-3", "object": "model"}, {"id": "whisper-1"}, {"id": "old-1"}],
}
ROUTER = [
    {
        "id": "acme/chat-1",
        "name": "Acme: Chat 1",
        "context_length": 128000,
        "architecture": {"modality": "text+image->text", "output_modalities": ["text"]},
        "top_provider": {"max_completion_tokens": 16384},
    },
    {"id": "acme/draw-1", "name": "Acme: Draw 1", "architecture": {"output_modalities": ["image"]}},
]
CLAUDE = [
    {
        "id": f"claude-{n}",
        "type": "model",
        "display_name": f"Claude {n}",
        "max_input_tokens": 200000,
        "max_tokens": 64000,
    }
    for n in (1, 2, 3)
]
BASE = {"SCAIFLOW_AUTH_DISABLED": "true", "SCAIGRID_BASE_URL": "http://127.0.0.1:9"}
OFF = {
    f"SCAILOOKUP_{name}": "0" for name in ("FRESH", "STALE", "STALE_IF_ERROR", "FAILURE_MEMORY", "CIRCUIT")
}
KEY = "planted-key-of-a-source"


def own(**settings: str) -> dict[str, str]:
    """Settings of the plugin by their short names."""
    return {f"SCAILOOKUP_OPENAI_{name}": value for name, value in settings.items()}


def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """One server that plays every source, each below a path of its own."""
    made = Upstream()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def service(upstream: Upstream) -> Iterator[Server]:
    """The service with four sources: a plain one, OpenRouter, Anthropic, and one that is dead."""
    made = Server(
        BASE
        | OFF
        | own(
            SOURCES="plain,router,claude,dead",
            PLAIN_URL=f"{upstream.base}/plain/v1",
            PLAIN_PREFIX="plain/",
            PLAIN_EXCLUDE="old-*",
            ROUTER_URL=f"{upstream.base}/router/api/v1",
            ROUTER_KEY=KEY,
            ROUTER_INCLUDE="acme/*,other/*",
            CLAUDE_URL=f"{upstream.base}/claude/v1",
            CLAUDE_KIND="anthropic",
            CLAUDE_KEY=f"{KEY}-2",
            DEAD_URL=nobody(),
        )
    )
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def scripted(upstream: Upstream) -> None:
    """Every source answers well until a test says otherwise."""
    upstream.forget()
    upstream.on("/plain/v1/models", PLAIN)
    upstream.on("/router/api/v1/models", paged_by_link)
    upstream.on("/claude/v1/models", paged_by_id)


def paged_by_link(seen: Seen) -> Any:
    """OpenRouter's list in two pages, the second by a link."""
    if seen.query.get("page") == ["2"]:
        return {"data": ROUTER[1:]}
    return {"data": ROUTER[:1], "links": {"next": "/router/api/v1/models?page=2"}}


def paged_by_id(seen: Seen) -> Any:
    """Anthropic's list, two records a page; without its headers it is refused as Anthropic does."""
    if seen.header("x-api-key") != f"{KEY}-2" or not seen.header("anthropic-version"):
        return Reply(
            {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}, 401
        )
    first = 2 if seen.query.get("after_id") == ["claude-2"] else 0
    page = CLAUDE[first : first + 2]
    return {"data": page, "has_more": first == 0, "first_id": page[0]["id"], "last_id": page[-1]["id"]}


def slugs(answer: Answer) -> list[str]:
    """The slugs of a success."""
    assert answer.status == 200, answer.body
    return [row["slug"] for row in answer.json["data"]]


def states(answer: Answer) -> dict[str, dict[str, Any]]:
    """What ``meta`` says of each source."""
    return {entry["name"]: entry for entry in answer.json["meta"]["sources"]}


def test_the_merged_list(service: Server) -> None:
    """The models of all sources in the order of the setting, with prefix, globs and the source's name."""
    answer = service.get("/v1/openai/models")
    assert slugs(answer) == [
        *("plain/llama-3", "plain/whisper-1", "acme/chat-1", "acme/draw-1"),
        *("claude-1", "claude-2", "claude-3"),
    ]
    assert [row["source"] for row in answer.json["data"]] == ["plain"] * 2 + ["router"] * 2 + ["claude"] * 3


def test_rows_by_the_shared_rules(service: Server) -> None:
    """Rows are what the rules of all model lists make of them."""
    rows = {row["slug"]: row for row in service.get("/v1/openai/models").json["data"]}
    assert rows["acme/chat-1"] == {
        "slug": "acme/chat-1",
        "display_name": "Acme: Chat 1",
        "modality": "chat",
        "context_window": 128000,
        "max_output_tokens": 16384,
        "source": "router",
    }
    assert (rows["claude-1"]["max_output_tokens"], rows["acme/draw-1"]["modality"]) == (64000, "image")
    assert rows["plain/llama-3"]["display_name"] == "llama-3"


def test_a_dead_source_costs_its_own_rows(service: Server) -> None:
    """The others' rows stand, and meta says of each how it is, with a way out for the dead one."""
    found = states(service.get("/v1/openai/models"))
    assert {name: entry["status"] for name, entry in found.items()} == {
        "plain": "ok",
        "router": "ok",
        "claude": "ok",
        "dead": "failed",
    }
    assert found["claude"] == {"name": "claude", "status": "ok", "rows": 3, "age": 0}
    assert found["dead"]["error"].startswith("unreachable: ")
    assert (found["dead"]["rows"], "openai-dead" in found["dead"]["fix"]) == (0, True)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (
            Reply({"error": {"message": f"bad key {KEY}", "code": "invalid_api_key"}}, 401),
            "invalid_api_key: ",
        ),
        (Reply("<html>sign in</html>"), "bad_shape: "),
        (Reply({"error": {"message": "over"}}, 503), "http_503: over"),
        (Reply(b"", 200), "bad_shape: "),
        (Reply({}, 302, {"Location": "http://127.0.0.1:9/"}), "redirected: "),
        (Reply(reset=True), "unreachable: "),
    ],
)
def test_every_failure_of_a_source_is_its_own(
    service: Server, upstream: Upstream, reply: Reply, error: str
) -> None:
    """Whatever a source answers, the others' rows are given; its reason is told without its key."""
    upstream.on("/router/api/v1/models", reply)
    answer = service.get("/v1/openai/models")
    assert [slug for slug in slugs(answer) if "acme" in slug] == []
    assert len(slugs(answer)) == 5
    assert states(answer)["router"]["error"].startswith(error)
    assert KEY not in answer.body.decode()


def test_what_each_source_is_sent(service: Server, upstream: Upstream) -> None:
    """A bearer, Anthropic's headers, or nothing: each source gets its own credential alone."""
    service.get("/v1/openai/models")
    plain, router, claude = (
        upstream.calls(path)[0] for path in ("/plain/v1/models", "/router/api/v1/models", "/claude/v1/models")
    )
    assert (plain.header("Authorization"), router.header("Authorization")) == (None, f"Bearer {KEY}")
    assert (claude.header("Authorization"), claude.header("x-api-key")) == (None, f"{KEY}-2")
    assert (claude.header("anthropic-version"), claude.query) == ("2023-06-01", {"limit": ["1000"]})
    assert (plain.header("x-api-key"), plain.header("anthropic-version")) == (None, None)


def test_all_pages_are_read(service: Server, upstream: Upstream) -> None:
    """Anthropic's ids and OpenRouter's links are followed."""
    service.get("/v1/openai/models")
    assert [seen.query.get("after_id") for seen in upstream.calls("/claude/v1/models")] == [
        None,
        ["claude-2"],
    ]
    assert [seen.query.get("page") for seen in upstream.calls("/router/api/v1/models")] == [None, ["2"]]


def test_one_source(service: Server) -> None:
    """A source has a list of its own, with its own failures."""
    assert slugs(service.get("/v1/openai-plain/models")) == ["plain/llama-3", "plain/whisper-1"]
    failed = service.get("/v1/openai-dead/models")
    assert (failed.status, failed.json["detail"]["error"]) == (502, "openai-dead_api")


def test_filters(service: Server) -> None:
    """The merged list is filtered by source and modality."""
    assert slugs(service.get("/v1/openai/models?source=router&modality=image")) == ["acme/draw-1"]
    assert service.get("/v1/openai-plain/models?source=plain").status == 400


def test_an_answer_of_the_same_rows_keeps_its_etag(service: Server) -> None:
    """Neither time nor the order in which sources answer shows in the bytes."""
    first, second = (service.get("/v1/openai/models") for _ in range(2))
    assert first.header("ETag") == second.header("ETag")
    again = service.get("/v1/openai/models", headers={"If-None-Match": first.header("ETag") or ""})
    assert again.status == 304


class Sources:
    """An Ask that has these lists."""

    def __init__(self, *found: Listed | Failed) -> None:
        self._found = list(found)

    async def lists(self) -> list[Listed | Failed]:
        """All of them."""
        return self._found


def gathered(*found: Listed | Failed) -> Gathered:
    """What the plugin makes of these lists."""
    return asyncio.run(merged(Sources(*found)))  # type: ignore[arg-type]


OLD = Failed("openai-two_api", "timeout: too late", "wait", "timeout", None, "openai-two")
LIVE = Listed("openai-one", "models", [{"slug": "a"}], {}, age=9.0, fresh=6.0)


@pytest.mark.parametrize(("age", "told"), [(0.0, 0), (59.9, 0), (60.0, 60), (125.0, 120), (299.0, 240)])
def test_ages_go_by_the_minute(age: float, told: int) -> None:
    """A source that is up is of age 0; the rows of one that is not are as old as the last whole minute."""
    stale = Listed("openai-two", "models", [{"slug": "b"}], {}, age=age, failure=OLD)
    found = gathered(LIVE, stale).meta["sources"]
    assert [(entry["status"], entry["age"]) for entry in found] == [("ok", 0), ("stale", told)]


def test_how_long_the_merged_list_is_good() -> None:
    """As long as the first of the live ones; old rows and failures make nobody ask sooner."""
    stale = Listed("openai-two", "models", [{"slug": "b"}], {}, age=90.0, failure=OLD)
    assert [gathered(LIVE, stale).fresh, gathered(LIVE, OLD).fresh, gathered(stale).fresh] == [6.0, 6.0, None]


def test_a_list_cut_short_makes_the_merged_one_so() -> None:
    """One source's truncated list is said of the whole."""
    cut = Listed("openai-two", "models", [], {"truncated": True})
    assert [gathered(LIVE).truncated, gathered(LIVE, cut).truncated] == [False, True]


def test_no_source_answers(upstream: Upstream) -> None:
    """Without one good source it is 502, with each one's reason; refused by all it is openai_auth."""
    server = Server(
        BASE | OFF | own(SOURCES="one,two", ONE_URL=f"{upstream.base}/one", TWO_URL=f"{upstream.base}/two")
    )
    try:
        upstream.on("/one/models", Reply({"error": {"message": "over", "code": "busy"}}, 500))
        upstream.on("/two/models", Reply({"error": {"message": "no", "code": "denied"}}, 403))
        mixed = server.get("/v1/openai/models")
        upstream.on("/one/models", Reply({"error": {"message": "no", "code": "denied"}}, 401))
        refused = server.get("/v1/openai/models")
    finally:
        server.stop()
    detail = mixed.json["detail"]
    assert (mixed.status, detail["error"], detail["status"], detail["code"]) == (
        502,
        "openai_api",
        500,
        "busy",
    )
    assert "one: busy: over" in detail["message"]
    assert "two: denied: no" in detail["message"]
    assert (refused.status, refused.json["detail"]["error"]) == (502, "openai_auth")


def test_a_source_that_died_keeps_its_old_rows(upstream: Upstream) -> None:
    """Its rows stand, marked stale, and the answer's bytes stay the same from one request to the next."""
    server = Server(
        BASE
        | OFF
        | {"SCAILOOKUP_STALE_IF_ERROR": "300"}
        | own(SOURCES="one,two", ONE_URL=f"{upstream.base}/one", TWO_URL=f"{upstream.base}/two")
    )
    try:
        for name in ("one", "two"):
            upstream.on(f"/{name}/models", {"data": [{"id": name}]})
        assert slugs(server.get("/v1/openai/models")) == ["one", "two"]
        upstream.on("/two/models", Reply({"error": {"message": "over"}}, 500))
        answers = [server.get("/v1/openai/models") for _ in range(2)]
    finally:
        server.stop()
    assert [slugs(answer) for answer in answers] == [["one", "two"]] * 2
    entry = states(answers[0])["two"]
    assert (entry["status"], entry["rows"], entry["age"], entry["error"]) == ("stale", 1, 0, "http_500: over")
    assert answers[0].header("ETag") == answers[1].header("ETag")


def test_a_slow_source_costs_its_own_rows(upstream: Upstream) -> None:
    """All are asked at once, within the one deadline; who is not done by then is left out."""
    server = Server(
        BASE
        | OFF
        | {"SCAILOOKUP_DEADLINE": "3"}
        | own(SOURCES="one,two", ONE_URL=f"{upstream.base}/one", TWO_URL=f"{upstream.base}/two")
    )
    try:
        upstream.on("/one/models", Reply({"data": [{"id": "one"}]}, delay=30.0))
        upstream.on("/two/models", {"data": [{"id": "two"}]})
        answer = server.get("/v1/openai/models")
    finally:
        server.stop()
    assert (slugs(answer), states(answer)["one"]["error"].partition(":")[0]) == (["two"], "timeout")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (own(SOURCES="a,a"), "SCAILOOKUP_OPENAI_*: a source is named twice"),
        (own(SOURCES="A"), "SCAILOOKUP_OPENAI_*: 'A' cannot be a source"),
        (own(SOURCES="a"), "SCAILOOKUP_OPENAI_A_URL: field required"),
        (own(SOURCES="a", A_URL="nowhere"), "SCAILOOKUP_OPENAI_A_URL: "),
        (
            own(SOURCES="a", A_URL="http://a", A_KEY=KEY, A_SECRET="o/a"),
            "SCAILOOKUP_OPENAI_A_*: a source has KEY",
        ),
        (own(SOURCES="a", A_URL="http://a", B_URL="http://b"), "SCAILOOKUP_OPENAI_B_URL: no such setting"),
    ],
)
def test_settings_that_stop_the_start(settings: dict[str, str], line: str) -> None:
    """What cannot work is one line with the name and no value."""
    with pytest.raises(NeverListened) as caught:
        Server(BASE | settings)
    assert caught.value.status == 2
    assert caught.value.lines[-1].startswith(f"scailookup: {line}")
    assert KEY not in "\n".join(caught.value.lines)


def test_without_sources_there_is_nothing() -> None:
    """An installed plugin without a setting serves nothing and breaks nothing."""
    server = Server(BASE)
    try:
        assert (server.get("/v1/openai/models").status, server.get("/readyz").status) == (404, 200)
    finally:
        server.stop()

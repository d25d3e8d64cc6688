"""Contract sections 3, 4, 6, 7: memory, shared calls, remembered failures and circuits, from outside."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .support import (
    API_MODELS,
    API_QUEUES,
    API_SCOPES,
    MODELS,
    QUEUES,
    SCOPES,
    Answer,
    Reply,
    Site,
    Sites,
    bearer,
    detail,
    failure,
    grid_error,
    models,
    rsa_key,
    script_all,
    sent,
    slugs,
)

# The product's own defaults; the circuit stays off where it is not the subject.
DEFAULTS = dict.fromkeys(
    f"SCAILOOKUP_{name}" for name in ("FRESH", "STALE", "STALE_IF_ERROR", "FAILURE_MEMORY")
)
SHORT = {"SCAILOOKUP_FRESH": "0.3"}
KEYS = {
    f"tnt_{name}": {"scaigrid_api_key": f"sgk_stored_{name}_0001"}
    for name in ("share", "view", "rot", "same")
}
ALIKE = {name: {"scaigrid_api_key": "sgk_stored_alike_0001"} for name in ("tnt_acme", "tnt_globex")}
BROKEN = Reply({"error": {"code": "BROKEN", "message": "it broke"}}, 500)
DENIED = grid_error("FORBIDDEN", "no", 403)
CREDENTIALS = "/v1/tenants/me/scaigrid_credentials"
LONG_AGO = 0.6  # past SCAILOOKUP_FRESH of SHORT

Ask = Callable[[], Answer]


def asking(site: Site, path: str = API_MODELS, **claims: object) -> Ask:
    """One caller of one lookup: the same token each time."""
    token = site.issuer.token(**claims)
    return lambda: site.get(path, token)


def together(number: int, ask: Callable[[int], Answer]) -> list[Answer]:
    """The answers to many requests at once."""
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(ask, range(number)))


def cache_status(answer: Answer) -> str:
    """What the cache says it did, without the numbers."""
    return "; ".join(
        part for part in (answer.header("Cache-Status") or "").split("; ") if not part.startswith("ttl=")
    )


@pytest.fixture
def site(sites: Sites) -> Site:
    """A site with the defaults of the cache; each test has a token, and so a memory, of its own."""
    return script_all(sites(**DEFAULTS))


@pytest.fixture
def keyed(sites: Sites) -> Site:
    """A site with the defaults of the cache that uses the tenants' keys; each test has a tenant."""
    site = sites(secrets=KEYS, SCAIFLOW_DEPLOY_AUTH="api_key", **DEFAULTS)
    site.keep(KEYS)
    return script_all(site)


@pytest.fixture
def errors(sites: Sites) -> Site:
    """A site whose answers age at once, stand in for a failing upstream, and are asked for each time."""
    ages = {"SCAILOOKUP_STALE": "0", "SCAILOOKUP_STALE_IF_ERROR": "300", "SCAILOOKUP_FAILURE_MEMORY": "0"}
    return script_all(sites(**SHORT, **ages))


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """A factory of sites nobody used before: circuits and signing keys belong to a whole process."""
    made: list[Site] = []

    def make(**settings: str | None) -> Site:
        made.append(script_all(Site(tmp_path, **settings)))
        return made[-1]

    yield make
    for site in made:
        site.stop()


# Fresh


def test_a_second_request_is_a_hit(site: Site) -> None:
    """Within the fresh time the upstream is asked once, and Cache-Status tells which was which."""
    ask = asking(site)
    answers = [ask(), ask()]

    assert (["scailookup; fwd=uri-miss", "scailookup; hit"], 1) == (
        [cache_status(answer) for answer in answers],
        len(site.grid.calls(MODELS)),
    )


def test_a_hit_is_the_same_answer(site: Site) -> None:
    """A hit has the body, ETag and credential step of the answer it repeats."""
    ask = asking(site)
    first, second = ask(), ask()

    assert (first.body, first.header("ETag"), "caller") == (
        *(second.body, second.header("ETag")),
        second.header("X-Lookup-Credential"),
    )


def test_filters_are_served_from_the_same_call(site: Site) -> None:
    """The full list is held, and every selection of it is made on our side."""
    site.grid.on(MODELS, {"data": models(["a-1", "a-2", "b-1"])})
    token = site.issuer.token()
    found = [slugs(site.get(API_MODELS + query, token)) for query in ("?q=b", "?limit=1", "", "?q=a-2")]

    assert ([["b-1"], ["a-1"], ["a-1", "a-2", "b-1"], ["a-2"]], 1) == (found, len(site.grid.calls(MODELS)))


def test_both_prefixes_share(site: Site) -> None:
    """The same lookup under either prefix is one answer."""
    token = site.issuer.token()
    for prefix in ("/api/v1", "/v1"):
        site.get(prefix + "/scaigrid/models", token)

    assert 1 == len(site.grid.calls(MODELS))


def test_lookups_do_not_share(site: Site) -> None:
    """Another lookup of the same caller is another call."""
    token = site.issuer.token()
    for path in (API_MODELS, API_SCOPES, API_QUEUES):
        site.get(path, token)

    assert [MODELS, SCOPES, QUEUES] == [seen.path for seen in site.grid.calls()]


def test_path_values_do_not_share(site: Site) -> None:
    """The queues of two scopes are two answers."""
    token = site.issuer.token()
    for scope in ("scp_1", "scp_2"):
        site.grid.on(f"/v1/modules/scaiqueue/scopes/{scope}/queues", {"data": [{"id": scope, "slug": scope}]})
    found = [slugs(site.get(f"/v1/scaiqueue/scopes/{scope}/queues", token)) for scope in ("scp_1", "scp_2")]

    assert [["scp_1"], ["scp_2"]] == found


def test_head_and_get_share(site: Site) -> None:
    """HEAD is answered from what GET fetched."""
    token = site.issuer.token()
    site.get(API_MODELS, token)
    head = site.get(API_MODELS, token, method="HEAD")

    assert ("scailookup; hit", 1) == (cache_status(head), len(site.grid.calls(MODELS)))


# Who shares


def test_users_of_one_tenant_do_not_share_their_own_answers(site: Site) -> None:
    """With callers' own tokens, what one user fetched is never shown to another of the tenant."""
    site.grid.on(MODELS, {"data": models(["mine"])}, {"data": models(["yours"])})
    first, second = asking(site, sub="usr_one"), asking(site, sub="usr_two")

    assert [["mine"], ["yours"], ["mine"], ["yours"]] == [
        slugs(ask()) for ask in (first, second, first, second)
    ]


def test_users_of_one_tenant_share_the_tenants_answer(keyed: Site) -> None:
    """With the tenant's key, one call serves every user of the tenant."""
    answers = [asking(keyed, tenant_id="tnt_share", sub=name)() for name in ("usr_one", "usr_two")]

    assert (["scailookup; fwd=uri-miss", "scailookup; hit"], ["Bearer sgk_stored_share_0001"]) == (
        [cache_status(answer) for answer in answers],
        sent(keyed.grid, MODELS),
    )


@pytest.mark.parametrize("claims", [{"permissions": []}, {"permissions": ["scaiflow:edit"]}], ids=str)
def test_permission_comes_before_memory(keyed: Site, claims: dict) -> None:
    """A user without scaicore:view gets no answer that the tenant's key has put into memory."""
    asking(keyed, tenant_id="tnt_view")()

    detail(asking(keyed, tenant_id="tnt_view", **claims)(), 403, "forbidden")


def test_tenants_do_not_share(sites: Sites) -> None:
    """Two tenants that happen to hold the very same key still have an answer each."""
    site = script_all(sites(secrets=ALIKE, SCAIFLOW_DEPLOY_AUTH="api_key", **DEFAULTS))
    site.grid.on(MODELS, {"data": models(["acme"])}, {"data": models(["globex"])})
    asks = [asking(site, tenant_id=tenant) for tenant in ("tnt_acme", "tnt_globex")]

    assert [["acme"], ["globex"], ["acme"], ["globex"]] == [slugs(ask()) for ask in (*asks, *asks)]


def test_a_rotated_key_is_used_at_once(keyed: Site) -> None:
    """The key that a tenant admin sets signs the very next request, whatever is in memory."""
    ask = asking(keyed, tenant_id="tnt_rot")
    ask()
    admin = keyed.issuer.token(tenant_id="tnt_rot", roles=["tenant_admin"])
    posted = keyed.get(
        CREDENTIALS,
        admin,
        {"Content-Type": "application/json"},
        method="POST",
        body=json.dumps({"api_key": "sgk_stored_rot_0002"}).encode(),
    )
    ask()

    assert (204, [bearer("sgk_stored_rot_0001"), bearer("sgk_stored_rot_0002")]) == (
        posted.status,
        sent(keyed.grid, MODELS),
    )


def test_a_rotated_key_is_not_held_back_by_the_old_ones_failure(keyed: Site) -> None:
    """A key that was refused, and remembered as refused, does not delay the new one."""
    ask = asking(keyed, tenant_id="tnt_same")
    keyed.grid.on(
        MODELS,
        lambda seen: (
            grid_error("INVALID_KEY", "no", 401)
            if "0001" in (seen.header("Authorization") or "")
            else {"data": models(["well"])}
        ),
    )
    refused = ask()
    admin = keyed.issuer.token(tenant_id="tnt_same", roles=["tenant_admin"])
    key = json.dumps({"api_key": "sgk_stored_same_0002"}).encode()
    keyed.get(CREDENTIALS, admin, method="POST", body=key)

    assert (502, ["well"]) == (refused.status, slugs(ask()))


# Stale


def test_stale_while_the_upstream_is_down(errors: Site) -> None:
    """An answer past fresh stands in for a failing upstream, and says that it does."""
    ask = asking(errors)
    before = ask()
    errors.grid.on(MODELS, BROKEN)
    time.sleep(1.2)
    after = ask()

    assert (200, before.json["data"], {"stale": True}, "scailookup; hit; detail=stale-if-error") == (
        *(after.status, after.json["data"], after.json["meta"]),
        cache_status(after),
    )
    assert int(after.header("Age") or "") >= 1
    assert after.header("ETag") != before.header("ETag")


def test_stale_while_the_upstream_is_unreachable(errors: Site) -> None:
    """An upstream that cannot be reached is answered for in the same way."""
    ask = asking(errors)
    ask()
    errors.grid.on(MODELS, Reply(reset=True))
    time.sleep(LONG_AGO)

    assert {"stale": True} == ask().json["meta"]


def test_a_selection_of_a_stale_answer_says_so(errors: Site) -> None:
    """meta.stale stands beside filtered rows too."""
    token = errors.issuer.token()
    errors.get(API_MODELS, token)
    errors.grid.on(MODELS, BROKEN)
    time.sleep(LONG_AGO)

    assert {"stale": True} == errors.get(API_MODELS + "?limit=1", token).json["meta"]


def test_the_upstream_recovers(errors: Site) -> None:
    """Once the upstream answers again, so do we, and nothing is said of stale."""
    ask = asking(errors)
    errors.grid.on(MODELS, {"data": models(["old"])}, BROKEN, {"data": models(["new"])})
    ask()
    time.sleep(LONG_AGO)
    stale, renewed = ask(), ask()

    assert (["old"], ["new"], False) == (slugs(stale), slugs(renewed), "meta" in renewed.json)


def test_stale_and_renewed_behind(sites: Sites) -> None:
    """Past fresh the old answer comes at once, and soon the renewed one."""
    site = script_all(sites(**SHORT, SCAILOOKUP_STALE="300"))
    ask = asking(site)
    site.grid.on(MODELS, {"data": models(["old"])}, {"data": models(["new"])})
    ask()
    time.sleep(LONG_AGO)
    stale = ask()
    while slugs(ask()) == ["old"]:
        time.sleep(0.05)

    assert (["old"], {"stale": True}, "scailookup; hit; detail=stale") == (
        *(slugs(stale), stale.json["meta"]),
        cache_status(stale),
    )


def test_after_the_error_window(sites: Sites) -> None:
    """Past fresh and stale-if-error together the failure is the answer."""
    site = script_all(sites(**SHORT, SCAILOOKUP_STALE_IF_ERROR="0.5"))
    ask = asking(site)
    ask()
    site.grid.on(MODELS, BROKEN)
    time.sleep(1.5)

    failure(ask(), "scaigrid_api", 500, "BROKEN")


def test_a_refusal_is_not_papered_over(errors: Site) -> None:
    """A 403 of the upstream is told though an answer is held."""
    ask = asking(errors)
    ask()
    errors.grid.on(MODELS, DENIED)
    time.sleep(LONG_AGO)

    failure(ask(), "scaigrid_auth", 403, "FORBIDDEN")


def test_a_refusal_clears(errors: Site) -> None:
    """After a 403 nothing is left that could stand in for a failing upstream."""
    ask = asking(errors)
    ask()
    errors.grid.on(MODELS, DENIED, BROKEN)
    time.sleep(LONG_AGO)
    ask()

    failure(ask(), "scaigrid_api", 500, "BROKEN")


# One call for many


def test_a_hundred_cold_requests_make_one_call(site: Site) -> None:
    """However many ask at once for what nobody holds, the upstream is asked once."""
    site.grid.on(MODELS, Reply({"data": models(["one"])}, delay=1.0))
    token = site.issuer.token()
    answers = together(100, lambda _: site.get(API_MODELS, token))

    assert (1, {200}, 1) == (
        len(site.grid.calls(MODELS)),
        {answer.status for answer in answers},
        [cache_status(answer) for answer in answers].count("scailookup; fwd=uri-miss"),
    )


def test_a_hundred_failing_requests_make_one_call(sites: Sites) -> None:
    """A failure is shared like an answer, and each caller reads its own request id in it."""
    site = script_all(sites(SCAILOOKUP_FAILURE_MEMORY="60"))
    site.grid.on(MODELS, Reply(BROKEN.body, 500, delay=1.0))
    token = site.issuer.token()
    answers = together(100, lambda _: site.get(API_MODELS, token))
    ids = {failure(answer, "scaigrid_api", 500, "BROKEN")["request_id"] for answer in answers}

    assert (1, 100) == (len(site.grid.calls(MODELS)), len(ids))


# Failures


def test_a_failing_upstream_is_asked_once(sites: Sites) -> None:
    """Within the failure memory the failure is told again without a call."""
    site = script_all(sites(SCAILOOKUP_FAILURE_MEMORY="60"))
    site.grid.on(MODELS, BROKEN)
    ask = asking(site)
    for _ in range(5):
        failure(ask(), "scaigrid_api", 500, "BROKEN")

    assert 1 == len(site.grid.calls(MODELS))


def test_a_remembered_failure_tells_the_credential(sites: Sites) -> None:
    """X-Lookup-Credential stands on a failure told again too."""
    site = script_all(sites(SCAILOOKUP_FAILURE_MEMORY="60"))
    site.grid.on(MODELS, BROKEN)
    ask = asking(site)

    assert ["caller", "caller"] == [ask().header("X-Lookup-Credential") for _ in range(2)]


def test_a_failure_is_forgotten(sites: Sites) -> None:
    """After the failure memory the upstream is asked again."""
    site = script_all(sites(SCAILOOKUP_FAILURE_MEMORY="0.3"))
    site.grid.on(MODELS, BROKEN, {"data": models(["well"])})
    ask = asking(site)
    ask()
    time.sleep(0.6)

    assert ["well"] == slugs(ask())


def test_retry_after_is_respected(sites: Sites) -> None:
    """A 429 is not asked again before its Retry-After, and what is left of it is told."""
    site = script_all(sites(SCAILOOKUP_FAILURE_MEMORY="0.3"))
    site.grid.on(MODELS, grid_error("RATE_LIMITED", "slow down", 429, Retry_After="600"))
    ask = asking(site)
    ask()
    time.sleep(1.2)
    answer = ask()
    found = failure(answer, "scaigrid_api", 429, "RATE_LIMITED")

    assert (1, answer.header("Retry-After")) == (len(site.grid.calls(MODELS)), str(found["retry_after"]))
    assert 1 <= found["retry_after"] <= 599


def test_after_retry_after(sites: Sites) -> None:
    """Once its Retry-After is over, a 429 is asked again."""
    site = script_all(sites(SCAILOOKUP_FAILURE_MEMORY="0.3"))
    limited = grid_error("RATE_LIMITED", "slow down", 429, Retry_After="1")
    site.grid.on(MODELS, limited, {"data": models(["well"])})
    ask = asking(site)
    ask()
    time.sleep(1.5)

    assert ["well"] == slugs(ask())


def test_a_remembered_503_keeps_its_retry_after(sites: Sites) -> None:
    """A 503's Retry-After is passed on to everybody who is told of it, and not only to the first."""
    site = script_all(sites(SCAILOOKUP_FAILURE_MEMORY="60"))
    site.grid.on(MODELS, grid_error("MAINTENANCE", "later", 503, Retry_After="900"))
    ask = asking(site)
    waits = [failure(ask(), "scaigrid_api", 503, "MAINTENANCE")["retry_after"] for _ in range(2)]

    assert (900, True) == (waits[0], waits[1] > 60)


# The circuit


@pytest.fixture
def circuit(alone: Callable[..., Site]) -> Site:
    """A site of its own with the default circuit, nothing in memory, and an upstream that resets."""
    site = alone(SCAILOOKUP_CIRCUIT=None)
    site.grid.on(MODELS, Reply(reset=True))
    return site


def test_circuit_open(circuit: Site) -> None:
    """After five transport failures in a row nobody is asked, and the caller is told when to come back."""
    codes = [detail(circuit.get(API_MODELS), 502, "scaigrid_api")["code"] for _ in range(5)]
    calls = len(circuit.grid.calls())
    answer = circuit.get(API_MODELS)
    found = failure(answer, "scaigrid_api", None, "circuit_open")

    assert (["unreachable"] * 5, calls, answer.header("Retry-After")) == (
        *(codes, len(circuit.grid.calls())),
        str(found["retry_after"]),
    )


def test_circuit_of_one_address(circuit: Site) -> None:
    """Lookups at one address share its circuit: another caller's other lookup is spared too."""
    for _ in range(5):
        circuit.get(API_MODELS)

    failure(circuit.get(API_SCOPES), "scaiqueue_api", None, "circuit_open")


def test_circuit_recovers(circuit: Site) -> None:
    """After five seconds one call is let through, and its success ends the outage."""
    for _ in range(5):
        circuit.get(API_MODELS)
    script_all(circuit)
    time.sleep(5.5)

    assert [200, 200] == [circuit.get(path).status for path in (API_MODELS, API_SCOPES)]


def test_http_errors_do_not_open_the_circuit(circuit: Site) -> None:
    """An upstream that answers errors is there: it is asked each time."""
    circuit.grid.on(MODELS, BROKEN)
    for _ in range(8):
        failure(circuit.get(API_MODELS), "scaigrid_api", 500, "BROKEN")

    assert 8 == len(circuit.grid.calls(MODELS))


def test_an_upstreams_own_code_does_not_open_the_circuit(circuit: Site) -> None:
    """An HTTP error whose code reads like one of ours is an answer all the same."""
    circuit.grid.on(MODELS, grid_error("timeout", "the model timed out", 500))
    for _ in range(8):
        failure(circuit.get(API_MODELS), "scaigrid_api", 500, "timeout")

    assert 8 == len(circuit.grid.calls(MODELS))


def test_the_circuit_switched_off(alone: Callable[..., Site]) -> None:
    """With 0 every request is tried."""
    site = alone(SCAILOOKUP_CIRCUIT="0")
    site.grid.on(MODELS, Reply(reset=True))

    assert {"unreachable"} == {detail(site.get(API_MODELS), 502, "scaigrid_api")["code"] for _ in range(8)}


# ScaiKey


def test_cold_keys_are_fetched_for_all(alone: Callable[..., Site]) -> None:
    """Three hundred first requests at once make two fetches of the signing keys at the most."""
    site = alone(**DEFAULTS)
    site.issuer.delay = 1.0
    token = site.issuer.token()
    answers = together(300, lambda _: site.get(API_MODELS, token))

    assert {200} == {answer.status for answer in answers}
    assert 1 <= site.issuer.fetches <= 2


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_unknown_keys_are_not_turned_on_scaikey(alone: Callable[..., Site], warm: bool) -> None:
    """Three hundred tokens with unknown key ids make two fetches at the most, first one included."""
    site = alone(**DEFAULTS)
    site.issuer.delay = 0.5
    if warm:
        site.get(API_MODELS)
    tokens = [
        site.issuer.token(header={"kid": f"kid-{number}"}, key=rsa_key("foreign")) for number in range(300)
    ]
    answers = together(300, lambda number: site.get(API_MODELS, tokens[number]))

    assert {401} == {answer.status for answer in answers}
    assert 1 <= site.issuer.fetches <= 2

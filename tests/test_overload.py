"""When requests are counted, how many are let in, and what the others are told."""

from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from scailookup.metrics import Metrics
from scailookup.web.front import Front
from scailookup.web.guard import OpenOnly
from scailookup.web.health import HealthHandler
from scailookup.web.overload import Overload
from scailookup.web.refusal import full, refuse
from scailookup.web.router import Routes, Target
from scailookup.web.state import Web

pytestmark = pytest.mark.gen_test

HEAD = b"GET /v1/scaigrid/models HTTP/1.1\r\nHost: a\r\nX-Request-ID: r-1\r\n\r\n"


class Cpu:
    """CPU time that the test spends."""

    def __init__(self) -> None:
        self.spent = 0.0

    def __call__(self) -> float:
        return self.spent


class Line:
    """An Overload whose loop and clocks are the test's."""

    def __init__(self, max_wait: float = 0.2) -> None:
        self.cpu = Cpu()
        self.overload = Overload(max_wait, cpu=self.cpu)

    def look(self, late: float, seconds: float, worked: float | None = None) -> None:
        """The loop is late, by its own work unless said otherwise."""
        self.overload.look(late, seconds, seconds if worked is None else worked)

    def press(self) -> None:
        """The loop is late for long."""
        for _ in range(2):
            self.look(1.0, 1.0)

    def round(self, comers: int, seconds: float) -> int:
        """So many come in a round of so much CPU time: how many of them are let in."""
        let_in = sum(self.overload.lets_in() for _ in range(comers))
        self.cpu.spent += seconds
        self.overload.end_round()
        return let_in


def web(**more) -> Web:
    """What refusals are made with."""
    return Web(OpenOnly(), Metrics(), **more)


async def test_a_loop_that_is_on_time_counts_nobody():
    """Nor does one that is late by less than the wait."""
    line = Line()
    for late in (0.0, 0.001, 0.19) * 20:
        line.look(late, 0.1)
    assert not line.overload.pressed


async def test_a_burst_is_worked_off():
    """The loop is late, but not at two looks one after another."""
    line = Line()
    line.overload.busy = lambda: 1000
    for _ in range(20):
        line.look(0.4, 0.4)
        line.look(0.04, 0.05)
    assert not line.overload.pressed


async def test_a_loop_that_stays_late_counts():
    """Two looks one after another are enough."""
    line = Line()
    line.look(0.25, 0.3)
    assert not line.overload.pressed
    line.look(0.25, 0.3)
    assert line.overload.pressed


async def test_a_process_that_others_keep_from_running_has_no_more_to_do():
    """It is late by the clock, and has hardly worked."""
    line = Line()
    for _ in range(20):
        line.look(2.0, 2.05, 0.1)
    assert not line.overload.pressed


@pytest.mark.parametrize(("busy", "pressed"), [(32, False), (33, True)])
async def test_calls_under_way_take_several_rounds(busy, pressed):
    """Where upstreams are being asked, four rounds of the loop together are what a caller waits."""
    line = Line()
    line.overload.busy = lambda: busy
    for _ in range(20):
        line.look(0.06, 0.1)
    assert pressed is line.overload.pressed


async def test_0_is_never():
    """Who may wait for any time is not turned away."""
    line = Line(0.0)
    line.press()
    assert not line.overload.pressed


async def test_as_many_are_let_in_as_a_round_may_take():
    """Calls of 0.1 ms: 6 ms of each round are for them, whoever comes besides is one too many."""
    line = Line()
    line.press()
    let_in = 32
    for _ in range(20):
        let_in = line.round(1000, let_in * 0.0001)
    assert 60 == let_in


async def test_the_quota_follows_the_cost():
    """The same callers with answers that cost a fifth: five times as many are let in."""
    line = Line()
    line.press()
    let_in = 32
    for _ in range(20):
        let_in = line.round(1000, let_in * 0.00002)
    assert 295 <= let_in <= 300


async def test_few_callers_are_no_crowd():
    """However long each of them takes."""
    line = Line()
    line.press()
    assert [32] * 5 == [line.round(32, 5.0) for _ in range(5)]


async def test_a_process_that_gets_no_cpu_turns_fewer_away():
    """What a round costs is CPU time: when others have the machine, the quota grows all the same."""
    line = Line()
    line.press()
    assert [32, 48, 72, 100] == [line.round(100, 0.0) for _ in range(4)]


async def test_fewer_callers_are_all_let_in_at_once():
    """From the first round on in which fewer come than the quota."""
    line = Line()
    line.press()
    for _ in range(10):
        line.round(1000, 0.04)
    assert 30 == line.round(30, 0.001)


async def test_after_a_calm_while_nothing_is_counted():
    """Five seconds without anybody turned away; one who was begins them anew."""
    line = Line()
    line.press()
    line.look(0.0, 4.9)
    line.overload.turn_away()
    line.look(0.0, 4.9)
    line.look(0.0, 4.9)
    assert line.overload.pressed
    line.look(0.0, 0.2)
    assert not line.overload.pressed


async def test_the_operator_is_told_once_of_each_overload():
    """When the first is turned away, and when it is over with their number."""
    line = Line()
    with capture_logs() as logs:
        line.press()
        for _ in range(3):
            line.overload.turn_away()
        line.look(0.0, 1.0)
        line.look(0.0, 5.0)
        line.press()
        line.look(0.0, 5.0)
    assert [("overloaded", None), ("overload_over", 3)] == [(e["event"], e.get("turned_away")) for e in logs]


async def test_connections_are_never_more_than_descriptors_allow():
    """A quarter of them is for the other side."""
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert Overload(0.0, 10**9).connections == (soft * 3 // 4 if soft != resource.RLIM_INFINITY else 10**9)


def parts(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers in lower case, body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return int(start.split()[1]), {name.lower(): value for name, _, value in pairs}, body


async def test_the_answer_is_in_the_one_shape():
    """503 `overloaded` with a fix, Retry-After, and the caller's own request id."""
    refusal = refuse(HEAD, web())
    assert refusal is not None
    status, headers, body = parts(refusal.answer)
    detail = json.loads(body)["detail"]
    assert (503, "overloaded", "r-1", False) == (status, detail["error"], detail["request_id"], refusal.last)
    assert (str(len(body)), "r-1", "1") == (
        headers["content-length"],
        headers["x-request-id"],
        headers["retry-after"],
    )
    assert detail["message"]
    assert detail["fix"]
    assert (1, "no-store") == (detail["retry_after"], headers["cache-control"])


@pytest.mark.parametrize("given", [b"bad id", b'"', b"x" * 129, b"a\r\nX-Request-ID: b"])
async def test_a_request_id_that_is_none_gets_one_of_ours(given: bytes):
    """Nothing of the caller's that could not be an id comes back."""
    refusal = refuse(HEAD.replace(b"r-1", given), web())
    assert refusal is not None
    _, headers, body = parts(refusal.answer)
    assert given.decode() != headers["x-request-id"]
    assert headers["x-request-id"] == json.loads(body)["detail"]["request_id"]
    assert headers["content-length"] == str(len(body))


async def test_head_has_no_body():
    """But the length that GET would have."""
    get, head = refuse(HEAD, web()), refuse(HEAD.replace(b"GET", b"HEAD"), web())
    assert get is not None
    assert head is not None
    assert parts(get.answer)[:2] == parts(head.answer)[:2]
    assert b"" == parts(head.answer)[2]


@pytest.mark.parametrize(
    "head",
    [
        HEAD.replace(b"GET", b"POST"),
        HEAD.replace(b"Host", b"Content-Length: 3\r\nHost"),
        HEAD.replace(b"Host", b"X: a\r\n Content-Length: 3\r\nHost"),
        HEAD.replace(b"Host", b"X: a\rTransfer-Encoding: chunked\r\nHost"),
        HEAD.replace(b"Host", b"\x0bTransfer-Encoding: chunked\r\nHost"),
        HEAD.replace(b"Host", b"TRANSFER-ENCODING : chunked\r\nHost"),
        HEAD[:-2],
        HEAD[:20],
        HEAD + HEAD,
        HEAD + b"GET",
        HEAD.replace(b"\r\n", b"\n"),
        b"GET /v1 HTTP/1.1\nHost: a\n\n" + HEAD,
        HEAD.replace(b"HTTP/1.1", b"HTTP/2.0"),
    ],
)
async def test_what_is_not_one_plain_head_is_for_others_to_read(head: bytes):
    """Bodies, halves, several at once: nothing here may be wrong about where a request ends."""
    assert refuse(head, web()) is None


@pytest.mark.parametrize(
    "head",
    [
        HEAD.replace(b"1.1", b"1.0"),
        HEAD.replace(b"Host: a", b"Host: a\r\nCONNECTION: close"),
        HEAD.replace(b"Host: a", b"Host: a\r\nConnection:close"),
        HEAD.replace(b"Host: a", b"Host: a\r\nConnection: TE, close"),
    ],
)
async def test_the_last_answer_says_so(head: bytes):
    """The client wants no more, or cannot."""
    refusal = refuse(head, web())
    assert refusal is not None
    assert (True, "close") == (refusal.last, parts(refusal.answer)[1]["connection"])


async def test_pages_that_may_read_answers_may_read_this_one():
    """An allowed origin is named, another is not."""
    here = web(cors_origins=frozenset({"https://a.example"}))
    mine, other = (
        parts(refuse(HEAD.replace(b"Host: a", b"Host: a\r\norigin: " + origin), here).answer)[1]  # type: ignore[union-attr]
        for origin in (b"https://a.example", b"https://b.example")
    )
    assert ("https://a.example", "Origin") == (mine["access-control-allow-origin"], mine["vary"])
    assert ("access-control-allow-origin" in other, "Origin") == (False, other["vary"])


async def test_no_proxy_may_keep_it():
    """With a microcache in front it is told so."""
    refusal = refuse(HEAD, web(microcache=5))
    assert refusal is not None
    assert "0" == parts(refusal.answer)[1]["x-accel-expires"]


async def test_a_full_process_says_so_and_ends_the_connection():
    """In the same shape."""
    status, headers, body = parts(full())
    detail = json.loads(body)["detail"]
    assert (503, "overloaded", "close") == (status, detail["error"], headers["connection"])
    assert headers["x-request-id"] == detail["request_id"]


@pytest.mark.parametrize(
    ("line", "always"),
    [
        (b"GET /healthz HTTP/1.1", True),
        (b"HEAD /readyz?x HTTP/1.1", True),
        (b"GET /healthzz HTTP/1.1", False),
        (b"GET /v1/healthz HTTP/1.1", False),
    ],
)
async def test_health_is_always_told(line: bytes, always: bool):
    """These two routes and nothing that looks like them."""
    routes = Routes(web())
    for path in ("/healthz", "/readyz"):
        routes.add(path, Target(HealthHandler, path[1:]))
    assert always is Front(routes).always(line + b"\r\nHost: a\r\n\r\n")

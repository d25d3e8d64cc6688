"""`scailookup call`: what is asked, what is printed, and with which status it ends."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fakes import settings
from harness import Reply, Upstream
from test_terminal import Tty

from scailookup.calling import Asked, run_call

pytestmark = pytest.mark.gen_test
TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.c2ln"
PATH = "/api/v1/scaigrid/models"
EVIL = "\x1b]0;owned\x07\x9b2J\u202e"
ROW = {"slug": "openai/gpt-4o", "display_name": "GPT-4o"}


@pytest.fixture(scope="module")
def _far() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture
def far(_far: Upstream) -> Upstream:
    """A server that plays the service, or the platform."""
    _far.forget()
    return _far


async def ask(
    asked: Asked, far: Upstream, *, tty: bool = False, as_json: bool = False
) -> tuple[int, str, str]:
    """Ask the server as a service; the status, what went to stdout, and what to stderr."""
    out, err = Tty() if tty else io.StringIO(), io.StringIO()
    status = await run_call(asked, url=far.base, settings=None, as_json=as_json, out=out, err=err)
    return status, out.getvalue(), err.getvalue()


async def ask_here(far: Upstream, asked: Asked, **names: str) -> tuple[int, str, str]:
    """Ask this process, with the server as its platform."""
    given = settings(SCAIGRID_BASE_URL=far.base, SCAIFLOW_AUTH_DISABLED="true", **names)
    out, err = io.StringIO(), io.StringIO()
    status = await run_call(asked, url=None, settings=given, as_json=False, out=out, err=err)
    return status, out.getvalue(), err.getvalue()


def refusal(status: int, error: str, message: str = "no") -> Reply:
    """An error as the service answers it."""
    detail = {"error": error, "message": message, "fix": "Mend it.", "request_id": "req_1"}
    return Reply({"detail": detail}, status)


async def test_rows_are_printed(far: Upstream) -> None:
    """The head, and a line for each row."""
    far.on(PATH, {"data": [ROW]})
    expected = "slug           display_name\nopenai/gpt-4o  GPT-4o\n"
    assert (0, expected, "") == await ask(Asked("scaigrid/models"), far)


async def test_json_is_the_body(far: Upstream) -> None:
    """Byte for byte, with a line end behind."""
    body = '{"data":[{"slug":"a\x7f\u202e模"}]}'
    far.on(PATH, Reply(body.encode()))
    assert (0, body + "\n", "") == await ask(Asked("scaigrid/models"), far, as_json=True)


async def test_what_meta_says_is_told(far: Upstream) -> None:
    """On stderr, so that rows alone are piped on."""
    far.on(PATH, {"data": [], "meta": {"truncated": True, "dropped": 3}})
    _, out, err = await ask(Asked("scaigrid/models"), far)
    assert ("", "note: no rows\nnote: truncated\nnote: dropped: 3\n") == (out, err)


@pytest.mark.parametrize("as_json", [False, True])
async def test_rows_cannot_command_the_terminal(far: Upstream, as_json: bool) -> None:
    """No escape of an upstream's text reaches it, in either form."""
    far.on(PATH, {"data": [{"slug": EVIL, EVIL: [EVIL]}], "meta": {EVIL: EVIL}})
    status, out, err = await ask(Asked("scaigrid/models"), far, tty=True, as_json=as_json)
    assert (0, set()) == (status, set("\x1b\x07\x9b\u202e") & set(out + err))


async def test_json_on_a_terminal_means_the_same(far: Upstream) -> None:
    """What is escaped there is still the same value."""
    far.on(PATH, {"data": [{"slug": EVIL}]})
    _, out, _ = await ask(Asked("scaigrid/models"), far, tty=True, as_json=True)
    assert {"data": [{"slug": EVIL}]} == json.loads(out)


async def test_errors_cannot_command_the_terminal(far: Upstream) -> None:
    """Message, fix and request id come from elsewhere too."""
    detail = {"error": EVIL, "message": EVIL, "fix": EVIL, "request_id": EVIL}
    far.on(PATH, Reply({"detail": detail}, 502))
    _, out, err = await ask(Asked("scaigrid/models"), far, tty=True)
    assert set() == set("\x1b\x07\x9b\u202e") & set(out + err)


async def test_an_error_says_what_to_do(far: Upstream) -> None:
    """Message, fix, and the id that the service's log knows."""
    far.on(PATH, refusal(502, "scaigrid_api", "RATE_LIMITED: too many"))
    expected = "scailookup: scaigrid_api: RATE_LIMITED: too many\n      -> Mend it.\n      request id req_1\n"
    assert (1, "", expected) == await ask(Asked("scaigrid/models"), far)


async def test_an_error_as_json_is_the_body(far: Upstream) -> None:
    """A program reads it where it reads rows."""
    far.on(PATH, refusal(403, "forbidden"))
    status, out, err = await ask(Asked("scaigrid/models"), far, as_json=True)
    assert (4, "forbidden", "") == (status, json.loads(out)["detail"]["error"], err)


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, "invalid_parameter", 3),
        (404, "not_found", 3),
        (401, "unauthenticated", 4),
        (403, "forbidden", 4),
        (412, "missing_credentials", 4),
        (502, "scaigrid_auth", 4),
        (502, "scaigrid_api", 1),
        (503, "secrets_unavailable", 1),
        (500, "internal", 1),
    ],
)
async def test_the_status_tells_the_kind(far: Upstream, status: int, error: str, expected: int) -> None:
    """Who must act: 3 who asks so, 4 who cares for tokens and keys, 1 somebody behind."""
    far.on(PATH, refusal(status, error))
    assert expected == (await ask(Asked("scaigrid/models"), far))[0]


@pytest.mark.parametrize(
    "answer", [Reply("<p>"), Reply({"data": "x"}), Reply([1]), Reply(b""), Reply({}, 302), Reply(reset=True)]
)
async def test_what_is_no_scailookup_is_said(far: Upstream, answer: Reply) -> None:
    """Another server at the address, or one that breaks off, has a status of its own."""
    far.on(PATH, answer)
    status, out, err = await ask(Asked("scaigrid/models"), far)
    assert (5, "", True) == (status, out, err.startswith(f"scailookup: {far.base}: ")), err


async def test_a_long_list_is_taken_whole(far: Upstream) -> None:
    """A service may answer more than an upstream may send."""
    far.on(PATH, {"data": [{"slug": "x" * 1000, "n": n} for n in range(10_000)]})
    status, out, _ = await ask(Asked("scaigrid/models"), far)
    assert (0, 10_001) == (status, out.count("\n"))


async def test_the_token_is_sent_and_not_shown(far: Upstream) -> None:
    """One header carries it; nothing prints it, the value that holds it neither."""
    far.on(PATH, refusal(401, "unauthenticated"))
    asked = Asked("scaigrid/models", token=TOKEN)
    status, out, err = await ask(asked, far)
    assert [f"Bearer {TOKEN}"] == far.calls()[0].all("Authorization")
    assert (4, False) == (status, TOKEN in out + err + repr(asked))


async def test_no_token_is_said_so(far: Upstream) -> None:
    """The fix is about this command line."""
    far.on(PATH, refusal(401, "unauthenticated"))
    _, _, err = await ask(Asked("scaigrid/models"), far)
    assert "-> Give the access token by --token-file, or in SCAIKEY_TOKEN." in err
    assert [] == far.calls()[0].all("Authorization")


@pytest.mark.parametrize(
    ("lookup", "params", "target"),
    [
        ("/scaigrid/models/", (), PATH),
        ("scaiqueue/scopes/a b%2Fc/queues", (), "/api/v1/scaiqueue/scopes/a%20b%2Fc/queues"),
        ("a/é\x1b\udcff", (), "/api/v1/a/%C3%A9%1B%FF"),
        ("a/b", (("q", "a&b=c +"), ("q", "é\udcff")), "/api/v1/a/b?q=a%26b%3Dc+%2B&q=%C3%A9%FF"),
    ],
)
async def test_what_is_asked(lookup: str, params: Any, target: str) -> None:
    """What cannot stand in a path or query is escaped, and given escapes stay."""
    assert target == Asked(lookup, params).target


async def test_this_process_answers_by_the_settings(far: Upstream) -> None:
    """Without an address the whole road is walked here: the platform is asked, filters work."""
    far.on("/v1/models", {"data": [ROW, {"slug": "other"}]})
    asked = Asked("scaigrid/models", (("q", "gpt"),))
    status, out, err = await ask_here(far, asked, SCAIGRID_API_KEY="sgk_developers")
    assert (0, "slug           display_name\nopenai/gpt-4o  GPT-4o\n", "") == (status, out, err)
    assert ["Bearer sgk_developers"] == [value for seen in far.calls() for value in seen.all("Authorization")]


@pytest.mark.parametrize(
    ("lookup", "status", "error", "fix"),
    [
        ("scaigrid/models", 4, "missing_credentials", "-> "),
        ("scaigrid/modelz", 3, "not_found", "`scailookup plugins` lists every lookup"),
        ("tenants/me/scaigrid_credentials", 3, "is no lookup", "`scailookup plugins` lists every lookup"),
        ("scaiqueue/scopes/%zz/queues", 3, "invalid_parameter", "-> "),
    ],
)
async def test_this_process_refuses_as_a_service(
    far: Upstream, lookup: str, status: int, error: str, fix: str
) -> None:
    """The same errors, with the same fix where it is of use here."""
    found, out, err = await ask_here(far, Asked(lookup))
    assert (status, "", True, True) == (found, out, error in err, fix in err), err
    assert [] == far.calls()

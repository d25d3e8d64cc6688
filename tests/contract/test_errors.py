"""Contract section 4: every row of the table, the whole body of each."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from .support import API_MODELS, LOOKUPS, MODELS, OUR_CODES, Reply, Site, detail, failure, grid_error

NEEDED = {"scaiqueue": "scaiqueue:view", "scaibunker": "scaibunker:create", "scaigrid": "models:list"}
PLAIN = {"error", "message", "fix", "request_id"}
LONG = "word " * 200


def upstream_of(path: str) -> str:
    """Return the upstream's name in a lookup path."""
    return path.split("/")[1]


def body_of(site: Site, reply: Any) -> dict[str, Any]:
    """Return the error detail that an upstream's reply makes."""
    site.grid.on(MODELS, reply)
    return site.get(API_MODELS).json["detail"]


@pytest.mark.parametrize(
    ("path", "options", "status", "error"),
    [
        (API_MODELS + "?foo=1", {}, 400, "invalid_parameter"),
        (API_MODELS, {"token": None}, 401, "unauthenticated"),
        ("/api/v1/nothing", {}, 404, "not_found"),
        ("/api/v1/scaigrid/model", {}, 404, "not_found"),
        (API_MODELS, {"method": "POST"}, 405, "method_not_allowed"),
        (API_MODELS, {"method": "DELETE"}, 405, "method_not_allowed"),
        (API_MODELS, {"method": "BREW"}, 405, "method_not_allowed"),
    ],
)
def test_own_errors(site: Site, path: str, options: dict, status: int, error: str) -> None:
    """An error of our own has the four fields, and says nothing of an upstream."""
    found = detail(site.get(path, **options), status, error)

    assert (True, set()) == (set(found) >= PLAIN, set(found) & {"status", "code"})


def test_forbidden(site: Site) -> None:
    """403 names the permission."""
    answer = site.get(API_MODELS, site.issuer.token(permissions=[]))

    assert "need scaicore:view" == detail(answer, 403, "forbidden")["message"]


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("path", LOOKUPS)
def test_auth_errors(site: Site, path: str, status: int) -> None:
    """An upstream's 401 or 403 is 502 <upstream>_auth with the permission the caller needs."""
    site.grid.on(LOOKUPS[path], grid_error("AUTHZ_PERMISSION_DENIED", "Not you", status))
    name = upstream_of(path)

    found = failure(site.get("/v1" + path), f"{name}_auth", status, "AUTHZ_PERMISSION_DENIED")

    assert "AUTHZ_PERMISSION_DENIED: Not you" == found["message"]
    assert f"Caller needs the `{NEEDED[name]}` permission on this tenant." == found["fix"]


@pytest.mark.parametrize("status", [400, 402, 404, 409, 410, 418, 422, 429, 500, 501, 502, 503, 504, 599])
def test_api_errors(site: Site, status: int) -> None:
    """Every other failure is 502 <upstream>_api with the upstream's status, code and message."""
    site.grid.on(MODELS, grid_error("SOME_CODE", "It broke", status))

    found = failure(site.get(API_MODELS), "scaigrid_api", status, "SOME_CODE")

    assert "SOME_CODE: It broke" == found["message"]
    assert {"status", "code"} | PLAIN <= set(found)


@pytest.mark.parametrize("path", LOOKUPS)
def test_api_error_of_every_lookup(site: Site, path: str) -> None:
    """The error's name is the upstream's."""
    site.grid.on(LOOKUPS[path], grid_error("BACKEND_ERROR", "It broke", 500))

    failure(site.get("/v1" + path), f"{upstream_of(path)}_api", 500, "BACKEND_ERROR")


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ({"error": {"code": "A", "message": "m"}}, "A", "m"),
        ({"error": {"code": 42, "message": "m"}}, "42", "m"),
        ({"error": {"message": "m"}}, "http_500", "m"),
        ({"object": "error", "message": "m"}, "http_500", "m"),
        ({"detail": "m"}, "http_500", "m"),
        ({"detail": {"error": {"code": "A", "message": "m"}}}, "A", "m"),
        ({"error": {"code": None, "message": "m"}}, "http_500", "m"),
        ({"error": {"code": "", "message": "m"}}, "http_500", "m"),
    ],
    ids=str,
)
def test_error_forms(site: Site, body: Any, code: str, text: str) -> None:
    """Errors are read in the forms that stand beside such lists."""
    found = body_of(site, Reply(body, 500))

    assert (code, f"{code}: {text}") == (found["code"], found["message"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        "<html><body>planted-body</body></html>",
        b"\xff\xfe\x00planted-body",
        b"[" * 100_000,
        [],
        None,
        7,
        {"foo": "planted-body"},
        {"error": {"message": None}},
        {"error": {"message": {"a": "planted-body"}}},
        {"error": []},
        {"error": [{"x": "planted-body"}]},
        {"detail": {"error": {"message": ""}}},
        {"detail": [{"loc": ["planted-body"]}]},
        {"message": ["planted-body"]},
    ],
    ids=lambda body: repr(body)[:50],
)
def test_errors_without_a_code(site: Site, body: Any) -> None:
    """An error that gives no code is http_<status>, and its body is not echoed."""
    site.grid.on(MODELS, Reply(body, 500))

    answer = site.get(API_MODELS)

    failure(answer, "scaigrid_api", 500, "http_500")
    assert b"planted-body" not in answer.body


@pytest.mark.parametrize("status", [401, 403])
def test_auth_error_without_a_code(site: Site, status: int) -> None:
    """An empty 401 or 403 is an auth error all the same."""
    site.grid.on(MODELS, Reply(b"", status))

    failure(site.get(API_MODELS), "scaigrid_auth", status, f"http_{status}")


def test_bodies_are_never_echoed(site: Site) -> None:
    """Of an upstream's error only code and message are shown."""
    body = {
        "error": {"code": "A", "message": "m", "details": [{"field": "planted-a", "message": "planted-b"}]},
        "meta": {"request_id": "planted-c"},
        "data": ["planted-d"],
    }
    site.grid.on(MODELS, Reply(body, 422))

    assert b"planted-" not in site.get(API_MODELS).body


@pytest.mark.parametrize("status", [200, 401, 429, 500])
def test_upstream_headers_stay_behind(site: Site, status: int) -> None:
    """No header of the upstream comes through."""
    planted = {
        "Set-Cookie": "session=planted",
        "WWW-Authenticate": 'Basic realm="planted"',
        "Server": "planted",
        "Via": "1.1 planted",
        "X-Request-ID": "planted",
        "X-Scaigrid-Ratelimit-Limit": "planted",
        "ETag": '"planted"',
        "Location": "/planted",
        "Content-Language": "planted",
        "Access-Control-Allow-Origin": "planted",
        "Cache-Control": "public, planted",
    }
    site.grid.on(MODELS, Reply({"data": []} if status == 200 else {}, status, planted))

    answer = site.get(API_MODELS)

    assert [] == [name for name, value in answer.headers if "planted" in value]
    assert [] == answer.all("WWW-Authenticate")


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(site: Site, status: int) -> None:
    """A 429's or 503's Retry-After is passed on as header and in the body."""
    site.grid.on(MODELS, grid_error("RATE_LIMITED", "Slow down", status, Retry_After="7"))

    answer = site.get(API_MODELS)

    assert ("7", 7) == (answer.header("Retry-After"), answer.json["detail"]["retry_after"])


@pytest.mark.parametrize("status", [400, 401, 500, 502, 504])
def test_no_retry_after_of_others(site: Site, status: int) -> None:
    """No other status passes a Retry-After."""
    site.grid.on(MODELS, grid_error("NO", "no", status, Retry_After="7"))

    assert None is site.get(API_MODELS).header("Retry-After")


@pytest.mark.parametrize(
    "value", ["", "soon", "-5", "7, 8", "7;x", "9" * 400, "7\u00e9", "1e3", "nan", "inf"]
)
def test_odd_retry_after(site: Site, value: str) -> None:
    """A Retry-After that is no number of seconds is not repeated, and is no fault of ours."""
    site.grid.on(MODELS, grid_error("RATE_LIMITED", "no", 429, Retry_After=value))

    answer = site.get(API_MODELS)

    failure(answer, "scaigrid_api", 429, "RATE_LIMITED")
    assert re.fullmatch(r"\d{1,10}", answer.header("Retry-After") or "0")


@pytest.mark.parametrize(("length", "shown"), [(300, 300), (301, 300), (5000, 300), (1_000_000, 300)])
def test_message_is_clipped(site: Site, length: int, shown: int) -> None:
    """The upstream's text is clipped to 300 characters."""
    found = body_of(site, grid_error("A", "é" * length, 500))

    assert (True, True) == (
        len(found["message"]) <= len("A: ") + shown,
        found["message"].startswith("A: " + "é" * 290),
    )


@pytest.mark.parametrize(
    "code", ["A" * 500, "A b", "A\r\nX-Evil: 1", "<script>", "é", "a/b?c", "💥" * 80, " " * 9]
)
def test_code_is_clipped_to_its_alphabet(site: Site, code: str) -> None:
    """The upstream's code is clipped to 64 of A-Za-z0-9_.-"""
    found = body_of(site, grid_error(code, "m", 500))

    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", found["code"])
    assert f"{found['code']}: m" == found["message"]


@pytest.mark.parametrize("code", ["A.b_c-9", "A" * 64, "model_not_found"])
def test_code_within_its_alphabet_stays(site: Site, code: str) -> None:
    """A code of up to 64 of these stays as it is."""
    assert code == body_of(site, grid_error(code, "m", 500))["code"]


@pytest.mark.parametrize("code", sorted(OUR_CODES))
def test_our_codes_from_upstream(site: Site, code: str) -> None:
    """An upstream's own code is shown even if it is one of ours, with the upstream's status."""
    site.grid.on(MODELS, grid_error(code, "m", 500))

    failure(site.get(API_MODELS), "scaigrid_api", 500, code)


@pytest.mark.parametrize("given", ["abc", "a" * 128, "A.b_c-9"])
def test_request_id_of_the_caller(site: Site, given: str) -> None:
    """The caller's request id stands in the error's body and header."""
    found = detail(site.get("/v1/nothing", headers={"X-Request-ID": given}), 404, "not_found")

    assert given == found["request_id"]


@pytest.mark.parametrize("path", [API_MODELS + "?foo=1", "/v1/nothing", API_MODELS])
def test_head_of_an_error(site: Site, path: str) -> None:
    """HEAD of an error has its status and headers, and no body."""
    site.grid.on(MODELS, grid_error("A", "m", 500))
    got, head = site.get(path), site.get(path, method="HEAD")

    assert (got.status, b"", got.header("Content-Type")) == (
        head.status,
        head.body,
        head.header("Content-Type"),
    )


@pytest.mark.parametrize("text", ["<b>x</b>", "a\nb", "\u2028", '"', "\\", "\x1b[31mred", "\x00"])
def test_messages_are_json(site: Site, text: str) -> None:
    """Whatever an upstream writes, the body is one JSON document."""
    site.grid.on(MODELS, grid_error("A", text, 500))

    assert {"detail"} == set(json.loads(site.get(API_MODELS).body))

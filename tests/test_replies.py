"""Judging one reply."""

from __future__ import annotations

import contextlib
import gc
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from fakes import json_with, reply
from hypothesis import given
from hypothesis import strategies as st

from scailookup.errors import CallFailed
from scailookup.replies import decode, judge, launder


def failure(answer) -> CallFailed:
    """What ``judge`` raises for ``answer``."""
    with pytest.raises(CallFailed) as caught:
        judge(answer)
    return caught.value


@pytest.mark.parametrize("status", [200, 201, 206, 299])
def test_good(status):
    """A 2xx with JSON is good."""
    assert {"data": []} == judge(reply({"data": []}, status))


def test_a_byte_order_mark_is_passed_over():
    """UTF-8 with a mark in front is JSON all the same."""
    assert [1] == decode(reply(b"\xef\xbb\xbf[1]"))


@pytest.mark.parametrize(
    "body", [b"", b"  ", b"<html>", b"{", b"\xff\xfe", b"[" * 100_000, b'"\\ud800"', b"NaN"]
)
def test_no_json_is_bad_shape(body):
    """A 200 that is not JSON is bad_shape, with the status it had."""
    failed = failure(reply(body))
    assert ("bad_shape", 200) == (failed.code, failed.status)


@pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 308])
def test_a_redirect_is_a_failure(status):
    """A 3xx is redirected, whatever its body."""
    failed = failure(reply({"data": []}, status))
    assert ("redirected", status) == (failed.code, failed.status)


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ({"status": "error", "error": {"code": "X_Y", "message": "no"}}, "X_Y", "no"),
        ({"error": {"code": "X_Y", "message": "no"}}, "X_Y", "no"),
        ({"error": {"message": "no", "type": "t", "code": None}}, "http_500", "no"),
        ({"error": {"message": "no", "code": 42}}, "42", "no"),
        ({"error": {"message": "no", "code": True}}, "http_500", "no"),
        ({"error": "no"}, "http_500", "no"),
        ({"object": "error", "message": "no", "code": 40301}, "40301", "no"),
        ({"detail": "no"}, "http_500", "no"),
        ({"detail": {"error": {"code": "X", "message": ""}}, "message": "no"}, "X", "no"),
        ({"detail": {"code": "X", "message": "no"}}, "X", "no"),
        ({"detail": [{"loc": ["q"], "msg": "no"}]}, "http_500", "no"),
        ({"errors": [{"code": "X_Y", "message": "no"}, {"code": "Z"}]}, "X_Y", "no"),
        ({"errors": ["no"]}, "http_500", "the upstream answered 500 and gave no reason"),
        ({"errors": {"code": "X_Y"}}, "http_500", "the upstream answered 500 and gave no reason"),
        ({"message": "no"}, "http_500", "no"),
        ({"message": "no\r\n  more"}, "http_500", "no more"),
        ({"message": {"a": 1}}, "http_500", "the upstream answered 500 and gave no reason"),
        ([], "http_500", "the upstream answered 500 and gave no reason"),
        (b"plain", "http_500", "the upstream answered 500 and gave no reason"),
        (b"<html>login</html>", "http_500", "the upstream answered 500 and gave no reason"),
        (b"", "http_500", "the upstream answered 500 and gave no reason"),
    ],
)
def test_complaints(body, code, text):
    """Code and message are found in every error shape seen; a body that is none is not echoed."""
    failed = failure(reply(body, 500))
    assert (code, text) == (failed.code, failed.text)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": {"code": "X", "message": "no"}}, "X"),
        ({"error": "no"}, "http_200"),
        ({"status": "error", "data": []}, "http_200"),
        ({"object": "error", "message": "no"}, "http_200"),
        ({"error": {"code": "X"}, "data": [1]}, "X"),
    ],
)
def test_an_error_in_a_200(body, code):
    """A 200 that reports an error is an upstream error."""
    failed = failure(reply(body))
    assert (code, 200) == (failed.code, failed.status)


@pytest.mark.parametrize("body", [{"error": None, "data": []}, {"status": "ok", "data": []}, {"error": ""}])
def test_no_error_in_a_200(body):
    """A member that says there is no error is no error."""
    assert body == judge(reply(body))


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7), (" 0 ", 0), ("-1", None), ("1.5", None), ("soon", None), ("9" * 30, None)],
)
def test_retry_after_header(status, value, seconds):
    """Whole seconds are taken, everything else is as if it were not there."""
    assert seconds == failure(reply({}, status, retry_after=value)).retry_after


def test_retry_after_in_the_past_is_zero():
    """An HTTP date that has gone by means now."""
    assert 0 == failure(reply({}, 503, retry_after="Fri, 31 Dec 1999 23:59:59 GMT")).retry_after


def test_retry_after_as_a_date():
    """An HTTP date becomes the seconds until then."""
    then = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    assert 86_000 < failure(reply({}, 429, retry_after=then)).retry_after <= 86_401


@pytest.mark.parametrize("status", [400, 401, 500, 502, 504])
def test_retry_after_of_another_status_is_left(status):
    """Only a 429's and a 503's Retry-After is passed on."""
    assert None is failure(reply({}, status, retry_after="7")).retry_after


def test_retry_after_of_the_body():
    """ScaiGrid says it in the error object too; the header wins."""
    body = {"error": {"code": "RATE_LIMITED", "message": "no", "retry_after": 5}}
    assert [5, 7] == [
        failure(reply(body, 429)).retry_after,
        failure(reply(body, 429, retry_after="7")).retry_after,
    ]


@pytest.mark.parametrize(
    ("status", "again"), [(502, True), (503, True), (504, True), (500, False), (429, False), (404, False)]
)
def test_repeatable(status, again):
    """Only the statuses of an upstream that did not get the work may be tried again."""
    assert again is failure(reply({}, status)).repeatable


def test_not_repeatable_when_told_to_wait():
    """A 503 that says when to come back is not tried again at once."""
    assert not failure(reply({}, 503, retry_after="3")).repeatable


@given(
    json_with("error", "errors", "code", "message", "detail", "status", "object", "retry_after", "msg"),
    st.sampled_from([200, 204, 302, 400, 401, 429, 500, 503]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255)),
)
def test_judge_raises_nothing_else(body, status, header):
    """Whatever JSON and Retry-After come, judge answers or raises CallFailed."""
    with contextlib.suppress(CallFailed):
        judge(reply(body, status, retry_after=header))


@given(st.binary(max_size=200), st.sampled_from([200, 500]))
def test_judge_raises_nothing_else_over_bytes(body, status):
    """Whatever bytes come, judge answers or raises CallFailed."""
    with contextlib.suppress(CallFailed):
        judge(reply(body, status))


@pytest.mark.parametrize("member", ["retry_after", "code", "message"])
@pytest.mark.parametrize("status", [200, 429])
def test_nesting_is_survived(member, status):
    """A member nested as deep as a body may be costs a CallFailed, never a RecursionError."""
    for depth in range(100, 1000):
        body = b'{"error":true,"%s":%s%s}' % (member.encode(), b"[" * depth, b"]" * depth)
        assert status == failure(reply(body, status)).status


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_number_of_any_length_is_survived(digits):
    """A code of thousands of digits costs a CallFailed, never a ValueError."""
    assert 500 == failure(reply(b'{"code":%s}' % (b"7" * digits), 500)).status


# Laundering


def shown(code: str, text: str, scrub=lambda text: text, status: int | None = 500) -> tuple[str, str]:
    """Code and text of a laundered failure."""
    failed = launder(CallFailed(code, text, status=status), scrub)
    return failed.code, failed.text


def test_text_is_clipped():
    """At most 300 characters of an upstream's text are shown."""
    assert 300 == len(shown("X", "a" * 1000)[1])


def test_code_is_clipped_and_cleaned():
    """A code is at most 64 of a small alphabet."""
    assert "a-b_c.1" + "x" * 57 == shown('a-b_c.1 <">\u00e9' + "x" * 100, "")[0]


def test_a_code_of_nothing_becomes_the_status():
    """A code that has no legal character is replaced by the status."""
    assert "http_500" == shown("<>", "")[0]


def test_scrubbed_before_clipped():
    """No cut leaves the first half of a secret."""
    text = shown("X", "a" * 298 + "sgk_secret", lambda text: text.replace("sgk_secret", "[redacted]"))[1]
    assert "a" * 298 + "[r" == text


def test_control_characters_become_blanks():
    """What a terminal or a log would act on is gone."""
    assert "a b c d" == shown("X", "a\x1bb\x00c\u2028d")[1]


@given(st.text(), st.text())
def test_laundered_is_always_showable(code, text):
    """Whatever came, code and text keep to their alphabets and lengths."""
    code, text = shown(code, text)
    assert (True, True, True) == (0 < len(code) <= 64, len(text) <= 300, text.isprintable() or not text)


@pytest.mark.parametrize("body", [b"[" + b"0," * 200_000 + b"0]", b"[" * 300_000])
def test_the_collector_is_back_after_a_long_body(body: bytes) -> None:
    """A long list is decoded without the collector; it is at work again, however that ended."""
    with contextlib.suppress(CallFailed):
        decode(reply(body))
    assert gc.isenabled()

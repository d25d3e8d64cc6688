"""The log: every known secret out of every line, and each line one event."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog
from fakes import TEXT
from hypothesis import given
from hypothesis import strategies as st

from scailookup.log import LEVELS, REDACTED, Scrubber, configure, lines_lost, scrubber

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1In0.c2lnbmF0dXJl"
# One process-wide secret of the tests, with every character that JSON escapes.
AWKWARD = 'marker"quoted\\and\u00e9ncoded'
PLAIN = "marker-secret-of-the-log-tests"
LOUD = ["tornado.curl_httpclient", "hvac", "urllib3", "requests", "asyncio", "tornado.simple_httpclient"]


@pytest.fixture
def stream():
    """Where the log goes; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in (*LOUD, "tornado.access")}
    scrubber.add(PLAIN, AWKWARD)
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def events(stream: io.StringIO) -> list[dict]:
    """The lines, each one JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


# The scrubber


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("a secret-1 b", f"a {REDACTED} b"),
        ("secret-1secret-1", REDACTED * 2),
        ("secret-", "secret-"),
        ("", ""),
    ],
)
def test_known_values(text, scrubbed):
    """A known value is replaced wherever it stands."""
    scrub = Scrubber()
    scrub.add("secret-1")
    assert scrubbed == scrub(text)


def test_longest_first():
    """A secret that holds another one goes as a whole."""
    scrub = Scrubber()
    scrub.add("secret", "secret-and-more", "and-more-still")
    assert f"{REDACTED} {REDACTED}-x" == scrub("secret-and-more secret-x")


def test_short_values_are_no_secrets():
    """What is too short would take half of the text along."""
    scrub = Scrubber()
    scrub.add("a", "", "12345")
    assert "a 12345" == scrub("a 12345", "a")


def test_secrets_of_the_moment():
    """Further values are scrubbed from this text only."""
    scrub = Scrubber()
    assert (REDACTED, "secret-1") == (scrub("secret-1", "secret-1"), scrub("secret-1"))


def test_sources_are_asked_each_time():
    """What a source learns later is scrubbed from then on."""
    scrub, held = Scrubber(), []
    scrub.add_source(lambda: held)
    before = scrub("secret-1")
    held.append("secret-1")
    assert ("secret-1", REDACTED) == (before, scrub("secret-1"))


@pytest.mark.parametrize(
    "secret",
    [
        JWT,
        "sgk_live_0123456789",
        "sgk_0123456789abcdef",
        "skt_0123456789",
        "hvs.CAESIabcdefghijk",
        "hvb.AAAAAQabcdefgh",
    ],
)
@pytest.mark.parametrize(
    "around", ["{}", "Bearer {}", '"{}"', "k={}&x", "({})", "Authorization: Bearer {}\n"]
)
def test_shapes(secret, around):
    """What looks like a token or a key is replaced though nobody knows it."""
    assert around.format(REDACTED) == Scrubber()(around.format(secret))


@pytest.mark.parametrize(
    "text", ["sgk_", "sgk_…1234", "the eyJ prefix", "hvs. is", "desgk_0123456789", "a.b.c", "req-1"]
)
def test_what_has_no_shape_stays(text):
    """A masked key and plain words are left alone."""
    assert text == Scrubber()(text)


@given(TEXT, st.lists(st.text(min_size=6), min_size=1, max_size=4))
def test_no_known_secret_remains(text, secrets):
    """Whatever the text and the secrets, none is in the result (but for what the mark itself holds)."""
    scrub = Scrubber()
    scrub.add(*secrets)
    found = scrub(text + secrets[0] + text).replace(REDACTED, "\x00")
    assert not [s for s in secrets if s in found and "\x00" not in s]


# The log


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", LOUD)
def test_loud_loggers_are_pinned(stream, level, name):
    """Loggers that print headers stay at WARNING at least, whatever the level."""
    configure(level, "json", stream)
    assert logging.getLogger(name).getEffectiveLevel() >= logging.WARNING


@pytest.mark.parametrize("name", LOUD)
def test_a_loud_debug_line_is_not_written(stream, name):
    """What curl would print at DEBUG is not even scrubbed: it is not there."""
    configure("debug", "json", stream)
    logging.getLogger(name).debug("Authorization: Bearer x")
    assert "" == stream.getvalue()


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("secret", [PLAIN, JWT])
def test_events_are_scrubbed(stream, style, secret):
    """A secret in a field, in a text or nested is gone."""
    configure("info", style, stream)
    structlog.get_logger().info("happened", field=secret, nested={"a": [secret]}, text=f"a {secret} b")
    assert (False, True) == (secret in stream.getvalue(), REDACTED in stream.getvalue())


@pytest.mark.parametrize("style", ["json", "console"])
def test_exceptions_are_scrubbed(stream, style):
    """A traceback that shows a secret is scrubbed like any text."""
    configure("info", style, stream)
    try:
        raise ValueError(f"bad key {PLAIN}")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert (False, True) == (PLAIN in stream.getvalue(), "ValueError" in stream.getvalue())


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_shows_no_variables(stream, style):
    """What a function held when it broke is nobody's to read, whatever formatters are installed."""

    def broken(held: str) -> None:
        raise ValueError("bad")

    configure("info", style, stream)
    try:
        broken("unknown" + "-to-the-scrubber")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("some.library").exception("failed")
    assert (False, True) == ("unknown-to" in stream.getvalue(), "ValueError" in stream.getvalue())


@pytest.mark.parametrize("style", ["json", "console"])
def test_foreign_records_are_scrubbed(stream, style):
    """Lines of libraries pass the same net, their tracebacks too."""
    configure("info", style, stream)
    try:
        raise ValueError(PLAIN)
    except ValueError:
        logging.getLogger("some.library").exception("failed with %s", PLAIN)
    assert (False, True) == (PLAIN in stream.getvalue(), "some.library" in stream.getvalue())


def test_a_secret_that_json_escapes_is_scrubbed(stream):
    """Quotes, backslashes and other letters do not hide a secret from the scrubber."""
    configure("info", "json", stream)
    structlog.get_logger().info("happened", field=AWKWARD)
    assert REDACTED == events(stream)[0]["field"]


@pytest.mark.parametrize(
    "value", ['a"b', "a\nb", "\\", "\x00", "\u2028", "\U0001f600", b"bytes", {1: object()}, float("nan")]
)
def test_a_line_is_always_json(stream, value):
    """Whatever a field holds, the event is one line of JSON."""
    configure("info", "json", stream)
    structlog.get_logger().info("happened", field=value)
    assert ["happened"] == [event["event"] for event in events(stream)]


def test_an_exception_is_one_line_of_json(stream):
    """A traceback stands inside its event."""
    configure("info", "json", stream)
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "ValueError: broken" in events(stream)[0]["exception"]


def test_an_event_tells_level_and_time(stream):
    """Ours and the libraries' lines have the same form."""
    configure("info", "json", stream)
    structlog.get_logger().warning("ours")
    logging.getLogger("lib").warning("theirs")
    assert [("ours", "warning", True), ("theirs", "warning", True)] == [
        (e["event"], e["level"], e["timestamp"].endswith("Z")) for e in events(stream)
    ]


def test_context_is_merged(stream):
    """What is bound for a request stands in its events."""
    configure("info", "json", stream)
    structlog.contextvars.bind_contextvars(request_id="req-1")
    structlog.get_logger().info("happened")
    assert "req-1" == events(stream)[0]["request_id"]


@pytest.mark.parametrize(("level", "lines"), zip(LEVELS, (4, 3, 2, 1), strict=True))
def test_levels(stream, level, lines):
    """What is below the level is not written."""
    configure(level, "json", stream)
    for name in LEVELS:
        getattr(structlog.get_logger(), name)("happened")
    assert lines == len(events(stream))


def test_access_lines_are_off(stream):
    """Tornado's own access lines would show urls as they came."""
    configure("debug", "json", stream)
    logging.getLogger("tornado.access").error("500 GET /secret")
    assert "" == stream.getvalue()


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("target", "is_json"), [(io.StringIO, True), (Terminal, False)])
def test_style_by_default(stream, target, is_json):
    """JSON off a terminal, for people on one."""
    out = target()
    configure("info", None, out)
    structlog.get_logger().info("happened")
    assert is_json is out.getvalue().startswith("{")


def test_a_proxy_with_a_password_is_a_secret():
    """An address that the settings count among the secrets is one, password and all."""
    scrub = Scrubber()
    scrub.add("http://user:planted-pw@proxy.example:3128")
    assert f"via {REDACTED}" == scrub("via http://user:planted-pw@proxy.example:3128")


def test_a_tenants_own_address_stays():
    """What lies in the store beside a key is shown when it is an address: logs need it."""
    scrub = Scrubber()
    scrub.add_source(lambda: ("https://grid.acme.example", "a-plain-secret"))
    assert f"https://grid.acme.example/v1 {REDACTED}" == scrub("https://grid.acme.example/v1 a-plain-secret")


class Full(io.StringIO):
    """A stream on a disk that may be full."""

    full = False

    def write(self, text: str) -> int:
        self.flush()
        return super().write(text)

    def flush(self) -> None:
        if self.full:
            raise OSError(28, "No space left on device")


def test_a_line_that_cannot_be_written_fails_nobody(stream):
    """Lines are dropped while there is no room; the next one that is written comes after their number."""
    out = Full()
    configure("info", "json", out)
    log = structlog.get_logger()
    log.info("before")
    out.full, before = True, lines_lost()
    log.info("lost")
    log.info("lost")
    assert lines_lost() == before + 2  # told while nothing can be written, too
    out.full = False
    log.info("after")
    log.info("later")
    found = [(event["event"], event.get("lines")) for event in events(out)]
    assert [("before", None), ("log_lines_lost", 2), ("after", None), ("later", None)] == found

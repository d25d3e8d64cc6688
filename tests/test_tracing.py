"""Whether requests are traced: by OpenTelemetry's names, and in vain where something is missing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from harness import environment
from structlog.testing import capture_logs

from scailookup.model import Trace
from scailookup.tracing import open_spans

ASKED = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"OTEL_SERVICE_NAME": "lookups"},
        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4318"},
        {**ASKED, "OTEL_SDK_DISABLED": "true"},
        {**ASKED, "OTEL_TRACES_EXPORTER": "none"},
    ],
    ids=str,
)
def test_off(names):
    """Without an endpoint, or told not to, nothing is traced and nothing is said."""
    with capture_logs() as events:
        assert (None, []) == (open_spans(names), events)


@pytest.mark.parametrize(
    "more",
    [
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
    ],
    ids=str,
)
def test_what_is_not_spoken(more):
    """Another protocol than OTLP by HTTP is said once, and the service goes on untraced."""
    with capture_logs() as events:
        assert None is open_spans({**ASKED, **more})
    (event,) = events
    assert ("tracing_off", next(iter(more))) == (event["event"], event["reason"].split()[0])


@pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry") is not None, reason="OpenTelemetry is installed"
)
def test_without_the_extra():
    """Where OpenTelemetry is not installed the event says what brings it."""
    with capture_logs() as events:
        assert None is open_spans(ASKED)
    assert ["OpenTelemetry is not installed: pip install 'scailookup[otel]'"] == [e["reason"] for e in events]


def test_off_costs_no_import():
    """A service without tracing has loaded nothing of OpenTelemetry."""
    code = (
        "import sys, scailookup.app, scailookup.processes, scailookup.web.wire;"
        "from scailookup.settings import load; from scailookup.tracing import open_spans;"
        "open_spans(load({'SCAIFLOW_AUTH_DISABLED': 'true'}, system_file=None).otel_names());"
        "print(sorted(name for name in sys.modules if name.startswith('opentelemetry')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment({}), capture_output=True, text=True, check=True
    )
    assert "[]" == done.stdout.strip()


def test_what_events_bear():
    """The ids of the span go into the log where there is one; a caller's traceparent alone is not ours."""
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    assert {"request_id": "r"} == Trace("r", parent).names
    traced = Trace("r", parent, span=object())
    assert {"request_id": "r", "trace_id": "a" * 32, "span_id": "b" * 16} == traced.names

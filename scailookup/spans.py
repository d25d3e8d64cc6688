"""Requests and upstream calls as OpenTelemetry's spans, sent as OTLP over HTTP. Needs ``scailookup[otel]``.

Names and attributes are those of OpenTelemetry's semantic conventions for HTTP; ours begin with
``scailookup.``. A span holds what the log may hold: no token, key, body, real path or query.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import time_ns
from typing import Any
from urllib.parse import urlsplit

import requests
import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from scailookup.model import Call, Errand, Trace
from scailookup.version import __version__

__all__ = ["ExportedSpans"]

_W3C = TraceContextTextMapPropagator()
_log = structlog.get_logger("scailookup.tracing")


class ExportedSpans:
    """The spans of this process, sent and sampled as the environment's ``OTEL_*`` say."""

    def __init__(self) -> None:
        # Its own words come with every batch, and some quote what a collector answered.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_Telling(_over_http())))
        self._tracer = self._provider.get_tracer("scailookup", __version__)

    def begin(self, trace: Trace, seconds_ago: float = 0.0) -> Trace:
        """A request has come; its trace from now on, which upstream calls belong to."""
        begun = time_ns() - int(seconds_ago * 1e9)
        return _within(trace, self._start(trace, SpanKind.SERVER, begun))

    def end(
        self,
        trace: Trace,
        *,
        route: str,
        method: str,
        status: int,
        error: str | None,
        tenant: str | None,
        outcome: str,
    ) -> None:
        """The request is answered."""
        span: Span = trace.span
        span.update_name(f"{method} {route}")
        span.set_attributes(
            _given(
                {
                    "http.request.method": method,
                    "http.route": route,
                    "http.response.status_code": status,
                    "url.scheme": "http",
                    "scailookup.request_id": trace.request_id,
                    "scailookup.tenant": tenant,
                    "scailookup.cache": outcome,
                    "error.type": error,
                }
            )
        )
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def call(self, errand: Errand) -> Errand:
        """A call begins; it is sent with the trace that the errand has now."""
        return replace(errand, trace=_within(errand.trace, self._start(errand.trace, SpanKind.CLIENT)))

    def called(self, errand: Errand, call: Call) -> None:
        """The call of ``errand`` has ended."""
        span: Span = errand.trace.span
        method = "GET" if errand.content is None else "POST"
        there = urlsplit(errand.template)
        span.update_name(f"{method} {call.upstream}/{call.lookup}")
        span.set_attributes(
            _given(
                {
                    "http.request.method": method,
                    "url.template": errand.template,
                    "server.address": there.hostname,
                    "server.port": there.port or (443 if there.scheme == "https" else 80),
                    "http.response.status_code": call.status,
                    "http.request.resend_count": call.attempt - 1 or None,
                    "scailookup.request_id": call.request_id,
                    "scailookup.tenant": call.tenant,
                    "scailookup.upstream": call.upstream,
                    "scailookup.lookup": call.lookup,
                    "scailookup.credential": call.credential,
                    "scailookup.rows": call.rows,
                    "error.type": call.code,
                }
            )
        )
        if call.code is not None:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def _start(self, trace: Trace, kind: SpanKind, begun: int | None = None) -> Span:
        """A span below whoever called; its name comes when it is known."""
        before = {"traceparent": trace.traceparent or "", "tracestate": trace.tracestate or ""}
        return self._tracer.start_span("HTTP", context=_W3C.extract(before), kind=kind, start_time=begun)

    def close(self, seconds: float) -> None:
        """Send what is left, within ``seconds``; blocks for as long."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(seconds)


class _Telling(SpanExporter):
    """The exporter, with one event when a collector is lost and one when it is back."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send ``spans``, in the processor's thread; those that cannot be sent are counted and gone."""
        try:
            result = self._inner.export(spans)
        except Exception:
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.FAILURE:
            if not self._lost:
                _log.warning("traces_lost", reason="the collector takes no spans; requests go on untraced")
            self._lost += len(spans)
        elif self._lost:
            _log.info("traces_sent_again", lost=self._lost)
            self._lost = 0
        return result

    def shutdown(self) -> None:
        """End the exporter."""
        self._inner.shutdown()


def _over_http() -> SpanExporter:
    """OTLP over HTTP; no call of ours obeys a proxy, or a .netrc, of the environment."""
    session = requests.Session()
    session.trust_env = False
    return OTLPSpanExporter(session=session)


def _resource() -> Resource:
    """Who sends: ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` go before our own name."""
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    own: dict[str, Any] = {"service.version": __version__, "process.pid": os.getpid()}
    return Resource.create(own if named else own | {"service.name": "scailookup"})


def _within(trace: Trace, span: Span) -> Trace:
    """The same request inside ``span``."""
    context = span.get_span_context()
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    return trace._replace(traceparent=parent, tracestate=context.trace_state.to_header() or None, span=span)


def _given(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}

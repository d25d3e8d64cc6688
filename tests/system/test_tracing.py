"""Traces of a served process, as a collector gets them: OTLP over HTTP, decoded by OpenTelemetry's own."""

from __future__ import annotations

import contextlib
import gzip
import importlib.metadata
import re
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
from harness import GUARD, Reply, Server, Upstream
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .load import until

MODELS = "/v1/models"
LOOKUP = "/v1/scaigrid/models"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
SERVER, CLIENT, ERROR = 2, 3, 2


class Collector:
    """A place where spans are sent."""

    def __init__(self) -> None:
        self.upstream = Upstream()
        self.upstream.on("/v1/traces", Reply(b""))
        self.names = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.upstream.base,
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20collector-key-0001",
            "OTEL_BSP_SCHEDULE_DELAY": "20",
        }

    def spans(self) -> list[Any]:
        """Every span that has come."""
        found = []
        for seen in self.upstream.calls("/v1/traces"):
            body = gzip.decompress(seen.body) if seen.header("content-encoding") == "gzip" else seen.body
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    found += scope.spans
        return found

    def of(self, kind: int, **wanted: Any) -> list[Any]:
        """The spans of a kind with these attributes, dots written as underscores."""
        return [
            span for span in self.spans() if span.kind == kind and wanted.items() <= attributes(span).items()
        ]

    def resources(self) -> list[dict[str, Any]]:
        """Who sent each batch."""
        batches = [ExportTraceServiceRequest.FromString(seen.body) for seen in self.upstream.calls()]
        return [
            _values(resource.resource.attributes) for batch in batches for resource in batch.resource_spans
        ]


def attributes(span: Any) -> dict[str, Any]:
    """What a span says of itself, dots written as underscores."""
    return _values(span.attributes)


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key.replace(".", "_"): getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


Make = Callable[..., Server]
Ask = Callable[..., int]


def short(server: Server, headers: dict[str, str] | None = None) -> int:
    """The status of a plain GET on a connection that stays, which is answered the short way."""
    with contextlib.closing(HTTPConnection("127.0.0.1", server.port, timeout=GUARD)) as connection:
        connection.request("GET", LOOKUP, headers=headers or {})
        return connection.getresponse().status


def ordinary(server: Server, headers: dict[str, str] | None = None) -> int:
    """The status of the same on a connection that is to end, which goes the ordinary road."""
    return server.get(LOOKUP, headers=headers or {}).status


ROADS = pytest.mark.parametrize("ask", [short, ordinary], ids=["short", "ordinary"])


@pytest.fixture
def grid() -> Iterator[Upstream]:
    upstream = Upstream()
    upstream.on(MODELS, {"data": [{"slug": "a/b"}]})
    yield upstream
    upstream.stop()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.upstream.stop()


@pytest.fixture
def serve(grid: Upstream, collector: Collector) -> Iterator[Make]:
    """Start servers that send to the collector."""
    started: list[Server] = []

    def make(otel: dict[str, str] = collector.names, **more: str) -> Server:
        names = {
            "SCAIFLOW_AUTH_DISABLED": "true",
            "SCAIGRID_BASE_URL": grid.base,
            "SCAIGRID_API_KEY": "sgk_" + "k" * 20,
            **otel,
            **more,
        }
        started.append(Server(names))
        return started[-1]

    yield make
    for server in started:
        server.stop()


@ROADS
def test_a_miss_and_a_hit(serve: Make, grid: Upstream, collector: Collector, ask: Ask) -> None:
    """The caller's trace goes on: the request's span below it, the call's below that, then the upstream's."""
    server = serve()
    for number in (1, 2):
        assert ask(server, {"traceparent": PARENT, "X-Request-ID": f"req-{number}"}) == 200
    until(lambda: len(collector.spans()) >= 3)
    (missed,) = collector.of(SERVER, scailookup_cache="miss")
    (hit,) = collector.of(SERVER, scailookup_cache="hit")
    (call,) = collector.of(CLIENT)
    assert {TRACE} == {span.trace_id.hex() for span in (missed, hit, call)}
    assert ["b7ad6b7169203331"] * 2 == [span.parent_span_id.hex() for span in (missed, hit)]
    assert (missed.span_id, f"00-{TRACE}-{call.span_id.hex()}-01") == (
        *(call.parent_span_id, grid.calls(MODELS)[0].header("traceparent")),
    )
    assert ("GET scaigrid/models", 200, "dev", "req-1") == (
        missed.name,
        *(attributes(missed)[n] for n in ("http_response_status_code", "scailookup_tenant")),
        attributes(missed)["scailookup_request_id"],
    )
    assert ("scaigrid", "models", "env", 1, "127.0.0.1", grid.port) == tuple(
        attributes(call)[name]
        for name in (
            *("scailookup_upstream", "scailookup_lookup", "scailookup_credential", "scailookup_rows"),
            *("server_address", "server_port"),
        )
    )
    assert missed.start_time_unix_nano <= call.start_time_unix_nano <= call.end_time_unix_nano
    assert call.end_time_unix_nano <= missed.end_time_unix_nano


def test_the_log_bears_the_ids(serve: Make, collector: Collector) -> None:
    """An event and its span can be found from each other."""
    server = serve()
    server.get(LOOKUP, headers={"traceparent": PARENT})
    event = server.event("upstream_call")
    until(lambda: len(collector.spans()) >= 2)
    (span,) = collector.of(SERVER)
    assert (TRACE, span.span_id.hex()) == (event["trace_id"], event["span_id"])


@ROADS
def test_a_failing_upstream(serve: Make, grid: Upstream, collector: Collector, ask: Ask) -> None:
    """A failure is one span of the request and one of the call, both in error, on either road."""
    server = serve()
    grid.on(MODELS, Reply({"error": {"code": "BROKEN", "message": "it broke"}}, 500))
    assert ask(server) == 502
    until(lambda: len(collector.spans()) >= 2)
    (request,), (call,) = collector.of(SERVER), collector.of(CLIENT)
    assert (ERROR, ERROR, request.span_id) == (request.status.code, call.status.code, call.parent_span_id)
    assert ("scaigrid_api", "BROKEN") == (attributes(request)["error_type"], attributes(call)["error_type"])


def test_nothing_secret_is_sent(serve: Make, collector: Collector) -> None:
    """Neither key nor query, real path or collector's key is in what is sent; that key is only a header."""
    server = serve()
    server.get("/v1/scaiqueue/scopes/scp_hidden/queues?q=hiddenword")
    until(lambda: len(collector.spans()) >= 2)
    sent = b"".join(seen.body for seen in collector.upstream.calls())
    found = [word for word in (b"sgk_", b"scp_hidden", b"hiddenword", b"collector-key") if word in sent]
    assert ([], "Bearer collector-key-0001") == (
        found,
        collector.upstream.calls()[0].header("authorization"),
    )


def test_what_is_not_traced(serve: Make, collector: Collector) -> None:
    """Probes and the page's files leave no span."""
    server = serve()
    for path in ("/healthz", "/readyz", "/console", LOOKUP):
        server.get(path)
    server.get("/metrics", admin=True)
    until(lambda: len(collector.spans()) >= 2)
    assert ["GET scaigrid/models"] == [span.name for span in collector.of(SERVER)]


def test_a_caller_who_is_not_sampled(serve: Make, grid: Upstream, collector: Collector) -> None:
    """Who says that a trace is not kept is obeyed, and the upstream hears it too."""
    server = serve()
    server.get(LOOKUP, headers={"traceparent": PARENT[:-2] + "00"})
    server.get("/v1/scaiqueue/scopes")
    until(lambda: len(collector.spans()) >= 2)
    assert ["GET scaiqueue/scopes"] == [span.name for span in collector.of(SERVER)]
    sent = grid.calls(MODELS)[0].header("traceparent") or ""
    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-00", sent)


def test_two_workers_and_what_is_left(serve: Make, collector: Collector) -> None:
    """Every worker sends for itself, and what it has not sent yet when it is told to end."""
    server = serve(SCAILOOKUP_WORKERS="2", OTEL_BSP_SCHEDULE_DELAY="600000", OTEL_SERVICE_NAME="lookups")
    for _ in range(20):
        server.get(LOOKUP)
    assert (server.stop(), 20) == (0, len(collector.of(SERVER)))
    assert {"lookups"} == {resource["service_name"] for resource in collector.resources()}


def test_a_settings_file_may_ask_for_it(serve: Make, collector: Collector, tmp_path: Any) -> None:
    """The names may stand where all the others do, and the service is called scailookup by itself."""
    file = tmp_path / "scailookup.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in collector.names.items()))
    server = serve({}, SCAIFLOW_ENV_FILE=str(file))
    server.get(LOOKUP)
    assert server.stop() == 0
    assert [("scailookup", importlib.metadata.version("scailookup"))] == [
        (resource["service_name"], resource["service_version"]) for resource in collector.resources()[:1]
    ]


@pytest.mark.parametrize("trouble", ["gone", "refusing", "hanging"])
def test_a_collector_in_trouble(serve: Make, collector: Collector, trouble: str) -> None:
    """Requests go on, one event says so, and the end of the process does not wait for it."""
    replies = {"refusing": Reply({}, 400), "hanging": Reply(b"", delay=600.0)}
    if trouble == "gone":
        collector.upstream.stop()
    else:
        collector.upstream.on("/v1/traces", replies[trouble])
    server = serve(OTEL_EXPORTER_OTLP_TIMEOUT="1")
    for _ in range(3):
        assert server.get(LOOKUP).status == 200
        server.event("traces_lost")
    assert (server.stop(), 1) == (0, sum(event["event"] == "traces_lost" for event in server.events))
    assert "collector-key" not in "\n".join(server.lines)


def test_a_collector_comes_back(serve: Make, collector: Collector) -> None:
    """Once it takes spans again an event says how many were lost."""
    collector.upstream.on("/v1/traces", Reply({}, 400), Reply(b""))
    server = serve()
    server.get(LOOKUP)
    server.event("traces_lost")
    server.get(LOOKUP)
    assert server.event("traces_sent_again")["lost"] > 0


def test_no_grpc() -> None:
    """Nothing that the extra brings is gRPC."""
    names = {dist.metadata["Name"].lower() for dist in importlib.metadata.distributions()}
    assert {"opentelemetry-sdk"} == {name for name in names if name in ("grpcio", "opentelemetry-sdk")}

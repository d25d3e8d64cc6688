"""Whether requests are traced, by the field's own ``OTEL_*`` names. Off, nothing of it is imported.

One process has one exporter, begun after any fork, whichever settings come later.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Mapping

import structlog

from scailookup.seams import Spans

__all__ = ["close_spans", "open_spans"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN = "http/protobuf"
# Seconds that the end of a process waits for the last spans to leave.
_PARTING = 2.0
_log = structlog.get_logger("scailookup.tracing")
_opened: list[Spans] = []


def open_spans(names: Mapping[str, str]) -> Spans | None:
    """The tracing of this process when ``names`` (the ``OTEL_*`` settings) ask for it; else None.

    What asks for it in vain is told once and traces nothing: an environment that others share
    must not keep the service from its work.
    """
    if _opened or not _wanted(names):
        return _opened[0] if _opened else None
    hindrance = _hindrance(names)
    if hindrance is not None:
        _log.warning("tracing_off", reason=hindrance)
        return None
    os.environ.update(names)  # the SDK reads nothing else, and a settings file is no environment
    from scailookup.spans import ExportedSpans

    _opened.append(ExportedSpans())
    _log.info("tracing_on")
    return _opened[0]


async def close_spans() -> None:
    """Send what is left and end the exporter; one that hangs holds up nobody for long."""
    while _opened:
        await asyncio.to_thread(_opened.pop().close, _PARTING)


def _wanted(names: Mapping[str, str]) -> bool:
    return (
        any(names.get(name) for name in _ENDPOINTS)
        and names.get("OTEL_SDK_DISABLED", "").lower() != "true"
        and names.get("OTEL_TRACES_EXPORTER", "otlp") == "otlp"
    )


def _hindrance(names: Mapping[str, str]) -> str | None:
    """Why there can be no tracing, though it is asked for."""
    for name in _PROTOCOLS:
        if names.get(name):
            if names[name] != _SPOKEN:
                return f"{name} is {names[name]!r}: spans are sent by {_SPOKEN} alone"
            break
    if importlib.util.find_spec("opentelemetry") is None or not _has_exporter():
        return "OpenTelemetry is not installed: pip install 'scailookup[otel]'"
    return None


def _has_exporter() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False

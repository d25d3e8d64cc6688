"""An exchange of services behind listeners: what cannot be prepared leaves the old one in its place."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fakes import settings
from structlog.testing import capture_logs
from tornado.netutil import bind_sockets

from scailookup.app import Service
from scailookup.errors import IdentityUnavailable, SettingsError
from scailookup.log import scrubber
from scailookup.metrics import Metrics
from scailookup.processes.alone import reread
from scailookup.processes.channel import Done, Order
from scailookup.processes.serving import _CALM, _PAUSE, Serving
from scailookup.processes.worker import _Worker
from scailookup.settings import Settings

pytestmark = pytest.mark.gen_test
OFF = {"SCAIFLOW_AUTH_DISABLED": "true"}


class Maker:
    """Makes services; once told to, fails instead."""

    def __init__(self) -> None:
        self.fault: Exception | None = None

    def __call__(self, given: Settings, metrics: Metrics) -> Service:
        if self.fault is not None:
            raise self.fault
        return Service(given, metrics)


@pytest.fixture
def maker() -> Maker:
    """One that works."""
    return Maker()


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (SettingsError("no"), SettingsError),
        (IdentityUnavailable("no keys"), IdentityUnavailable),
        (RuntimeError("a fault of ours"), SettingsError),
    ],
)
async def test_what_cannot_be_prepared_is_refused(maker: Maker, fault: Exception, raised: Any) -> None:
    """Whatever was wrong, it is a refusal, and nothing is prepared."""
    serving = Serving(settings(**OFF), maker)
    first, maker.fault = serving.service, fault
    with capture_logs() as logs, pytest.raises(raised) as caught:
        await serving.prepare(settings(**OFF))
    assert (first, None) == (serving.service, serving._next)
    ours = isinstance(fault, RuntimeError)
    assert ours == ("RuntimeError: a fault of ours" in str(caught.value))
    assert ["prepare_failed"] * ours == [event["event"] for event in logs]
    await first.close()


async def test_the_end_waits_for_the_service_before() -> None:
    """A request that began before new settings is answered, though the end comes right after them."""
    serving = Serving(settings(**OFF))
    await serving.start(bind_sockets(0, "127.0.0.1"), bind_sockets(0, "127.0.0.1"))
    before = serving.service
    before.web.busy += 1
    await serving.prepare(settings(**OFF))
    serving.commit()
    end = asyncio.ensure_future(serving.drain())
    for _ in range(3 * _CALM):
        await asyncio.sleep(_PAUSE)
    assert not end.done()
    before.web.busy -= 1
    await end


async def test_settings_that_are_refused_leave_nothing_behind() -> None:
    """Nor does what was begun of their service: the scrubber asks nobody for secrets who has none to tell."""
    serving = Serving(settings(**OFF))
    before = list(scrubber._sources)
    refused = settings(**OFF, SCAILOOKUP_WEATHER_URL="http://a")
    for _ in range(3):
        with pytest.raises(SettingsError, match="WEATHER"):
            await serving.prepare(refused)
    assert before == scrubber._sources
    await serving.service.close()


async def test_a_worker_outlives_a_fault_while_it_prepares(maker: Maker) -> None:
    """Its supervisor is told why, and the next order is obeyed."""
    worker: Any = _Worker(1, None, [])  # type: ignore[arg-type]
    worker.serving = Serving(settings(**OFF), maker)
    first, maker.fault = worker.serving.service, RuntimeError("a fault of ours")
    with capture_logs():
        refused = await worker._carry_out(Order(7, "prepare", settings(**OFF)))
    assert (7, True) == (refused.number, "a fault of ours" in refused.refusal)
    assert Done(8) == await worker._carry_out(Order(8, "abandon"))
    assert first is worker.serving.service
    await first.close()


async def test_figures_do_not_wait_for_readiness() -> None:
    """While ScaiKey lets everybody wait a worker says what it has counted, and that it is not ready."""

    class Hangs(Service):
        async def ready(self) -> None:
            await asyncio.Event().wait()

    worker: Any = _Worker(1, None, [])  # type: ignore[arg-type]
    worker.serving = Serving(settings(**OFF), Hangs)
    state = await worker._carry_out(Order(7, "state"))
    assert (7, True) == (state.number, "ScaiKey" in state.unready)
    assert "scailookup_requests" in state.figures
    await worker.serving.service.close()


async def test_one_process_outlives_it_too(maker: Maker) -> None:
    """The settings in force stay those from before."""
    old, new = settings(**OFF), settings(**OFF, SCAILOOKUP_DEADLINE="3")
    serving = Serving(old, maker)
    maker.fault = RuntimeError("a fault of ours")

    class NoSockets:
        def check(self, given: Settings) -> None:
            """They fit."""

    sockets: Any = NoSockets()
    with capture_logs() as logs:
        assert old is await reread(old, lambda: new, sockets, serving.prepare)
    assert "a fault of ours" in next(e["reason"] for e in logs if e["event"] == "reload_refused")
    await serving.service.close()

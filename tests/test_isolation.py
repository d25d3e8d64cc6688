"""A plugin's code under a clock, observers in their thread, and the rules of a whole plugin."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from types import ModuleType

import pytest
from fakes import FakeSecrets, NoWayOut, settings
from structlog.testing import capture_logs
from test_discovery import CALL, Dist, Point, found, module, names, reasons, serving, upstream

from scailookup import API_VERSION, Filter, Lookup, Route, Upstream, auth
from scailookup.errors import PluginError
from scailookup.hookspecs import Services
from scailookup.isolation import Observers, under_clock
from scailookup.lookup.rows import Reader
from scailookup.plugins import discover
from scailookup.web import Handler

GUARD = 60.0
PLANTED = "planted-value-of-a-secret"


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """What a plugin waits for and does not get; let go at the end, so that no thread stays."""
    event = threading.Event()
    yield event
    event.set()


def never(stuck: threading.Event) -> None:
    stuck.wait()


def reason(broken: Point) -> str:
    """Why this plugin fails, while a good one beside it serves."""
    plugins = found(Point("good", serving("good")), broken)
    assert ["good"] == names(plugins)
    return str(reasons(plugins)[broken.name])


# The clock


def test_work_that_never_ends_is_left(stuck):
    """What does not come back is an error that names it."""
    with pytest.raises(PluginError, match="the import took longer than"):
        under_clock(lambda: never(stuck), "the import", 0.05)


def test_what_is_raised_comes_back():
    """The clock changes nothing about an exception."""
    with pytest.raises(SystemExit):
        under_clock(lambda: exec("raise SystemExit(3)"), "a hook")


def test_what_is_returned_comes_back():
    """The clock changes nothing about a result."""
    assert 3 == under_clock(lambda: 3, "a hook")


def test_an_import_that_never_ends(stuck):
    """A plugin that sleeps at import fails; the others serve."""
    slow = Point("slow", None)
    slow.load = lambda: never(stuck)
    plugins = discover(settings(), [slow, Point("good", serving("good"))], patience=0.05)
    assert (["good"], True) == (names(plugins), "the import took longer" in str(reasons(plugins)["slow"]))


@pytest.mark.parametrize("hook", ["scailookup_upstreams", "scailookup_handlers"])
def test_a_hook_that_never_ends(stuck, hook):
    """A plugin that sleeps in a hook fails by the hook's name; the others serve."""
    slow = Point("slow", module(**{hook: lambda: never(stuck)}))
    plugins = discover(settings(), [slow, Point("good", serving("good"))], patience=0.05)
    plugins.add_handlers(Services(settings(), FakeSecrets(), NoWayOut()))
    assert (["good"], True) == (names(plugins), f"{hook} took longer" in str(reasons(plugins)["slow"]))


# Rules


@pytest.mark.parametrize("version", [API_VERSION, "1.0"])
def test_an_api_version_that_we_have(version):
    """A plugin that was written against our API, or an older one, serves."""
    good = serving("good")
    good.scailookup_api_version = version
    assert ["good"] == names(found(Point("good", good)))


@pytest.mark.parametrize("version", ["1.9999", "2.0", "0.9"])
def test_an_api_version_that_we_do_not_have(version):
    """A plugin that asks for another API is told both versions."""
    bad = serving("bad")
    bad.scailookup_api_version = version
    said = f"asks for plugin API {version}; this scailookup has {API_VERSION}"
    assert said in reason(Point("bad", bad))


@pytest.mark.parametrize("version", [1, (1, 0), "one", "1", None])
def test_an_api_version_that_is_none(version):
    """Something else than two numbers is refused."""
    bad = serving("bad")
    bad.scailookup_api_version = version
    assert "must be a text" in reason(Point("bad", bad))


def test_a_hook_without_its_mark():
    """A hook that nobody would call is an error, not silence."""
    bad = ModuleType("plugin")
    bad.scailookup_upstreams = lambda settings: [upstream("bad")]
    assert "scailookup_upstreams is not marked with @hookimpl" in reason(Point("bad", bad))


def test_a_coroutine_observer():
    """An observer that nobody would await is refused."""

    async def told(call):
        pass

    assert "answered a coroutine" in reason(Point("bad", module(scailookup_called=told)))


def test_one_module_under_two_names():
    """A second entry point for the same module fails; the first one serves."""
    shared = serving("mine")
    plugins = found(Point("a", shared), Point("b", shared))
    assert (["mine"], ["b"]) == (names(plugins), list(reasons(plugins)))


LOOKUPS = {
    "one route twice": ((Lookup("a/{b}", "/a/{b}"), Lookup("a/{c}", "/a/{c}")), "declared twice"),
    "one place, two names": (
        (Lookup("a/{b}", "/a/{b}"), Lookup("a/{c}/d", "/a/{c}/d")),
        "{c} is called {b} in another lookup",
    ),
    "no text": ((Lookup("a", "/a", filters=(Filter("b", object()),)),), "is no text"),
}


@pytest.mark.parametrize("way", LOOKUPS)
def test_lookups_that_cannot_be_served(way):
    """What would break the routes or the catalogue for everybody is the plugin's failure alone."""
    lookups, said = LOOKUPS[way]
    bad = module(
        scailookup_upstreams=lambda settings: [Upstream("bad", "https://x", auth.Anonymous(), lookups)]
    )
    assert said in reason(Point("bad", bad))


ROUTES = {
    "no handler": ([Route("/bad/x", object)], "no subclass of scailookup.web.Handler"),
    "one path twice": ([Route("/bad/x", Handler), Route("/bad/x", Handler)], "taken by plugin the same"),
    "the catalogue's": ([Route("/lookups", Handler)], "taken by plugin scailookup itself"),
    "the explanations'": ([Route("/explain", Handler)], "taken by plugin scailookup itself"),
}


@pytest.mark.parametrize("way", ROUTES)
def test_routes_that_cannot_be_served(way):
    """A handler that would not deny by default, or a path that is taken, fails its plugin."""
    routes, said = ROUTES[way]
    plugins = found(Point("bad", module(scailookup_handlers=lambda services: routes)))
    plugins.add_handlers(Services(settings(), FakeSecrets(), NoWayOut()), Handler)
    assert said in str(reasons(plugins)["bad"])


def test_what_failed_late_is_out_as_a_whole():
    """A plugin whose handlers fail serves no lookup, observes nothing, and its upstreams are known."""
    told = []
    late = serving(
        "late", scailookup_handlers=lambda services: 1 / 0, scailookup_called=lambda call: told.append(call)
    )
    plugins = found(Point("entry", late))
    plugins.add_handlers(Services(settings(), FakeSecrets(), NoWayOut()))
    plugins.called(CALL)
    assert ([], [], ("late",)) == (names(plugins), told, plugins.failed[0].claimed)


# Reasons


def test_a_secret_in_a_reason():
    """What a plugin says of its failure holds no secret of ours, not even half of one."""

    def bad(settings):
        raise RuntimeError("x" * 270 + settings.grid_key.get_secret_value())

    plugins = found(Point("bad", module(scailookup_upstreams=bad)), SCAIGRID_API_KEY=PLANTED)
    said = str(reasons(plugins)["bad"])
    assert (True, False) == (said.startswith("RuntimeError: xxx"), "planted" in said)


def test_a_text_that_raises():
    """An exception whose own text raises is named by its kind."""

    class Odd(Exception):
        def __str__(self):
            raise ValueError

    assert "Odd: " in reason(Point("bad", Odd()))


def test_a_panic():
    """What is neither Exception nor SystemExit, as a library in Rust raises it, is a failure too."""

    class Panic(BaseException):
        pass

    assert "Panic: lost" in reason(Point("bad", Panic("lost")))


def test_damaged_metadata():
    """A distribution without a name and version is unknown, and stops nothing."""
    plugins = found(Point("bad", ImportError("x"), Dist(None, None)))
    assert ("unknown", "0") == (plugins.failed[0].distribution, plugins.failed[0].version)


# Tracing


def test_trace():
    """Each import and hook is logged with its outcome, and nothing that was given or answered."""
    with capture_logs() as events:
        found(Point("good", serving("good")), Point("bad", ImportError("x")), SCAILOOKUP_TRACE_PLUGINS="1")
    traced = [(e["plugin"], e["hook"], e["outcome"]) for e in events if e["event"] == "plugin_hook"]
    assert [
        ("bad", "import", "ImportError"),
        ("good", "import", "ok"),
        ("good", "scailookup_upstreams", "ok"),
    ] == traced


def test_no_trace_by_default():
    """Without the setting no hook is logged."""
    with capture_logs() as events:
        found(Point("good", serving("good")))
    assert [] == events


# Observers


def test_a_blocked_observer_blocks_nobody(stuck):
    """Who hands a call over does not wait for who observes it; what is too much is left out and said once."""
    began = threading.Event()

    def tell(call):
        began.set()
        never(stuck)

    observers = Observers(tell, most=2)
    observers(CALL)
    assert began.wait(GUARD)
    with capture_logs() as events:
        for _ in range(5):
            observers(CALL)
    assert ["plugin_observers_behind"] == [event["event"] for event in events]


def test_observers_are_told_to_the_end():
    """At the end what was still waiting is told."""
    told = []
    observers = Observers(told.append)
    for _ in range(3):
        observers(CALL)
    observers.close(GUARD)
    assert [CALL] * 3 == told


def test_observers_that_were_never_told():
    """Closing what never began does nothing."""
    Observers(print).close()


# Rows


def exits(raw):
    raise SystemExit(1)


def test_a_row_that_exits():
    """A normalizer that calls sys.exit costs its row."""
    reader = Reader(Lookup("a", "/a", row=lambda raw: exits(raw) if raw["id"] == "2" else raw), "t", 10)
    asyncio.run(reader.take([{"id": "1"}, {"id": "2"}]))
    assert (b'[{"id":"1"}]', 1) == (reader.encoded(), reader.dropped)


def test_a_row_that_is_no_json():
    """A row that cannot be written is dropped and counted; the rest stands."""
    lookup = Lookup("a", "/a", row=lambda raw: raw | ({"x": object()} if raw["id"] == "2" else {}))
    reader = Reader(lookup, "t", 10)
    asyncio.run(reader.take([{"id": "1"}, {"id": "2"}]))
    assert (b'[{"id":"1"}]', 1) == (reader.encoded(), reader.dropped)

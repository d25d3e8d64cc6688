"""Discovery: every way in which one plugin fails, and that the rest serves."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

import pytest
from fakes import FakeSecrets, NoWayOut, settings
from structlog.testing import capture_logs

from scailookup import Lookup, Route, Upstream, auth, hookimpl
from scailookup.errors import SettingsError
from scailookup.hookspecs import Services
from scailookup.model import Call
from scailookup.plugins import Plugins, discover

CALL = Call("up", "l", "t", "none", "https://x/", 200, None, 1, 2, 1, 0, 0.1, "req-1")


@dataclass
class Dist:
    """A distribution as an entry point shows it."""

    name: str = "stranger"
    version: str = "1.2"


@dataclass
class Point:
    """A fake entry point: ``load`` gives the module, or raises what stands in its place."""

    name: str
    module: Any
    dist: Dist | None = field(default_factory=Dist)
    value: str = "stranger_module"
    loads: int = 0

    def load(self) -> Any:
        self.loads += 1
        if isinstance(self.module, BaseException):
            raise self.module
        return self.module


def module(**hooks: Any) -> ModuleType:
    """A module whose functions are hook implementations."""
    made = ModuleType("plugin")
    for name, function in hooks.items():
        setattr(made, name, hookimpl(function))
    return made


def upstream(name: str) -> Upstream:
    """A small upstream."""
    return Upstream(name, "https://up.example", auth.Anonymous(), (Lookup("things", "/things"),))


def serving(name: str, **hooks: Any) -> ModuleType:
    """A plugin that declares one upstream."""
    return module(scailookup_upstreams=lambda settings: [upstream(name)], **hooks)


def found(*points: Point, **names: str) -> Plugins:
    """What discovery makes of the points."""
    return discover(settings(**names), points)


def names(plugins: Plugins) -> list[str]:
    """The upstreams that serve."""
    return [up.name for _, up in plugins.upstreams]


def reasons(plugins: Plugins) -> dict[str, str | None]:
    """Why each failed plugin failed."""
    return {plugin.name: plugin.reason for plugin in plugins.failed}


def generator(settings):
    yield upstream("bad")


async def coroutine(settings):
    return [upstream("bad")]


def broken(settings):
    raise RuntimeError("no\n  config")


FAILING = {
    "raises at import": (ImportError("no module"), "ImportError: no module"),
    "exits at import": (SystemExit(3), "SystemExit: 3"),
    "is no syntax": (SyntaxError("bad"), "SyntaxError: bad"),
    "raises in the hook": (module(scailookup_upstreams=broken), "RuntimeError: no config"),
    "exits in the hook": (
        module(scailookup_upstreams=lambda settings: exec("raise SystemExit(1)")),
        "SystemExit: 1",
    ),
    "is a generator": (module(scailookup_upstreams=generator), "answered a generator, not a list"),
    "is a coroutine": (module(scailookup_upstreams=coroutine), "answered a coroutine, not a list"),
    "answers one upstream": (
        module(scailookup_upstreams=lambda settings: upstream("bad")),
        "answered a Upstream, not a list",
    ),
    "answers a dict": (module(scailookup_upstreams=lambda settings: {"a": 1}), "answered a dict"),
    "answers texts": (module(scailookup_upstreams=lambda settings: ["a"]), "answered a str in its list"),
    "answers null in its list": (module(scailookup_upstreams=lambda settings: [None]), "NoneType"),
    "declares nonsense": (
        module(scailookup_upstreams=lambda settings: [Upstream("bad", "ftp://x", auth.Anonymous())]),
        "ValueError: a base URL starts with https://",
    ),
    "says no auth": (
        module(scailookup_upstreams=lambda settings: [Upstream("bad", "https://x", None)]),
        "TypeError: upstream bad: auth",
    ),
    "mistypes a hook": (
        module(scailookup_upstream=lambda settings: []),
        "unknown hook 'scailookup_upstream'",
    ),
    "mistypes an argument": (module(scailookup_upstreams=lambda setings: []), "setings"),
    "declares one upstream twice": (
        module(scailookup_upstreams=lambda settings: [upstream("bad"), upstream("bad")]),
        "the upstream bad is taken",
    ),
}


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("way", FAILING)
def test_a_failing_plugin_is_named_with_its_reason(way):
    """Whatever a plugin does wrong, its record says why on one line."""
    plugin, reason = FAILING[way]
    failed = reasons(found(Point("bad", plugin)))
    assert ({"bad"}, True, False) == (set(failed), reason in failed["bad"], "\n" in failed["bad"])


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("way", FAILING)
@pytest.mark.parametrize(("before", "after"), [("aaa", "zzz")])
def test_the_rest_serves(way, before, after):
    """Plugins before and after a failing one are unharmed."""
    bad = Point("bad", FAILING[way][0])
    plugins = found(Point(before, serving(before)), bad, Point(after, serving(after)))
    assert ([before, after], ["bad"]) == (names(plugins), list(reasons(plugins)))


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("way", FAILING)
def test_strict(way):
    """A failing plugin stops a strict start with a line that names distribution and entry point."""
    with pytest.raises(SettingsError, match=r"plugin bad of stranger 1\.2 \(stranger_module\) failed: "):
        found(Point("bad", FAILING[way][0]), SCAILOOKUP_STRICT_PLUGINS="true")


def test_a_failure_is_logged_with_its_origin():
    """The event names plugin, distribution, version and entry point."""
    with capture_logs() as events:
        found(Point("bad", ImportError("x")))
    (event,) = events
    assert ("plugin_failed", "bad", "stranger", "1.2", "stranger_module") == tuple(
        event[name] for name in ("event", "plugin", "distribution", "version", "entry_point")
    )


def test_keyboard_interrupt_is_not_swallowed():
    """Somebody who stops the start is obeyed."""
    with pytest.raises(KeyboardInterrupt):
        found(Point("bad", KeyboardInterrupt()))


def test_a_plugin_may_do_nothing():
    """A module without hooks is no failure."""
    assert {} == reasons(found(Point("idle", module())))


def test_an_unknown_distribution():
    """An entry point of no distribution is loaded all the same."""
    plugins = found(Point("p", serving("p"), dist=None))
    assert [("p", "unknown")] == [(plugin.name, plugin.distribution) for plugin in plugins.all]


def test_ours_first():
    """Built-in plugins are loaded before strangers, whatever their names; then it goes by name."""
    points = [Point("b", module()), Point("a", module()), Point("z", module(), Dist("scailookup"))]
    assert ["z", "a", "b"] == [plugin.name for plugin in found(*points).all]


def test_a_disabled_plugin_is_not_even_loaded():
    """A plugin left out by name is not imported, and is no failure."""
    point = Point("off", ImportError("x"))
    plugins = found(point, SCAILOOKUP_DISABLED_PLUGINS="off")
    assert ([(True, None)], 0) == ([(p.disabled, p.reason) for p in plugins.all], point.loads)


def test_a_disabled_plugins_name_is_free():
    """Another distribution may take the place of one that was left out by its upstream's name."""
    ours = Point("models", serving("models"), Dist("scailookup"))
    plugins = found(ours, Point("mine", serving("models")), SCAILOOKUP_DISABLED_PLUGINS="models")
    assert ["models"] == names(plugins)


# Names that are taken


def duplicate(**hooks: Any) -> Plugins:
    """Two entry points of one name: ours with these hooks, and a stranger's."""
    ours = Point("models", serving("models", **hooks), Dist("scailookup"))
    return found(ours, Point("models", serving("other")))


def test_a_taken_entry_point_name():
    """The second of two entry points of one name fails and says who has it."""
    plugins = duplicate()
    assert (["models"], True) == (names(plugins), "taken by scailookup" in str(reasons(plugins)))


def test_who_had_the_name_keeps_its_handlers():
    """A stranger that takes a built-in's name does not cost it its routes."""
    plugins = duplicate(scailookup_handlers=lambda services: [Route("/mine", object)])
    plugins.add_handlers(Services(settings(), FakeSecrets(), NoWayOut()))
    assert ["/mine"] == [route.path for plugin in plugins.all for route in plugin.routes]


def test_who_had_the_name_keeps_observing():
    """A stranger that takes a name does not cost its owner the observed calls."""
    told: list[Call] = []
    duplicate(scailookup_called=lambda call: told.append(call)).called(CALL)
    assert [CALL] == told


def test_a_taken_upstream_name():
    """An upstream that another plugin has fails its plugin, and names the other."""
    plugins = found(Point("a", serving("models")), Point("b", serving("models")))
    assert (["models"], True) == (names(plugins), "taken by plugin a" in str(reasons(plugins)["b"]))


def test_a_failed_plugin_observes_nothing():
    """A plugin that is out is out as a whole."""
    told: list[Call] = []
    bad = module(scailookup_upstreams=broken, scailookup_called=lambda call: told.append(call))
    found(Point("bad", bad)).called(CALL)
    assert [] == told


# Handlers and observers


def with_handlers(*points: Point) -> Plugins:
    """The plugins once their handlers were asked for."""
    plugins = found(*points)
    plugins.add_handlers(Services(settings(), FakeSecrets(), NoWayOut()))
    return plugins


def exiting(*_: Any) -> None:
    raise SystemExit(1)


@pytest.mark.parametrize(
    "hook",
    [
        lambda services: [5],
        lambda services: Route("/x", object),
        lambda services: 1 / 0,
        lambda services: exiting(),
    ],
)
def test_failing_handlers(hook):
    """A plugin whose handlers fail is out as a whole; the rest serves."""
    bad = Point("bad", serving("bad", scailookup_handlers=hook))
    plugins = with_handlers(bad, Point("good", serving("good")))
    assert (["good"], ["bad"]) == (names(plugins), list(reasons(plugins)))


def test_a_taken_route():
    """Of two plugins with one route the second fails and names the first."""
    hooks = {"scailookup_handlers": lambda services: [Route("/x", object)]}
    plugins = with_handlers(Point("a", module(**hooks)), Point("b", module(**hooks)))
    assert "the route /x is taken by plugin a" in reasons(plugins)["b"]


def test_handlers_get_the_services():
    """The hook is given settings and secrets."""
    got: list[Services] = []
    with_handlers(Point("a", module(scailookup_handlers=lambda services: got.append(services) or [])))
    assert [Services] == [type(services) for services in got]


@pytest.mark.parametrize("raised", [RuntimeError("x"), SystemExit(1)])
def test_an_observer_that_raises(raised):
    """What an observer raises is logged and goes no further; the others are told."""
    told: list[Call] = []

    def bad(call):
        raise raised

    plugins = found(
        Point("a", module(scailookup_called=bad)),
        Point("b", module(scailookup_called=lambda call: told.append(call))),
        Point("c", module(scailookup_called=bad)),
    )
    with capture_logs() as events:
        plugins.called(CALL)
    assert ([CALL], ["c", "a"]) == (told, sorted((e["plugin"] for e in events), reverse=True))


def test_an_observer_without_arguments():
    """An observer names only the arguments it uses."""
    told: list[int] = []
    found(Point("a", module(scailookup_called=lambda: told.append(1)))).called(CALL)
    assert [1] == told


# Settings of their own


@dataclass
class Weather:
    """The settings of a plugin."""

    units: Literal["si", "us"] = "si"


def reading(settings):
    settings.of("weather", Weather)
    return [upstream("weather")]


def test_a_plugin_reads_its_settings():
    """What a plugin reads in its hook is no unknown setting."""
    given = settings(SCAILOOKUP_WEATHER_UNITS="us")
    plugins = discover(given, [Point("weather", module(scailookup_upstreams=reading))])
    given.own.refuse_unknown(plugins.absent)
    assert ["weather"] == names(plugins)


@pytest.mark.parametrize("hook", ["scailookup_upstreams", "scailookup_handlers"])
def test_a_bad_setting_of_a_plugin_stops_the_start(hook):
    """It is the operator's mistake: one line, no failed plugin, nothing logged."""
    given = settings(SCAILOOKUP_WEATHER_UNITS="imperial")
    hooks = {
        "scailookup_upstreams": lambda settings: reading(settings),
        "scailookup_handlers": lambda services: reading(services.settings),
    }
    with capture_logs() as events, pytest.raises(SettingsError, match="SCAILOOKUP_WEATHER_UNITS: "):
        discover(given, [Point("weather", module(**{hook: hooks[hook]}))]).add_handlers(
            Services(given, FakeSecrets(), NoWayOut())
        )
    assert [] == events


def test_a_plugin_cannot_stop_the_start_by_itself():
    """Whoever raises the error of the settings without a bad setting has failed like any other."""

    def hook(settings):
        raise SettingsError("mine")

    assert {"bad": "SettingsError: mine"} == reasons(found(Point("bad", module(scailookup_upstreams=hook))))


@pytest.mark.parametrize("plugin", [ImportError("x"), module(scailookup_upstreams=broken)])
def test_settings_of_a_plugin_that_failed(plugin):
    """They are nobody's fault, and end no start; nor do those of one that is left out."""
    for more in ({}, {"SCAILOOKUP_DISABLED_PLUGINS": "weather"}):
        given = settings(SCAILOOKUP_WEATHER_UNITS="us", **more)
        given.own.refuse_unknown(discover(given, [Point("weather", plugin)]).absent)


def test_a_source_must_not_take_another_plugins_name():
    """A source is called under its name: another plugin's would share its connections."""
    source = Upstream("aaa", "https://x", auth.Anonymous(), (Lookup("r", "/r"),))

    async def gather(ask):
        return []

    up = Upstream("bbb", "", auth.Anonymous(), (Lookup("r", gather=gather, sources=(source,)),))
    plugins = found(
        Point("aaa", serving("aaa")), Point("bbb", module(scailookup_upstreams=lambda settings: [up]))
    )
    assert "the upstream aaa is taken by plugin aaa" in str(reasons(plugins)["bbb"])


def test_the_longest_deadline():
    """A service that stops waits for the lookup that may take longest, a source's among them."""

    async def gather(ask):
        return []

    source = Upstream("in", "https://x", auth.Anonymous(), (Lookup("r", "/r", deadline=90.0),))
    up = Upstream(
        "bbb", "", auth.Anonymous(), (Lookup("r", gather=gather, sources=(source,)),), deadline=20.0
    )
    plugins = found(Point("bbb", module(scailookup_upstreams=lambda settings: [up])))
    assert (90.0, 100.0) == (plugins.longest(8.0), plugins.longest(100.0))


@pytest.mark.parametrize(
    ("base_url", "signed", "warned"),
    [
        ("http://up.example", auth.Bearer("up/key"), ["http://up.example"]),
        ("http://up.example", auth.Anonymous(), []),
        ("http://127.0.0.1:1", auth.Bearer("up/key"), []),
        ("https://up.example", auth.ClientCredentials("https://id.example/token", "up/oauth"), []),
        (
            "https://up.example",
            auth.ClientCredentials("http://id.example/token", "up/oauth"),
            ["http://id.example/token"],
        ),
        ("https://up.example", auth.ClientCredentials("http://[::1]/token", "up/oauth"), []),
    ],
)
def test_a_credential_in_plain_http_is_warned_of(base_url, signed, warned):
    """Allowed as an operator's own address is, and said: in the log, and to who asks."""
    up = Upstream("up", base_url, signed, (Lookup("things", "/things"),))
    with capture_logs() as logs:
        plugins = found(Point("up", module(scailookup_upstreams=lambda settings: [up])))
    told = [(url, f"{url} is http: a credential crosses the network unprotected") for url in warned]
    assert [("up", reason) for _, reason in told] == plugins.warnings(settings())
    assert [("plugin_warning", "up", reason) for _, reason in told] == [
        (e["event"], e["plugin"], e["reason"]) for e in logs
    ]


def test_the_settings_warn_of_their_own_address():
    """ScaiGrid's address is warned of once, by its setting's name."""
    grid = "http://grid.example"
    up = Upstream("up", grid, auth.Platform(needs="x:y"), (Lookup("things", "/things"),))
    plugins = found(Point("up", module(scailookup_upstreams=lambda settings: [up])), SCAIGRID_BASE_URL=grid)
    assert [] == plugins.warnings(settings(SCAIGRID_BASE_URL=grid))

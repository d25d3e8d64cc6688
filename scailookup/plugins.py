"""Finding plugins: each entry point on its own, each failure named, the rest unharmed.

A plugin that fails is kept as a record with its distribution, entry point and
reason. By convention the entry point has the name of its upstream, so that the
routes of a plugin that did not even load can still say what is wrong with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy
import structlog

from scailookup import hookspecs
from scailookup.declare import Route, Upstream
from scailookup.errors import PluginError, SettingsError
from scailookup.hookspecs import PROJECT, Services
from scailookup.model import Call
from scailookup.settings import GROUP, Settings

__all__ = ["GROUP", "Plugin", "Plugins", "discover"]

OWN_DISTRIBUTION = "scailookup"
_log = structlog.get_logger("scailookup.plugins")


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point and what became of it. ``reason`` is None when all is well."""

    name: str
    distribution: str
    version: str
    entry_point: str
    upstreams: tuple[Upstream, ...] = ()
    routes: tuple[Route, ...] = ()
    reason: str | None = None
    disabled: bool = False

    @property
    def failed(self) -> bool:
        """Whether the plugin was wanted and is not there."""
        return self.reason is not None


class Plugins:
    """The plugins of one process."""

    def __init__(self, plugins: Iterable[Plugin], manager: pluggy.PluginManager) -> None:
        self.all = tuple(plugins)
        self._manager = manager

    @property
    def upstreams(self) -> list[tuple[Plugin, Upstream]]:
        """Every upstream that serves, with the plugin it comes from."""
        return [(plugin, up) for plugin in self.all for up in plugin.upstreams]

    @property
    def failed(self) -> list[Plugin]:
        """The plugins that failed."""
        return [plugin for plugin in self.all if plugin.failed]

    @property
    def absent(self) -> list[str]:
        """The names of the plugins that are not there: they failed, or are disabled."""
        return [plugin.name for plugin in self.all if plugin.failed or plugin.disabled]

    @property
    def reached(self) -> list[Upstream]:
        """Every upstream that may be called: those that serve, and the sources of their lookups."""
        serving = [upstream for _, upstream in self.upstreams]
        return serving + [source for up in serving for look in up.lookups for source in look.sources]

    def longest(self, seconds: float) -> float:
        """The longest deadline of a lookup, where ``seconds`` is that of those that say none."""
        return max([seconds, *(own for upstream in self.reached for own in upstream.deadlines)])

    def add_handlers(self, services: Services) -> None:
        """Ask each plugin for its handlers; a plugin that fails here is failed as a whole.

        Raises SettingsError in strict mode when one failed.
        """
        taken = {
            f"/{up.name}/{lookup.name}": plugin.name for plugin, up in self.upstreams for lookup in up.lookups
        }
        taken |= dict.fromkeys(("/lookups", "/openapi.json", "/upstreams"), "scailookup itself")
        self.all = tuple(self._with_routes(plugin, services, taken) for plugin in self.all)
        _enforce(self.failed, services.settings)

    def _with_routes(self, plugin: Plugin, services: Services, taken: dict[str, str]) -> Plugin:
        if plugin.failed or plugin.disabled:
            return plugin
        try:
            routes = _results(self._manager, plugin.name, "scailookup_handlers", Route, services=services)
            for route in routes:
                if route.path in taken:
                    raise PluginError(f"the route {route.path} is taken by plugin {taken[route.path]}")
            taken.update({route.path: plugin.name for route in routes})
        except (Exception, SystemExit) as exc:
            services.settings.own.refuse_bad()
            return _fail(plugin, exc)
        return replace(plugin, routes=tuple(routes))

    def called(self, call: Call) -> None:
        """Tell every observer of one finished call; what an observer raises is logged, not passed on."""
        hook = self._manager.hook.scailookup_called
        for implementation in hook.get_hookimpls():
            try:
                names = implementation.argnames
                implementation.function(*(call for _ in names))
            except (Exception, SystemExit):
                _log.warning("plugin_observer_failed", plugin=implementation.plugin_name, exc_info=True)


def discover(settings: Settings, found: Iterable[EntryPoint] | None = None) -> Plugins:
    """Load every entry point of the group ``scailookup`` and ask it for its upstreams.

    Raises SettingsError when ``SCAILOOKUP_STRICT_PLUGINS`` is set and one failed.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    points = list(entry_points(group=GROUP) if found is None else found)
    # Ours first, so that nobody takes a built-in's name; then by name, so that the order is stable.
    points.sort(key=lambda p: (_distribution(p)[0] != OWN_DISTRIBUTION, p.name, _distribution(p)[0]))
    plugins: list[Plugin] = []
    for point in points:
        plugins.append(_load(manager, point, settings, plugins))
    _enforce([plugin for plugin in plugins if plugin.failed], settings)
    return Plugins(plugins, manager)


def _enforce(failed: list[Plugin], settings: Settings) -> None:
    """Strict mode: the first failure ends the start."""
    if failed and settings.strict_plugins:
        first = failed[0]
        raise SettingsError(
            f"plugin {first.name} of {first.distribution} {first.version} ({first.entry_point}) "
            f"failed: {first.reason}"
        )


def _distribution(point: EntryPoint) -> tuple[str, str]:
    dist = point.dist
    return (dist.name, dist.version) if dist is not None else ("unknown", "0")


def _load(
    manager: pluggy.PluginManager, point: EntryPoint, settings: Settings, before: list[Plugin]
) -> Plugin:
    name, version = _distribution(point)
    plugin = Plugin(point.name, name, version, point.value)
    if point.name in settings.disabled_plugins:
        return replace(plugin, disabled=True)
    module: Any = None
    try:
        for other in before:
            if other.name == point.name and not other.disabled:
                raise PluginError(f"the name {point.name} is taken by {other.distribution}")
        module = point.load()
        manager.register(module, name=point.name)
        manager.check_pending()
        upstreams = _results(manager, point.name, "scailookup_upstreams", Upstream, settings=settings)
        _check_names(upstreams, before)
    # SystemExit too: a plugin that calls sys.exit at import must not end the service.
    except (Exception, SystemExit) as exc:
        settings.own.refuse_bad()
        # Only what this entry point registered: the name may be another's.
        if module is not None and manager.get_plugin(point.name) is module:
            manager.unregister(name=point.name)
        return _fail(plugin, exc)
    return replace(plugin, upstreams=tuple(upstreams))


def _check_names(upstreams: list[Upstream], before: list[Plugin]) -> None:
    taken = {up.name: plugin.name for plugin in before for up in plugin.upstreams}
    for source in [source for up in upstreams for look in up.lookups for source in look.sources]:
        if source.name in taken:
            raise PluginError(f"the upstream {source.name} is taken by plugin {taken[source.name]}")
    for upstream in upstreams:
        if upstream.name in taken:
            raise PluginError(f"the upstream {upstream.name} is taken by plugin {taken[upstream.name]}")
        taken[upstream.name] = "the same plugin"


def _results(
    manager: pluggy.PluginManager, name: str, hook: str, kind: type[Any], **arguments: Any
) -> list[Any]:
    """What one plugin's hook answers: a list of ``kind``; raises PluginError for anything else."""
    caller: Any = manager.subset_hook_caller(
        hook, [other for other in manager.get_plugins() if manager.get_name(other) != name]
    )
    answers: list[Any] = []
    given = caller(**arguments)
    implementing = [impl for impl in caller.get_hookimpls() if impl.plugin_name == name]
    if len(given) < len(implementing):
        raise PluginError(f"{hook} answered None, not a list")
    for answer in given:
        if not isinstance(answer, list | tuple):
            raise PluginError(f"{hook} answered a {type(answer).__name__}, not a list")
        answers.extend(answer)
    for item in answers:
        if not isinstance(item, kind):
            raise PluginError(f"{hook} answered a {type(item).__name__} in its list, not a {kind.__name__}")
    return answers


def _fail(plugin: Plugin, exc: BaseException) -> Plugin:
    reason = " ".join(f"{type(exc).__name__}: {exc}".split())[:300]
    _log.error(
        "plugin_failed",
        plugin=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        entry_point=plugin.entry_point,
        reason=reason,
    )
    return replace(plugin, upstreams=(), routes=(), reason=reason)

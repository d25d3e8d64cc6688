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

import structlog

from scailookup.declare import Route, Upstream
from scailookup.errors import PluginError, SettingsError
from scailookup.hookspecs import Services
from scailookup.isolation import PATIENCE, reason_of
from scailookup.log import scrubber
from scailookup.model import Call, Failure
from scailookup.plugin_hooks import Hooks
from scailookup.plugin_rules import check_names, check_routes, unprotected
from scailookup.settings import GROUP, Settings

__all__ = ["GROUP", "Plugin", "Plugins", "discover"]

OWN_DISTRIBUTION = "scailookup"
_LONGEST_REASON = 300
_log = structlog.get_logger("scailookup.plugins")


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point and what became of it. ``reason`` is None when all is well.

    ``claimed`` are the names of the upstreams that a plugin declared before it failed.
    """

    name: str
    distribution: str
    version: str
    entry_point: str
    upstreams: tuple[Upstream, ...] = ()
    routes: tuple[Route, ...] = ()
    reason: str | None = None
    disabled: bool = False
    claimed: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the plugin was wanted and is not there."""
        return self.reason is not None

    @property
    def failure(self) -> Failure:
        """What is told of a plugin that failed."""
        return Failure(self.name, self.distribution, self.version, self.entry_point, self.reason or "")


class Plugins:
    """The plugins of one process."""

    def __init__(self, plugins: Iterable[Plugin], hooks: Hooks) -> None:
        self.all = tuple(plugins)
        self._hooks = hooks

    @property
    def upstreams(self) -> list[tuple[Plugin, Upstream]]:
        """Every upstream that serves, with the plugin it comes from."""
        return [(plugin, up) for plugin in self.all for up in plugin.upstreams]

    @property
    def failed(self) -> list[Plugin]:
        """The plugins that failed."""
        return [plugin for plugin in self.all if plugin.failed]

    @property
    def failures(self) -> list[Failure]:
        """What is told of them."""
        return [plugin.failure for plugin in self.failed]

    @property
    def absent(self) -> list[str]:
        """The names of the plugins that are not there: they failed, or are disabled."""
        return [plugin.name for plugin in self.all if plugin.failed or plugin.disabled]

    @property
    def reached(self) -> list[Upstream]:
        """Every upstream that may be called: those that serve, and the sources of their lookups."""
        serving = [upstream for _, upstream in self.upstreams]
        return serving + [source for up in serving for look in up.lookups for source in look.sources]

    def warnings(self, settings: Settings) -> list[tuple[str, str]]:
        """What works and is probably not meant, each with its plugin; settings warn of their own address."""
        found = [
            (plugin.name, f"{url} is http: a credential crosses the network unprotected")
            for plugin in self.all
            for served in plugin.upstreams
            for upstream in (served, *(source for look in served.lookups for source in look.sources))
            for url in unprotected(upstream)
            if url.rstrip("/") != settings.grid_url
        ]
        return list(dict.fromkeys(found))

    @property
    def observed(self) -> bool:
        """Whether any plugin wants to be told of calls."""
        return bool(self._hooks.manager.hook.scailookup_called.get_hookimpls())

    def longest(self, seconds: float) -> float:
        """The longest deadline of a lookup, where ``seconds`` is that of those that say none."""
        return max([seconds, *(own for upstream in self.reached for own in upstream.deadlines)])

    def add_handlers(self, services: Services, base: type[Any] = object) -> None:
        """Ask each plugin for its handlers, subclasses of ``base``; one that fails here fails as a whole.

        Raises SettingsError in strict mode when one failed.
        """
        taken = {
            f"/{up.name}/{lookup.name}": plugin.name for plugin, up in self.upstreams for lookup in up.lookups
        }
        taken |= dict.fromkeys(("/explain", "/lookups", "/openapi.json", "/upstreams"), "scailookup itself")
        self.all = tuple(self._with_routes(plugin, services, base, taken) for plugin in self.all)
        _enforce(self.failed, services.settings)

    def _with_routes(
        self, plugin: Plugin, services: Services, base: type[Any], taken: dict[str, str]
    ) -> Plugin:
        if plugin.failed or plugin.disabled:
            return plugin
        try:
            routes: list[Route] = self._hooks.answers(
                plugin.name, "scailookup_handlers", Route, services=services
            )
            check_routes(routes, base, taken)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:
            services.settings.own.refuse_bad()
            # Out as a whole: it observes nothing either.
            self._hooks.forget(plugin.name)
            return _fail(plugin, exc, services.settings)
        taken.update({route.path: plugin.name for route in routes})
        return replace(plugin, routes=tuple(routes))

    def called(self, call: Call) -> None:
        """Tell every observer of one finished call; what an observer raises is logged, not passed on."""
        for implementation in self._hooks.manager.hook.scailookup_called.get_hookimpls():
            name, arguments = implementation.plugin_name, [call for _ in implementation.argnames]
            try:
                with self._hooks.traced(name, "scailookup_called"):
                    implementation.function(*arguments)
            except (Exception, SystemExit):
                _log.warning("plugin_observer_failed", plugin=name, exc_info=True)


def discover(
    settings: Settings, found: Iterable[EntryPoint] | None = None, patience: float = PATIENCE
) -> Plugins:
    """Load every entry point of the group ``scailookup`` and ask it for its upstreams.

    ``patience`` bounds each import and each call of a hook, in seconds. Raises
    SettingsError when ``SCAILOOKUP_STRICT_PLUGINS`` is set and one failed.
    """
    hooks = Hooks(patience, trace=settings.trace_plugins)
    points = list(entry_points(group=GROUP) if found is None else found)
    # Ours first, so that nobody takes a built-in's name; then by name, so that the order is stable.
    points.sort(key=lambda p: (_distribution(p)[0] != OWN_DISTRIBUTION, p.name, _distribution(p)[0]))
    plugins: list[Plugin] = []
    for point in points:
        plugins.append(_load(hooks, point, settings, plugins))
    _enforce([plugin for plugin in plugins if plugin.failed], settings)
    made = Plugins(plugins, hooks)
    for name, reason in made.warnings(settings):
        _log.warning("plugin_warning", plugin=name, reason=reason)
    return made


def _enforce(failed: list[Plugin], settings: Settings) -> None:
    """Strict mode: the first failure ends the start."""
    if failed and settings.strict_plugins:
        first = failed[0]
        raise SettingsError(
            f"plugin {first.name} of {first.distribution} {first.version} ({first.entry_point}) "
            f"failed: {first.reason}"
        )


def _distribution(point: EntryPoint) -> tuple[str, str]:
    """Name and version; metadata that is damaged names neither."""
    dist = point.dist
    name, version = (dist.name, dist.version) if dist is not None else (None, None)
    return name or "unknown", version or "0"


def _load(hooks: Hooks, point: EntryPoint, settings: Settings, before: list[Plugin]) -> Plugin:
    name, version = _distribution(point)
    plugin = Plugin(point.name, name, version, point.value)
    if point.name in settings.disabled_plugins:
        return replace(plugin, disabled=True)
    upstreams: list[Upstream] = []
    # What a taken name has registered is another's.
    taken = [other for other in before if other.name == point.name and not other.disabled]
    try:
        if taken:
            raise PluginError(f"the name {point.name} is taken by {taken[0].distribution}")
        hooks.load(point.name, point.load)
        upstreams = hooks.answers(point.name, "scailookup_upstreams", Upstream, settings=settings)
        check_names(upstreams, {up.name: other.name for other in before for up in other.upstreams})
    except KeyboardInterrupt:
        raise
    # SystemExit too: a plugin that calls sys.exit at import must not end the service.
    except BaseException as exc:
        settings.own.refuse_bad()
        if not taken:
            hooks.forget(point.name)
        return _fail(replace(plugin, upstreams=tuple(upstreams)), exc, settings)
    return replace(plugin, upstreams=tuple(upstreams))


def _fail(plugin: Plugin, exc: BaseException, settings: Settings) -> Plugin:
    # Scrubbed, then clipped: a cut could leave half a secret. The plugin's own settings are known here only.
    reason = scrubber(reason_of(exc), *settings.secrets())[:_LONGEST_REASON]
    claimed = tuple(upstream.name for upstream in plugin.upstreams)
    failed = replace(plugin, upstreams=(), routes=(), reason=reason, claimed=claimed)
    _log.error(
        "plugin_failed",
        plugin=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        entry_point=plugin.entry_point,
        reason=reason,
    )
    return failed

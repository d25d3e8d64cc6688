"""Calling one plugin at a time: its import and its hooks, each under the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import pluggy
import structlog

from scailookup import hookspecs
from scailookup.errors import PluginError
from scailookup.hookspecs import PROJECT
from scailookup.isolation import PATIENCE, under_clock
from scailookup.plugin_rules import check_api, check_hooks

__all__ = ["Hooks"]

_log = structlog.get_logger("scailookup.plugins")


class Hooks:
    """The hooks of all plugins, called for one of them.

    ``patience`` bounds each import and each call, in seconds. ``trace`` logs each as
    ``plugin_hook``, without what was given or answered.
    """

    def __init__(self, patience: float = PATIENCE, *, trace: bool = False) -> None:
        self.manager = pluggy.PluginManager(PROJECT)
        self.manager.add_hookspecs(hookspecs)
        self._patience = patience
        self._trace = trace

    def load(self, name: str, load: Callable[[], Any]) -> None:
        """Import a plugin and register it; raises whatever it raises, and PluginError."""
        with self.traced(name, "import"):
            module = under_clock(load, "the import", self._patience)
        check_api(module)
        self.manager.register(module, name=name)
        self.manager.check_pending()
        check_hooks(self.manager, module)

    def forget(self, name: str) -> None:
        """Call the plugin no more, however far it came."""
        if self.manager.get_plugin(name) is not None:
            self.manager.unregister(name=name)

    def answers(self, name: str, hook: str, kind: type[Any], **arguments: Any) -> list[Any]:
        """What one plugin's hook answers: a list of ``kind``; raises PluginError for anything else."""
        others = [other for other in self.manager.get_plugins() if self.manager.get_name(other) != name]
        caller: Any = self.manager.subset_hook_caller(hook, others)
        implementing = [impl for impl in caller.get_hookimpls() if impl.plugin_name == name]
        if not implementing:
            return []
        with self.traced(name, hook):
            return under_clock(lambda: _listed(caller(**arguments), hook, kind), hook, self._patience)

    @contextmanager
    def traced(self, name: str, hook: str) -> Iterator[None]:
        """Tell the log of what happens inside, when that is wanted."""
        if not self._trace:
            yield
            return
        started, outcome = perf_counter(), "ok"
        try:
            yield
        except BaseException as exc:
            outcome = type(exc).__name__
            raise
        finally:
            duration = round((perf_counter() - started) * 1000, 1)
            _log.info("plugin_hook", plugin=name, hook=hook, outcome=outcome, duration_ms=duration)


def _listed(given: list[Any], hook: str, kind: type[Any]) -> list[Any]:
    """The values of the one answer; a plugin's own list may be code too, so this runs under the clock."""
    if not given:
        raise PluginError(f"{hook} answered None, not a list")
    if not isinstance(given[0], list | tuple):
        raise PluginError(f"{hook} answered a {type(given[0]).__name__}, not a list")
    answers = list(given[0])
    for item in answers:
        if not isinstance(item, kind):
            raise PluginError(f"{hook} answered a {type(item).__name__} in its list, not a {kind.__name__}")
    return answers

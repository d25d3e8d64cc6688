"""One process without a supervisor: it binds, serves and obeys signals itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from scailookup import log
from scailookup.errors import ScailookupError, SettingsError
from scailookup.lifetime import Told, first_of, signals
from scailookup.processes.notify import Notifier
from scailookup.processes.serving import Serving, spare_collector
from scailookup.processes.sockets import Sockets, open_sockets
from scailookup.settings import Settings

__all__ = ["Load", "announce", "obey", "reread", "serve_alone"]

Load = Callable[[], Settings]
# Bound at the start, or needed before it.
_FIXED = ("host", "port", "admin", "workers")
_log = structlog.get_logger("scailookup")


async def serve_alone(settings: Settings, load: Load) -> int:
    """Serve until a signal says to end; the exit status. ``load`` reads the settings again.

    Raises SettingsError, or OSError when a port is taken.
    """
    notifier = Notifier()
    async with signals() as told:
        serving = Serving(settings)
        sockets = open_sockets(settings)
        await serving.start(sockets.public[0], sockets.admin)
        announce(settings, sockets)
        spare_collector()

        async def change(new: Settings) -> None:
            await serving.prepare(new)
            serving.commit()

        async def reload() -> None:
            nonlocal settings
            settings = await reread(settings, load, sockets, change)

        await obey(told, notifier, reload, serving.drain)
    return 0


def announce(settings: Settings, sockets: Sockets) -> None:
    """Say what is probably not meant, and then where we listen."""
    for warning in settings.warnings():
        _log.warning("settings_warning", reason=warning)
    _log.info("listening", url=sockets.url, port=sockets.port, admin_url=sockets.admin_url)


async def reread(
    old: Settings, load: Load, sockets: Sockets, change: Callable[[Settings], Awaitable[None]]
) -> Settings:
    """Read the settings and ``change`` to them; what is in force afterwards: bad ones are refused."""
    try:
        new = load()
        for name in _FIXED:
            if getattr(new, name) != getattr(old, name):
                _log.warning("restart_needed", setting=str(Settings.model_fields[name].validation_alias))
        new = new.model_copy(update={name: getattr(old, name) for name in _FIXED})
        sockets.check(new)
        await change(new)
    except (SettingsError, ScailookupError) as exc:
        _log.error("reload_refused", reason=log.scrubber(str(exc)))
        return old
    log.scrubber.add(*new.secrets())
    log.configure(new.log_level, new.log_format)
    _log.info("reloaded")
    return new


async def obey(
    told: Told,
    notifier: Notifier,
    reload: Callable[[], Awaitable[None]],
    drain: Callable[[], Awaitable[None]],
) -> None:
    """Serve on until told to end, rereading settings when told to; then end calmly, or at once if hurried."""

    async def wait_for_word() -> None:
        while True:
            await told.again.wait()
            told.again.clear()
            notifier.reloading()
            await reload()
            notifier.ready()

    async def end() -> None:
        await drain()

    async def until_end() -> None:
        await told.end.wait()

    async def until_hurry() -> None:
        await told.hurry.wait()

    async def watch() -> None:
        await notifier.watch()
        await told.end.wait()

    notifier.ready()
    await first_of(until_end(), wait_for_word(), watch())
    notifier.stopping()
    await first_of(end(), until_hurry())

"""What the ``plugins`` and ``check`` commands say: lines for people, or JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, replace
from typing import TextIO

from scailookup.declare import Tls, Upstream
from scailookup.errors import CallFailed, IdentityUnavailable, SecretsUnavailable
from scailookup.hookspecs import Services
from scailookup.identity import KeySet
from scailookup.log import scrubber
from scailookup.model import USER_AGENT, Request
from scailookup.plugins import Plugin, Plugins, discover
from scailookup.seams import Fetch
from scailookup.secrets import HeldSecrets, open_store
from scailookup.settings import Settings
from scailookup.terminal import Progress, plain
from scailookup.transport import Door, connect
from scailookup.web import Handler
from scailookup.web.openapi import document

__all__ = ["Finding", "check", "findings", "list_plugins", "print_openapi"]

_MARKS = {True: "ok  ", False: "FAIL", None: "note"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. ``ok`` is None for what is only worth knowing; ``fix`` says what to do.

    ``warning``: it works, and is probably not meant.
    """

    subject: str
    ok: bool | None
    text: str
    fix: str = ""
    warning: bool = False


def list_plugins(settings: Settings, *, as_json: bool, out: TextIO) -> int:
    """Print every plugin; 1 when one failed."""
    found = _furnished(settings)
    if as_json:
        json.dump([_plugin(p) for p in found.all], out, indent=2)
        out.write("\n")
    else:
        for plugin in found.all:
            state = "FAILED" if plugin.failed else "disabled" if plugin.disabled else "ok"
            out.write(
                f"{plugin.name:<16} {state:<9} {plugin.distribution} {plugin.version}  {plugin.entry_point}\n"
            )
            if plugin.reason:
                out.write(f"{'':<16} {plain(scrubber(plugin.reason))}\n")
            for upstream in plugin.upstreams:
                for lookup in upstream.lookups:
                    out.write(f"{'':<16} /{upstream.name}/{lookup.name}\n")
    return 1 if found.failed else 0


def _plugin(plugin: Plugin) -> dict[str, object]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "entry_point": plugin.entry_point,
        "disabled": plugin.disabled,
        "reason": plugin.reason and scrubber(plugin.reason),
        "lookups": [f"/{u.name}/{look.name}" for u in plugin.upstreams for look in u.lookups],
    }


def print_openapi(settings: Settings, *, out: TextIO) -> None:
    """Print the OpenAPI document, as a service with these settings would answer it."""
    json.dump(document(_furnished(settings)), out, indent=2, ensure_ascii=False)
    out.write("\n")


def _furnished(settings: Settings) -> Plugins:
    """The plugins with their handlers, which are made and asked nothing: no secrets, no way out are used."""
    plugins = discover(settings)
    idle = Door(lambda name: connect(settings), lambda call: None)
    plugins.add_handlers(Services(settings, HeldSecrets(None, fresh=0, hold=0), idle), Handler)
    return plugins


async def check(settings: Settings, *, as_json: bool, out: TextIO, err: TextIO) -> int:
    """Look at everything and print it as it is found; 1 when something is not well."""
    found: list[Finding] = []
    with Progress(err) as progress:
        async for raw in findings(settings, progress.step):
            finding = replace(raw, text=scrubber(raw.text))
            found.append(finding)
            if not as_json:
                progress.clear()
                out.write(f"{_MARKS[finding.ok]}  {plain(finding.subject)}: {plain(finding.text)}\n")
                if finding.fix and not finding.ok:
                    out.write(f"      -> {plain(finding.fix)}\n")
                out.flush()
    well = all(finding.ok is not False for finding in found)
    if as_json:
        json.dump({"ok": well, "findings": [asdict(f) for f in found]}, out, indent=2)
        out.write("\n")
    return 0 if well else 1


async def findings(settings: Settings, begin: Callable[[str], None]) -> AsyncIterator[Finding]:
    """Settings, ScaiKey, the stores, each upstream address, each plugin. Raises SettingsError first.

    ``begin`` is told of what is looked at next, where that may take a while.
    """
    begin("loading plugins")
    plugins = _furnished(settings)
    settings.own.refuse_unknown(plugins.absent)
    scrubber.add(*settings.secrets())
    for warning in settings.warnings():
        yield Finding("settings", None, warning, warning=True)
    for name, shown, given in settings.own.values():
        yield Finding("settings", None, f"{name} = {shown}{'' if given else ' (default)'}")
    client = connect(settings)
    try:
        begin("asking ScaiKey")
        yield await _identity(settings, client)
        begin("asking the secret store")
        yield await _store(settings, client)
        if settings.cache_url is not None:
            begin("asking the shared cache")
            yield await _shared(settings)
        for upstreams in _addresses(plugins):
            begin(f"asking {upstreams[0].base_url}")
            yield await _address(upstreams, settings)
        for plugin in plugins.all:
            yield _state(plugin)
        for name, reason in plugins.warnings(settings):
            yield Finding(f"plugin {name}", None, reason, warning=True)
    finally:
        await client.close()


async def _identity(settings: Settings, fetch: Fetch) -> Finding:
    if settings.auth_disabled:
        return Finding(
            "ScaiKey", None, f"authentication is off; everybody is of tenant {settings.dev_tenant}"
        )
    keys = KeySet(fetch, jwks_url=settings.jwks_url, base_url=settings.scaikey_url)
    where = settings.jwks_url or settings.scaikey_url
    try:
        await keys.ready()
    except IdentityUnavailable as exc:
        return Finding(
            "ScaiKey",
            False,
            f"{where}: {exc.message}",
            "Check SCAIKEY_BASE_URL or SCAIKEY_JWKS_URL, and that it answers.",
        )
    return Finding("ScaiKey", True, f"{where} has signing keys; audience {settings.audience}")


async def _store(settings: Settings, fetch: Fetch) -> Finding:
    store = open_store(settings, fetch)
    if store is None:
        return Finding(
            "secret store", None, "none configured: no tenant has a key, callers use their own tokens"
        )
    try:
        await store.probe()
    except SecretsUnavailable as exc:
        name = settings.stores[0]
        looked = exc.fix == exc.usual_fix  # which sends the operator here
        fix = f"Check {name}, the network between, and that it runs and is unsealed." if looked else exc.fix
        return Finding("secret store", False, f"{name}: {exc.message}", fix)
    finally:
        await store.close()
    return Finding("secret store", True, f"{settings.stores[0]} answers and knows us")


async def _shared(settings: Settings) -> Finding:
    from scailookup.shared import probe_shared  # only where it is wanted

    reason = await probe_shared(settings)
    if reason is not None:
        return Finding(
            "shared cache",
            False,
            f"SCAILOOKUP_CACHE_URL: {reason}",
            "Check the address, the user's rights, and that Redis runs; until then processes share nothing.",
        )
    return Finding("shared cache", True, "SCAILOOKUP_CACHE_URL answers and takes writes")


def _addresses(plugins: Plugins) -> list[list[Upstream]]:
    """The upstreams, those of one address and the same certificates together."""
    found: dict[tuple[str, Tls | None], list[Upstream]] = {}
    for upstream in plugins.reached:
        if upstream.base_url:
            found.setdefault((upstream.base_url, upstream.tls), []).append(upstream)
    return [found[key] for key in sorted(found, key=str)]


async def _address(upstreams: list[Upstream], settings: Settings) -> Finding:
    """Any HTTP answer will do: nobody's credential is spent on a check."""
    address = upstreams[0].base_url
    subject = ", ".join(dict.fromkeys(upstream.name for upstream in upstreams))
    fetch = connect(settings, upstreams[0].tls)
    request = Request(address + "/", (("Accept", "application/json"), ("User-Agent", USER_AGENT)))
    try:
        reply = await fetch(request, deadline=asyncio.get_running_loop().time() + 5)
    except CallFailed as exc:
        if exc.code == "too_large":
            return Finding(subject, True, f"{address} answers")
        return Finding(
            subject, False, f"{address}: {exc}", "Check the base URL, the network between, and that it runs."
        )
    finally:
        await fetch.close()
    return Finding(subject, True, f"{address} answers ({reply.status})")


def _state(plugin: Plugin) -> Finding:
    subject = f"plugin {plugin.name}"
    if plugin.disabled:
        return Finding(subject, None, "disabled by SCAILOOKUP_DISABLED_PLUGINS")
    where = f"{plugin.distribution} {plugin.version}"
    if plugin.reason:
        return Finding(
            subject,
            False,
            f"{where}, {plugin.entry_point}: {plugin.reason}",
            "Mend it, or disable it by name.",
        )
    return Finding(subject, True, where)

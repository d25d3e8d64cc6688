"""What the commands share: refusals of one line, tokens that no other user sees, completion of lookups."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from scailookup.errors import SettingsError

if TYPE_CHECKING:
    from scailookup.settings import Settings

__all__ = [
    "TOKEN_NAME",
    "base_url",
    "complete_lookup",
    "complete_param",
    "finish",
    "host_name",
    "one_line",
    "read_token",
    "refuse",
    "run",
    "set_up_log",
    "settings_or_bare",
    "settings_or_refuse",
    "token_option",
    "token_text",
]

# A platform name, not SCAILOOKUP_: names of ours that are no setting stop a start.
TOKEN_NAME = "SCAIKEY_TOKEN"  # noqa: S105
BAD = 2
STOPPED = 130
_LONGEST_TOKEN = 16 * 1024


def run(commands: click.Group, args: Sequence[str] | None = None) -> NoReturn:
    """Run a command line and leave with its status.

    What click refuses is said in one line, as bad settings are, with status 2.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what it has no letters for ends no command
    try:
        status = commands.main(args, standalone_mode=False)
    except click.ClickException as exc:
        refuse(one_line(exc))
    except click.Abort:
        sys.exit(STOPPED)
    sys.exit(status if isinstance(status, int) else 0)


def refuse(reason: str) -> NoReturn:
    """End with one line and the status of what cannot work."""
    click.echo(f"scailookup: {reason}", err=True)
    sys.exit(BAD)


def one_line(exc: click.ClickException) -> str:
    """What click would say over several lines, and where to read more."""
    from scailookup.log import scrubber
    from scailookup.terminal import plain

    # Somebody may have written a token where none belongs, or pasted worse.
    reason = plain(scrubber(exc.format_message())).rstrip(".")
    context = getattr(exc, "ctx", None)
    hint = f" (see {context.command_path} --help)" if context is not None else ""
    if reason[:2].istitle():  # a name in capitals stays as it is
        reason = reason[:1].lower() + reason[1:]
    return reason + hint


token_option = click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True),  # shells complete files for it
    help=f"Read the access token from FILE, `-` for stdin; else from {TOKEN_NAME}. "
    "No option takes the token itself: every user of the machine can list those.",
)


def token_text(file: str | None) -> str | None:
    """What stands for a token in ``file`` (``-``: stdin), else in the environment; None: nothing does.

    It is bounded, and anything may be in it. Raises UsageError for a file that cannot be read.
    """
    if file is None:
        return os.environ.get(TOKEN_NAME, "").strip() or None
    try:
        if file == "-":
            return _from_stdin().strip()
        with Path(file).open(encoding="utf-8") as stream:
            return stream.read(_LONGEST_TOKEN + 2).strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise click.UsageError(f"cannot read {'stdin' if file == '-' else file}: {reason}") from None


def read_token(file: str | None) -> str | None:
    """The access token of ``file``, else of the environment, else None; UsageError for what is none."""
    token = token_text(file)
    if token is None:
        return None
    if not token or len(token) > _LONGEST_TOKEN or not token.isascii() or not token.isprintable():
        where = TOKEN_NAME if file is None else "stdin" if file == "-" else file
        raise click.UsageError(f"{where} holds no access token: one line of printable characters is needed")
    return token


def _from_stdin() -> str:
    """A token that is piped in, or typed where nobody sees it."""
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass("Access token: ", stream=sys.stderr)
    return sys.stdin.read(_LONGEST_TOKEN + 2)


@add_completion_class
class _Bash(BashComplete):
    """click's, without the space after a name that still wants its value."""

    name = "bash"
    source_template = BashComplete.source_template.replace(
        "COMPREPLY+=($value)", "COMPREPLY+=($value); [[ $value == *= ]] && compopt -o nospace"
    )


def complete_lookup(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The lookups that what is typed may become. Values that are typed already stay as they are."""
    offers = {_offer(name, incomplete) for name in _lookups()}
    return [CompletionItem(offer) for offer in sorted(offer for offer in offers if offer)]


def complete_param(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The names of the parameters that the lookup takes, each with its ``=``."""
    # While the option before it still lacks its value, click leaves the lookup among what is over.
    asked = str(context.params.get("lookup") or next(iter(context.args), "")).strip("/")
    names = [param for name, params in _lookups().items() if _offer(name, asked) == asked for param in params]
    return [CompletionItem(f"{name}=") for name in sorted(names) if f"{name}=".startswith(incomplete)]


def _lookups() -> dict[str, list[str]]:
    """Every lookup that is installed, with its parameters. Nothing is said of what does not work."""
    from scailookup.plugins import discover

    nowhere = io.StringIO()  # a prompt is being typed: no event and no plugin may print into it
    with redirect_stdout(nowhere), redirect_stderr(nowhere):
        plugins = discover(settings_or_bare())
    return {
        f"{upstream.name}/{lookup.name}": [f.name for f in lookup.filters] + [p.name for p in lookup.params]
        for _, upstream in plugins.upstreams
        for lookup in upstream.lookups
    }


def _offer(name: str, typed: str) -> str:
    """``name`` with the values of ``typed`` in it; empty when it is another lookup."""
    parts, given = name.split("/"), typed.split("/")
    if len(given) > len(parts):
        return ""
    for at, text in enumerate(given):
        whole = at < len(given) - 1
        if parts[at].startswith("{"):
            parts[at] = text or parts[at]
            if whole and not text:
                return ""
        elif parts[at] != text if whole else not parts[at].startswith(text):
            return ""
    return "/".join(parts)


def settings_or_bare() -> Settings:
    """The settings, or the least that works: plugins can be listed before anything is configured."""
    from scailookup.settings import load

    try:
        return load()
    except SettingsError:
        kept = {n: os.environ[n] for n in ("SCAILOOKUP_DISABLED_PLUGINS",) if n in os.environ}
        return load({"SCAIFLOW_AUTH_DISABLED": "true", **kept}, system_file=None)


def settings_or_refuse(overrides: dict[str, str]) -> Settings:
    """The settings; those that cannot work end the command."""
    from scailookup.settings import load

    try:
        return load(overrides=overrides)
    except SettingsError as exc:
        refuse(str(exc))


def set_up_log(settings: Settings, *, quiet: bool = False) -> None:
    """Log as the settings say, and show none of their secrets; ``quiet`` tells errors only."""
    from scailookup import log

    log.scrubber.add(*settings.secrets())
    log.configure("error" if quiet else settings.log_level, settings.log_format)


def finish(work: Callable[[], Coroutine[Any, Any, int]]) -> NoReturn:
    """Run to the end and leave with its status; settings that cannot work are said in one line."""
    import asyncio

    try:
        status = asyncio.run(work())
    except SettingsError as exc:
        refuse(str(exc))
    sys.exit(status)


def host_name(_context: click.Context, _parameter: click.Parameter, host: str | None) -> str | None:
    """An empty host would mean every address there is; nobody means that by nothing."""
    if host is not None and not host.strip():
        raise click.BadParameter("must be a host name or an address")
    return host


def base_url(_context: click.Context, _parameter: click.Parameter, url: str | None) -> str | None:
    """The address of a service, by the rule for every address that a token is sent to."""
    from scailookup.checks import check_base_url

    if url is not None:
        try:
            check_base_url(url)
        except ValueError as exc:
            raise click.BadParameter(str(exc)) from None
    return url

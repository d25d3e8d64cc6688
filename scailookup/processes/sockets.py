"""The sockets a run listens on: bound here, or handed over by systemd."""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

from tornado.netutil import bind_sockets

from scailookup.errors import SettingsError
from scailookup.settings import Settings, is_loopback
from scailookup.web.listener import url_of

__all__ = ["Sockets", "open_sockets"]

_FIRST = 3  # systemd's first descriptor
_ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Sockets:
    """Listening sockets: ``public`` one set for each worker, ``admin`` empty when that listener is off."""

    public: list[list[socket.socket]]
    admin: list[socket.socket]
    url: str
    port: int
    admin_url: str | None

    def close(self) -> None:
        """Close this process's hold on them."""
        for sock in self._all():
            sock.close()

    def check(self, settings: Settings) -> None:
        """Hold without authentication to loopback, whoever bound the sockets; raises SettingsError."""
        for sock in self._all() if settings.auth_disabled else ():
            host = sock.getsockname()[0]
            if not is_loopback(host):
                raise SettingsError(f"SCAIFLOW_AUTH_DISABLED: {host} is listened on, which is not loopback")

    def _all(self) -> list[socket.socket]:
        return [*self.admin, *(sock for each in self.public for sock in each)]


def open_sockets(settings: Settings, environ: MutableMapping[str, str] | None = None) -> Sockets:
    """Bind for ``settings.workers``, or take what systemd opened.

    Raises OSError, whose text names the address, when a port is taken, SettingsError when systemd's
    sockets break the loopback rule of switched-off authentication.
    """
    given = _inherited(os.environ if environ is None else environ)
    admin = [sock for name, sock in given if name == _ADMIN]
    shared = [sock for name, sock in given if name != _ADMIN]
    for _, sock in given:
        if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
            raise SettingsError("LISTEN_FDS: only TCP sockets are served")
    try:
        public = [shared] * settings.workers if shared else _bind(settings)
        if not admin and settings.admin_host is not None:
            admin = _bound(settings.admin_port, settings.admin_host)
    except OSError:
        for _, sock in given:
            sock.close()
        raise
    host, port = (public[0][0].getsockname()[:2]) if shared else (settings.host, _port(public[0]))
    admin_host = settings.admin_host or (admin[0].getsockname()[0] if admin else "")
    admin_url = url_of(admin_host, _port(admin)) if admin else None
    sockets = Sockets(public, admin, url_of(host, port), port, admin_url)
    sockets.check(settings)
    return sockets


def _bind(settings: Settings) -> list[list[socket.socket]]:
    """A set of sockets for each worker: the kernel spreads connections over them better than over one.

    The first is bound without SO_REUSEPORT, so that a port on which somebody else
    listens is refused, another scailookup included; then it lets the others join.
    """
    first = _bound(settings.port, settings.host)
    if settings.workers == 1:
        return [first]
    for sock in first:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    others = range(settings.workers - 1)
    return [first, *(bind_sockets(_port(first), settings.host, reuse_port=True) for _ in others)]


def _bound(port: int, host: str) -> list[socket.socket]:
    """Sockets bound to an address; an OSError whose text names it, for there are two listeners."""
    try:
        return bind_sockets(port, host)
    except OSError as exc:
        raise OSError(exc.errno, f"port {port} of {host}: {exc.strerror or exc}") from None


def _port(sockets: list[socket.socket]) -> int:
    port: int = sockets[0].getsockname()[1]
    return port


def _inherited(environ: MutableMapping[str, str]) -> list[tuple[str, socket.socket]]:
    """systemd's sockets with their names (sd_listen_fds); the variables are for us alone and go."""
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    names += [""] * int(count)
    found = [(names[n], socket.socket(fileno=_FIRST + n)) for n in range(int(count))]
    for _, sock in found:
        os.set_inheritable(sock.fileno(), False)
        sock.setblocking(False)
    return found

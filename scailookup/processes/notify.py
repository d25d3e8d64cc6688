"""What systemd is told (sd_notify): a datagram to the socket it named, nothing without one."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import MutableMapping
from time import clock_gettime_ns

__all__ = ["Notifier"]

_MONOTONIC = 1  # CLOCK_MONOTONIC, the clock systemd compares with


class Notifier:
    """Talks to the service manager; the variables are taken out of ``environ``: children must not speak."""

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        address = environ.pop("NOTIFY_SOCKET", "")
        watchdog, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", str(os.getpid()))
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._pause = int(watchdog) / 2e6 if watchdog.isdigit() and pid == str(os.getpid()) else 0.0

    def ready(self) -> None:
        """Requests are served, at the start and again after a reload."""
        self._say("READY=1")

    def reloading(self) -> None:
        """Settings are being read again."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={clock_gettime_ns(_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The end has begun."""
        self._say("STOPPING=1")

    async def watch(self) -> None:
        """Say for ever, often enough for the watchdog, that the loop runs; returns when nobody asked."""
        while self._pause and self._address:
            self._say("WATCHDOG=1")
            await asyncio.sleep(self._pause)

    def _say(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.sendto(message.encode(), self._address)
        except OSError:
            return  # a manager that does not listen is no reason not to serve

"""libcurl on the event loop without pycurl's own binding, as lean as it can be written.

libcurl names the sockets it waits for each time a transfer begins and ends. They go
into an epoll set of their own, whose one descriptor the loop watches. It is here to be
compared: it gained too little to be worth keeping in the service.
"""

from __future__ import annotations

import asyncio
import select
from contextlib import suppress
from time import monotonic
from typing import Any

import pycurl

__all__ = ["Multi"]

_WATCH = {
    pycurl.POLL_NONE: 0,
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}
_READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
# libcurl counts whole milliseconds and does nothing when it is called a moment too soon.
_LATE = 0.001
_NEVER = float("inf")
# So many steps that are due at once are made in a row; more wait for the loop's next turn.
_STEPS = 4


class Multi:
    """A CurlMulti on the running loop, for one process: make it after any fork."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Any, asyncio.Future[int]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = _NEVER
        self._epoll = select.epoll()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._remind)
        self._loop.add_reader(self._epoll.fileno(), self._ready)

    def start(self, handle: Any) -> asyncio.Future[int]:
        """Begin the transfer of ``handle`` now; the future has curl's error number, 0 when all went well."""
        future: asyncio.Future[int] = self._loop.create_future()
        self._waiting[handle] = future
        try:
            self._multi.add_handle(handle)
        except BaseException:
            del self._waiting[handle]
            raise
        self._due = _NEVER  # libcurl has just asked to be called at once
        self._act(pycurl.SOCKET_TIMEOUT, 0)
        self._settle()
        return future

    def drop(self, handle: Any) -> None:
        """Abort the transfer of ``handle``, when it has not ended."""
        if self._waiting.pop(handle, None) is not None:
            self._multi.remove_handle(handle)

    def close(self) -> None:
        """Abort every transfer, close every connection."""
        for handle, future in list(self._waiting.items()):
            self.drop(handle)
            future.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        self._multi.close()
        self._epoll.close()

    def _watch(self, what: int, fd: int, _multi: Any, _data: Any) -> None:
        """libcurl's word on a socket: what to wait for, or that it is done with it."""
        if what == pycurl.POLL_REMOVE:
            with suppress(OSError):  # closed already: it left the set by itself
                self._epoll.unregister(fd)
            return
        try:
            self._epoll.register(fd, _WATCH[what])
        except FileExistsError:
            self._epoll.modify(fd, _WATCH[what])

    def _remind(self, milliseconds: int) -> None:
        """libcurl's word on when it wants to be called next; it may not be called from here."""
        if milliseconds < 0:
            self._due = _NEVER
            return
        self._due = monotonic() + (milliseconds / 1000 + _LATE if milliseconds else 0)
        # A timer set for earlier will look again: most requests end long before their time is up.
        if self._timer is None or self._timer.when() > self._due:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._due, self._late)

    def _late(self) -> None:
        self._timer = None
        if self._due <= monotonic():
            self._due = _NEVER
            self._act(pycurl.SOCKET_TIMEOUT, 0)
            self._settle()
        if self._due < _NEVER and self._timer is None:
            self._arm()

    def _ready(self) -> None:
        for fd, events in self._epoll.poll(0):
            mask = pycurl.CSELECT_IN if events & _READABLE else 0
            if events & select.EPOLLOUT:
                mask |= pycurl.CSELECT_OUT
            self._act(fd, mask)
        self._settle()

    def _act(self, fd: int, mask: int) -> None:
        """Let libcurl do what is due: at the socket, and what it says has to follow at once."""
        try:
            self._multi.socket_action(fd, mask)
            for _ in range(_STEPS):
                if self._due > monotonic():
                    return
                self._due = _NEVER
                self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        except pycurl.error as exc:  # the set itself is broken: nobody would be told anything any more
            for handle in list(self._waiting):
                self._end(handle, exc.args[0])

    def _settle(self) -> None:
        """Tell of the transfers that have ended."""
        left = 1
        while left:
            left, good, bad = self._multi.info_read()
            for handle in good:
                self._end(handle, 0)
            for handle, number, _text in bad:
                self._end(handle, number)

    def _end(self, handle: Any, number: int) -> None:
        future = self._waiting.pop(handle, None)
        if future is None:
            return
        self._multi.remove_handle(handle)
        if not future.done():
            future.set_result(number)

"""Running a plugin's code so that it harms nobody: under a clock, and off the event loop.

Python cannot end a thread. Code that does not come back is left behind in a daemon
thread, which keeps no process alive; its plugin is out.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import structlog

from scailookup.errors import PluginError
from scailookup.model import Call

__all__ = ["PATIENCE", "Observers", "reason_of", "under_clock"]

# Seconds for one import or one hook. A large library on a slow disk takes some of them.
PATIENCE = 10.0
_LONGEST_QUEUE = 1000
_GRACE = 1.0
T = TypeVar("T")
_log = structlog.get_logger("scailookup.plugins")


def under_clock(work: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """What ``work`` returns or raises, SystemExit included.

    Raises PluginError naming ``what`` when it takes longer than ``patience`` seconds.
    """
    step = _Step(work)
    thread = threading.Thread(target=step.run, name=f"plugin: {what}", daemon=True)
    thread.start()
    if not step.done.wait(patience):
        raise PluginError(f"{what} took longer than {patience:g} s")
    if step.raised is not None:
        raise step.raised
    return step.value


class _Step(Generic[T]):
    value: T

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self.raised: BaseException | None = None
        self.done = threading.Event()

    def run(self) -> None:
        try:
            self.value = self._work()
        except BaseException as exc:  # handed to who waits, which decides
            self.raised = exc
        finally:
            self.done.set()


def reason_of(exc: BaseException) -> str:
    """An exception in one line; its own text may be broken code too."""
    try:
        text = str(exc)
    except Exception:
        text = "its text cannot be had"
    return " ".join(f"{type(exc).__name__}: {text}".split())


class Observers:
    """Tells ``tell`` of calls one after the other, in a thread of its own.

    An observer that is slow delays the other observers and nobody else. When it is
    behind by ``most`` calls, further ones are left out until it has caught up; the log says so once.
    """

    def __init__(self, tell: Callable[[Call], None], most: int = _LONGEST_QUEUE) -> None:
        self._tell = tell
        self._waiting: queue.Queue[Call | None] = queue.Queue(most)
        self._thread: threading.Thread | None = None
        self._behind = False

    def __call__(self, call: Call) -> None:
        """Hand over one call; returns at once."""
        if self._thread is None:
            # Not before the first call: a thread does not live through a fork.
            self._thread = threading.Thread(target=self._work, name="plugin observers", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(call)
        except queue.Full:
            if not self._behind:
                _log.warning("plugin_observers_behind", waiting=self._waiting.maxsize)
            self._behind = True

    def close(self, grace: float = _GRACE) -> None:
        """Tell what is still waiting, for ``grace`` seconds at most."""
        if self._thread is None:
            return
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(grace)

    def _work(self) -> None:
        while True:
            call: Any = self._waiting.get()
            if call is None:
                return
            self._tell(call)
            if self._waiting.empty():
                self._behind = False

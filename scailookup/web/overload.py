"""More requests than one process can answer: some are turned away at once, so that the others are answered.

Nothing is counted while the event loop is on time. Once it has been late for a while the
requests of each of its rounds are: as many are let in as a round may take CPU time for, the rest
is turned away where it is read, before anybody looks at what it asks. What waits can so never
outgrow a round, whoever is let in is answered soon, and when fewer come nobody is turned away
from that very round on.
"""

from __future__ import annotations

import asyncio
import resource
from collections import Counter, deque
from collections.abc import Callable
from time import monotonic, thread_time

import structlog

from scailookup.errors import Overloaded

__all__ = ["MOST_CONNECTIONS", "Overload", "crowded"]

MOST_CONNECTIONS = 4096
# Of the descriptors a process may have, the share that its callers may take.
_DESCRIPTORS = 0.75
_LOOK = 0.05
# Looks at which the loop has to be late one after another: a burst, or one long piece of work, is worked off.
_LOOKS = 2
# Seconds without anybody turned away after which nothing is counted any more.
_CALM = 5.0
# Rounds of the loop that an answer takes for which an upstream is asked; from memory it takes one.
_ROUNDS = 4
# The share of the wait that the CPU time of one round may take: little, so that few calls are under way.
_ROUND = 0.03
# So many may always come in one round: what a few callers ask for is no crowd, however long it takes.
_LEAST = 32
_log = structlog.get_logger("scailookup.web")


class Overload:
    """What one process takes on. ``max_wait``: seconds that a request may wait in line, 0 for any time.

    ``connections`` is how many it holds open at most. ``wait`` is how late the loop was when
    last looked at (seconds), ``pressed`` whether requests are counted. ``turned_away`` counts
    requests and ``cut`` connections, both by reason.
    """

    def __init__(
        self,
        max_wait: float = 0.0,
        max_connections: int = MOST_CONNECTIONS,
        *,
        cpu: Callable[[], float] = thread_time,
    ) -> None:
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if descriptors != resource.RLIM_INFINITY:
            max_connections = min(max_connections, int(descriptors * _DESCRIPTORS))
        self.connections = max_connections
        self.busy: Callable[[], int] = lambda: 0
        self.pressed = False
        self.wait = 0.0
        self.turned_away = Counter({"wait": 0, "connections": 0})
        self.cut = Counter({"unread": 0, "idle": 0})
        self._max_wait = max_wait
        self._cpu = cpu
        self._lates: deque[float] = deque([0.0] * _LOOKS, maxlen=_LOOKS)
        self._quota = _LEAST
        self._let_in = self._before = 0
        self._refused = 0
        self._in_round = False
        self._began = 0.0
        self._calm_for = 0.0
        self._told: tuple[float, int] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look at the running loop from now on."""
        self._looked, self._worked = monotonic(), self._cpu()
        self._due = self._looked + _LOOK
        self._timer = asyncio.get_running_loop().call_later(_LOOK, self._tick)

    def stop(self) -> None:
        """Look no more, and let everybody in."""
        if self._timer is not None:
            self._timer.cancel()
        self.pressed = False

    def look(self, late: float, seconds: float, worked: float) -> None:
        """The loop was ``late``; since the look before, ``seconds`` have gone, of CPU time ``worked``."""
        self.wait = late
        if not self._max_wait:
            return
        if self.pressed:
            self._calm_for = 0.0 if self._refused else self._calm_for + seconds
            self._refused = 0
            if self._calm_for >= _CALM:
                self._relax()
            return
        # A process that others keep from running is late too, but has no more to do than before.
        self._lates.append(min(late, worked))
        rounds = _ROUNDS if self.busy() > _LEAST else 1
        if rounds * min(self._lates) > self._max_wait:
            self.pressed, self._quota, self._began = True, _LEAST, self._cpu()
            self._calm_for = 0.0
            self._lates.extend([0.0] * _LOOKS)

    def lets_in(self) -> bool:
        """Whether one more request of this round is let in; to be asked while ``pressed``."""
        if not self._in_round:
            self._in_round = True
            asyncio.get_running_loop().call_soon(self.end_round)
        if self._let_in < self._quota:
            self._let_in += 1
            return True
        return False

    def end_round(self) -> None:
        """The loop has come round: what the next round may let in, by this one's cost.

        CPU time is what counts. A process that others keep from running does not get on by turning
        callers away.
        """
        now = self._cpu()
        took, self._began = now - self._began, now
        allowed = self._max_wait * _ROUND
        if self._let_in >= self._quota or took > allowed:
            # Who was read in the round before was answered in this one.
            affordable = min(2 * self._quota, allowed * self._before / took if took > 0 else 2 * self._quota)
            self._quota = max(_LEAST, round((self._quota + affordable) / 2))
        self._before, self._let_in, self._in_round = self._let_in, 0, False

    def turn_away(self) -> None:
        """Count a request that was turned away."""
        self._refused += 1
        self.turned_away["wait"] += 1
        if self._told is None:
            self._told = monotonic(), self.turned_away["wait"]
            _log.warning("overloaded", wait_ms=round(self.wait * 1000))

    def _relax(self) -> None:
        self.pressed = False
        if self._told is not None:
            since, before = self._told
            self._told = None
            _log.info(
                "overload_over",
                seconds=round(monotonic() - since - _CALM, 1),
                turned_away=self.turned_away["wait"] - before + 1,
            )

    def _tick(self) -> None:
        now, worked = monotonic(), self._cpu()
        self.look(now - self._due, now - self._looked, worked - self._worked)
        self._looked, self._worked, self._due = now, worked, now + _LOOK
        self._timer = asyncio.get_running_loop().call_later(_LOOK, self._tick)


def crowded() -> Overloaded:
    """What callers are told whose request is turned away."""
    return Overloaded("more requests come than can be answered; this one was not looked at")

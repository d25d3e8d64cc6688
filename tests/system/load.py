"""A steady load of requests from threads, every outcome recorded."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from harness import GUARD, Answer

__all__ = ["Load", "outcome", "until", "workers_of"]

Ask = Callable[[], Answer]


def until(condition: Callable[[], object]) -> None:
    """Wait until ``condition`` holds."""
    end = time.monotonic() + GUARD
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.02)


def workers_of(pid: int) -> list[int]:
    """The processes below ``pid``."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def outcome(ask: Ask) -> str:
    """What a caller sees, in a word or two: the status, and an error's name and code.

    ``200 stale`` is a list that says it is stale. A body in no shape of ours is ``502 ?``, a
    connection that failed is ``no answer``.
    """
    try:
        answer = ask()
    except OSError as exc:
        return f"no answer: {type(exc).__name__}"
    try:
        body = answer.json
        if answer.status == 200:
            return (
                "200 stale" if body.get("meta", {}).get("stale") else f"200{'' if body['data'] else ' empty'}"
            )
        found = body["detail"]
        assert found["message"]
        assert found["fix"]
        assert answer.header("X-Request-ID") == found["request_id"]
        return " ".join([str(answer.status), found["error"], *([found["code"]] if "code" in found else [])])
    except (AssertionError, KeyError, TypeError, ValueError):
        return f"{answer.status} ?"


class Load:
    """A context: ``threads`` ask in turn, with a pause after each answer, until the block ends.

    ``seen`` counts the outcomes since the start or the last ``mark``.
    """

    def __init__(self, ask: Ask, *, threads: int = 3, pause: float = 0.02) -> None:
        self._ask, self._pause = ask, pause
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(threads)
        ]
        self._asked = [0] * threads
        self.seen: Counter[str] = Counter()
        self._begun = 0

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.more()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(GUARD)

    def mark(self) -> Counter[str]:
        """Forget what was seen and return it; what is under way still counts for the time before."""
        with self._lock:
            seen, self.seen = self.seen, Counter()
            self._begun += 1
        return seen

    def more(self, count: int = 20, *, of: str = "") -> None:
        """Wait until so many more outcomes were seen (of those that begin with ``of``)."""

        def matching() -> int:
            with self._lock:
                return sum(number for name, number in self.seen.items() if name.startswith(of))

        wanted = matching() + count
        until(lambda: matching() >= wanted)

    def settle(self) -> None:
        """Wait until whatever is under way now has ended."""
        before = list(self._asked)
        until(lambda: all(now > then for now, then in zip(self._asked, before, strict=True)))

    def _run(self, number: int) -> None:
        while not self._stop.is_set():
            era = self._begun
            self._asked[number] += 1
            found = outcome(self._ask)
            with self._lock:
                if era == self._begun:
                    self.seen[found] += 1
            self._stop.wait(self._pause)

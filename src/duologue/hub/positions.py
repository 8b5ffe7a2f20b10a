"""Positions of messages in their topics: 1, 2, 3, …, in bounded memory.

Invariant: what :meth:`Positions.take` returns for a topic is greater than all it returned for it
before. It is the next number, unless the topic was forgotten meanwhile.
"""

from __future__ import annotations

import itertools


class Positions:
    """The last position of each topic that was published to.

    Args:
        most: topics to remember, ``None`` for any number. Above it the half that began first is
            forgotten: those go on after the greatest position that was ever forgotten.
        horizon: no position is up to here.
    """

    __slots__ = ("_horizon", "_last", "_most")

    def __init__(self, most: int | None = None, horizon: int = 0) -> None:
        self._last: dict[str, int] = {}
        self._most = most
        self._horizon = horizon

    def __len__(self) -> int:
        return len(self._last)

    def take(self, topic: str) -> int:
        """Return the next position of a topic."""
        last = self._last.get(topic)
        if last is None:
            last = self._horizon
            if self._most is not None and len(self._last) >= self._most:
                self._forget()
        self._last[topic] = last + 1
        return last + 1

    def _forget(self) -> None:
        for topic in list(itertools.islice(self._last, (len(self._last) + 1) // 2)):
            self._horizon = max(self._horizon, self._last.pop(topic))

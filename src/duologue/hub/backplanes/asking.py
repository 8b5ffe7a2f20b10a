"""Questions to all other processes, and who has still to answer.

Knows no transport: a backplane says whom it has asked, who answered, and who is gone.
"""

from __future__ import annotations

import asyncio
import itertools


class Asked:
    """One question.

    Attributes:
        identifier: its number.
        expected: who has still to answer; ``None`` until it is known who was asked.
        sent: whether it is on its way.
        answered: all answers by who gave them, once there are.
    """

    def __init__(self, identifier: int) -> None:
        self.identifier = identifier
        self.expected: set[str] | None = None
        self.sent = False
        self.answers: dict[str, bytes] = {}
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[dict[str, bytes]] = loop.create_future()


class Questions:
    """All questions of one process that have not been answered."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[int, Asked] = {}

    def ask(self) -> Asked:
        """Begin a question."""
        asked = Asked(next(self._numbers) & 0xFFFFFFFF)
        self._open[asked.identifier] = asked
        return asked

    def forget(self, asked: Asked) -> None:
        """End a question, answered or not."""
        self._open.pop(asked.identifier, None)

    def expect(self, identifier: int, names: list[str]) -> None:
        """Note who was asked."""
        asked = self._open.get(identifier)
        if asked is not None:
            asked.expected = set(names)
            self._look_at(asked)

    def take(self, identifier: int, name: str, answer: bytes) -> None:
        """Note an answer."""
        asked = self._open.get(identifier)
        if asked is not None and asked.expected is not None and name in asked.expected:
            asked.expected.discard(name)
            asked.answers[name] = answer
            self._look_at(asked)

    def gone(self, name: str) -> None:
        """Expect nothing more of a process."""
        for asked in list(self._open.values()):
            if asked.expected is not None:
                asked.expected.discard(name)
                self._look_at(asked)

    def fail(self, error: Exception) -> None:
        """Nobody will answer what was asked so far."""
        for asked in self._open.values():
            if asked.sent and not asked.answered.done():
                asked.answered.set_exception(error)

    def _look_at(self, asked: Asked) -> None:
        if not asked.expected and not asked.answered.done():
            asked.answered.set_result(asked.answers)

"""Whether topics reorder, repeat or lose: pure, so that it can be shown to notice."""

from __future__ import annotations

KEPT = 2000
"""Numbers of a topic that are remembered on each connection."""


class Judge:
    """What publishers and listeners have seen, and what is wrong about it.

    Args:
        wrong: where complaints go.

    Attributes:
        messages: that were checked.
        connections: of listeners.
        uncertain: by topic, the numbers whose publisher lost sight of them: they may be missing,
            or come late.
    """

    def __init__(self, wrong: list[str]) -> None:
        self.wrong = wrong
        self.messages = 0
        self.connections = 0
        self.uncertain: dict[str, set[int]] = {}

    def doubt(self, topic: str, number: int) -> None:
        """Note that it isn't known whether a message was published."""
        self.uncertain.setdefault(topic, set()).add(number)

    def check(self, who: str, topic: str, seen: Seen, number: int) -> None:
        """Compare a message with those before it on the same connection."""
        self.messages += 1
        uncertain = self.uncertain.get(topic, set())
        if number in seen.numbers:
            self.wrong.append(f"{who}: {topic} has {number} twice")
        elif number < seen.newest and number not in uncertain:
            self.wrong.append(f"{who}: {topic} has {number} after {seen.newest}")
        elif seen.newest:
            lost = set(range(seen.newest + 1, number)) - uncertain
            if lost:
                self.wrong.append(f"{who}: {topic} lacks {sorted(lost)[:5]}")
        seen.add(number)


class Seen:
    """The numbers of one topic that came over one connection: the latest ones."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self.newest = 0

    def add(self, number: int) -> None:
        """Note one."""
        self.newest = max(self.newest, number)
        self.numbers.add(number)
        if len(self.numbers) > 2 * KEPT:
            self.numbers = {each for each in self.numbers if each > self.newest - KEPT}

"""What is published in ``test_topic_order.py``, and what each subscriber has got of it.

A message says its topic, who published it, which of that publisher's messages in that topic it is,
and a checksum of all of it. A publisher's last message, in a topic of its own that everybody is
subscribed to, says that it has published everything: messages of one process keep their order
across topics, so what has not come by then is lost.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable

END = "end"


def write(topic: str, publisher: str, number: int) -> str:
    """A message; its length depends on what it says."""
    said = f"{topic}|{publisher}|{number}|{'x' * (zlib.crc32(topic.encode()) % 100 + number)}"
    return f"{said}|{zlib.crc32(said.encode())}"


def topic_of(message: str) -> str:
    return message.partition("|")[0]


class Ledger:
    """One subscriber's."""

    def __init__(self, topics: Iterable[str]) -> None:
        self.got: dict[str, list[tuple[str, int]]] = {topic: [] for topic in topics}
        self.ended: set[str] = set()
        self.changed: list[str] = []

    def take(self, message: str) -> None:
        """Note a message."""
        said, _, checksum = message.rpartition("|")
        topic, publisher, number, _ = said.split("|")
        if checksum != str(zlib.crc32(said.encode())):
            self.changed.append(topic)
        elif topic == END:
            self.ended.add(publisher)
        else:
            self.got[topic].append((publisher, int(number)))


def complaints(
    ledgers: Iterable[Ledger], publishers: Iterable[str], count: int
) -> set[tuple[str, str]]:
    """What is wrong in which topic, when each publisher has published so many messages in each."""
    publishers = list(publishers)
    whole = list(range(count))
    found: set[tuple[str, str]] = set()
    orders: dict[str, list[tuple[str, int]]] = {}
    for ledger in ledgers:
        found |= {("changed", topic) for topic in ledger.changed}
        for topic, got in ledger.got.items():
            by_publisher = defaultdict(list)
            for publisher, number in got:
                by_publisher[publisher].append(number)
            for publisher in publishers:
                numbers = by_publisher.pop(publisher, [])
                if numbers != whole:
                    found |= {(kind, topic) for kind in _faults(numbers, whole)}
            found |= {("invented", topic) for _ in by_publisher}
            if got != orders.setdefault(topic, got):
                found.add(("another order", topic))
    return found


def _faults(numbers: list[int], whole: list[int]) -> set[str]:
    faults = set()
    if set(whole) - set(numbers):
        faults.add("lost")
    if len(numbers) != len(set(numbers)):
        faults.add("doubled")
    if sorted(numbers) != numbers:
        faults.add("reordered")
    if set(numbers) - set(whole):
        faults.add("invented")
    return faults

"""Who is interested in which topics: what a backplane's server keeps of its processes.

Knows names and filters; what a process is does not matter, as long as it can be a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from duologue.hub.names import Filters, is_filter

Peer = TypeVar("Peer")


class Interests(Generic[Peer]):
    """Topics, and the processes that have subscribers of each."""

    def __init__(self) -> None:
        self._topics: dict[str, dict[Peer, None]] = {}
        self._of: dict[Peer, dict[str, None]] = {}
        self._filters = Filters()

    def __len__(self) -> int:
        return len(self._topics)

    def __contains__(self, topic: str) -> bool:
        return topic in self._topics

    def __iter__(self) -> Iterator[str]:
        return iter(self._topics)

    def add(self, peer: Peer, topic: str) -> None:
        """Note an interest; one that is there already changes nothing."""
        peers = self._topics.get(topic)
        if peers is None:
            peers = self._topics[topic] = {}
            if is_filter(topic):
                self._filters.add(topic)
        peers[peer] = None
        self._of.setdefault(peer, {})[topic] = None

    def discard(self, peer: Peer, topic: str) -> None:
        """Remove an interest, if there is one."""
        peers = self._topics.get(topic)
        if peers is None or peer not in peers:
            return
        del peers[peer], self._of[peer][topic]
        if not self._of[peer]:
            del self._of[peer]
        if not peers:
            del self._topics[topic]
            self._filters.discard(topic)

    def drop(self, peer: Peer) -> None:
        """Remove all interests of a process."""
        for topic in list(self._of.get(peer, ())):
            self.discard(peer, topic)

    def count(self, peer: Peer) -> int:
        """How many topics a process is interested in."""
        return len(self._of.get(peer, ()))

    def peers(self, name: str) -> dict[Peer, None]:
        """Return who is interested in what is published to a name; not to be changed."""
        peers = self._topics.get(name, {})
        if not self._filters:
            return peers
        together = dict(peers)
        for topic in self._filters.matching(name):
            together.update(self._topics[topic])
        return together

"""What stands in a connection's slot for topics once a hub has admitted it.

Until its first subscription a connection refers to an :class:`Entrance`, which all connections of a
hub share; then to a :class:`Member` of its own. Both only pass on to the hub what changes.
"""

from __future__ import annotations

from typing import Any, Protocol

from duologue.connection.connection import Connection
from duologue.connection.membership import Membership
from duologue.hub.topics import Topic


class Registry(Protocol):
    """The hub's part: checks a subscription, keeps it, and tells of it."""

    def join(
        self, connection: Connection, member: Member, topic: str, presence: Any, wildcards: bool
    ) -> None:
        """Add a subscription."""

    def part(self, connection: Connection, topic: Topic) -> None:
        """Take one away that there is."""


class Member(Membership):
    """The subscriptions of one connection.

    Args:
        registry: the hub.

    Attributes:
        registry: the hub.
        found: its topics by their names.
    """

    __slots__ = ("found", "registry")

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.found: dict[str, Topic] = {}

    def subscribe(
        self, connection: Connection, topic: str, *, presence: Any = None, wildcards: bool = True
    ) -> bool:
        """See :meth:`Connection.subscribe`."""
        if topic in self.found:
            return False
        self.registry.join(connection, self, topic, presence, wildcards)
        return True

    def unsubscribe(self, connection: Connection, topic: str) -> bool:
        """See :meth:`Connection.unsubscribe`."""
        found = self.found.pop(topic, None)
        if found is None:
            return False
        self.registry.part(connection, found)
        return True

    def is_subscribed(self, topic: str) -> bool:
        """See :meth:`Connection.is_subscribed`."""
        return topic in self.found

    def topics(self) -> frozenset[str]:
        """See :attr:`Connection.topics`."""
        return frozenset(self.found)

    def leave(self, connection: Connection) -> None:
        """Unsubscribe from everything, in the order in which it was subscribed to."""
        while self.found:
            self.registry.part(connection, self.found.pop(next(iter(self.found))))


class Entrance(Membership):
    """What a connection refers to that is subscribed to nothing yet.

    Args:
        registry: the hub.
    """

    __slots__ = ("_registry",)

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def subscribe(
        self, connection: Connection, topic: str, *, presence: Any = None, wildcards: bool = True
    ) -> bool:
        """Make the connection a member, and subscribe it."""
        connection.membership = Member(self._registry)
        return connection.membership.subscribe(
            connection, topic, presence=presence, wildcards=wildcards
        )

    def unsubscribe(self, connection: Connection, topic: str) -> bool:
        """Change nothing."""
        return False

    def is_subscribed(self, topic: str) -> bool:
        """Tell that it is not."""
        return False

    def topics(self) -> frozenset[str]:
        """Return the empty set."""
        return frozenset()

    def leave(self, connection: Connection) -> None:
        """Change nothing."""

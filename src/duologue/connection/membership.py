"""What a connection knows of topics: one slot, and what whoever fills it must be able to do.

A connection has methods to subscribe and knows nothing about topics; it passes them on to the
:class:`Membership` in its slot. Hubs fill the slot when they admit a connection. Those that no hub
has admitted refer to :data:`NO_TOPICS`, which is shared, and the same is true again of those that
close: a hub is told so once, by :meth:`Membership.leave`.

Must never know how topics are kept, nor who publishes.
"""

from __future__ import annotations

from typing import Any


class Membership:
    """What one connection is subscribed to; the interface of a connection's slot."""

    __slots__ = ()

    def subscribe(
        self, connection: Any, topic: str, *, presence: Any = None, wildcards: bool = True
    ) -> bool:
        """Subscribe an open connection; return whether it was not subscribed before."""
        raise NotImplementedError

    def unsubscribe(self, connection: Any, topic: str) -> bool:
        """Unsubscribe a connection; return whether it was subscribed."""
        raise NotImplementedError

    def is_subscribed(self, topic: str) -> bool:
        """Tell whether the connection is subscribed to exactly this."""
        raise NotImplementedError

    def topics(self) -> frozenset[str]:
        """Return everything the connection is subscribed to."""
        raise NotImplementedError

    def leave(self, connection: Any) -> None:
        """Unsubscribe a connection from everything: it closes, and refers to this no more."""
        raise NotImplementedError


class NoTopics(Membership):
    """The membership of a connection that no hub knows, or not any more."""

    __slots__ = ()

    def subscribe(
        self, connection: Any, topic: str, *, presence: Any = None, wildcards: bool = True
    ) -> bool:
        """Refuse: there is nobody who would publish."""
        raise RuntimeError("this connection has no topics: no App or Hub has admitted it")

    def unsubscribe(self, connection: Any, topic: str) -> bool:
        """Change nothing."""
        return False

    def is_subscribed(self, topic: str) -> bool:
        """Tell that it is not."""
        return False

    def topics(self) -> frozenset[str]:
        """Return the empty set."""
        return frozenset()

    def leave(self, connection: Any) -> None:
        """Change nothing."""


NO_TOPICS = NoTopics()
"""What every connection refers to until a hub admits it, and after it begins to close."""

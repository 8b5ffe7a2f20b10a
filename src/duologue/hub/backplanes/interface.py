"""What a backplane is: the way messages of a hub take to the hubs of other processes.

A backplane does four things: it orders messages (:meth:`Backplane.publish`), it brings those that
somebody here is interested in (:meth:`Backplane.interest`), it lets processes talk to each other
(:meth:`Backplane.request`, :meth:`Backplane.tell`), and it says which processes there are. Counts
and presence are made of that by the hub, the same for every backplane.

What every implementation keeps, and the contract suite checks:

* **Order.** A topic's messages have one order in all processes: that of their positions, which
  only grow. Each process is delivered those it is interested in in this order, its own among them.
  Messages that one process publishes keep their order across topics too.
* **Once.** No message is delivered twice, whatever fails.
* **Own messages** come back by :meth:`Receiver.deliver` like those of others, as the same object,
  settled, whether or not anybody here is interested. A hub delivers nothing before that.
* **Interest** holds for everything published after it has arrived; a :meth:`Backplane.request`
  arrives after every interest before it. Who is interested in a filter gets each message once.
* **Loss.** While the way is cut, what is published waits, up to ``Limits.max_backlog`` octets;
  above that it fails with :exc:`BackplaneError`. What had begun its way when it was cut fails
  likewise, since nobody knows whether it arrived: it is never sent again. What others published
  meanwhile is missed, and the hub is told so by :meth:`Receiver.missed`. So is a process that takes
  so little that more than ``max_backlog`` octets wait for it: it is cut off, and comes back.
* **Return.** A backplane reconnects by itself, with pauses that grow and vary. It repeats its
  interests first, then sends what waited, in order.
* **Processes** have a name for life, made of random octets. One that gives no sign of life for
  ``Limits.lease`` seconds counts as gone; if it was only slow it joins again. A process is told of
  each other one that is there when it connects, and of all that join or go afterwards.
* **Words** (:meth:`Backplane.tell`) from one process to another arrive in order, once, or the
  connection of one of both is lost meanwhile.

How the usual servers give this: with Redis, a script increments the topic's counter and publishes
under that position, interest is SUBSCRIBE and PSUBSCRIBE, and a lease is a key with a time to live;
with NATS, a subject is a topic and the stream's sequence number the position.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from typing import Protocol

from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.hub.message import Message


class Receiver(Protocol):
    """What a backplane calls: the hub. Nothing of it raises or waits."""

    def deliver(self, message: Message) -> None:
        """Take a message, with its position, of this process or another one."""

    def asked(self, question: bytes) -> bytes:
        """Answer a question of another process."""

    def told(self, peer: str, words: bytes) -> None:
        """Take what another process says."""

    def peer_joined(self, peer: str) -> None:
        """Note that another process is there."""

    def peer_gone(self, peer: str) -> None:
        """Note that another process is there no more."""

    def missed(self, reason: str) -> None:
        """Note that messages of others may have been missed, now that the way is open again."""

    def failed(self, count: int, reason: str) -> None:
        """Note that messages failed which :meth:`Backplane.publish` had taken; each knows it."""


class Backplane(ABC):
    """One process's connection to the others; belongs to one hub and one event loop.

    Args:
        limits: bounds and times.

    Attributes:
        name: of this process, unique among all.
        peers: names of the other processes that are there now.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.name = secrets.token_hex(8)
        self.peers: set[str] = set()

    @abstractmethod
    async def start(self, receiver: Receiver) -> None:
        """Connect.

        Raises:
            BackplaneError: If that does not succeed within ``Limits.open_timeout``.
        """

    @abstractmethod
    async def close(self) -> None:
        """Send what waits, as far as that is possible now, and disconnect for good."""

    @abstractmethod
    def abort(self) -> None:
        """Disconnect at once and for good, as a process does that is killed."""

    @abstractmethod
    def publish(self, message: Message) -> None:
        """Put a message on its way: it is settled, or fails, later; or refuse it: it fails now."""

    @abstractmethod
    def interest(self, topic: str) -> None:
        """Ask for what is published to a topic or filter; the first subscriber has come."""

    @abstractmethod
    def no_interest(self, topic: str) -> None:
        """Ask for it no more; the last subscriber has gone."""

    @abstractmethod
    async def request(self, question: bytes) -> dict[str, bytes]:
        """Ask all other processes.

        Returns:
            Their answers by their names. Those that go meanwhile are left out.

        Raises:
            BackplaneError: If not all have answered within ``Limits.request_timeout``.
        """

    @abstractmethod
    def tell(self, words: bytes, peer: str | None = None) -> None:
        """Say something to one other process, or to all; lost if it is not there now."""

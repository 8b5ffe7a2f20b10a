"""The hub: which connections get what is published, in this process and in others.

Without a backplane a message is offered to its subscribers inside of ``publish()`` itself, so its
order among other things that are sent is that of the calls. With one it first gets its position
from the backplane, and is offered when it comes back: a topic has the same order in all processes.

Knows connections and one backplane, neither servers nor applications. Belongs to one event loop.
Invariant: a backplane is told of exactly those topics that :class:`Topics` has, and those that this
process itself is subscribed to.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from duologue.base.callbacks import check_callback
from duologue.base.exceptions import TooManySubscriptions
from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.base.types import DataLike, LoggerLike
from duologue.connection.connection import Connection
from duologue.connection.policies import Overflow
from duologue.hub.backplanes.interests import Interests
from duologue.hub.backplanes.interface import Backplane
from duologue.hub.members import Entrance, Member
from duologue.hub.message import Message, prepare
from duologue.hub.names import check_name, check_topic, is_filter
from duologue.hub.packing import Packing
from duologue.hub.positions import Positions
from duologue.hub.presence import Board, PresenceEvent, Present, Watch
from duologue.hub.subscription import OnMessage, Subscription
from duologue.hub.topics import Topic, Topics

OnSubscription = Callable[[Connection, str, int, int], object]
OnGap = Callable[[str], object]


class Hub:
    """Topics of one process, which connections subscribe to.

    ::

        hub = duologue.Hub()

        async def room(ws):
            hub.admit(ws)
            ws.subscribe("room")
            async for message in ws:
                hub.publish("room", message, exclude=ws)

    An :class:`App` has one and admits its connections. Not thread-safe: everything is to be called
    in the event loop of the connections.

    Args:
        backplane: what joins it to hubs of other processes, ``None`` to be alone. It has to be
            started then: ``await hub.start()`` or ``async with hub``.
        limits: ``max_topic``, ``max_subscriptions`` and ``max_topics`` count here.
        logger: by default ``duologue.hub``.

    Attributes:
        gaps: how often messages of other processes may have been missed.
        failures: messages published here that may not have reached the others.
    """

    def __init__(
        self,
        *,
        backplane: Backplane | None = None,
        limits: Limits = DEFAULT_LIMITS,
        logger: LoggerLike | None = None,
    ) -> None:
        self.limits = limits
        self.backplane = backplane
        self.gaps = 0
        self.failures = 0
        self._complained = -math.inf
        self._logger = logger or logging.getLogger("duologue.hub")
        self._topics = Topics()
        self._positions = Positions(limits.max_topics)
        self._packing = Packing()
        self._ears: Interests[Subscription] = Interests()
        self._entrance = Entrance(self)
        self._on_subscription: list[OnSubscription] = []
        self._on_gap: list[OnGap] = []
        name = "" if backplane is None else backplane.name
        self._board = Board(name, self._present, self._tell, self._logger)

    # -- life

    def use(self, backplane: Backplane) -> None:
        """Take a backplane that was not known when the hub was made; before :meth:`start`."""
        self.backplane = backplane
        self._board.process = backplane.name
        for name in dict.fromkeys([*self._topics.names(), *self._ears]):
            backplane.interest(name)

    async def start(self) -> None:
        """Connect the backplane, if there is one.

        Raises:
            BackplaneError: If that does not succeed within ``Limits.open_timeout``.
        """
        if self.backplane is not None:
            await self.backplane.start(self)

    async def close(self) -> None:
        """Disconnect the backplane; connections stay as they are."""
        if self.backplane is not None:
            await self.backplane.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # -- connections

    def admit(self, connection: Connection) -> None:
        """Let a connection subscribe to topics of this hub; it leaves those of another one.

        Args:
            connection: of either side, open or about to be.
        """
        former = connection.membership
        if not (isinstance(former, Member) and former.registry is self):
            connection.membership = self._entrance
            former.leave(connection)

    def join(
        self, connection: Connection, member: Member, topic: str, presence: Any, wildcards: bool
    ) -> None:
        """Add a subscription; :meth:`Connection.subscribe` says more."""
        found = self._topics.find(topic) if isinstance(topic, str) else None
        if found is None:
            topic = check_topic(topic, self.limits.max_topic)
        if not wildcards and is_filter(topic):
            raise ValueError(f"{topic!r} has wildcards, and wildcards=False refuses them")
        if presence is not None:
            # Others are told of it in JSON: better refused here than when somebody asks.
            json.dumps(presence)
        self._check_room(member, found)
        added = self._topics.add(topic, connection, presence)
        member.found[added.name] = added
        self._packing.look_at(connection)
        if found is None and self.backplane is not None:
            self.backplane.interest(added.name)
        if self._board.minds(added.name):
            self._board.joined(added.name, connection.id.hex, presence)
        self._tell_subscription(connection, added, len(added) - 1)

    def _check_room(self, member: Member, found: Topic | None) -> None:
        most = self.limits.max_subscriptions
        if most is not None and len(member.found) >= most:
            raise TooManySubscriptions(f"the connection is subscribed to max_subscriptions={most}")
        most = self.limits.max_topics
        if found is None and most is not None and len(self._topics) >= most:
            raise TooManySubscriptions(f"the process has max_topics={most} topics")

    def part(self, connection: Connection, topic: Topic) -> None:
        """Take a subscription away that there is."""
        self._topics.remove(topic, connection)
        if not topic and self.backplane is not None and topic.name not in self._ears:
            self.backplane.no_interest(topic.name)
        if self._board.minds(topic.name):
            self._board.left(topic.name, connection.id.hex)
        self._tell_subscription(connection, topic, len(topic) + 1)

    def _tell_subscription(self, connection: Connection, topic: Topic, before: int) -> None:
        now = len(topic)
        connection.subscription_changed(topic.name, now, before)
        for callback in self._on_subscription:
            try:
                callback(connection, topic.name, now, before)
            except Exception:
                connection.log().exception("a subscription callback failed")

    def on_subscription(self, callback: OnSubscription) -> OnSubscription:
        """Have a function called for each subscription that begins or ends; a decorator.

        It is called with the connection, the topic, and how many connections of this process are
        subscribed to it now and were before; :meth:`Endpoint.on_subscription` is, too. Of a
        connection that closes it is called once for each topic, before ``on_close`` is.
        """
        check_callback("on_subscription", callback)
        self._on_subscription.append(callback)
        return callback

    # -- the process itself

    def subscribe(self, topic: str, callback: OnMessage) -> Subscription:
        """Have a function of this process called with what is published to a topic.

        ::

            hub.subscribe("settings", lambda topic, message: settings.update(json.loads(message)))

        In whatever process it was published, and in the topic's order: for commands to all workers,
        caches that they drop, questions and answers. The process counts as no subscriber and has no
        presence.

        Args:
            topic: a name or a filter, as connections subscribe to.
            callback: called with the topic's name and the message, :class:`str` or :class:`bytes`,
                once it was offered to connections. Without a backplane that is inside of
                ``publish()``. What it raises is logged.

        Returns:
            What ends it by ``close()``.

        Raises:
            TypeError: If ``topic`` has another type, or ``callback`` can't be called.
            ValueError: If ``topic`` can't be one.
        """
        check_callback("subscribe", callback)
        found = Subscription(
            check_topic(topic, self.limits.max_topic), callback, self._unsubscribe, self._logger
        )
        if self.backplane is not None and not self._wants(found.topic):
            self.backplane.interest(found.topic)
        self._ears.add(found, found.topic)
        return found

    def _unsubscribe(self, ended: Subscription) -> None:
        self._ears.drop(ended)
        if self.backplane is not None and not self._wants(ended.topic):
            self.backplane.no_interest(ended.topic)

    def _wants(self, topic: str) -> bool:
        return topic in self._ears or self._topics.find(topic) is not None

    # -- publishing

    def publish(
        self,
        topic: str,
        message: DataLike,
        *,
        exclude: Connection | None = None,
        text: bool | None = None,
        key: str | None = None,
        overflow: Overflow | None = None,
        local: bool = False,
    ) -> Message:
        """Send a message to everybody who is subscribed to a topic.

        Queues at once and waits for nobody; may be called from any callback. What subscribers of
        this process get is framed once, and compressed once, whatever their number.

        Args:
            topic: a name, without wildcards.
            message: :class:`str` for a text message, bytes-like for a binary one.
            exclude: a connection of this process that does not get it, such as the one that it
                came from.
            text: ``True`` to send bytes as text, ``False`` to send str as binary.
            key: for subscribers that take too little, only the newest message of each key in this
                topic is kept.
            overflow: what happens to it where a subscriber takes too little, by default what the
                subscriber's connection has chosen; see
                :data:`~duologue.connection.policies.Overflow`.
            local: ``True`` to reach subscribers of this process only. Such a message is sent at
                once and has a position of its own.

        Returns:
            An awaitable of the message's position in its topic: 1 for the first one, and greater
            for each later one. Without a backplane it does not suspend.

        Raises:
            TypeError: If ``topic``, ``message``, ``key`` or ``exclude`` has another type.
            ValueError: If ``topic`` is no name, ``overflow`` no policy, ``key``
                longer than 1024 octets, or ``message`` a str that has no UTF-8 form.
            BackplaneError: When awaited, if the other processes could not be told.
        """
        name = check_name(topic, self.limits.max_topic)
        if exclude is not None and not isinstance(exclude, Connection):
            raise TypeError(f"exclude must be a connection, not {exclude!r}")
        published = Message(name, prepare(message, text, name, key, overflow), exclude)
        if self.backplane is None or local:
            published.settle(self._positions.take(name))
            self.deliver(published)
        else:
            if self.backplane.peers:
                self._packing.pack(published)
            self.backplane.publish(published)
            if published.error is not None:
                self.failed(1, str(published.error))
        return published

    def deliver(self, message: Message) -> None:
        """Offer a message to subscribers of this process."""
        if message.packed:
            self._packing.unpack(message)
        failures = self._topics.deliver(message.topic, message.prepared, message.exclude)
        for connection, exc in failures or ():
            connection.log().warning("skipped publish: failed to write message: %s", exc)
        if self._ears:
            for subscription in list(self._ears.peers(message.topic)):
                subscription.tell(message)

    # -- who is there

    async def subscribers(self, topic: str) -> int:
        """Count who would get what is published to a topic, in all processes.

        Args:
            topic: a name; or a filter, to count who is subscribed to exactly that.

        Raises:
            BackplaneError: If another process does not answer within ``Limits.request_timeout``.
        """
        topic = check_topic(topic, self.limits.max_topic)
        answers = await self._ask("count", topic)
        return self._topics.reach(topic) + sum(int(count) for count in answers.values())

    async def presence(self, topic: str) -> list[Present]:
        """List who is subscribed to exactly this topic, in all processes.

        Those of a process come in the order in which they subscribed, this process first.

        Raises:
            BackplaneError: If another process does not answer within ``Limits.request_timeout``.
        """
        topic = check_topic(topic, self.limits.max_topic)
        answers = await self._ask("presence", topic)
        here = "" if self.backplane is None else self.backplane.name
        found = [Present(who, info, here) for who, info in self._present(topic)]
        for process, members in sorted(answers.items()):
            found += [Present(who, info, process) for who, info in members]
        return found

    def watch(self, topic: str, callback: Callable[[PresenceEvent], object] | None = None) -> Watch:
        """Be told who joins and leaves a topic, in whatever process.

        Args:
            topic: as it is subscribed to.
            callback: called with each event; ``None`` to look at ``Watch.members`` only.

        Returns:
            What keeps the members, and ends it by ``close()``. Those of other processes are there
            when ``await watch.ready()`` returns. Who is there already is no event.
        """
        if callback is not None:
            check_callback("watch", callback)
        return self._board.watch(check_topic(topic, self.limits.max_topic), callback)

    def on_gap(self, callback: OnGap) -> OnGap:
        """Have a function called when messages of other processes may be missed; a decorator.

        It is called with the reason, in words. A program whose clients count on getting everything
        closes their connections with 1012 there, or tells them to ask for what they missed.
        """
        check_callback("on_gap", callback)
        self._on_gap.append(callback)
        return callback

    def _present(self, topic: str) -> list[tuple[str, Any]]:
        found = self._topics.find(topic)
        return [] if found is None else [(ws.id.hex, info) for ws, info in found.members()]

    async def _ask(self, what: str, topic: str) -> dict[str, Any]:
        if self.backplane is None:
            return {}
        question = json.dumps({"ask": what, "topic": topic}).encode()
        answers = await self.backplane.request(question)
        return {process: json.loads(answer) for process, answer in answers.items()}

    def _tell(self, words: bytes, peer: str | None) -> None:
        if self.backplane is not None:
            self.backplane.tell(words, peer)

    @property
    def topic_count(self) -> int:
        """How many topics have a subscriber in this process."""
        return len(self._topics)

    # -- what the backplane calls

    def asked(self, question: bytes) -> bytes:
        """Answer a question of another process."""
        asked = json.loads(question)
        topic = asked["topic"]
        answer = self._topics.reach(topic) if asked["ask"] == "count" else self._present(topic)
        return json.dumps(answer).encode()

    def told(self, peer: str, words: bytes) -> None:
        """Take what another process says of presence."""
        self._board.told(peer, words)

    def peer_joined(self, peer: str) -> None:
        """Note that another process is there."""
        self._board.peer_joined(peer)

    def peer_gone(self, peer: str) -> None:
        """Note that another process is there no more."""
        self._board.peer_gone(peer)

    def failed(self, count: int, reason: str) -> None:
        """Note that messages published here did not reach others, or may not have.

        Nobody may be waiting for them, so it is logged: at most once a second.
        """
        self.failures += count
        now = time.monotonic()
        if now - self._complained > 1:
            self._complained = now
            self._logger.error(
                "%d messages were not published: %s (%d so far)", count, reason, self.failures
            )

    def missed(self, reason: str) -> None:
        """Note that messages of others may have been missed."""
        self.gaps += 1
        self._logger.warning("messages of other processes may have been missed: %s", reason)
        for callback in self._on_gap:
            try:
                callback(reason)
            except Exception:
                self._logger.exception("a gap callback failed")

"""Who is subscribed to a topic, in all processes, and who comes and goes.

A process that watches a topic tells the others so, and they tell it who is there, and from then on
who joins and leaves. Nobody else is told anything: a topic that nobody watches costs nothing. When
a process is gone its members are, without its help; one that comes back tells anew who is there,
and only what has changed becomes an event.

Speaks to other processes by two functions that it is given, in JSON. Knows no connections.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from duologue.base.types import LoggerLike


@dataclass(frozen=True, slots=True)
class Present:
    """One subscriber of a topic, as others see it.

    Attributes:
        id: the connection's ``id`` in hexadecimal.
        info: what it gave with ``subscribe(topic, presence=...)``.
        process: name of the process that it is connected to.
    """

    id: str
    info: Any
    process: str


@dataclass(frozen=True, slots=True)
class PresenceEvent:
    """Somebody joined or left a topic.

    Attributes:
        kind: ``"join"`` or ``"leave"``.
        topic: its name.
        member: who.
    """

    kind: str
    topic: str
    member: Present


class Watch:
    """A look at who is present in one topic; made by :meth:`Hub.watch`.

    Attributes:
        topic: its name.
        members: who is there, by ``id``.
    """

    def __init__(
        self, board: Board, topic: str, callback: Callable[[PresenceEvent], object] | None
    ) -> None:
        self._board = board
        self._callback = callback
        self._ready: asyncio.Future[None] | None = None
        self.topic = topic
        self.members: dict[str, Present] = {}

    async def ready(self) -> None:
        """Wait until every process has told who is there."""
        if self._board.awaited(self.topic):
            if self._ready is None or self._ready.done():
                self._ready = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._ready)

    def close(self) -> None:
        """Watch no more; closing again changes nothing."""
        self._board.unwatch(self)
        self.settled()

    def settled(self) -> None:
        """Wake who waits for :meth:`ready`."""
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def happened(self, event: PresenceEvent, logger: LoggerLike) -> None:
        """Note who joined or left, and call back."""
        if event.kind == "join":
            self.members[event.member.id] = event.member
        else:
            self.members.pop(event.member.id, None)
        if self._callback is None:
            return
        try:
            self._callback(event)
        except Exception:
            logger.exception("a presence callback failed")


class Board:
    """What this process knows of presence, and whom it has to tell.

    Args:
        process: this process's name; may be set anew while nobody watches.
        here: who is subscribed to a topic in this process, as ``(id, info)``.
        tell: says something to one other process, or to all (``None``).
        logger: for callbacks that fail.
    """

    def __init__(
        self,
        process: str,
        here: Callable[[str], Iterable[tuple[str, Any]]],
        tell: Callable[[bytes, str | None], None],
        logger: LoggerLike | None = None,
    ) -> None:
        self.process = process
        self._here = here
        self._tell = tell
        self._logger = logger or logging.getLogger("duologue.hub")
        self._watches: dict[str, list[Watch]] = {}
        # What each process has told of each topic that is watched here.
        self._books: dict[str, dict[str, dict[str, Any]]] = {}
        # Processes that have not told yet who is there; and of these, whom the watch began with:
        # what they tell first is no event.
        self._awaited: dict[str, set[str]] = {}
        self._first: dict[str, set[str]] = {}
        # Processes that watch a topic.
        self._listeners: dict[str, set[str]] = {}
        self._peers: set[str] = set()

    # -- for the hub

    def minds(self, topic: str) -> bool:
        """Whether anybody wants to know who comes and goes here."""
        return topic in self._listeners or topic in self._watches

    def watch(self, topic: str, callback: Callable[[PresenceEvent], object] | None) -> Watch:
        """Begin to watch a topic; who is there already is no event."""
        watch = Watch(self, topic, callback)
        first = topic not in self._watches
        self._watches.setdefault(topic, []).append(watch)
        if first:
            self._books[topic] = {self.process: dict(self._here(topic))}
            self._awaited[topic] = set(self._peers)
            self._first[topic] = set(self._peers)
            self._say("watch", topic)
        for process, book in self._books[topic].items():
            watch.members.update(_present(process, book))
        return watch

    def unwatch(self, watch: Watch) -> None:
        """End a watch."""
        watches = self._watches.get(watch.topic, [])
        if watch in watches:
            watches.remove(watch)
            if not watches:
                del self._watches[watch.topic], self._books[watch.topic]
                del self._awaited[watch.topic], self._first[watch.topic]
                self._say("unwatch", watch.topic)

    def awaited(self, topic: str) -> bool:
        """Whether some process has still to tell who is there."""
        return bool(self._awaited.get(topic))

    def joined(self, topic: str, who: str, info: Any) -> None:
        """Tell that somebody in this process has joined."""
        self._note(topic, self.process, "join", who, info)
        for peer in self._listeners.get(topic, ()):
            self._say("join", topic, peer, who=who, info=info)

    def left(self, topic: str, who: str) -> None:
        """Tell that somebody in this process has left."""
        self._note(topic, self.process, "leave", who)
        for peer in self._listeners.get(topic, ()):
            self._say("leave", topic, peer, who=who)

    # -- for the backplane

    def peer_joined(self, peer: str) -> None:
        """Have a process that is there now, or again, tell who is there."""
        self._peers.add(peer)
        for topic in self._watches:
            self._awaited[topic].add(peer)
            self._say("watch", topic, peer)

    def peer_gone(self, peer: str) -> None:
        """Let the members of a process go together with it."""
        self._peers.discard(peer)
        for topic in [topic for topic, peers in self._listeners.items() if peer in peers]:
            self._forget_listener(topic, peer)
        for topic in list(self._watches):
            self._take_book(topic, peer, {})
            if topic in self._books:
                self._books[topic].pop(peer, None)

    def told(self, peer: str, words: bytes) -> None:
        """Take what another process says."""
        said = json.loads(words)
        topic, kind = said["topic"], said["say"]
        if kind == "watch":
            self._listeners.setdefault(topic, set()).add(peer)
            self._say("members", topic, peer, members=dict(self._here(topic)))
        elif kind == "unwatch":
            self._forget_listener(topic, peer)
        elif topic not in self._watches:
            # Said before it heard that nobody watches here any more.
            return
        elif kind == "members":
            self._take_book(topic, peer, said["members"])
        else:
            self._note(topic, peer, kind, said["who"], said.get("info"))

    # -- inside

    def _say(self, kind: str, topic: str, peer: str | None = None, **more: Any) -> None:
        self._tell(json.dumps({"say": kind, "topic": topic, **more}).encode(), peer)

    def _forget_listener(self, topic: str, peer: str) -> None:
        peers = self._listeners.get(topic, set())
        peers.discard(peer)
        if not peers:
            self._listeners.pop(topic, None)

    def _take_book(self, topic: str, process: str, members: dict[str, Any]) -> None:
        """Note who is there in a process, and what has changed by that.

        Callbacks may end the watch meanwhile.
        """
        first = self._first.get(topic, set())
        if process in first:
            first.discard(process)
            self._books[topic][process] = members
            for watch in self._watches[topic]:
                watch.members.update(_present(process, members))
        book = self._books.get(topic, {}).setdefault(process, {})
        for who in [who for who in book if who not in members]:
            self._note(topic, process, "leave", who)
        for who, info in members.items():
            if who not in book:
                self._note(topic, process, "join", who, info)
        awaited = self._awaited.get(topic, set())
        awaited.discard(process)
        if not awaited:
            for watch in list(self._watches.get(topic, ())):
                watch.settled()

    def _note(self, topic: str, process: str, kind: str, who: str, info: Any = None) -> None:
        if topic not in self._watches:
            return
        book = self._books[topic].setdefault(process, {})
        if kind == "join":
            book[who] = info
        elif who in book:
            info = book.pop(who)
        else:
            return
        event = PresenceEvent(kind, topic, Present(who, info, process))
        for watch in list(self._watches[topic]):
            watch.happened(event, self._logger)


def _present(process: str, members: dict[str, Any]) -> dict[str, Present]:
    return {who: Present(who, info, process) for who, info in members.items()}

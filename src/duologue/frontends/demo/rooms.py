"""The demo's chat: rooms, who is in them, and the tutorials' chat, which is one of them.

All of it is topics, so any number of workers has one chat together. Nothing that is said is kept:
who comes later does not see it.

===============  ===================================================================================
topic            who is subscribed, and to what
===============  ===================================================================================
``room/NAME``    pages in a room, to what is said there, from all workers, and to who comes and
                 goes, from their own worker, which knows of all
``rooms``        all pages, to the list of rooms, from their own worker
``plain``        programs that talk as the tutorials' do, to what is said in the lobby
``here``         everybody: nothing is ever published there, but presence says who is in which room
===============  ===================================================================================

A page opens ``/rooms?room=NAME&name=NAME``; both may be left out. With ``avoid=NUMBER`` that worker
closes at once, so that a page can get to another one by trying again. What a page sends are texts,
just as they are said. What it is sent is JSON with a ``kind``: ``welcome`` once, then ``join``,
``leave``, ``said``, ``rooms`` and ``error``. On ``/`` there is nothing but text, as in
:mod:`duologue.frontends.chat`.

It must never trust a name: what peers choose is checked by :mod:`.names`, and is text everywhere.

Invariants: who is told of a room has been told before who was there; after that, of everybody who
comes and goes, once. Somebody who is in the room is always told of his own coming.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from duologue.app.application import App
from duologue.app.guard import UpgradeRequest
from duologue.asyncio.server import ServerConnection
from duologue.exceptions import BackplaneError
from duologue.frontends.chat import logged_visit
from duologue.frontends.demo import bounds
from duologue.frontends.demo.commands import BadCommand, encode
from duologue.frontends.demo.names import LOBBY, person_name, room_name
from duologue.hub.presence import PresenceEvent, Watch

__all__ = ["Rooms"]

HERE = "here"
PLAIN = "plain"
LIST = "rooms"
NUMBERS = "numbers"

BAD_NAME = 4400
"""Close code for those who ask for a room, or a name, that can't be."""
AVOIDED = 4409
"""Close code for those who have come to the worker that they want to avoid."""
FULL = 1013


class Full(Exception):
    """There is no room for one more; the message says which bound it is."""


class Rooms:
    """The chat of one worker, one with those of the others.

    Args:
        app: whose topics it uses; it has to enter :meth:`running`.
        log: called with each line of the chat's log, see :class:`duologue.frontends.chat.Chat`.
        workers: how many processes serve, for the page.
    """

    def __init__(self, app: App, log: Callable[[str], object], workers: int = 1) -> None:
        self._app = app
        self._log = log
        self._workers = workers
        self._watch: Watch | None = None
        self._list_due: asyncio.TimerHandle | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Know who is where, from all workers, while this lasts."""
        self._watch = watch = self._app.watch(HERE, self._moved)
        try:
            await watch.ready()
            yield
        finally:
            watch.close()
            if self._list_due is not None:
                self._list_due.cancel()
                self._list_due = None

    # -- who is where

    def _members(self, room: str) -> list[dict[str, Any]]:
        assert self._watch is not None  # it is running
        here = self._watch.members.values()
        return [_shown(each.id, each.info) for each in here if each.info["room"] == room]

    def _rooms(self) -> dict[str, int]:
        assert self._watch is not None  # it is running
        counts = Counter(each.info["room"] for each in self._watch.members.values())
        return {LOBBY: counts[LOBBY], **dict(sorted(counts.items()))}

    def _moved(self, event: PresenceEvent) -> None:
        """Tell the pages of this worker that somebody has come or gone, here or elsewhere."""
        member = event.member
        news = {"kind": event.kind} | _shown(member.id, member.info)
        self._app.publish(_topic(member.info["room"]), encode(news), local=True)
        if self._list_due is None:
            loop = asyncio.get_running_loop()
            self._list_due = loop.call_later(bounds.LIST_PAUSE, self._tell_rooms)

    def _tell_rooms(self) -> None:
        self._list_due = None
        # A page that is behind needs the newest list only.
        news = encode({"kind": "rooms", "rooms": self._rooms()})
        self._app.publish(LIST, news, local=True, key=LIST)

    def _check(self, room: str) -> None:
        rooms = self._rooms()
        if rooms.get(room, 0) >= bounds.MAX_MEMBERS:
            raise Full(f"{bounds.MAX_MEMBERS} are in this room, which is the most")
        if room not in rooms and len(rooms) >= bounds.MAX_ROOMS:
            raise Full(f"there are {bounds.MAX_ROOMS} rooms, which is the most")

    async def _number(self) -> int:
        """The number of a newcomer: of all workers together, and never used again."""
        return await self._app.publish(NUMBERS, "")

    # -- pages

    async def admit(self, request: UpgradeRequest) -> None:
        """Let a page in that asks for a room that can be.

        Args:
            request: with ``room`` and ``name`` in its query.
        """
        try:
            room = room_name(request.query_params.get("room", ""))
            name = person_name(request.query_params.get("name", ""))
            if request.query_params.get("avoid") == str(self._worker) and self._workers > 1:
                await request.reject(409, f"worker {self._worker}", close_code=AVOIDED)
                return
        except BadCommand as error:
            # Scripts don't get to see a status.
            await request.reject(400, str(error), close_code=BAD_NAME)
        else:
            await request.accept(user_data=(room, name))

    async def visit(self, websocket: ServerConnection) -> None:
        """Let a page take part in a room until it goes.

        Args:
            websocket: the connection.
        """
        room, name = websocket.user_data
        with self._taking_part(websocket):
            name = name or f"user{await self._number()}"
            me = _shown(websocket.id.hex, {"name": name, "worker": self._worker})
            await self._enter(websocket, room, me)
            async for message in websocket:
                if not isinstance(message, str):
                    continue
                self._log(f"Received {message}")
                if len(message) > bounds.MAX_SAID:
                    await _complain(websocket, f"at most {bounds.MAX_SAID} characters, please")
                    continue
                try:
                    await self._say(room, message, me)
                except BackplaneError as error:
                    await _complain(websocket, f"nobody may have heard this: {error}")

    async def _enter(self, websocket: ServerConnection, room: str, me: dict[str, Any]) -> None:
        self._check(room)
        # Nothing between these waits, so nobody comes or goes meanwhile.
        welcome = {
            "kind": "welcome",
            **me,
            "room": room,
            "workers": self._workers,
            "process": os.getpid(),
            "members": self._members(room),
            "rooms": self._rooms(),
            "most": bounds.MAX_SAID,
        }
        sent = websocket.send(encode(welcome))
        websocket.subscribe(_topic(room), wildcards=False)
        websocket.subscribe(LIST)
        websocket.subscribe(HERE, presence={"room": room} | _known(me))
        if room == LOBBY:
            self._app.publish(PLAIN, f"{me['name']} come in!")
        await sent

    async def _say(self, room: str, text: str, speaker: dict[str, Any]) -> None:
        said = self._app.publish(_topic(room), encode({"kind": "said", **speaker, "text": text}))
        if room == LOBBY:
            self._app.publish(PLAIN, text)
        await said

    # -- the tutorials

    async def talk_plainly(self, websocket: ServerConnection) -> None:
        """Let a program of the tutorials take part in the lobby until it goes.

        Args:
            websocket: the connection.
        """
        with self._taking_part(websocket):
            name = f"user{await self._number()}"
            self._check(LOBBY)
            me = _shown(websocket.id.hex, {"name": name, "worker": self._worker})
            websocket.subscribe(PLAIN)
            websocket.subscribe(HERE, presence={"room": LOBBY} | _known(me))
            await self._app.publish(PLAIN, f"{name} come in!")
            async for message in websocket:
                if isinstance(message, str):
                    self._log(f"Received {message}")
                    self._app.publish(PLAIN, message)
                    await self._app.publish(_topic(LOBBY), encode(_heard(message, me)))

    # -- both

    @property
    def _worker(self) -> int:
        return self._app.worker or 1

    @contextlib.contextmanager
    def _taking_part(self, websocket: ServerConnection) -> Iterator[None]:
        """Log how a visit goes, and say why it can't go on."""
        with logged_visit(self._log):
            try:
                yield
            except Full as error:
                websocket.start_close(FULL, str(error))
            except BackplaneError:
                websocket.start_close(FULL, "the workers can't reach each other")


def _topic(room: str) -> str:
    return f"room/{room}"


def _shown(who: str, info: dict[str, Any]) -> dict[str, Any]:
    return {"id": who, "name": info["name"], "worker": info["worker"]}


def _known(me: dict[str, Any]) -> dict[str, Any]:
    return {"name": me["name"], "worker": me["worker"]}


def _heard(text: str, speaker: dict[str, Any]) -> dict[str, Any]:
    """What pages hear of a text, which may be longer here than pages may say."""
    heard = {"kind": "said", **speaker, "text": text[: bounds.MAX_SAID]}
    return heard | ({"cut": len(text)} if len(text) > bounds.MAX_SAID else {})


async def _complain(websocket: ServerConnection, why: str) -> None:
    await websocket.send(encode({"kind": "error", "text": why}))

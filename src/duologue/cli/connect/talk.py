"""The conversation: what is entered goes out, what arrives is shown, until either side ends it.

It may go over several connections, one after the other, when they are made again. It must never
know how a connection is made, nor how anything is shown.

The end of the input ends the conversation with code 1000. A person's (Ctrl-D) does so at once. In a
pipe the answers may be still on their way: it waits until the server has taken in all that was sent
(a ping after it has been answered) and then been silent for :data:`SILENCE` seconds, but in all not
longer than :data:`PATIENCE` seconds; or as long as it is told to.

Invariant: a text from the input is sent once, or it is said that it was not.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from duologue.asyncio.client import ClientConnection
from duologue.cli.connect import commands
from duologue.cli.connect.commands import Bye, Command, File, Help, Message, Ping, Pong, Stats
from duologue.cli.connect.numbers import Numbers
from duologue.cli.connect.screen import Screen
from duologue.cli.failure import system_text
from duologue.exceptions import ConcurrencyError, ConnectionClosed
from duologue.frames import Close, CloseCode

__all__ = ["MAX_SIZE", "PATIENCE", "PINGS", "SILENCE", "Conversation", "Manner"]

SILENCE = 1.0
"""Seconds without a message after which a piped conversation counts as answered."""

PATIENCE = 10.0
"""Seconds a piped conversation waits at most for answers, after the input's end."""

MAX_SIZE = 16 * 1024 * 1024
"""Largest message accepted, and largest file sent, in bytes."""

PINGS = 16
"""Pings of a person that may wait for their pongs at a time."""

T = TypeVar("T")
_NORMAL = (CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.NO_STATUS_RCVD)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a conversation goes.

    Attributes:
        interactive: Whether a person types.
        first: Messages to send before anything that is entered.
        wait: Seconds to wait for answers at the input's end; ``None`` to wait for silence,
            infinity to wait until the server or a signal ends it.
        one_message: Whether one message each way is enough.
        binary: Whether what is entered is sent as binary messages.
        lasting: Whether a lost connection is made again.
    """

    interactive: bool
    first: tuple[str, ...] = ()
    wait: float | None = None
    one_message: bool = False
    binary: bool = False
    lasting: bool = False


class Conversation:
    """A conversation over one connection, or several.

    Args:
        manner: How it goes.
        screen: Where it is shown.
        entries: What is entered; closed at the end.
    """

    def __init__(
        self, manner: Manner, screen: Screen, entries: AsyncGenerator[Command, None]
    ) -> None:
        self._manner = manner
        self._screen = screen
        self._entries = entries
        self._numbers = Numbers()
        self._websocket: ClientConnection | None = None
        self._connected = asyncio.Event()
        self._said = False
        self._unsent = False
        self._settled = asyncio.Event()
        self._heard = asyncio.Event()
        self._last_heard = 0.0
        self._own_code: int | None = None
        self._failure: BaseException | None = None
        self._pings: set[asyncio.Task[None]] = set()
        self._speaking: asyncio.Task[None] | None = None
        self.over = False
        """Whether it has ended for our sake, so that no further connection is wanted."""
        self.exit_code = 0
        """What the last connection's end means: 0 normally, 3 abnormally."""

    @property
    def speaking(self) -> asyncio.Task[None]:
        """Reads what is entered, over all connections; done when nothing more will be said."""
        if self._speaking is None:
            self._speaking = asyncio.create_task(self._speak())
        return self._speaking

    async def hold(self, websocket: ClientConnection, stopped: asyncio.Task[bool]) -> None:
        """Talks over a connection until it is closed, the input has ended or ``stopped`` is done.

        Args:
            websocket: The connection.
            stopped: Done when somebody wants us to end.
        """
        self._websocket, self._failure, self._own_code = websocket, None, None
        self._numbers.begin()
        hearing = asyncio.create_task(self._hear(websocket))
        greeting = asyncio.create_task(self._greet(websocket))
        try:
            await asyncio.wait(
                [hearing, self.speaking, stopped], return_when=asyncio.FIRST_COMPLETED
            )
            self._connected.clear()
            if stopped.done() or self.speaking.done() or not self._manner.lasting:
                self.over = True
            if await self._left_unsent(stopped):
                self._screen.problem("the connection has ended before all of the input was sent")
            if self.over:
                await self._stop_speaking()
            code = CloseCode.GOING_AWAY if stopped.done() else CloseCode.NORMAL_CLOSURE
            await websocket.close(code)
            await hearing
        finally:
            for task in (hearing, greeting, *self._pings):
                task.cancel()
        self._tell_ending(websocket)

    async def end(self) -> None:
        """Stops reading what is entered, and shows what has not been shown yet."""
        await self._stop_speaking()
        await self._entries.aclose()
        self._screen.flush()

    async def _greet(self, websocket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            for text in self._manner.first:
                await self._send(websocket, text)
        self._connected.set()

    async def _stop_speaking(self) -> None:
        self.speaking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.speaking

    async def _left_unsent(self, stopped: asyncio.Task[bool]) -> bool:
        """Tells whether there is input for which no connection will come any more.

        A pipe is given :data:`SILENCE` seconds to bring something, or its end.
        """
        if not self.over or self._manner.interactive or stopped.done() or self.speaking.done():
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENCE):
                await self._settled.wait()
        return self._unsent

    def _tell_ending(self, websocket: ClientConnection) -> None:
        code = websocket.close_code
        assert code is not None  # hold() has closed it
        line = f"closed: {Close(code, websocket.close_reason or '')}"
        if self._failure is not None and code == CloseCode.ABNORMAL_CLOSURE:
            line += f": {self._failure}"
        self.exit_code = 0 if code in _NORMAL or code == self._own_code else 3
        if not self.over:
            return  # it is told when there will be another connection, with the same reason
        if self.exit_code:
            self._screen.problem(line)
        else:
            self._screen.notice(line)

    # -- what arrives

    async def _hear(self, websocket: ClientConnection) -> None:
        loop = asyncio.get_running_loop()
        try:
            async for message in websocket:
                self._last_heard = loop.time()
                self._numbers.received(message)
                if self._manner.one_message and self._heard.is_set():
                    continue  # while our own message is awaited
                if not self._screen.message(message):
                    self.over = True
                    return
                if self._manner.one_message:
                    self._heard.set()
                    if self._manner.interactive:
                        self.over = True
                        return
        except ConnectionClosed as error:
            self._failure = error.__cause__ or error

    # -- what is entered

    async def _speak(self) -> None:
        manner = self._manner
        reading = not manner.first or manner.wait == math.inf
        if reading:
            async for command in self._entries:
                await self._obey(command)
                if self.over:
                    return
                if manner.one_message and self._said and not manner.interactive:
                    break
            self._settled.set()
            if manner.interactive:
                return
        await self._connected.wait()
        if manner.one_message:
            await self._one_answer()
        elif manner.wait is not None:
            await _pause(manner.wait)
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._silence()

    async def _one_answer(self) -> None:
        wait = self._manner.wait
        try:
            async with asyncio.timeout(None if wait == math.inf else wait):
                await self._heard.wait()
        except TimeoutError:
            self._screen.problem(f"no message came within {wait:g} s")

    async def _silence(self) -> None:
        loop = asyncio.get_running_loop()
        pong = await self._deliver(lambda websocket: websocket.ping())
        if pong is not None:
            with contextlib.suppress(ConnectionClosed):
                await pong
        self._last_heard = loop.time()
        while (left := self._last_heard + SILENCE - loop.time()) > 0:
            await asyncio.sleep(left)

    async def _obey(self, command: Command) -> None:
        match command:
            case Message(message):
                await self._deliver_message(message)
            case File(path):
                await self._send_file(path)
            case Ping(data):
                await self._ping(data)
            case Pong(data):
                await self._deliver(lambda websocket: websocket.pong(data))
            case Bye(close):
                self._own_code, self.over = close.code, True
                await self._deliver(lambda websocket: websocket.close(close.code, close.reason))
            case Stats():
                await self._deliver(self._show_numbers)
            case Help():
                self._screen.answer(commands.HELP)

    async def _deliver(self, act: Callable[[ClientConnection], Awaitable[T]]) -> T | None:
        """Does something with the connection, or with the next one if that is lost meanwhile.

        A person is told that there is none, and gets ``None``.
        """
        while True:
            if not self._connected.is_set() and self._manner.interactive and self._manner.lasting:
                self._screen.problem("not connected: that was not sent")
                return None
            await self._connected.wait()
            websocket = self._websocket
            assert websocket is not None  # since it is connected
            try:
                return await act(websocket)
            except ConnectionClosed:
                # hold() will see it too, but perhaps not before this has come round again.
                self._connected.clear()

    async def _deliver_message(self, message: str | bytes) -> None:
        self._unsent = True
        self._settled.set()
        await self._deliver(lambda websocket: self._send(websocket, message))
        self._unsent = False
        self._settled.clear()

    async def _send(self, websocket: ClientConnection, message: str | bytes) -> None:
        if self._manner.binary and isinstance(message, str):
            message = message.encode(errors="surrogateescape")
        try:
            await websocket.send(message)
        except UnicodeEncodeError:  # octets that a terminal has sent though they are not UTF-8
            self._screen.problem("that is not UTF-8 and was not sent")
            return
        self._numbers.sent(message)
        self._said = True

    async def _send_file(self, path: Path) -> None:
        try:
            if path.exists() and not path.is_file():
                raise OSError("not a file")
            with path.open("rb") as file:
                octets = file.read(MAX_SIZE + 1)
        except OSError as error:
            self._screen.problem(f"cannot read {path}: {system_text(error)}")
            return
        if len(octets) > MAX_SIZE:
            self._screen.problem(f"{path} was not sent: it has more than {MAX_SIZE} bytes")
            return
        await self._deliver_message(octets)

    async def _ping(self, data: bytes | None) -> None:
        if len(self._pings) >= PINGS:
            self._screen.problem(f"no ping was sent: {PINGS} wait for their pongs")
            return
        try:
            pong = await self._deliver(lambda websocket: websocket.ping(data))
        except ConcurrencyError as error:
            self._screen.problem(f"no ping was sent: {error}")
            return
        if pong is None:
            return
        waiting = asyncio.create_task(self._tell_pong(pong))
        self._pings.add(waiting)
        waiting.add_done_callback(self._pings.discard)
        if not self._manner.interactive:
            await asyncio.wait([waiting])

    async def _tell_pong(self, pong: Awaitable[float]) -> None:
        with contextlib.suppress(ConnectionClosed):
            self._screen.answer(f"pong after {await pong * 1000:.1f} ms")

    async def _show_numbers(self, websocket: ClientConnection) -> None:
        self._screen.answer(self._numbers.lines(websocket))


async def _pause(seconds: float) -> None:
    if seconds == math.inf:
        await asyncio.get_running_loop().create_future()
    else:
        await asyncio.sleep(seconds)

"""``duologue connect``: a conversation between a person, or a pipe, and a server.

Standard input is sent line by line, what arrives is printed, and how it ended is told on standard
error. On a terminal what arrives is marked with ``<`` and its control characters are escaped; in a
pipe text comes out as it is. Binary messages are printed as hexadecimal digits behind a mark.

The end of the input ends the conversation with code 1000. At a terminal (Ctrl-D) that is at once.
In a pipe the answers may be still on their way: it waits until the server has taken in all that was
sent (a ping after it has been answered) and then been silent for :data:`SILENCE` seconds, but in
all not longer than :data:`PATIENCE` seconds. SIGINT and SIGTERM end it with code 1001.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys

from duologue.asyncio.client import ClientConnection
from duologue.asyncio.client import connect as open_websocket
from duologue.cli import explain, typed
from duologue.cli.failure import Failure
from duologue.cli.signals import stop_requested
from duologue.cli.terminal import complain, escape, say
from duologue.exceptions import ConnectionClosed, InvalidURI
from duologue.frames import Close, CloseCode
from duologue.net.loops import new_event_loop

__all__ = ["MAX_SIZE", "PATIENCE", "SILENCE", "add_parser", "run"]

SILENCE = 1.0
"""Seconds without a message after which a piped conversation counts as answered."""

PATIENCE = 10.0
"""Seconds a piped conversation waits at most for answers, after the input's end."""

MAX_SIZE = 16 * 1024 * 1024
"""Largest message accepted, in bytes."""

_NORMAL = (CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.NO_STATUS_RCVD)

_DESCRIPTION = f"""\
Talk to a WebSocket server: each line of standard input is sent as a text message,
each message received is printed, a binary one as hexadecimal digits after (binary).

The end of the input closes the connection with code 1000: at a terminal (Ctrl-D)
at once, in a pipe when the server has been silent for {SILENCE:g} s, or after {PATIENCE:g} s.
The code and reason it was closed with are printed on standard error.

exit codes:
  0  closed normally (1000, 1001 or no code)
  1  could not connect
  2  wrong usage
  3  closed abnormally
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares the arguments of the subcommand.

    Args:
        subparsers: What to add its parser to.
    """
    parser = subparsers.add_parser(
        "connect",
        help="talk to a server",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("url", metavar="URL", help="address of the server: ws://… or wss://…")
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Talks to a server until either side ends it.

    Args:
        arguments: As :func:`add_parser` declares them.

    Returns:
        The exit code.

    Raises:
        Failure: If the connection can't be opened.
        SystemExit: With code 2 if the URL isn't one.
    """
    parser: argparse.ArgumentParser = arguments.parser
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(_talk(arguments.url))
    except InvalidURI as error:
        parser.error(str(error))


async def _talk(url: str) -> int:
    with stop_requested() as stop:
        stopped = asyncio.create_task(stop.wait())
        opening = asyncio.create_task(_open(url))
        await asyncio.wait([opening, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            opening.cancel()
            await asyncio.wait([opening])
            raise Failure(f"cannot connect to {url}: interrupted")
        websocket = await opening
        interactive = _at_terminal(sys.stdin)
        if interactive:
            complain(f"connected to {escape(url)}; each line is sent, Ctrl-D closes")
        conversation = _Conversation(websocket, interactive=interactive)
        try:
            await conversation.hold(stopped)
        finally:
            stopped.cancel()
        return conversation.ending()


async def _open(url: str) -> ClientConnection:
    try:
        return await open_websocket(url, max_size=MAX_SIZE)
    except InvalidURI:
        raise
    except Exception as error:
        raise Failure(f"cannot connect to {url}: {explain.reason(error)}") from error


class _Conversation:
    def __init__(self, websocket: ClientConnection, *, interactive: bool) -> None:
        self._websocket = websocket
        self._interactive = interactive
        self._escaping = _at_terminal(sys.stdout)
        self._last_heard = 0.0
        self._failure: BaseException | None = None

    async def hold(self, stopped: asyncio.Task[bool]) -> None:
        """Talks until the connection is closed, the input has ended or ``stopped`` is done."""
        hearing = asyncio.create_task(self._hear())
        speaking = asyncio.create_task(self._speak(hearing))
        await asyncio.wait([hearing, speaking, stopped], return_when=asyncio.FIRST_COMPLETED)
        code = CloseCode.GOING_AWAY if stopped.done() else CloseCode.NORMAL_CLOSURE
        speaking.cancel()
        await self._websocket.close(code)
        # Both have ended for the connection's sake by now, unless a bug ends them.
        await hearing
        with contextlib.suppress(asyncio.CancelledError):
            await speaking

    def ending(self) -> int:
        """Tells how it ended, and returns the exit code that says the same."""
        code = self._websocket.close_code
        assert code is not None  # hold() has closed it
        line = f"closed: {Close(code, self._websocket.close_reason or '')}"
        if self._failure is not None and code == CloseCode.ABNORMAL_CLOSURE:
            line += f": {self._failure}"
        complain(line)
        return 0 if code in _NORMAL else 3

    async def _hear(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async for message in self._websocket:
                self._last_heard = loop.time()
                if not self._show(message):
                    return  # nobody reads what we print
        except ConnectionClosed as error:
            self._failure = error.__cause__ or error

    def _show(self, message: str | bytes) -> bool:
        if isinstance(message, bytes):
            shown = f"(binary) {message.hex()}"
        else:
            shown = escape(message) if self._escaping else message
        return say(f"< {shown}" if self._interactive and self._escaping else shown)

    async def _speak(self, hearing: asyncio.Task[None]) -> None:
        number = 0
        try:
            async for line in typed.lines():
                number += 1
                try:
                    text = line.decode()
                except UnicodeDecodeError as error:
                    complain(f"line {number} is not UTF-8 and was not sent: {error}")
                    continue
                await self._websocket.send(text)
            if not self._interactive:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE):
                        await self._until_silent(hearing)
        except ConnectionClosed:
            await hearing  # it may still have messages to print

    async def _until_silent(self, hearing: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        await (await self._websocket.ping())
        self._last_heard = loop.time()
        while (left := self._last_heard + SILENCE - loop.time()) > 0:
            await asyncio.wait([hearing], timeout=left)
            if hearing.done():
                return


def _at_terminal(stream: object) -> bool:
    return bool(stream is not None and getattr(stream, "isatty", lambda: False)())

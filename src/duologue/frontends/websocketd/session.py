"""A WebSocket and the program at its other end, from the 101 to the end of both.

Two tasks carry messages, one each way, each waiting until the other side has taken what it was
given: a program that floods waits for its client, a client that floods for the program, and neither
keeps the other direction from moving. What is taken at once doesn't wake them: see ``relay``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from duologue.asyncio.server import ServerConnection
from duologue.exceptions import ConnectionClosed, ConnectionClosedOK
from duologue.frontends.websocketd import framing
from duologue.frontends.websocketd.config import Config
from duologue.frontends.websocketd.errors import ErrorLog
from duologue.frontends.websocketd.log import Log
from duologue.frontends.websocketd.pace import Pace, Restarting
from duologue.frontends.websocketd.program import CannotLaunch, Program, describe_status
from duologue.frontends.websocketd.relay import Incoming, Outgoing, call_when_left

__all__ = ["STUCK", "Session", "close_for", "launch_logged", "until_left"]

STUCK = 1.0
"""Seconds in which a program must take something of what a client that is gone has sent."""


def close_for(status: int) -> tuple[int, str]:
    """Returns the close code and reason that tell how a program ended.

    Args:
        status: Its exit status; the number of a signal, negated, if one ended it.
    """
    return (1000, "") if status == 0 else (1011, describe_status(status))


def launch_logged(launch: Callable[[Log], Program], log: Log) -> Program | None:
    """Starts a program, whose number the log gives from now on; logs it if that can't be.

    Args:
        launch: Starts it.
        log: Of its session.
    """
    try:
        program = launch(log)
    except CannotLaunch as error:
        log("error", "process", f"Could not launch process {error}")
        return None
    log.known["pid"] = str(program.pid)
    return program


async def until_left(connection: ServerConnection) -> None:
    """Waits until a connection is closed, or its client has ended its stream.

    The latter is known even while nothing is read from it, since its program reads nothing.

    Args:
        connection: The client's.
    """
    left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    closed = asyncio.ensure_future(connection.wait_closed())
    call_when_left(connection, lambda: None if left.done() else left.set_result(None))
    try:
        await asyncio.wait([left, closed], return_when=asyncio.FIRST_COMPLETED)
    finally:
        call_when_left(connection, None)
        closed.cancel()


class _Stuck(Exception):
    """A client is gone, and its program takes nothing of what it has sent."""


class Session:
    """One client and its program.

    Args:
        connection: The client.
        config: How programs are run.
        launch: Starts the program.
        log: With what is known of the session.
    """

    def __init__(
        self,
        connection: ServerConnection,
        config: Config,
        launch: Callable[[Log], Program],
        log: Log,
    ) -> None:
        self._connection = connection
        self._config = config
        self._launch = launch
        self._log = log
        self._program: Program | None = None
        self._incoming = Incoming(connection, gather=not config.binary)
        self._deaf: Program | None = None
        self._ready = asyncio.Event()
        self._failure = ""

    async def run(self) -> int | None:
        """Runs until the client or the program ends it.

        Returns:
            The program's exit status; ``None`` if it couldn't be started.
        """
        restarting = Restarting(self._config.restart)
        incoming = asyncio.create_task(self._receive())
        try:
            while True:
                status = await self._run_once(incoming)
                delay = restarting.delay(status)
                if incoming.done() or delay is None:
                    break
                self._log("info", "process", f"Starting it again in {delay:.1f} s")
                await asyncio.wait([incoming], timeout=delay)
                if incoming.done():
                    break
        finally:
            incoming.cancel()
            await asyncio.wait([incoming])
        await self._say_goodbye(status)
        return status

    async def _run_once(self, incoming: asyncio.Task[None]) -> int | None:
        program = launch_logged(self._launch, self._log)
        if program is None:
            return None
        self._program = program
        self._incoming.program = program.stdin
        self._ready.set()
        errors = ErrorLog(program.stderr, self._log, self._errors_also())

        def client_left(task: object) -> None:
            program.stdout.stop()

        incoming.add_done_callback(client_left)
        try:
            if not await self._send(program):
                # What the client had sent before may still wait for a program that is slow.
                await asyncio.wait([incoming])
        finally:
            incoming.remove_done_callback(client_left)
            self._ready.clear()
            self._program = self._incoming.program = None
            status = await program.end(self._config.close_delay, errors)
            await errors.drain()
        return status

    def _errors_also(self) -> Callable[[bytes], Awaitable[Any]] | None:
        if not self._config.pass_stderr:
            return None

        async def pass_on(line: bytes) -> None:
            try:
                await self._connection.send(framing.as_json("stderr", line))
            except ConnectionClosed:
                pass

        return pass_on

    # -- client to program

    async def _receive(self) -> None:
        incoming = self._incoming
        pace = None if self._config.rate is None else Pace(self._config.rate)
        try:
            while True:
                if pace is None:
                    await incoming
                if incoming.rest is None:
                    message = await self._connection.recv()
                    if pace is not None:
                        await pace.wait()
                    while self._program is None:
                        await self._ready.wait()
                    incoming.write(message, more=pace is None)
                await self._write_rest()
        except (ConnectionClosedOK, _Stuck):
            pass
        except ConnectionClosed as error:
            self._log("debug", "websocket", f"Cannot receive: {error}")

    async def _write_rest(self) -> None:
        """Write what the program did not take at once."""
        rest, self._incoming.rest = self._incoming.rest, None
        program = self._program
        if rest is None or (program is not None and await self._write(program, rest)):
            return
        # Said aloud once: a client may go on for long.
        level = "debug" if self._deaf is program else "info"
        self._log(level, "process", "It reads no more: a message is dropped")
        self._deaf = program

    async def _write(self, program: Program, rest: bytes) -> bool:
        """Wait until the program has taken octets; say whether it has.

        Who has left sends no more, but what came before may still wait for a program that is slow.
        One that takes nothing is not waited for.
        """
        writing = asyncio.ensure_future(program.stdin.write(rest))
        gone = asyncio.ensure_future(until_left(self._connection))
        try:
            await asyncio.wait([writing, gone], return_when=asyncio.FIRST_COMPLETED)
            taken = -1
            while not writing.done() and program.stdin.written > taken:
                taken = program.stdin.written
                await asyncio.wait([writing], timeout=STUCK)
        finally:
            gone.cancel()
            writing.cancel()
            await asyncio.wait([writing, gone])
        if writing.cancelled():
            raise _Stuck
        return writing.result()

    # -- program to client

    async def _send(self, program: Program) -> bool:
        """Send what a program writes; say whether its client was there to the end."""
        lines = None if self._config.binary else framing.Lines(self._config.max_line)
        plain = lines is None or not (self._config.pass_stderr or self._config.strict)
        form = None if plain else self._as_message
        program.stdout.sink = Outgoing(self._connection, lines, form)
        try:
            while octets := await program.stdout.read():
                if lines is None:
                    await self._connection.send(octets, text=False)
                    continue
                for line in lines.feed(octets):
                    await self._connection.send(self._as_message(line), text=True)
            rest = b"" if lines is None else lines.rest()
            if rest and not (self._config.strict or program.stdout.stopped):
                await self._connection.send(self._as_message(rest))
        except ConnectionClosed as error:
            self._log("trace", "websocket", f"Cannot send: {error}")
            return False
        except framing.LineTooLong as error:
            self._fail(program, error)
        else:
            if not program.stdout.stopped:
                self._log("debug", "process", "Process STDOUT closed")
        return True

    def _fail(self, program: Program, error: Exception) -> None:
        """End the session for a fault of its program."""
        self._log("error", "process", str(error))
        self._failure = str(error)
        program.stdout.close()

    def _as_message(self, line: bytes) -> str | bytes:
        if self._config.pass_stderr:
            return framing.as_json("stdout", line)
        return line if self._config.strict else framing.to_text(line)

    # -- the end

    async def _say_goodbye(self, status: int | None) -> None:
        if self._config.strict:
            # As websocketd: a browser sees 1006, whatever the exit status.
            if self._connection.transport is not None:
                self._connection.transport.close()
        elif status is None:
            await self._connection.close(1011, "the program could not be started")
        elif self._failure:
            await self._connection.close(1011, self._failure)
        else:
            await self._connection.close(*close_for(status))
        self._log("trace", "websocket", "Terminated websocket connection")

"""A WebSocket and the program at its other end, from the 101 to the end of both.

Two tasks carry messages, one each way, each waiting until the other side has taken what it was
given: a program that floods waits for its client, a client that floods for the program, and neither
keeps the other direction from moving.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from duologue.asyncio.server import ServerConnection
from duologue.exceptions import ConnectionClosed
from duologue.frontends.websocketd import framing
from duologue.frontends.websocketd.config import Config
from duologue.frontends.websocketd.log import Log
from duologue.frontends.websocketd.pace import Pace, Restarting
from duologue.frontends.websocketd.program import CannotLaunch, Program, describe_status

__all__ = ["MAX_LOGGED", "STUCK", "Session", "close_for", "launch_logged", "log_errors"]

MAX_LOGGED = 4096
"""Octets of a line of standard error that make one line of the log; a longer one makes several."""

MAX_AT_ONCE = 64
"""Lines that are sent without waiting in between: what a person or another program waits for."""

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


async def log_errors(
    program: Program, log: Log, also: Callable[[bytes], Awaitable[Any]] | None = None
) -> None:
    """Logs what a program writes on standard error, until it ends.

    Args:
        program: The program.
        log: Of its session.
        also: Is given each line, too.
    """
    lines = framing.Lines(None)
    pending = 0
    while octets := await program.stderr.read():
        pending = 0 if b"\n" in octets else pending + len(octets)
        found = lines.feed(octets)
        if pending > MAX_LOGGED:
            found.append(lines.rest())
            pending = 0
        for line in found:
            await _log_line(line, log, also)
    rest = lines.rest()
    if rest:
        await _log_line(rest, log, also)
    log("debug", "process", "Process STDERR closed")


async def _log_line(line: bytes, log: Log, also: Callable[[bytes], Awaitable[Any]] | None) -> None:
    for start in range(0, max(len(line), 1), MAX_LOGGED):
        log("error", "stderr", framing.to_text(line[start : start + MAX_LOGGED]))
    if also is not None:
        await also(line)


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
        self._ready.set()
        outgoing = asyncio.create_task(self._send(program))
        errors = asyncio.create_task(log_errors(program, self._log, self._errors_also()))
        try:
            await self._until_over(program, incoming, outgoing)
        finally:
            self._ready.clear()
            self._program = None
            status = await program.end(self._config.close_delay, [errors])
            outgoing.cancel()
            await asyncio.wait([outgoing, errors])
        return status

    async def _until_over(
        self, program: Program, incoming: asyncio.Task[None], outgoing: asyncio.Task[None]
    ) -> None:
        """Wait until the program writes no more, or the client is gone and all it sent is taken."""
        gone = asyncio.ensure_future(self._connection.wait_closed())
        tasks = [incoming, outgoing]
        try:
            await asyncio.wait([*tasks, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
        # Who has closed isn't read from any more, but what came before may still wait for a
        # program that is slow. One that takes nothing is not waited for.
        taken = -1
        patience = STUCK + 1 / self._config.rate if self._config.rate else STUCK
        while not incoming.done() and not outgoing.done() and program.stdin.written > taken:
            taken = program.stdin.written
            await asyncio.wait(tasks, timeout=patience, return_when=asyncio.FIRST_COMPLETED)

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
        pace = None if self._config.rate is None else Pace(self._config.rate)
        try:
            async for message in self._connection:
                if pace is not None:
                    await pace.wait()
                while (program := self._program) is None:
                    await self._ready.wait()
                octets = framing.to_program(message)
                taken = program.stdin.write_now(octets)
                if taken < len(octets) and not await program.stdin.write(octets[taken:]):
                    # Said aloud once: a client may go on for long.
                    level = "debug" if self._deaf is program else "info"
                    self._log(level, "process", "It reads no more: a message is dropped")
                    self._deaf = program
        except ConnectionClosed as error:
            self._log("debug", "websocket", f"Cannot receive: {error}")

    # -- program to client

    async def _send(self, program: Program) -> None:
        lines = None if self._config.binary else framing.Lines(self._config.max_line)

        def messages(octets: bytes) -> list[str | bytes]:
            if lines is None:
                return [octets]
            return [self._as_message(line) for line in lines.feed(octets)]

        def send_now(octets: bytes) -> bool:
            transport = self._connection.transport
            if transport is None or transport.get_write_buffer_size():
                return False
            if lines is not None and octets.count(b"\n") > MAX_AT_ONCE:
                return False
            try:
                for message in messages(octets):
                    # Not awaited: nothing waits before it, and what comes at once is a chunk.
                    _ = self._connection.send(message, text=not self._config.binary)
            except framing.LineTooLong as error:
                self._fail(program, error)
            return True

        program.stdout.take = send_now
        try:
            while octets := await program.stdout.read():
                for message in messages(octets):
                    await self._connection.send(message, text=not self._config.binary)
            rest = b"" if lines is None or self._failure else lines.rest()
            if rest and not self._config.strict:
                await self._connection.send(self._as_message(rest))
        except ConnectionClosed as error:
            self._log("trace", "websocket", f"Cannot send: {error}")
        except framing.LineTooLong as error:
            self._fail(program, error)
        else:
            self._log("debug", "process", "Process STDOUT closed")

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

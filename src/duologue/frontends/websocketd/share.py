"""One program for all clients: ``--share``.

What the program writes goes to everyone, what anyone sends goes to it. ``--shareformat`` says how a
line and a client are told apart:

===========  ===================================  =================================================
format       a line to the program                a line of the program
===========  ===================================  =================================================
``lines``    the message                          to everyone
``tagged``   client's number, tab, message        the same to that client; ``*`` or no tab: everyone
``json``     ``{"event": "open", "client": 1,     ``{"data": ...}`` to everyone, with
             "path": ..., "query": ...,           ``"to": 1`` or ``[1, 2]`` to those;
             "origin": ...}``,                    ``{"close": 1, "code": ..., "reason": ...}``
             ``{"event": "message", "client": 1,  ends a connection
             "data": ...}``,
             ``{"event": "close", "client": 1,
             "code": ..., "reason": ...}``
===========  ===================================  =================================================

Binary messages are refused with 1003: a line can't hold them. Back-pressure: who sends waits until
the program reads; the program isn't waited for by a client that doesn't read: it is closed with
1013 when more than ``Limits.max_outbox`` waits for it. The program starts with the first client
and lives on when there is none.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from duologue.asyncio.server import ServerConnection, broadcast
from duologue.exceptions import ConnectionClosed
from duologue.frontends.websocketd import framing
from duologue.frontends.websocketd.config import Config
from duologue.frontends.websocketd.errors import ErrorLog
from duologue.frontends.websocketd.log import Log
from duologue.frontends.websocketd.pace import Pace, Restarting
from duologue.frontends.websocketd.program import Program
from duologue.frontends.websocketd.session import STUCK, close_for, launch_logged, until_left
from duologue.frontends.websocketd.visit import Visit

__all__ = ["Shared"]


_Lines = asyncio.Queue[bytes]

MAX_WAITING = 16
"""Lines of all clients together that wait for the program; who has another one waits."""


class Shared:
    """The program that all share, and its clients.

    Args:
        config: ``share_format``, ``restart``, ``rate`` and bounds.
        launch: Starts the program.
        log: Of the server.
    """

    def __init__(self, config: Config, launch: Callable[[Log], Program], log: Log) -> None:
        self._config = config
        self._launch = launch
        self._log = log.about(command=config.command[0])
        self._clients: dict[int, ServerConnection] = {}
        self._last = 0
        self._lines: _Lines = asyncio.Queue(MAX_WAITING)
        self._fed = 0
        self._program: Program | None = None
        self._task: asyncio.Task[None] | None = None
        self.coming = 0
        """Clients that are here or about to join."""

    @property
    def alive(self) -> bool:
        """Whether the program runs, is about to, or waits to be started again."""
        return self.coming > 0 or (self._task is not None and not self._task.done())

    async def serve(self, connection: ServerConnection, visit: Visit) -> None:
        """Joins a client until it leaves or the program has ended for good.

        Args:
            connection: The client.
            visit: Its request.
        """
        self._last += 1
        number = self._last
        self._clients[number] = connection
        if self._task is None or self._task.done():
            self._lines = asyncio.Queue(MAX_WAITING)
            self._task = asyncio.create_task(self._run())
        run, lines = self._task, self._lines
        receiving = asyncio.create_task(self._receive(lines, number, connection, visit))
        gone = asyncio.ensure_future(until_left(connection))
        try:
            await asyncio.wait([receiving, gone], return_when=asyncio.FIRST_COMPLETED)
            # What it sent before may still wait for a program that is slow.
            before = None
            while not receiving.done() and self._progress() != before:
                before = self._progress()
                await asyncio.wait([receiving], timeout=STUCK)
        finally:
            gone.cancel()
            receiving.cancel()
            await asyncio.wait([receiving])
            self._clients.pop(number, None)
        if not run.done():
            await self._say_goodbye(lines, number, connection)

    def _progress(self) -> tuple[int, int]:
        """What changes as long as the program takes lines."""
        return self._fed, -1 if self._program is None else self._program.stdin.written

    async def _say_goodbye(self, lines: _Lines, number: int, connection: ServerConnection) -> None:
        code, reason = connection.close_code or 1006, connection.close_reason or ""
        try:
            async with asyncio.timeout(STUCK):
                await self._event(lines, "close", number, code=code, reason=reason)
        except TimeoutError:
            self._log("error", "process", f"It reads nothing: not told that {number} has left")

    async def _receive(
        self, lines: _Lines, number: int, connection: ServerConnection, visit: Visit
    ) -> None:
        pace = Pace(self._config.rate)
        where = {"path": visit.path, "query": visit.query, "origin": visit.origin}
        await self._event(lines, "open", number, **where)
        try:
            async for message in connection:
                if isinstance(message, bytes):
                    await connection.close(1003, "a shared program takes text only")
                    return
                await pace.wait()
                if self._config.share_format == "json":
                    await self._event(lines, "message", number, data=message)
                else:
                    tag = f"{number}\t" if self._config.share_format == "tagged" else ""
                    await lines.put(framing.to_program(tag + message))
        except ConnectionClosed:
            pass

    async def _event(self, lines: _Lines, event: str, number: int, **more: Any) -> None:
        if self._config.share_format == "json":
            fields = {"event": event, "client": number, **more}
            # ASCII: a path may hold octets that are no UTF-8.
            text = json.dumps(fields, separators=(",", ":"))
            await lines.put(framing.to_program(text))

    # -- the program

    async def _feed(self, program: Program) -> None:
        """Write lines, one after the other, as the program takes them."""
        # The first loss is said aloud.
        level = "info"
        while True:
            line = await self._lines.get()
            self._fed += 1
            taken = False
            try:
                taken = await program.stdin.write(line)
            finally:
                if not taken:
                    self._log(level, "process", "It reads no more: a message is dropped")
                    level = "debug"

    async def _run(self) -> None:
        """Run the program, again if that is wanted; then everybody is told."""
        restarting = Restarting(self._config.restart)
        while True:
            status = await self._run_once()
            delay = restarting.delay(status)
            if delay is None:
                break
            self._log("info", "process", f"Starting it again in {delay:.1f} s")
            await asyncio.sleep(delay)
        code, reason = (1011, "could not be started") if status is None else close_for(status)
        # Not waited for: who comes next starts the program anew.
        clients, self._clients = self._clients, {}
        for client in clients.values():
            client.start_close(code, reason)

    async def _run_once(self) -> int | None:
        program = launch_logged(self._launch, self._log)
        if program is None:
            return None
        errors = ErrorLog(program.stderr, self._log)
        feeding = asyncio.create_task(self._feed(program))
        self._program = program
        try:
            await self._distribute(program)
        except framing.LineTooLong as error:
            self._log("error", "process", str(error))
        finally:
            self._program = None
            feeding.cancel()
            status = await program.end(self._config.close_delay, errors)
            await errors.drain()
            await asyncio.wait([feeding])
        return status

    async def _distribute(self, program: Program) -> None:
        lines = framing.Lines(self._config.max_line)
        while octets := await program.stdout.read():
            for line in lines.feed(octets):
                self._send(framing.to_text(line))
        rest = lines.rest()
        if rest:
            self._send(framing.to_text(rest))

    def _send(self, line: str) -> None:
        if self._config.share_format == "json":
            self._obey(line)
            return
        if self._config.share_format == "tagged":
            tag, tab, text = line.partition("\t")
            if tab and tag == "*":
                line = text
            elif tab and tag.isascii() and tag.isdigit():
                self._send_to(text, [int(tag)])
                return
        broadcast(self._clients.values(), line)

    def _send_to(self, text: str, numbers: list[int]) -> None:
        here = [self._clients[number] for number in numbers if number in self._clients]
        if len(here) < len(numbers):
            self._log("debug", "process", f"A message for a client that has left: {numbers}")
        broadcast(here, text)

    def _obey(self, line: str) -> None:
        """Do what a line in JSON says."""
        try:
            order = json.loads(line)
            if "close" in order:
                client = self._clients.get(int(order["close"]))
                if client is not None:
                    code, reason = int(order.get("code", 1000)), str(order.get("reason", ""))
                    client.start_close(code, reason)
                return
            data, to = order["data"], order.get("to")
            text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
            if to is None:
                broadcast(self._clients.values(), text)
            else:
                self._send_to(text, [int(each) for each in (to if isinstance(to, list) else [to])])
        except Exception as error:
            self._log("error", "process", f"A line is no order ({error!r}): {line[:200]}")

    async def close(self) -> None:
        """Ends the program."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

"""The bus: what the processes of one machine connect to, and what orders their messages.

It is the server of the ``local`` backplane. One process runs it: the one that supervises the
others, or one of them. It knows which topics each process is interested in, gives each message its
position, and writes it to those that want it; the sender is told the position only. What one
process sends is read in order and what one is sent is written in order, so the order in which the
bus reads messages is their order everywhere.

Everything that is written in one turn of the loop to one process goes out together. A process that
takes so little that more than ``Limits.max_backlog`` octets wait for it is cut off; so is one that
says nothing for ``Limits.lease`` seconds.

Knows frames and names of topics; never looks into messages.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from duologue.base.exceptions import BackplaneError
from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.base.types import LoggerLike
from duologue.hub.backplanes.framing import Kind, frame
from duologue.hub.backplanes.interests import Interests
from duologue.hub.backplanes.private import OwnedSocket
from duologue.hub.backplanes.process import Process
from duologue.hub.backplanes.streams import Listening, listen
from duologue.hub.positions import Positions

RESERVED = 1 << 20
"""Positions that are reserved on disk at a time."""
ROUNDS = 16
"""How often the sockets are read before others on the event loop have their turn."""


class Bus:
    """The server that joins :class:`~duologue.hub.backplanes.local.LocalBackplane` objects.

    ::

        async with Bus() as bus:
            ...  # start processes that use LocalBackplane(bus.path)
            await bus.serve_forever()

    Args:
        path: of the socket. By default one in a new folder that only this user can look into;
            both are removed in the end.
        limits: ``max_backlog``, ``max_topics`` and ``lease`` count here.
        logger: by default ``duologue.hub``.

    Attributes:
        path: of the socket.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        limits: Limits = DEFAULT_LIMITS,
        logger: LoggerLike | None = None,
    ) -> None:
        self._folder = None if path is not None else Path(tempfile.mkdtemp(prefix="duologue-"))
        self.path = Path(path) if path is not None else Path(f"{self._folder}/bus")
        self.limits = limits
        self.logger = logger or logging.getLogger("duologue.hub")
        self.interests: Interests[Process] = Interests()
        self.processes: dict[str, Process] = {}
        self._strangers: set[Process] = set()
        self._due: dict[Process, None] = {}
        self._published: list[tuple[Process, bytes]] = []
        self._reading = False
        self._positions = Positions(limits.max_topics)
        self._reserved = 0
        self._owned: OwnedSocket | None = None
        self._server: Listening | None = None
        self._lease_timer: asyncio.TimerHandle | None = None
        self._look_at = 0.0

    # -- life

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            BackplaneError: If another process has a bus at this path.
            OSError: If the path can't be used.
        """
        try:
            self._owned = OwnedSocket(self.path)
        except BlockingIOError:
            raise BackplaneError(f"another process owns {self.path}") from None
        self._reserved = self._read_reserved()
        self._positions = Positions(self.limits.max_topics, self._reserved)
        self._server = await listen(self._owned.sock, lambda: Process(self), self._read)
        self._look_later()

    async def close(self) -> None:
        """Stop: cut everybody off."""
        if self._server is None or self._owned is None:
            return
        self._server.close()
        if self._lease_timer is not None:
            self._lease_timer.cancel()
        self.publish_all()
        for process in [*self.processes.values(), *self._strangers]:
            process.transport.close()
        self._owned.close()
        self._server = self._owned = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        # Transports close in the next turn.
        await asyncio.sleep(0)

    async def serve_forever(self) -> None:
        """Serve until this is cancelled, which closes the bus."""
        if self._server is None:
            await self.start()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.close()

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

    # -- positions that outlive the bus

    def _read_reserved(self) -> int:
        try:
            return int(Path(f"{self.path}.positions").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def take_position(self, topic: str) -> int:
        """Return a topic's next position; greater than any that a bus at this path has given."""
        position = self._positions.take(topic)
        if position > self._reserved:
            self._reserved = position + RESERVED
            file = Path(f"{self.path}.positions")
            new = file.with_suffix(".new")
            new.write_text(str(self._reserved))
            new.replace(file)
        return position

    # -- processes

    def met(self, process: Process) -> None:
        """Note a connection that has not said who it is."""
        self._strangers.add(process)

    def welcome(self, process: Process) -> None:
        """Take a process in, and tell the others."""
        former = self.processes.get(process.name)
        if former is not None:
            former.cut_off("it has connected anew")
            self.leave(former)
        self._strangers.discard(process)
        process.write(frame(Kind.WELCOME, *(name.encode() for name in self.processes)))
        self.write_all(frame(Kind.JOINED, process.name.encode()))
        self.processes[process.name] = process

    def leave(self, process: Process) -> None:
        """Forget a process whose connection is gone, and tell the others."""
        self._strangers.discard(process)
        self._due.pop(process, None)
        if self.processes.get(process.name) is process:
            del self.processes[process.name]
            self.interests.drop(process)
            self.write_all(frame(Kind.GONE, process.name.encode()))

    def dismiss(self, name: str) -> None:
        """Let a process go that says so itself: the one that runs the bus."""
        process = self.processes.get(name)
        if process is not None:
            self.leave(process)

    def write_all(self, octets: bytes, but: Process | None = None) -> None:
        """Write a frame to every process."""
        for process in list(self.processes.values()):
            if process is not but:
                process.write(octets)

    # -- reading, publishing and writing

    def _read(self) -> None:
        """Read what has come from any process, act on it, and write what comes of it."""
        self._reading = True
        try:
            for _ in range(ROUNDS):
                if self._server is None:
                    return
                count = len(self._published)
                self._server.read()
                self._publish(count)
                if not self._published:
                    return
            asyncio.get_running_loop().call_soon(self._read)
        finally:
            self._reading = False
            self.flush()

    def publish_later(self, process: Process, body: bytes) -> None:
        """Publish a message once everything is read that was written before it.

        Somebody may be told that he is subscribed, and tell somebody at another process to publish:
        both processes have written by then, and the sockets may be read in any order. What was
        not there yet when the sockets were looked at is there when they are looked at again.
        """
        if not self._published and not self._reading:
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self.publish_all)
        self._published.append((process, body))

    def publish_all(self) -> None:
        """Publish what was read, in that order."""
        self._publish(len(self._published))
        self.flush()

    def _publish(self, count: int) -> None:
        """Publish so many of the messages that were read, in that order."""
        if not count:
            return
        published = self._published[:count]
        del self._published[:count]
        for process, body in published:
            try:
                process.publish(body)
            except ValueError as exc:
                process.cut_off(f"it does not speak as this version does: {exc!r}")

    def flush_later(self, process: Process) -> None:
        """Have a process's frames written at the end of the turn, or of reading."""
        if not self._due and not self._reading:
            asyncio.get_running_loop().call_soon(self.flush)
        self._due[process] = None

    def flush(self) -> None:
        """Write what waits for each process."""
        if self._due:
            due, self._due = self._due, {}
            for process in due:
                process.flush()

    # -- leases

    def _look_later(self) -> None:
        if self.limits.lease is None:
            return
        loop = asyncio.get_running_loop()
        self._look_at = loop.time() + self.limits.lease / 3
        self._lease_timer = loop.call_at(self._look_at, self._look)

    def _look(self) -> None:
        """Cut those off who gave no sign of life."""
        now = asyncio.get_running_loop().time()
        lease = self.limits.lease
        assert lease is not None
        # If this runs late it is the bus that stood still: their signs lie in the sockets unread.
        if now - self._look_at < lease / 3:
            for process in [*self.processes.values(), *self._strangers]:
                if now - process.heard > lease:
                    process.cut_off(f"it gave no sign of life within lease={lease} s")
        self._look_later()

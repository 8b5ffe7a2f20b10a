"""The ends of pipes in an event loop, without a buffer of more than one read or write.

A pipe that isn't read fills, and then its program waits: that is the back-pressure. So a reader
holds one chunk at the most, and a writer what its caller waits for.

POSIX only: on Windows an event loop can't watch a pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Callable

__all__ = ["CHUNK", "PipeReader", "PipeRest", "PipeWriter"]

CHUNK = 65536
"""Octets read at once: what a pipe of Linux holds."""


class PipeReader:
    """The reading end of a pipe.

    Args:
        fd: Its descriptor, which is closed at the end of the stream or by :meth:`close`.
    """

    def __init__(self, fd: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd = fd
        self._chunk: bytes | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._watching = True
        self.take: Callable[[bytes], bool] | None = None
        """Is asked to take octets at once if somebody waits for them, which saves the wait; says
        whether it did."""
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._readable)

    def _readable(self) -> None:
        if self._chunk is not None:
            # Not taken yet: what follows waits in the pipe.
            self._watch(False)
            return
        try:
            self._chunk = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._chunk = b""
        if not self._chunk:
            self.close()
        if self._waiter is not None and not self._waiter.done():
            if self._chunk and self.take is not None and self.take(self._chunk):
                self._chunk = None
            else:
                self._waiter.set_result(None)

    def _watch(self, yes: bool) -> None:
        if yes != self._watching:
            self._watching = yes
            if yes:
                self._loop.add_reader(self._fd, self._readable)
            else:
                self._loop.remove_reader(self._fd)

    async def read(self) -> bytes:
        """Returns the next octets; none at the end of the stream, or when it was closed."""
        while self._chunk is None and self._fd >= 0:
            self._waiter = self._loop.create_future()
            await self._waiter
        chunk, self._chunk = self._chunk or b"", None
        if self._fd >= 0:
            self._watch(True)
        return chunk

    def close(self) -> None:
        """Closes the pipe; what was not read is lost."""
        if self._fd >= 0:
            self._watch(False)
            os.close(self._fd)
            self._fd = -1
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)


class PipeWriter:
    """The writing end of a pipe.

    Args:
        fd: Its descriptor, which is closed when nobody reads any more or by :meth:`close`.
    """

    def __init__(self, fd: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd = fd
        self._waiter: asyncio.Future[None] | None = None
        self.written = 0
        """Octets that the pipe has taken so far."""
        os.set_blocking(fd, False)

    async def write(self, octets: bytes) -> bool:
        """Writes octets, and waits until the pipe has taken them.

        Returns:
            False if nobody reads the pipe any more, or it was closed.
        """
        view = memoryview(octets)[self.write_now(octets) :]
        while view and self._fd >= 0:
            await self._writable()
            view = view[self.write_now(view) :]
        return not view

    def write_now(self, octets: bytes | memoryview) -> int:
        """Writes what the pipe takes at once.

        Returns:
            How many octets it took.
        """
        if self._fd < 0:
            return 0
        try:
            count = os.write(self._fd, octets)
        except BlockingIOError:
            return 0
        except OSError:
            self.close()
            return 0
        self.written += count
        return count

    async def _writable(self) -> None:
        self._waiter = self._loop.create_future()
        self._loop.add_writer(self._fd, self._wake)
        try:
            await self._waiter
        finally:
            self._forget()

    def _wake(self) -> None:
        self._forget()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _forget(self) -> None:
        if self._fd >= 0:
            self._loop.remove_writer(self._fd)

    def rest(self) -> PipeRest:
        """Returns what tells, even after :meth:`close`, how much of it nobody has read."""
        return PipeRest(self._fd)

    def close(self) -> None:
        """Closes the pipe: its reader sees the end of the stream."""
        if self._fd >= 0:
            self._wake()
            os.close(self._fd)
            self._fd = -1


class PipeRest:
    """What lies in a pipe, unread; to be closed soon, since a pipe with it counts as read.

    Known on Linux only: elsewhere a pipe can't be opened anew, and nothing is ever found.

    Args:
        fd: Descriptor of the writing end, negative if it is closed.
    """

    def __init__(self, fd: int) -> None:
        self._fd = -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
                self._fd = os.open(f"/proc/self/fd/{fd}", flags)

    def close(self) -> int:
        """Closes it, and returns how many octets lay there."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return 0
        try:
            (count,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
        finally:
            os.close(fd)
        return int(count)

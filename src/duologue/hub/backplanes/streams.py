"""Unix sockets between our processes: the engine's where it serves the loop, asyncio's elsewhere.

Both carry the same protocol. The engine's cost a third: a message crosses three
processes, and in each of them a turn of asyncio's loop would be most of what it costs.

Knows nothing of what is said over them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Protocol, cast

from duologue.net.engine import use_epoll

AT_ONCE = 64
"""Connections accepted before others have their turn."""
PAUSE = 1.0
"""Seconds without accepting after an error, such as having run out of descriptors."""


class Carrier(Protocol):
    """What both have of :class:`asyncio.Transport`."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``"socket"``."""

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""

    def get_write_buffer_size(self) -> int:
        """Octets that the operating system has not taken yet."""

    def write(self, octets: bytes) -> None:
        """Queue octets."""

    def close(self) -> None:
        """Close after what is queued has gone out."""

    def abort(self) -> None:
        """Close at once."""


class Carried(Protocol):
    """What both call of :class:`asyncio.Protocol`; asyncio's call the rest of it, too."""

    def connection_made(self, transport: Carrier) -> None:
        """The connection is there."""

    def data_received(self, data: bytes) -> None:
        """Octets have come."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""


class Listening(Protocol):
    """What accepts connections, and reads from all of them together where it can."""

    def read(self) -> bool:
        """Read what has come on all connections; false where only the loop can do that."""

    def close(self) -> None:
        """Accept no more."""


async def connect(path: str, protocol: Carried) -> None:
    """Connect to a socket.

    Raises:
        OSError: If that is not possible.
    """
    loop = asyncio.get_running_loop()
    if not use_epoll(loop, "auto"):
        await loop.create_unix_connection(lambda: cast(asyncio.Protocol, protocol), path)
        return
    from duologue.net.unix_stream import UnixStream

    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, path)
    except BaseException:
        sock.close()
        raise
    UnixStream(loop, sock, protocol)


async def listen(
    sock: socket.socket,
    create: Callable[[], Carried],
    readable: Callable[[], object],
) -> Listening:
    """Accept connections of a listening socket.

    Args:
        sock: does not block; stays the caller's.
        create: gives each connection its protocol.
        readable: called when something has come, to call :meth:`Listening.read`; never called
            where only the loop can read.
    """
    loop = asyncio.get_running_loop()
    if use_epoll(loop, "auto"):
        return _EngineListening(loop, sock, create, readable)
    made = cast(Callable[[], asyncio.Protocol], create)
    return _AsyncioListening(await loop.create_unix_server(made, sock=sock))


class _AsyncioListening:
    """Any event loop."""

    def __init__(self, server: asyncio.AbstractServer) -> None:
        self._server = server

    def read(self) -> bool:
        """See :class:`Listening`."""
        return False

    def close(self) -> None:
        """See :class:`Listening`."""
        self._server.close()


class _EngineListening:
    """A loop that the engine serves."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        create: Callable[[], Carried],
        readable: Callable[[], object],
    ) -> None:
        # Compiled where there is an engine only.
        from duologue.net.unix_stream import StreamGroup

        self._loop = loop
        self._sock = sock
        self._create = create
        self._group = StreamGroup(loop, readable)
        self._pause: asyncio.TimerHandle | None = None
        self._start()

    def _start(self) -> None:
        self._loop.add_reader(self._sock, self._accept)

    def read(self) -> bool:
        """See :class:`Listening`."""
        self._group.read()
        return True

    def close(self) -> None:
        """See :class:`Listening`."""
        self._loop.remove_reader(self._sock)
        if self._pause is not None:
            self._pause.cancel()
        self._group.close()

    def _accept(self) -> None:
        from duologue.net.unix_stream import UnixStream

        for _ in range(AT_ONCE):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                # What waits is accepted later; an error for each would only burn the processor.
                self._loop.remove_reader(self._sock)
                self._pause = self._loop.call_later(PAUSE, self._start)
                self._loop.call_exception_handler(
                    {"message": f"accepting connections pauses for {PAUSE} s", "exception": exc}
                )
                return
            sock.setblocking(False)
            UnixStream(self._loop, sock, self._create(), self._group)

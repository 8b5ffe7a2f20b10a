"""Octets to and from one peer, each call waiting in the calling thread.

It knows sockets, TLS and time-outs, nothing of HTTP or WebSocket. Any number of threads may write
and one at a time read. A write that makes no progress for ``write_timeout`` fails; a read may wait
for ever unless it was given a time (:meth:`Channel.read_until`), but TCP's own keepalive finds
peers that vanished.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from duologue.frontends.pywebsocket.short import ShortMessages

__all__ = ["Channel", "HeadTooLarge"]

READ_SIZE = 16_384
"""Octets asked of the system at a time, unless more are wanted."""

MAX_READ_SIZE = 262_144
"""Octets asked of the system at a time at most: a peer that announces much must send it first."""

KEEPALIVE_IDLE = 60
"""Seconds of silence after which TCP looks whether the peer is still there."""

LINGER = 2.0
"""Seconds for the peer to close its side after we closed ours, so that it reads our last octets."""

MAX_LINGER_OCTETS = 1_048_576
"""Octets of the peer's discarded meanwhile."""

_Waiter = getattr(selectors, "PollSelector", selectors.SelectSelector)


class HeadTooLarge(Exception):
    """A request's head is over ``max_head``."""


def _set_options(sock: socket.socket, write_timeout: float | None) -> None:
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
    if write_timeout is not None:
        # The system's own: Python's would take a second call for each message.
        if sys.platform == "win32":
            value: Any = int(write_timeout * 1000)
        else:
            value = struct.pack("@ll", int(write_timeout), int(write_timeout % 1 * 1e6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)


class Channel(ShortMessages):
    """A socket that a peer is at the other end of.

    Args:
        sock: The socket; closed by :meth:`close`.
        write_timeout: Seconds in which a write must make progress; ``None`` lifts the limit.
        max_head: Octets that :meth:`readline` returns in all; ``None`` lifts the limit.

    Attributes:
        lines: What :meth:`readline` has returned.
    """

    def __init__(
        self, sock: socket.socket, *, write_timeout: float | None, max_head: int | None
    ) -> None:
        self._sock: Any = sock
        self._tls: ssl.SSLSocket | None = None
        self._write_timeout = write_timeout
        self._max_head = max_head
        self._deadline: float | None = None
        self._writing = threading.Lock()
        # OpenSSL's objects are not for two threads at once.
        self._tls_lock = threading.Lock()
        self.lines: list[bytes] = []
        _set_options(sock, write_timeout)

    def begin_tls(self, context: ssl.SSLContext) -> None:
        """Does the server's part of a TLS handshake.

        Raises:
            OSError: If it fails, or takes longer than reading may.
        """
        self._tls = context.wrap_socket(self._sock, server_side=True, do_handshake_on_connect=False)
        self._sock = self._tls
        self._tls.setblocking(False)
        self._retry(self._tls.do_handshake)

    def read_until(self, deadline: float | None) -> None:
        """Sets when reading gives up, as ``time.monotonic`` tells it; ``None`` for never."""
        self._deadline = deadline
        if self._tls is None and deadline is None:
            self._sock.settimeout(None)
            self._use_directly(self._sock.fileno())
        else:
            self._use_directly(-1)

    # -- reading

    def _remaining(self) -> float | None:
        if self._deadline is None:
            return None
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the peer took too long")
        return remaining

    def _retry(self, operation: Callable[..., Any], *args: Any, writing: bool = False) -> Any:
        """Calls an operation on the TLS socket until it has not to wait any more."""
        while True:
            try:
                with self._tls_lock:
                    return operation(*args)
            except ssl.SSLWantReadError:
                events = selectors.EVENT_READ
            except ssl.SSLWantWriteError:
                events = selectors.EVENT_WRITE
            with _Waiter() as waiter:
                waiter.register(self._sock, events)
                if not waiter.select(self._write_timeout if writing else self._remaining()):
                    raise TimeoutError("the peer took too long")

    def _receive(self, wanted: int) -> bytes:
        size = min(max(wanted, READ_SIZE), MAX_READ_SIZE)
        if self._tls is not None:
            try:
                octets: bytes = self._retry(self._sock.recv, size)
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            return octets
        if self._deadline is not None:
            self._sock.settimeout(self._remaining())
        octets = self._sock.recv(size)
        return octets

    def read(self, length: int) -> bytes:
        """Returns that many octets; fewer only if the peer closed its side.

        Raises:
            OSError: If the connection is broken, or the time is over.
        """
        end = self._at + length
        rest = self._rest
        if end < len(rest):
            octets = rest[self._at : end]
            self._at = end
            return octets
        parts = [rest[self._at :]]
        missing = end - len(rest)
        self._rest, self._at = b"", 0
        while missing > 0:
            part = self._receive(missing)
            if not part:
                break
            if len(part) > missing:
                self._rest, self._at = part, missing
                part = part[:missing]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def readline(self, limit: int = -1) -> bytes:
        """Returns a line of a head with its end; without it if the peer closed its side.

        Args:
            limit: Is what files have; the head's own limit counts.

        Raises:
            HeadTooLarge: If all lines are over the limit together.
            OSError: If the connection is broken, or the time is over.
        """
        start = 0
        while (found := self._rest.find(b"\n", self._at + start)) < 0:
            start = len(self._rest) - self._at
            self._check_head(start)
            part = self._receive(READ_SIZE)
            self._rest, self._at = self._rest[self._at :] + part, 0
            if not part:
                found = len(self._rest) - 1
                break
        line = self._rest[self._at : found + 1]
        self._check_head(len(line))
        self._at = found + 1
        self.lines.append(line)
        return line

    def _check_head(self, more: int) -> None:
        if self._max_head is not None and sum(map(len, self.lines)) + more > self._max_head:
            raise HeadTooLarge(f"head is over max_head ({self._max_head} bytes)")

    # -- writing

    def write(self, octets: bytes) -> int:
        """Sends octets, all of them.

        Returns:
            How many they are, as files do.

        Raises:
            OSError: If the connection is broken, or the peer takes nothing any more.
        """
        with self._writing:
            self._send(octets)
        return len(octets)

    def _send(self, octets: bytes) -> None:
        if self._tls is None:
            try:
                self._sock.sendall(octets)
            except BlockingIOError:
                raise self._took_nothing() from None
        else:
            view = memoryview(octets)
            while view:
                view = view[self._retry(self._sock.send, view, writing=True) :]

    def _took_nothing(self) -> TimeoutError:
        return TimeoutError(f"the peer took nothing for {self._write_timeout} s (write_timeout)")

    def write_at_once(self, octets: bytes) -> None:
        """Sends a few octets if the system takes them without waiting."""
        if not self._writing.acquire(blocking=False):
            return
        try:
            with contextlib.suppress(OSError):
                if self._tls is None:
                    self._sock.send(octets, getattr(socket, "MSG_DONTWAIT", 0))
                else:
                    with self._tls_lock:
                        self._sock.send(octets)
        finally:
            self._writing.release()

    def flush(self) -> None:
        """Does nothing: all was sent. Files have it."""

    # -- ending

    def interrupt(self) -> None:
        """Ends the connection from another thread: whoever reads or writes stops waiting."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self, linger: float = LINGER) -> None:
        """Closes the connection, such that the peer can read what was sent last.

        Args:
            linger: Seconds that the peer has for that.
        """
        self._use_directly(-1)
        try:
            with contextlib.suppress(OSError, ValueError):
                if self._tls is not None:
                    with self._tls_lock, contextlib.suppress(ssl.SSLError):
                        # Sends close_notify; that of the peer isn't waited for.
                        self._tls.unwrap()
                socket.socket.shutdown(self._sock, socket.SHUT_WR)
                self._drain(linger)
        finally:
            self._sock.close()

    def _drain(self, linger: float) -> None:
        ends, octets = time.monotonic() + linger, 0
        while octets < MAX_LINGER_OCTETS and (left := ends - time.monotonic()) > 0:
            # Past TLS: nobody reads it.
            socket.socket.settimeout(self._sock, left)
            part = socket.socket.recv(self._sock, READ_SIZE)
            if not part:
                break
            octets += len(part)

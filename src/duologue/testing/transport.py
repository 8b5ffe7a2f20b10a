"""asyncio transports over a simulated link.

What this module is: :class:`asyncio.Transport` as the asyncio documentation describes it, flow
control, half-close and buffered protocols included, so that a protocol cannot tell it from a
socket's. What it must never know: WebSocket, servers, virtual time.

Invariants: a protocol is never called from inside its own ``write()`` except for ``pause_writing``;
``connection_made`` comes first and ``connection_lost`` last, each once; nothing is delivered while
reading is paused or after ``close()``.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Any

from .link import Direction, Mark

__all__ = ["SimulatedTransport"]

HIGH_WATER = 65_536


class SimulatedTransport(asyncio.Transport):
    """One end of a simulated connection."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.BaseProtocol,
        incoming: Direction,
        outgoing: Direction,
        extra: dict[str, Any],
        *,
        on_lost: Callable[[SimulatedTransport], None] | None = None,
    ) -> None:
        super().__init__(extra)
        self._loop = loop
        self._protocol = protocol
        self._incoming = incoming
        self._outgoing = outgoing
        self._on_lost = on_lost
        self._buffer = bytearray()
        self._leftover = memoryview(b"")  # what a buffered protocol has not taken yet
        self._high, self._low = HIGH_WATER, HIGH_WATER // 4
        self._started = False
        self._reading_paused = False
        self._writing_paused = False
        self._closing = False
        self._lost = False
        self._end_of_input = False
        self._write_ended = False
        self._fin_sent = False
        self._delivery: asyncio.Handle | None = None

    def __repr__(self) -> str:
        state = "closed" if self._lost else "closing" if self._closing else "open"
        names = f"{self.get_extra_info('sockname')} -> {self.get_extra_info('peername')}"
        return f"<SimulatedTransport {state} {names}>"

    def start(self) -> None:
        """Tell the protocol that the connection is made, then begin to deliver."""
        if self._lost:
            return
        self._protocol.connection_made(self)
        self._started = True
        self._schedule_delivery()

    # asyncio.BaseTransport

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol in charge."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Put another protocol in charge."""
        self._protocol = protocol

    def is_closing(self) -> bool:
        """Say whether the transport is closing or closed."""
        return self._closing

    def close(self) -> None:
        """Stop reading, write what is buffered, then close."""
        if self._closing:
            return
        self._closing = True
        self._stop_delivery()
        if not self._buffer:
            self._finish(None)

    def abort(self) -> None:
        """Close at once and lose what is buffered."""
        self._force_close(None)

    # asyncio.ReadTransport

    def is_reading(self) -> bool:
        """Say whether received octets are delivered."""
        return not self._closing and not self._reading_paused

    def pause_reading(self) -> None:
        """Deliver nothing until :meth:`resume_reading`; may be called twice."""
        if self.is_reading():
            self._reading_paused = True
            self._stop_delivery()

    def resume_reading(self) -> None:
        """Deliver again what arrives; may be called twice."""
        if not self._closing and self._reading_paused:
            self._reading_paused = False
            self._schedule_delivery()

    # asyncio.WriteTransport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send octets without waiting.

        Raises:
            TypeError: ``data`` is not bytes-like.
            RuntimeError: :meth:`write_eof` was called before.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data must be bytes-like, not {type(data).__name__}")
        if self._write_ended:
            raise RuntimeError("cannot write after write_eof()")
        if not data or self._closing:
            return
        waits = bool(self._buffer)
        self._buffer += data
        if not waits:
            self._pump()
        self._pause_writing_if_full()

    def can_write_eof(self) -> bool:
        """Say that half-closing is possible: always ``True``."""
        return True

    def write_eof(self) -> None:
        """Close the writing side once the buffer is written; reading goes on."""
        if self._closing or self._write_ended:
            return
        self._write_ended = True
        if not self._buffer:
            self._send_fin()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks at which the protocol is told to pause and to resume writing.

        Raises:
            ValueError: not ``high >= low >= 0``.
        """
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low
        self._pause_writing_if_full()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the marks, low before high, in octets."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """Return the octets that the link's window has not admitted yet."""
        return len(self._buffer)

    # What the link calls.

    def arrived(self) -> None:
        """Deliver what has come in, or fail if it is a reset that stops a pending write."""
        if self._incoming.has_reset() and (self._buffer or self._closing):
            self._force_close(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
        else:
            self._schedule_delivery()

    def room_made(self) -> None:
        """Write more of the buffer."""
        if not self._lost:
            self._pump()

    def is_gone(self) -> bool:
        """Say whether this end is closed."""
        return self._lost

    # Writing

    def _pump(self) -> None:
        if self._incoming.has_reset():
            self._force_close(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
            return
        while self._buffer and (room := self._outgoing.room()):
            octets = bytes(self._buffer[:room])
            del self._buffer[:room]
            self._outgoing.send(octets)
        self._resume_writing_if_drained()
        if self._buffer or self._lost:
            return
        if self._closing:
            self._finish(None)
        elif self._write_ended:
            self._send_fin()

    def _send_fin(self) -> None:
        if not self._fin_sent:
            self._fin_sent = True
            self._outgoing.send(Mark.FIN)

    def _pause_writing_if_full(self) -> None:
        if not self._writing_paused and len(self._buffer) > self._high:
            self._writing_paused = True
            self._call(self._protocol.pause_writing)

    def _resume_writing_if_drained(self) -> None:
        if self._writing_paused and len(self._buffer) <= self._low:
            self._writing_paused = False
            self._call(self._protocol.resume_writing)

    def _call(self, callback: Callable[[], object]) -> None:
        try:
            callback()
        except Exception as exc:
            self._report(f"protocol.{callback.__name__}() failed", exc)

    # Reading

    def _schedule_delivery(self) -> None:
        if self._delivery is None and self._started and self.is_reading():
            self._delivery = self._loop.call_soon(self._deliver)

    def _stop_delivery(self) -> None:
        if self._delivery is not None:
            self._delivery.cancel()
            self._delivery = None

    def _deliver(self) -> None:
        """Deliver one piece; another turn of the loop delivers the next."""
        self._delivery = None
        try:
            if self._leftover:
                self._fill_buffer()
            elif not self._deliver_next():
                return
        except Exception as exc:
            self._report("protocol failed on received data", exc)
            self._force_close(exc)
        self._schedule_delivery()

    def _deliver_next(self) -> bool:
        piece = self._incoming.take()
        if piece is None:
            return False
        if piece is Mark.RST:
            self._force_close(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))
        elif self._end_of_input:
            pass  # the stream ends once, even if the link is cut after it
        elif piece is Mark.FIN:
            self._input_ended()
        elif isinstance(self._protocol, asyncio.BufferedProtocol):
            self._leftover = memoryview(piece)
            self._fill_buffer()
        else:
            assert isinstance(self._protocol, asyncio.Protocol)
            self._protocol.data_received(piece)
        return True

    def _fill_buffer(self) -> None:
        """Fill a buffered protocol's buffer once."""
        protocol = self._protocol
        if not isinstance(protocol, asyncio.BufferedProtocol):  # replaced meanwhile
            assert isinstance(protocol, asyncio.Protocol)
            octets, self._leftover = bytes(self._leftover), memoryview(b"")
            protocol.data_received(octets)
            return
        buffer = memoryview(protocol.get_buffer(len(self._leftover))).cast("B")
        count = min(len(buffer), len(self._leftover))
        if not count:
            raise RuntimeError("get_buffer() returned an empty buffer")
        buffer[:count] = self._leftover[:count]
        buffer.release()
        self._leftover = self._leftover[count:]
        protocol.buffer_updated(count)

    def _input_ended(self) -> None:
        self._end_of_input = True
        assert isinstance(self._protocol, asyncio.Protocol | asyncio.BufferedProtocol)
        if not self._protocol.eof_received():
            self.close()

    # Closing

    def _force_close(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._closing = True
        self._buffer.clear()
        self._stop_delivery()
        self._finish(exc)

    def _finish(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        if self._incoming.has_unread() or self._leftover:
            self._outgoing.send(Mark.RST)
        else:
            self._send_fin()
        self._incoming.drop_unread()
        self._incoming.link.end_gone()
        self._loop.call_soon(self._connection_lost, exc)

    def _connection_lost(self, exc: Exception | None) -> None:
        if self._on_lost is not None:
            self._on_lost(self)
        # Let go, as asyncio's transports do: a network remembers its links for a long time.
        protocol, self._protocol = self._protocol, asyncio.BaseProtocol()
        if self._started:
            protocol.connection_lost(exc)

    def _report(self, message: str, exc: Exception) -> None:
        self._loop.call_exception_handler(
            {"message": message, "exception": exc, "transport": self, "protocol": self._protocol}
        )

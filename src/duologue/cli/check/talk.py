"""One WebSocket connection under examination: every frame, and when it came.

The protocol is that of the package, so a violation is judged as everywhere else; what is done with
sockets is plain asyncio streams, so that each step can be timed.

Invariants: waiting always has an end; what the server sends unasked is counted, not kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

from duologue.base.exceptions import InvalidHandshake, InvalidStatus, PayloadTooBig
from duologue.base.types import Origin, Subprotocol
from duologue.base.vocabulary import CTRL_OPCODES, Opcode
from duologue.cli.check.answers import discard, not_http, read_answer
from duologue.cli.check.events import End, Ended, Event, HandshakeFailed
from duologue.cli.check.findings import Sent, Stopwatch
from duologue.cli.check.plan import Plan
from duologue.protocol.client import ClientProtocol
from duologue.protocol.handshake import build_request
from duologue.wire.extension import ClientExtensionFactory
from duologue.wire.frame import Close, Frame
from duologue.wire.http11 import USER_AGENT, Request, Response

__all__ = ["Talk"]

_CHUNK = 65536
_GLANCE = 0.005
# Octets that a server may say at once besides an echo of our longest message.
_MARGIN = 1 << 20


class Talk:
    """One connection.

    Args:
        streams: An open TCP or TLS connection.
        plan: What is checked.
        sent: Where to count.
        origin: Value of ``Origin``.
        extensions: What to offer.
        subprotocols: What to offer.

    Attributes:
        response: The server's answer, once :meth:`open` has returned.
        seconds: How long the opening handshake took.
        frames: Frames received.
        octets: Octets received.
        unprompted: Messages received that nothing was waiting for.
        pinged_at: When the server's pings came.
        ended: How the connection has ended; ``None`` as long as it lives.
        eof_at: When the server ended TCP; ``None`` as long as it hasn't.
    """

    def __init__(
        self,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        plan: Plan,
        sent: Sent,
        *,
        origin: Origin | None = None,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
    ) -> None:
        self._reader, self._writer = streams
        self._plan = plan
        self._sent = sent
        self._origin = origin
        self.protocol = ClientProtocol(
            plan.uri,
            extensions=extensions,
            subprotocols=subprotocols,
            max_size=plan.max_message + _MARGIN,
        )
        self._events: deque[Event] = deque()
        self._partial: list[bytes] = []
        self._partial_kind: Literal["text", "binary"] = "text"
        self.response: Response | None = None
        self.seconds = 0.0
        self.frames = 0
        self.octets = 0
        self.unprompted = 0
        self.pinged_at: list[float] = []
        self.ended: End | None = None
        self.eof_at: float | None = None

    async def open(self) -> Response:
        """Does the opening handshake.

        Raises:
            HandshakeFailed: If the server doesn't open a WebSocket.
        """
        self._sent.handshakes += 1
        self.protocol.send_request(self._request())
        watch = Stopwatch()
        octets = b""
        response: Response | None = None
        try:
            self._flush()
            response, octets = await read_answer(self._reader, self._plan.patience)
            self.seconds = watch.seconds
            if response is None or response.status_code != 101:
                raise InvalidStatus(response) if response else not_http(octets)
            self.protocol.receive_data(octets)
            self._take_all(time.perf_counter())
            if self.protocol.handshake_exc is not None:
                raise self.protocol.handshake_exc
        except (InvalidHandshake, OSError, EOFError, ValueError) as error:
            raise HandshakeFailed(error, response, octets, watch.seconds) from error
        self.response = response
        return response

    def _request(self) -> Request:
        protocol, plan = self.protocol, self._plan
        return build_request(
            plan.uri,
            key=protocol.key,
            origin=self._origin,
            extensions=protocol.available_extensions,
            subprotocols=protocol.available_subprotocols,
            additional_headers=plan.headers,
            user_agent=f"{USER_AGENT} check",
        )

    # -- sending

    def ping(self, payload: bytes) -> None:
        """Sends a ping."""
        self._sent.pings += 1
        self.protocol.send_ping(payload)
        self._flush()

    def pong(self, payload: bytes) -> None:
        """Sends a pong that nobody has asked for."""
        self._sent.pongs += 1
        self.protocol.send_pong(payload)
        self._flush()

    def text(self, payload: bytes, *, compress: bool = False) -> None:
        """Sends a text message."""
        self._count_message(payload)
        self.protocol.send_text(payload, compress=compress)
        self._flush()

    def fragment(self, payload: bytes, *, first: bool, last: bool) -> None:
        """Sends a part of a text message, uncompressed."""
        if first:
            self._count_message(b"")
            self.protocol.send_text(payload, fin=last, compress=False)
        else:
            self.protocol.send_continuation(payload, last)
        self._sent.message_octets += len(payload)
        self._flush()

    def close(self, code: int, reason: str = "") -> None:
        """Sends a Close frame."""
        self.protocol.send_close(code, reason)
        self._flush()

    def _count_message(self, payload: bytes) -> None:
        self._sent.messages += 1
        self._sent.message_octets += len(payload)

    def _flush(self) -> None:
        for octets in self.protocol.data_to_send():
            # An empty one asks for TCP's end, which is the server's business here.
            if octets and self.eof_at is None:
                self._writer.write(octets)

    # -- receiving

    async def until(self, wanted: Callable[[Event], bool], patience: float) -> Event | None:
        """Waits for something.

        Args:
            wanted: Tells whether it has come; everything else is counted and dropped.
            patience: Seconds to wait.

        Returns:
            What has come, ``None`` if nothing has in time.

        Raises:
            Ended: If the connection ends first.
        """
        deadline = time.perf_counter() + patience
        while True:
            while self._events:
                event = self._events.popleft()
                if wanted(event):
                    return event
                self.unprompted += event.kind in ("text", "binary")
            if self.ended is not None:
                raise Ended(self.ended)
            if not await self._receive(deadline):
                return None

    async def echo_of(self, payload: bytes, patience: float) -> tuple[Event | None, bytes | None]:
        """Waits for the echo of a message; a server may say other things in between.

        Args:
            payload: What was sent.
            patience: Seconds to wait.

        Returns:
            The echo, ``None`` if it hasn't come in time; and the first message that was none.

        Raises:
            Ended: If the connection ends first.
        """
        other: bytes | None = None

        def is_echo(event: Event) -> bool:
            nonlocal other
            if event.kind not in ("text", "binary"):
                return False
            if event.data != payload and other is None:
                other = event.data
            return event.data == payload

        return await self.until(is_echo, patience), other

    async def alive(self) -> bool:
        """Tells whether the connection is open still, having looked at what has come."""
        if self.ended is None:
            await self._receive(time.perf_counter() + _GLANCE)
        return self.ended is None

    async def until_eof(self, patience: float) -> bool:
        """Waits for the server to end TCP; tells whether it did in time."""
        deadline = time.perf_counter() + patience
        while self.eof_at is None:
            if not await self._receive(deadline):
                return False
        return True

    async def leave(self) -> None:
        """Ends the connection: with a Close frame if it is open, without waiting long."""
        if self.ended is None and self.protocol.state.name == "OPEN":
            with contextlib.suppress(Ended, OSError):
                self.close(1000)
                await self.until(lambda event: event.kind == "close", min(self._plan.patience, 1))
        await discard(self._writer)

    async def _receive(self, deadline: float) -> bool:
        """Reads once; tells whether anything came, the end included."""
        left = deadline - time.perf_counter()
        try:
            octets = await asyncio.wait_for(self._reader.read(_CHUNK), max(left, 0))
        except TimeoutError as error:
            if error.errno is None:
                return False
            self._lost(error)
            return True
        except OSError as error:
            self._lost(error)
            return True
        now = time.perf_counter()
        self.octets += len(octets)
        if octets:
            self.protocol.receive_data(octets)
        else:
            self.eof_at = now
            self.protocol.receive_eof()
        self._take_all(now)
        if not octets and self.ended is None:
            self.ended = End("eof", "the server ended TCP without a Close frame", now)
        return True

    def _lost(self, error: OSError) -> None:
        self.eof_at = time.perf_counter()
        if self.ended is None:
            self.ended = End("reset", f"the connection was cut: {error}", self.eof_at)

    def _take_all(self, now: float) -> None:
        for event in self.protocol.events_received():
            if isinstance(event, Frame):
                self._take(event, now)
        breach = self.protocol.parser_exc
        if breach is not None and not isinstance(breach, EOFError) and self.ended is None:
            too_big = isinstance(breach, PayloadTooBig)
            self.ended = End("limit" if too_big else "violation", str(breach), now)
        self._flush()

    def _take(self, frame: Frame, now: float) -> None:
        self.frames += 1
        data = bytes(frame.data)
        if frame.opcode in CTRL_OPCODES:
            self._take_control(frame.opcode, data, now)
            return
        if frame.opcode is not Opcode.CONT:
            self._partial_kind = "text" if frame.opcode is Opcode.TEXT else "binary"
        self._partial.append(data)
        if frame.fin:
            self._events.append(Event(self._partial_kind, b"".join(self._partial), now))
            self._partial.clear()

    def _take_control(self, opcode: Opcode, data: bytes, now: float) -> None:
        if opcode is Opcode.PING:
            self.pinged_at.append(now)
            self._events.append(Event("ping", data, now))
        elif opcode is Opcode.PONG:
            self._events.append(Event("pong", data, now))
        elif opcode is Opcode.CLOSE and self.ended is None:
            close = Close.parse(data)
            self._events.append(Event("close", data, now))
            self.ended = End("close", f"the server closed with {close}", now, int(close.code))

"""ASGI's events as a transport of WebSocket frames, so that one connection class serves everywhere.

A connection of ours lives on a link, the link on a transport. This one carries no octets over a
network: what the connection writes is split into frames again and sent as ASGI events, and what is
received becomes frames. That costs a few microseconds a message, and gives a guest everything that
a connection has: inbox and outbox with their bounds, topics, callbacks, endings.

What it must never know: what the connection is for.

Invariants: one task receives and one sends, both end with the transport; nothing is received while
reading is paused; the link is told to pause while more than its high mark waits to be sent; after
a close or a disconnection nothing is sent.

Source: ASGI WebSocket message format 2.5; RFC 6455 section 5.2.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from duologue.asgi.scope import Event, Receive, Scope, Send
from duologue.base.exceptions import ProtocolError
from duologue.base.vocabulary import CloseCode, Opcode
from duologue.net.asyncio_link import AsyncioLink
from duologue.wire.frame import Close

_LENGTH_16, _LENGTH_64 = 126, 127
_MASKED = 0x80
_NO_KEY = bytes(4)


def client_frame(opcode: Opcode, payload: bytes) -> bytes:
    """Build a frame as a client sends it, masked with a key that changes nothing."""
    size = len(payload)
    if size < _LENGTH_16:
        head = bytes([0x80 | opcode, _MASKED | size])
    elif size < 65536:
        head = bytes([0x80 | opcode, _MASKED | _LENGTH_16]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x80 | opcode, _MASKED | _LENGTH_64]) + size.to_bytes(8, "big")
    return head + _NO_KEY + payload


class ServerFrames:
    """Splits what a server's connection writes into messages and Close frames again.

    Nothing is judged: the writer is ours, without extensions, and always right.
    """

    def __init__(self) -> None:
        self._octets = bytearray()
        self._parts: list[bytes] = []
        self._opcode = Opcode.CONT

    def feed(self, octets: bytes) -> list[tuple[Opcode, bytes]]:
        """Return what is complete now: opcodes with whole payloads."""
        self._octets += octets
        found = []
        while (frame := self._next()) is not None:
            fin, opcode, payload = frame
            if opcode >= Opcode.CLOSE:
                found.append((opcode, payload))
                continue
            if opcode is not Opcode.CONT:
                self._opcode = opcode
            self._parts.append(payload)
            if fin:
                found.append((self._opcode, b"".join(self._parts)))
                self._parts = []
        return found

    def _next(self) -> tuple[bool, Opcode, bytes] | None:
        octets = self._octets
        if len(octets) < 2:
            return None
        size, begin = octets[1], 2
        if size >= _LENGTH_16:
            begin = 4 if size == _LENGTH_16 else 10
            if len(octets) < begin:
                return None
            size = int.from_bytes(octets[2:begin], "big")
        if len(octets) < begin + size:
            return None
        frame = bool(octets[0] & 0x80), Opcode(octets[0] & 15), bytes(octets[begin : begin + size])
        del octets[: begin + size]
        return frame


class GuestTransport(asyncio.Transport):
    """Carries one connection over ``receive`` and ``send``.

    Args:
        scope: of the connection.
        receive: whose next event comes after ``websocket.connect``.
        send: to which ``websocket.accept`` was sent.
        link: what the connection lives on.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, link: AsyncioLink) -> None:
        super().__init__()
        self._facts = {
            "peername": _pair(scope.get("client")),
            "sockname": _pair(scope.get("server")),
        }
        self._receive, self._send = receive, send
        self._link = link
        self._frames = ServerFrames()
        self._events: deque[tuple[Event, int, bytes]] = deque()
        self._waiting = 0
        self._high, self._low = 65536, 16384
        self._full = False
        self._closing = False
        self._done = False
        # What ends it: a Close frame in either direction.
        self._over = False
        self._readable = asyncio.Event()
        self._readable.set()
        self._sendable = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._receiving()), loop.create_task(self._sending())]

    # -- what is received

    async def _receiving(self) -> None:
        try:
            while True:
                await self._readable.wait()
                event = await self._receive()
                if event["type"] != "websocket.receive":
                    self._disconnected(event)
                    return
                octets, text = event.get("bytes"), event.get("text")
                if octets is not None:
                    self._feed(client_frame(Opcode.BINARY, octets))
                elif text is not None:
                    self._feed(client_frame(Opcode.TEXT, text.encode()))
        except Exception as exc:
            self._lose(exc)

    def _disconnected(self, event: Event) -> None:
        """The peer is gone, or has closed: tell the connection in its own language."""
        if self._over:
            return
        self._over = True
        code, reason = event.get("code", CloseCode.NO_STATUS_RCVD), event.get("reason") or ""
        if code == CloseCode.NO_STATUS_RCVD:
            self._feed(client_frame(Opcode.CLOSE, b""))
            return
        try:
            payload = Close(code, reason).serialize()
        except ProtocolError:
            # 1006 and others that no frame carries.
            self._lose(None)
            return
        self._feed(client_frame(Opcode.CLOSE, payload))

    def _feed(self, octets: bytes) -> None:
        while octets and not self._done:
            buffer = memoryview(self._link.get_buffer(len(octets)))
            size = min(len(buffer), len(octets))
            buffer[:size] = octets[:size]
            self._link.buffer_updated(size)
            octets = octets[size:]

    # -- what is sent

    def write(self, data: Any) -> None:
        """Queue the events that the octets of frames stand for."""
        if self._done:
            return
        for opcode, payload in self._frames.feed(bytes(data)):
            if self._over:
                return
            if opcode is Opcode.TEXT:
                self._queue({"type": "websocket.send", "text": payload.decode()}, len(payload))
            elif opcode is Opcode.BINARY:
                self._queue({"type": "websocket.send", "bytes": payload}, len(payload))
            elif opcode is Opcode.CLOSE:
                self._over = True
                close = Close.parse(payload)
                code = close.code if payload else CloseCode.NORMAL_CLOSURE
                event = {"type": "websocket.close", "code": int(code), "reason": close.reason}
                # The server around us does the closing handshake; the connection's ends with it.
                self._queue(event, len(payload), client_frame(Opcode.CLOSE, payload))

    def _queue(self, event: Event, size: int, echo: bytes = b"") -> None:
        """Queue an event; ``echo`` comes back once it was sent."""
        self._events.append((event, size, echo))
        self._waiting += size
        self._sendable.set()
        if not self._full and self._waiting > self._high:
            self._full = True
            self._link.pause_writing()

    async def _sending(self) -> None:
        try:
            while not (self._closing and not self._events):
                await self._sendable.wait()
                self._sendable.clear()
                while self._events:
                    event, size, echo = self._events[0]
                    if echo:
                        await self._stop_receiving()
                    await self._send(event)
                    self._events.popleft()
                    self._sent(size)
                    self._feed(echo)
            self._lose(None)
        except Exception as exc:
            self._lose(exc)

    async def _stop_receiving(self) -> None:
        """Receive nothing more: there are servers that can't close while somebody waits there."""
        receiving = self._tasks[0]
        receiving.cancel()
        await asyncio.wait({receiving})

    def _sent(self, size: int) -> None:
        self._waiting -= size
        if self._full and self._waiting <= self._low:
            self._full = False
            self._link.resume_writing()

    # -- the end

    def _lose(self, exc: Exception | None) -> None:
        if self._done:
            return
        self._done = self._closing = True
        self._events.clear()
        self._waiting = 0
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
        asyncio.get_running_loop().call_soon(self._link.connection_lost, exc)

    def close(self) -> None:
        """Close once what is queued was sent."""
        self._closing = True
        self._sendable.set()

    def abort(self) -> None:
        """Close at once."""
        self._lose(None)

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._closing

    def can_write_eof(self) -> bool:
        """ASGI knows no half of a connection."""
        return False

    # -- asyncio.Transport's other duties

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``"peername"`` and ``"sockname"``, from the scope."""
        value = self._facts.get(name)
        return default if value is None else value

    def get_write_buffer_size(self) -> int:
        """Octets of messages that were not sent yet."""
        return self._waiting

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks at which the link is told to pause and to go on."""
        self._high = 65536 if high is None else high
        self._low = self._high // 4 if low is None else low

    def pause_reading(self) -> None:
        """Receive no more for now."""
        self._readable.clear()

    def resume_reading(self) -> None:
        """Receive again."""
        self._readable.set()


def _pair(address: Any) -> Any:
    return None if address is None else tuple(address)

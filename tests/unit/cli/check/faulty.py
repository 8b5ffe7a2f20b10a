"""A small WebSocket server whose every step can be made to fail, one fault at a time.

It is written from RFC 6455 alone, so that it can do what no library would.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Faulty:
    """An echo without a fault; subclasses have one each."""

    status = b"101 Switching Protocols"
    headers = b""
    limit = 1 << 20
    mask = False
    rsv = 0
    idle: float | None = None

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.frames: list[tuple[int, bytes]] = []
        self._writer: asyncio.StreamWriter

    def accept(self, key: bytes) -> bytes:
        return base64.b64encode(hashlib.sha1(key + GUID).digest())

    async def conversation(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._writer = writer
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head)
            if await self.handshake(head):
                await self.frames_of(reader)
        except (EOFError, ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def handshake(self, head: bytes) -> bool:
        if b"upgrade: websocket" not in head.lower():
            self.write(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n")
            return False
        key = head.lower().split(b"sec-websocket-key: ")[1]
        key = head[len(head) - len(key) :].split(b"\r\n")[0]
        self.write(
            b"HTTP/1.1 " + self.status + b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + self.accept(key) + b"\r\n" + self.headers + b"\r\n"
        )
        return True

    def write(self, octets: bytes) -> None:
        self._writer.write(octets)

    def frame(self, opcode: int, payload: bytes, *, fin: bool = True) -> None:
        mask = 0x80 if self.mask else 0
        head = bytes([fin << 7 | self.rsv << 4 | opcode])
        if len(payload) < 126:
            head += bytes([mask | len(payload)])
        elif len(payload) < 65536:
            head += bytes([mask | 126]) + len(payload).to_bytes(2)
        else:
            head += bytes([mask | 127]) + len(payload).to_bytes(8)
        if self.mask:
            head += bytes(4)  # a key of zeros changes nothing
        self.write(head + payload)

    async def frames_of(self, reader: asyncio.StreamReader) -> None:
        message, kind = b"", TEXT
        while True:
            async with asyncio.timeout(self.idle):
                first, second = await reader.readexactly(2)
            length = second & 0x7F
            if length >= 126:
                length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8))
            key = await reader.readexactly(4)
            payload = unmask(await reader.readexactly(length), key)
            opcode = first & 15
            self.frames.append((opcode, payload))
            if opcode == CLOSE:
                await self.close(payload)
                return
            if opcode == PING:
                await self.ping(payload)
            elif opcode == PONG:
                self.pong(payload)
            else:
                kind = opcode or kind
                message += payload
                if len(message) > self.limit:
                    self.too_big()
                    return
                if first & 0x80:
                    self.message(kind, message)
                    message = b""
                else:
                    self.fragment()

    async def ping(self, payload: bytes) -> None:
        self.frame(PONG, payload)

    def pong(self, payload: bytes) -> None:
        pass

    def fragment(self) -> None:
        pass

    def message(self, kind: int, payload: bytes) -> None:
        self.frame(kind, payload)

    def too_big(self) -> None:
        self.frame(CLOSE, (1009).to_bytes(2))

    async def close(self, payload: bytes) -> None:
        self.frame(CLOSE, payload[:2])


def unmask(payload: bytes, key: bytes) -> bytes:
    repeated = (key * (len(payload) // 4 + 1))[: len(payload)]
    number = int.from_bytes(payload) ^ int.from_bytes(repeated)
    return number.to_bytes(len(payload))


@contextlib.asynccontextmanager
async def serving(faulty: Faulty) -> AsyncIterator[str]:
    """Serves each connection with a copy of a server; gives the URL."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        one = type(faulty)()
        one.requests, one.frames = faulty.requests, faulty.frames
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await one.conversation(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        while tasks:
            await asyncio.sleep(0.001)
        await server.wait_closed()

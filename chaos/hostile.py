"""Those who mean harm: each attack takes a few seconds and ends its own connections."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n"
)
END = b"\r\n"
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


def frame(opcode: int, payload: bytes, first: int = 0x80) -> bytes:
    """A frame whose masking key is 0."""
    size = len(payload)
    if size < 126:
        head = bytes([first | opcode, 0x80 | size])
    elif size < 65536:
        head = bytes([first | opcode, 0xFE]) + struct.pack("!H", size)
    else:
        head = bytes([first | opcode, 0xFF]) + struct.pack("!Q", size)
    return head + bytes(4) + payload


class Bare:
    """A connection without manners.

    Args:
        port: of the server, on the loopback interface.
        chance: where all chance comes from.
    """

    def __init__(self, port: int, chance: random.Random) -> None:
        self.chance = chance
        self.loop = asyncio.get_running_loop()
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.address = ("127.0.0.1", port)

    async def open(self, headers: bytes = b"") -> None:
        """Connect and do the opening handshake."""
        await self.loop.sock_connect(self.sock, self.address)
        await self.loop.sock_sendall(self.sock, REQUEST + headers + END)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            octet = await self.loop.sock_recv(self.sock, 1)
            if not octet:
                raise ConnectionError("refused")
            head += octet

    async def send(self, octets: bytes) -> None:
        """Send octets."""
        await self.loop.sock_sendall(self.sock, octets)

    async def read(self) -> None:
        """Read all until the server ends."""
        while await self.loop.sock_recv(self.sock, 65536):
            pass

    def reset(self) -> None:
        """End with a reset rather than in order."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


async def garbage(bare: Bare) -> None:
    """Octets that are nothing, before or after the opening handshake."""
    if bare.chance.random() < 0.5:
        await bare.open()
    else:
        await bare.loop.sock_connect(bare.sock, bare.address)
    await bare.send(bare.chance.randbytes(bare.chance.randrange(1, 5000)))
    await bare.read()


async def slowloris(bare: Bare) -> None:
    """A head, or a frame, that takes for ever."""
    octets = REQUEST
    if bare.chance.random() < 0.5:
        await bare.open()
        octets = frame(2, bytes(1000))
    else:
        await bare.loop.sock_connect(bare.sock, bare.address)
    for octet in octets[:20]:
        await bare.send(bytes([octet]))
        await asyncio.sleep(0.5)


async def resets(bare: Bare) -> None:
    """Gone in the middle of something."""
    if bare.chance.random() < 0.7:
        await bare.open()
        await bare.send(frame(1, b"x" * 60_000)[: bare.chance.randrange(60_000)])
    else:
        await bare.loop.sock_connect(bare.sock, bare.address)
        await bare.send(REQUEST[: bare.chance.randrange(len(REQUEST))])
    bare.reset()


@functools.cache
def packed_zeros() -> bytes:
    """200 MiB of zeros in 200 KiB; made once, since that takes a while."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200))
    return packed + packer.flush(zlib.Z_SYNC_FLUSH)[:-4]


async def bomb(bare: Bare) -> None:
    """A little that inflates to 200 MiB."""
    octets = packed_zeros()
    await bare.open(DEFLATE)
    await bare.send(frame(2, octets, 0xC0))
    await bare.read()


async def flood(bare: Bare) -> None:
    """Frames without end, and never a look at what comes back."""
    await bare.open()
    burst = bare.chance.choice(
        [
            frame(1, b"x") * 1000,
            frame(9, b"x" * 100) * 500,
            frame(2, bytes(60_000)),
            frame(1, b"", 0) + frame(0, b"", 0) * 2000,
            frame(10, b"") * 2000,
        ]
    )
    async with asyncio.timeout(3):
        while True:
            await bare.send(burst)
            await asyncio.sleep(0)


async def half_close(bare: Bare) -> None:
    """The end of the stream in the middle, and waiting for more."""
    await bare.open()
    await bare.send(frame(1, b"hello") + frame(1, b"x" * 100)[: bare.chance.randrange(100)])
    bare.sock.shutdown(socket.SHUT_WR)
    await bare.read()


async def claim(bare: Bare) -> None:
    """A length that is never filled."""
    await bare.open()
    await bare.send(b"\x82\xff" + struct.pack("!Q", 1 << 20) + bytes(4) + b"x")
    await asyncio.sleep(8)


async def silence(bare: Bare) -> None:
    """Nothing at all, not even an answer to pings."""
    if bare.chance.random() < 0.5:
        await bare.open()
    else:
        await bare.loop.sock_connect(bare.sock, bare.address)
    await asyncio.sleep(12)


ATTACKS: list[Callable[[Bare], Awaitable[None]]] = [
    garbage, slowloris, resets, bomb, flood, half_close, claim, silence,
]  # fmt: skip


async def attack(ports: list[int], seed: int, done: dict[str, int], stop: asyncio.Event) -> None:
    """One attack after another until told to stop."""
    chance = random.Random(seed)
    while not stop.is_set():
        kind = chance.choice(ATTACKS)
        bare = Bare(chance.choice(ports), chance)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(15):
                await kind(bare)
        with contextlib.suppress(OSError):
            bare.sock.close()
        name = kind.__name__
        done[name] = done.get(name, 0) + 1

"""Very many clients that come at once, stay together, and leave at once: a process of its own.

They speak no more of the protocol than they need, so that one core is enough for thousands in a
second. Each connects, subscribes, gets the messages of one topic, and leaves in one of three ways:
by a Close frame, by the end of its stream, by a reset. Who is sent away comes back, and so does
whose connection breaks; who is refused stays away.

``python -m chaos.storm PORT COUNT SECONDS SEED`` prints a line of JSON once all have come, and
another one for each line it reads: ``settle`` waits until all are there, ``message`` until each has
got one, ``leave`` lets them go. It never decides what is right: :mod:`chaos.storms` does.
"""

from __future__ import annotations

import asyncio
import errno
import json
import random
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from .descriptors import allow
from .hostile import END, REQUEST, frame

TOPIC = "storm"
PATIENCE = 45.0
"""Seconds that an answer may take."""
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
WORKED, SENT_AWAY, NO_ANSWER = "worked", "sent away", "no answer"
GREETING = REQUEST + END + frame(TEXT, json.dumps({"subscribe": [TOPIC], "as": TOPIC}).encode())


class Visitor(asyncio.Protocol):
    """One connection of one client.

    Args:
        storm: whose it is.

    Attributes:
        fate: what became of the attempt, once that is known.
        messages: how many it has got.
    """

    def __init__(self, storm: Storm) -> None:
        self.fate: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.messages = 0
        self._storm = storm
        self._octets = b""
        self._open = False
        self._end = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the answer."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Note what became of it."""
        end = self._end or f"{NO_ANSWER}: {type(exc).__name__ if exc else 'end of stream'}"
        if not self.fate.done():
            self.fate.set_result(end)
        elif self in self._storm.here:
            self._storm.lose(self, end)

    def data_received(self, data: bytes) -> None:
        """Read the answer, then frames."""
        self._octets += data
        if not self._open:
            head, end, rest = self._octets.partition(END * 2)
            if not end:
                return
            self._octets = rest
            status = head.split(b" ", 2)[1].decode()
            self._open = status == "101"
            if not self._open:
                self._end = f"refused with {status}"
                self.transport.abort()
                return
        while (found := cut(self._octets)) is not None:
            opcode, payload, self._octets = found
            self._take(opcode, payload)

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.transport.write(frame(PONG, payload))
        elif opcode == CLOSE:
            self._end = f"{SENT_AWAY} with {int.from_bytes(payload[:2])}"
            self.transport.write(frame(CLOSE, payload[:2]))
            self.transport.close()
        elif self.fate.done():
            self.messages += 1
        else:
            self._storm.here.add(self)
            self.fate.set_result(WORKED)

    def leave(self, way: str) -> None:
        """Go."""
        if way == "close":
            self.transport.write(frame(CLOSE, struct.pack("!H", 1000)))
        if way != "reset":
            self.transport.close()
            return
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def cut(octets: bytes) -> tuple[int, bytes, bytes] | None:
    """Cut off the first frame: its opcode, its payload, and the rest; lengths up to 65535."""
    if len(octets) < 2:
        return None
    begin, size = 2, octets[1]
    if size == 126:
        begin, size = 4, int.from_bytes(octets[2:4])
    if len(octets) < begin + size:
        return None
    return octets[0] & 15, octets[begin : begin + size], octets[begin + size :]


class Storm:
    """All of them.

    Args:
        port: of the server, on the loopback interface.
        count: how many.
        seconds: over which they come.
        chance: where all chance comes from.

    Attributes:
        here: who has been accepted and is there.
    """

    def __init__(self, port: int, count: int, seconds: float, chance: random.Random) -> None:
        self.here: set[Visitor] = set()
        self._port = port
        self._count = count
        self._seconds = seconds
        self._chance = chance
        self._fates: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()
        self._last = 0.0
        self._visits: set[asyncio.Task[None]] = set()

    def report(self) -> dict[str, Any]:
        """Tell what became of all attempts, who is there, and why others no longer are."""
        return {"fates": self._fates, "lost": self._lost, "here": len(self.here)}

    async def come(self) -> dict[str, Any]:
        """Let all come, and wait for what becomes of them."""
        begun = time.monotonic()
        for at in sorted(self._chance.uniform(0, self._seconds) for _ in range(self._count)):
            # Those who are late don't wait: when the machine is slow they come in heaps.
            if (pause := begun + at - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            self._visit_later()
            self._last = time.monotonic()
        await self._until(lambda: not self._visits)
        return self.report() | {"seconds": round(self._last - begun, 2)}

    def _visit_later(self) -> None:
        visit = asyncio.create_task(self._visit())
        self._visits.add(visit)
        visit.add_done_callback(self._visits.discard)

    async def _visit(self) -> None:
        fate = SENT_AWAY
        while fate.startswith(SENT_AWAY):
            visitor = Visitor(self)
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._dial(visitor)
                    fate = await visitor.fate
            except (OSError, TimeoutError) as exc:
                fate = f"{NO_ANSWER}: {type(exc).__name__}"
                visitor.fate.cancel()
            self._fates[fate] += 1
            if fate.startswith(SENT_AWAY):
                await asyncio.sleep(self._chance.uniform(0, 2))

    async def _dial(self, visitor: Visitor) -> None:
        """Connect, and say everything in the same moment, as clients of their own would.

        In a loop that thousands share, a client that waited for its turn to speak might be shut out
        for its silence.
        """
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        try:
            sock.setblocking(False)
            error = sock.connect_ex(("127.0.0.1", self._port))
            if error not in (0, errno.EINPROGRESS):
                raise OSError(error, "refused")
            try:
                sock.send(GREETING)
            except BlockingIOError:
                # Its SYN was dropped, and is repeated.
                await loop.sock_sendall(sock, GREETING)
            await loop.create_connection(lambda: visitor, sock=sock)
        except BaseException:
            sock.close()
            raise

    def lose(self, visitor: Visitor, end: str) -> None:
        """Note that a connection has broken; its client comes back."""
        self.here.discard(visitor)
        self._lost[end] += 1
        self._visit_later()

    async def settle(self) -> dict[str, Any]:
        """Wait until all are there, or a long while."""
        await self._until(lambda: not self._visits)
        return self.report()

    async def message(self) -> dict[str, Any]:
        """Wait until each has a message, or a long while."""
        await self._until(lambda: all(each.messages for each in self.here))
        counts = Counter(each.messages for each in self.here)
        return self.report() | {"messages": counts}

    async def leave(self) -> dict[str, Any]:
        """Let all go at once."""
        leaving, self.here = self.here, set()
        for each in leaving:
            each.leave(self._chance.choice(["close", "end", "reset"]))
        return self.report()

    async def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)


async def main(port: int, count: int, seconds: float, seed: str) -> None:
    """Come, do what is said, and end when there is nobody any more who says something."""
    allow(count)
    words = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(words), sys.stdin
    )
    storm = Storm(port, count, seconds, random.Random(seed))
    ways = {b"settle\n": storm.settle, b"message\n": storm.message, b"leave\n": storm.leave}
    print(json.dumps(await storm.come()), flush=True)
    while word := await words.readline():
        print(json.dumps(await ways[word]()), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]))

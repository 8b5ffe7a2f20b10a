"""Asks for ``/hello`` over and over on some connections, and counts; standard library only."""

from __future__ import annotations

import argparse
import asyncio
import json
import time

REQUEST = b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Asking(asyncio.Protocol):
    """One connection; the next request goes out when an answer is whole."""

    answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._octets = b""
        transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        """Ask again after each answer; its body is five octets, whoever sends it."""
        self._octets += data
        if self._octets.endswith(b"\r\n\r\nhello"):
            assert self._octets.startswith(b"HTTP/1.1 200 ")
            self._octets = b""
            Asking.answers += 1
            self._transport.write(REQUEST)


async def main() -> None:
    """Ask for a while, then print how many answers came in how many seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--duration", type=float, default=1.0)
    arguments = parser.parse_args()
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(Asking, "127.0.0.1", arguments.port)
        for _ in range(arguments.connections)
    ]
    start = time.perf_counter()
    await asyncio.sleep(arguments.duration)
    print(json.dumps({"answers": Asking.answers, "seconds": time.perf_counter() - start}))
    for transport, _ in opened:
        transport.abort()


if __name__ == "__main__":
    asyncio.run(main())

"""Proves that an installed duologue works: one conversation through every compiled module.

Run it with the interpreter that has duologue installed. Prints one line; a failure raises.
"""

from __future__ import annotations

import asyncio
import sys

import duologue


async def echo(ws: duologue.ServerConnection) -> None:
    """Send every message back."""
    async for message in ws:
        await ws.send(message)


async def converse() -> int:
    """Exchange messages of every length class, compressed and not; return how many."""
    messages: list[str | bytes] = [b"", "", b"\x00\xff", "grüße", "x" * 126, "spam " * 1000]
    messages.append(bytes(range(256)) * 1024)
    async with duologue.serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with duologue.connect(f"ws://127.0.0.1:{port}") as ws:
            for message in messages:
                await ws.send(message)
                answer = await ws.recv()
                assert answer == message and type(answer) is type(message)
            await (await ws.ping())
        assert ws.close_code == 1000
    return len(messages)


def main() -> None:
    """Converse and say so."""
    count = asyncio.run(converse())
    version = ".".join(str(part) for part in sys.version_info[:3])
    print(f"duologue {duologue.__version__} on Python {version}: {count} messages echoed")


if __name__ == "__main__":
    main()

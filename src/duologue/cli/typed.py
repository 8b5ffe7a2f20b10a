"""Lines of standard input for a coroutine.

A thread reads, since neither files nor consoles can be waited for by every event loop. It is at
most one line ahead, so that a large file is read as fast as it is sent.

Invariant: the thread holds no lock of Python's own buffered streams while it waits, and is a
daemon; the process can end while a read is under way.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import threading
from collections.abc import AsyncIterator, Iterator

__all__ = ["lines"]

_CHUNK = 65536


async def lines() -> AsyncIterator[bytes]:
    """Iterates over the lines of standard input, without their ends, until its end.

    Both LF and CR LF end a line. What follows the last of them is a line too, unless it is empty.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)

    def hand_over(line: bytes | None) -> None:
        asyncio.run_coroutine_threadsafe(queue.put(line), loop).result()

    def read() -> None:
        try:
            for line in _read_lines():
                hand_over(line)
            hand_over(None)
        except (RuntimeError, concurrent.futures.CancelledError):
            pass  # the event loop has ended before the input

    threading.Thread(target=read, daemon=True, name="standard input").start()
    while (line := await queue.get()) is not None:
        yield line


def _read_lines() -> Iterator[bytes]:
    rest = bytearray()
    for chunk in _read_chunks():
        head, *others = chunk.split(b"\n")
        rest += head
        for other in others:
            yield bytes(rest.removesuffix(b"\r"))
            rest = bytearray(other)
    if rest:
        yield bytes(rest)


def _read_chunks() -> Iterator[bytes]:
    if sys.stdin is None:  # closed by whoever has started us
        return
    try:
        with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
    except OSError:
        return  # a terminal that has gone away reads as an error; for us it is the end

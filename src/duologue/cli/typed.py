"""Lines, or blocks, of standard input for a coroutine.

A thread reads, since neither files nor consoles can be waited for by every event loop. It is at
most one line or block ahead, so that a large file is read as fast as it is sent.

Invariant: the thread holds no lock of Python's own buffered streams while it waits, and is a
daemon; the process can end while a read is under way.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator

__all__ = ["BLOCK", "LINE_SIZE", "blocks", "lines"]

BLOCK = 65536
"""Octets that are read at once, at most."""

LINE_SIZE = 1 << 26
"""Octets of a line that are kept, beyond any message a server is likely to take."""


def lines() -> AsyncIterator[bytes]:
    """Iterates over the lines of standard input, without their ends, until its end.

    Both LF and CR LF end a line. What follows the last of them is a line too, unless it is empty.
    Of a line that is longer than :data:`LINE_SIZE` not all is given, but more than that, which
    tells.
    """
    return _from_thread(_read_lines)


def blocks() -> AsyncIterator[bytes]:
    """Iterates over standard input in blocks of at most :data:`BLOCK` octets, until its end.

    A block ends where a read has ended: in a pipe often, but not always, where a write did.
    """
    return _from_thread(_read_blocks)


async def _from_thread(pieces: Callable[[], Iterator[bytes]]) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)

    def hand_over(piece: bytes | None) -> None:
        putting = queue.put(piece)
        try:
            asyncio.run_coroutine_threadsafe(putting, loop).result()
        finally:
            putting.close()  # or it would warn that nobody has awaited it

    def read() -> None:
        try:
            for piece in pieces():
                hand_over(piece)
            hand_over(None)
        except (RuntimeError, concurrent.futures.CancelledError):
            pass  # the event loop has ended before the input

    threading.Thread(target=read, daemon=True, name="standard input").start()
    while (piece := await queue.get()) is not None:
        yield piece


def _read_lines() -> Iterator[bytes]:
    rest = bytearray()
    for block in _read_blocks():
        head, *others = block.split(b"\n")
        rest += head[: LINE_SIZE + 1 - len(rest)]
        for other in others:
            yield bytes(rest.removesuffix(b"\r"))
            rest = bytearray(other)
    if rest:
        yield bytes(rest)


def _read_blocks() -> Iterator[bytes]:
    if sys.stdin is None:  # closed by whoever has started us
        return
    try:
        with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as stream:
            while block := stream.read(BLOCK):
                yield block
    except OSError:
        return  # a terminal that has gone away reads as an error; for us it is the end

"""Which of the ways to carry links serves an event loop."""

from __future__ import annotations

import asyncio
import sys
from typing import Literal

Engine = Literal["auto", "asyncio", "epoll"]
"""``"auto"`` takes the best that works here, the others are themselves."""

ENGINES = ("auto", "asyncio", "epoll")


def _is_plain(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the loop opens connections and tells the time as asyncio and uvloop do.

    A loop that puts something of its own in their place (a simulated network, say, or virtual time)
    means it.
    """
    if isinstance(loop, asyncio.SelectorEventLoop):
        kind = type(loop)
        return (
            kind.create_connection is asyncio.SelectorEventLoop.create_connection
            and kind.create_server is asyncio.SelectorEventLoop.create_server
            and kind.time is asyncio.SelectorEventLoop.time
        )
    return type(loop).__module__.partition(".")[0] == "uvloop"


def use_epoll(loop: asyncio.AbstractEventLoop, engine: str, tls: bool) -> bool:
    """Decide whether links are the engine's own sockets rather than asyncio's transports.

    Args:
        loop: the running event loop.
        engine: the option of ``connect`` and ``serve``.
        tls: whether the connection is encrypted, which asyncio's transports do.

    Raises:
        ValueError: If ``engine`` isn't one, or can't do what is asked here.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")
    able = sys.platform == "linux" and not tls and _is_plain(loop)
    if engine == "epoll" and not able:
        raise ValueError(
            "engine='epoll' needs Linux, asyncio's selector loop or uvloop, and no TLS; "
            "engine='auto' chooses for you"
        )
    return able and engine != "asyncio"

"""Which of the ways to carry links serves an event loop."""

from __future__ import annotations

import asyncio
import sys
from typing import Literal

Engine = Literal["auto", "asyncio", "epoll", "kqueue"]
"""``"auto"`` takes the best that works here, the others are themselves."""

ENGINES = ("auto", "asyncio", "epoll", "kqueue")

PROVEN = "epoll"
"""The only mechanism that nobody has to ask for: kqueue was run over an emulation only."""


def backend() -> str | None:
    """Return what the engine's own sockets wait with here.

    Returns:
        ``"epoll"`` on Linux, ``"kqueue"`` on macOS and the BSDs, ``None`` on Windows.
    """
    try:
        from duologue.net.poller import BACKEND
    except ImportError:
        return None
    return BACKEND


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


def use_epoll(loop: asyncio.AbstractEventLoop, engine: str) -> bool:
    """Decide whether links are the engine's own sockets rather than asyncio's transports.

    Args:
        loop: the running event loop.
        engine: the option of ``connect`` and ``serve``.

    Raises:
        ValueError: If ``engine`` isn't one, or can't do what is asked here.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")
    found = backend()
    able = found is not None and _is_plain(loop)
    if engine in ("epoll", "kqueue") and engine != found:
        has = "no mechanism that the engine knows" if found is None else found
        raise ValueError(
            f"engine={engine!r} can't be had on {sys.platform}, which has {has}; "
            "engine='auto' chooses for you"
        )
    if engine == found and not able:
        raise ValueError(
            f"engine={engine!r} needs asyncio's selector loop or uvloop; "
            "engine='auto' chooses for you"
        )
    return able and (engine == found or (engine == "auto" and found == PROVEN))

"""What the Python servers and clients of the bench share: their command line and their event loop.

Every server knows three paths: ``/broadcast`` sends each message to all connections of that path,
``/feed`` sends the first message of a connection back until it ends, any other path echoes.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import os
import signal
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

#: Larger than every message of every scenario.
MAX_SIZE = 16 * 1024 * 1024


def argument_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser of the options that all Python servers take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--loop", choices=("asyncio", "uvloop", "duologue"), default="asyncio")
    parser.add_argument("--deflate", action="store_true", help="offer permessage-deflate")
    parser.add_argument("--level", type=int, help="duologue's level of compression")
    parser.add_argument("--tls", metavar="PEM", help="certificate and key")
    return parser


def tls_context(pem: str | None) -> ssl.SSLContext | None:
    """Return the server's TLS context, or None without a certificate."""
    if pem is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def tuned() -> dict[str, Any]:
    """Return duologue's options for speed alone; the garbage collector forgets the imports."""
    gc.collect()
    gc.freeze()
    return {"ping_interval": None, "max_queue": 64}


def our_compression(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return duologue's options about compression: its defaults, or a level of our choice."""
    if not arguments.deflate:
        return {"compression": None}
    if arguments.level is None:
        return {}
    from duologue.extensions.permessage_deflate import ServerPerMessageDeflateFactory

    settings = {"level": arguments.level}
    factory = ServerPerMessageDeflateFactory(server_max_window_bits=12, compress_settings=settings)
    return {"compression": None, "extensions": [factory]}


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the named event loop; None means asyncio's default."""
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    if name == "duologue":
        import duologue

        # Looking again before it sleeps makes system calls that say nothing about a message.
        busy_poll = os.environ.get("BENCH_BUSY_POLL")
        if busy_poll is not None:
            return functools.partial(duologue.EventLoop, busy_poll=float(busy_poll))
        return duologue.EventLoop
    return None


def run(main: Coroutine[Any, Any, Any], loop: str) -> None:
    """Run a server on the named loop until SIGINT or SIGTERM; profilers then get their turn."""

    async def until_stopped() -> None:
        running = asyncio.get_running_loop()
        task = asyncio.ensure_future(main)
        for number in (signal.SIGINT, signal.SIGTERM):
            running.add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            pass

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(until_stopped())

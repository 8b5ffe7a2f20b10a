"""The server under test: echoes every message, in the type and the fragments' sum it came.

Prints its URL when it listens. ``--library`` takes another library with the same API, for
comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
from typing import Any


async def echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", default="duologue")
    library = parser.parse_args().library
    logging.getLogger(library).setLevel(logging.CRITICAL)
    serve = importlib.import_module(f"{library}.asyncio.server").serve
    # The suite sends messages of 16 MiB; the ping of another interval would disturb its counts.
    async with serve(echo, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
        host, port = server.sockets[0].getsockname()[:2]
        print(f"ws://{host}:{port}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

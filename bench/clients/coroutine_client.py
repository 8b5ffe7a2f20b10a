"""A coroutine client: duologue, websockets and picows.websockets have the same API."""

from __future__ import annotations

import asyncio
import importlib
import os
from typing import Any

from meter import PAYLOAD, Meter, argument_parser, run

LIBRARIES = {
    "duologue": "duologue",
    "websockets": "websockets.asyncio.client",
    "picows.websockets": "picows.websockets",
}


async def main(arguments: Any) -> None:
    """Exchange messages until the time is over."""
    library = importlib.import_module(LIBRARIES[arguments.library])
    uri = f"ws://127.0.0.1:{arguments.port}/{'feed' if arguments.mode == 'feed' else ''}"
    answers = arguments.mode != "feed"
    async with library.connect(uri, compression=None) as ws:
        meter = Meter(arguments, asyncio.get_running_loop())
        for _ in range(arguments.depth):
            await ws.send(PAYLOAD)
        async for message in ws:
            meter.received(message)
            if meter.over:
                break
            if answers:
                await ws.send(PAYLOAD)
        meter.print()
        # The feed of a closing connection would have to be read to its end.
        os._exit(0)


if __name__ == "__main__":
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--library", choices=LIBRARIES, default="duologue")
    run(main, parser.parse_args())

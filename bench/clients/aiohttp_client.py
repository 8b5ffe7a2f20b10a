"""A client on aiohttp."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import aiohttp
from meter import PAYLOAD, Meter, argument_parser, run


async def main(arguments: Any) -> None:
    """Exchange messages until the time is over."""
    path = "feed" if arguments.mode == "feed" else ""
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"http://127.0.0.1:{arguments.port}/{path}") as ws:
            meter = Meter(arguments, asyncio.get_running_loop())
            for _ in range(arguments.depth):
                await ws.send_bytes(PAYLOAD)
            while not meter.over:
                meter.received((await ws.receive()).data)
                if arguments.mode != "feed":
                    await ws.send_bytes(PAYLOAD)
            meter.print()
            # The feed of a closing connection would have to be read to its end.
            os._exit(0)


if __name__ == "__main__":
    run(main, argument_parser(__doc__ or "").parse_args())

"""Tells everybody the time, unasked: what a WebSocket can do and a plain HTTP server can't."""

from __future__ import annotations

import asyncio
import datetime

from duologue import ServerConnection, broadcast, serve


async def listen(websocket: ServerConnection) -> None:
    await websocket.wait_closed()


async def main(port: int = 8000, interval: float = 1.0) -> None:
    async with serve(listen, "127.0.0.1", port) as server:
        while True:
            broadcast(server.connections, datetime.datetime.now().isoformat(" ", "seconds"))
            await asyncio.sleep(interval)


if __name__ == "__main__":
    asyncio.run(main())

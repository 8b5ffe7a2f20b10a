"""Sends every message back. Talk to it with: duologue connect ws://127.0.0.1:8000/"""

from __future__ import annotations

import asyncio

from duologue import ServerConnection, serve


async def echo(websocket: ServerConnection) -> None:
    async for message in websocket:
        await websocket.send(message)


async def main(port: int = 8000) -> None:
    async with serve(echo, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

"""websockets: everybody hears what anybody says."""

import asyncio

from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosedError

PRESENT = set()


async def handler(websocket):
    PRESENT.add(websocket)
    try:
        broadcast(PRESENT, f"{len(PRESENT)} here")
        async for message in websocket:
            broadcast(PRESENT, message)
    except ConnectionClosedError:
        pass
    finally:
        PRESENT.remove(websocket)
        broadcast(PRESENT, f"{len(PRESENT)} here")


async def main(port=8000):
    async with serve(handler, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

"""A client that comes back by itself, and a server that gives it a reason to.

Iterating over ``connect(...)`` opens a connection again whenever the last one has ended; when it
can't be opened, it tries again after a while, and each time waits longer.
"""

from __future__ import annotations

import asyncio

from duologue import CloseCode, ConnectionClosed, ServerConnection, connect, serve

WORDS = iter(["one", "two", "three"])


async def say_one_word(websocket: ServerConnection) -> None:
    await websocket.send(next(WORDS))
    await websocket.close(CloseCode.SERVICE_RESTART)


async def main() -> None:
    async with serve(say_one_word, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        async for websocket in connect(f"ws://{host}:{port}/"):
            try:
                async for message in websocket:
                    print(message)
                    if message == "three":
                        return
            except ConnectionClosed as error:
                print(f"connection lost: {error}")


if __name__ == "__main__":
    asyncio.run(main())

"""Answers what is said, and ends when it is told to, as with aiohttp."""

from __future__ import annotations

import duologue
from duologue.app.request import Request

app = duologue.App(origins="*")


@app.websocket("/ws", subprotocols=["answers"])
@app.websocket("/ws", subprotocols=[])
async def talk(ws: duologue.ServerConnection) -> None:
    async for message in ws:
        if message == "close":
            await ws.close(4000, "as you wish")
        elif isinstance(message, str):
            await ws.send(f"{message}?")
        else:
            await ws.send(message[::-1])


@app.get("/hello/{name}")
async def hello(request: Request, name: str) -> dict[str, str]:
    return {"hello": name}


if __name__ == "__main__":
    app.run(port=8000)

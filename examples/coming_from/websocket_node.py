"""Two subprotocols, and requests that are accepted or rejected, as with WebSocket-Node."""

from __future__ import annotations

import duologue
from duologue.app.guard import UpgradeRequest

app = duologue.App(origins="*", compression=None)


async def from_example_com(request: UpgradeRequest) -> None:
    if request.origin != "http://example.com":
        await request.reject(403, "This origin is not allowed.")


@app.websocket("/echo", subprotocols=["echo-protocol"], on_request=from_example_com)
async def echo(ws: duologue.ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


async def with_a_cookie(request: UpgradeRequest) -> None:
    await request.accept("time-protocol", [("Set-Cookie", "seen=1")])


@app.websocket("/time", subprotocols=["time-protocol"], on_request=with_a_cookie)
async def time(ws: duologue.ServerConnection) -> None:
    await ws.send("12:00")
    await ws.close(4000, "that is all")


if __name__ == "__main__":
    app.run(port=8000)

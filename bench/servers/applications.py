"""Echo as an ASGI application (uvicorn) and as an RSGI application (granian)."""

from __future__ import annotations

from typing import Any

everybody: set[Any] = set()


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """Echo or broadcast by path; ASGI 3."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    broadcasts = scope["path"] == "/broadcast"
    if broadcasts:
        everybody.add(send)
    while (event := await receive())["type"] == "websocket.receive":
        if event.get("bytes") is not None:
            reply = {"type": "websocket.send", "bytes": event["bytes"]}
        else:
            reply = {"type": "websocket.send", "text": event["text"]}
        if not broadcasts:
            await send(reply)
            continue
        for each in tuple(everybody):
            await each(reply)
    everybody.discard(send)


async def rsgi(scope: Any, protocol: Any) -> None:
    """Echo; RSGI 1."""
    ws = await protocol.accept()
    while True:
        message = await ws.receive()
        if message.kind == 0:
            return
        if message.kind == 1:
            await ws.send_bytes(message.data)
        else:
            await ws.send_str(message.data)

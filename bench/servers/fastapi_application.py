"""Echo with FastAPI, as its tutorial has it, and "hello" over plain HTTP."""

from __future__ import annotations

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import PlainTextResponse

app = FastAPI()


@app.get("/hello", response_class=PlainTextResponse)
async def hello() -> str:
    """Return a short text."""
    return "hello"


@app.websocket("/")
async def echo(ws: WebSocket) -> None:
    """Send each text back."""
    await ws.accept()
    try:
        while True:
            await ws.send_text(await ws.receive_text())
    except WebSocketDisconnect:
        pass

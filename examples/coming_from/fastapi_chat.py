"""A chat whose visitors have numbers, as with FastAPI."""

from __future__ import annotations

import duologue
from duologue.app.request import Request

app = duologue.App(origins="*")
present: set[duologue.ServerConnection] = set()


@app.get("/count")
async def count(request: Request) -> dict[str, int]:
    return {"present": len(present)}


@app.websocket("/chat/{number:int}")
async def chat(ws: duologue.ServerConnection, number: int) -> None:
    ws.subscribe("chat")
    present.add(ws)
    try:
        async for text in ws:
            ws.send(f"you: {text!s}")
            app.publish("chat", f"{number}: {text!s}")
    finally:
        present.remove(ws)
        app.publish("chat", f"{number} has left", exclude=ws)


if __name__ == "__main__":
    app.run(port=8000)

"""What one says, all others hear, if they have a token: as with ws."""

from __future__ import annotations

import duologue
from duologue.app.guard import BearerAuth

app = duologue.App(origins="*")


@app.websocket("/", auth=BearerAuth(lambda token: token == "let-me-in"))
async def talk(ws: duologue.ServerConnection) -> None:
    ws.subscribe("all")
    async for message in ws:
        app.publish("all", message, exclude=ws)


if __name__ == "__main__":
    app.run(port=8000)

"""Rooms as topics, a user found before the upgrade, bounds of its own: as with µWebSockets."""

from __future__ import annotations

from typing import Any

import duologue
from duologue.app.guard import UpgradeRequest

app = duologue.App(origins="*")


async def upgrade(request: UpgradeRequest) -> None:
    user = request.query_params.get("user")
    if not user:
        await request.reject(401)
    else:
        await request.accept(user_data=(user, request.path_params["name"]))


@app.websocket("/room/{name}", on_request=upgrade, max_size=16 * 1024, idle_timeout=60)
class Room(duologue.Endpoint):
    def on_open(self, ws: Any) -> None:
        _, room = ws.user_data
        ws.subscribe(room)

    def on_message(self, ws: Any, message: duologue.Data) -> None:
        user, room = ws.user_data
        text = message if isinstance(message, str) else message.decode("utf-8", "replace")
        app.publish(room, f"{user}: {text}", exclude=ws)
        ws.send("sent")


@app.get("/health")
async def health(request: Any) -> duologue.Response:
    return duologue.Response("ok")


if __name__ == "__main__":
    app.run(port=8000)

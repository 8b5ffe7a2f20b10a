"""Topics with socketify: µWebSockets (C++) behind Python callbacks."""

from __future__ import annotations

import sys
from typing import Any

from socketify import App, CompressOptions, OpCode

MESSAGE = "x" * 32
port, topics, groups = (int(word) for word in sys.argv[1:])
app = App()
published = 0


def upgrade(res: Any, req: Any, context: Any) -> None:
    """Keep the group, which is the path."""
    names = ("sec-websocket-key", "sec-websocket-protocol", "sec-websocket-extensions")
    res.upgrade(*(req.get_header(name) for name in names), context, req.get_url()[1:])


def join(ws: Any) -> None:
    """Subscribe."""
    group = ws.get_user_data()
    if group != "control":
        for topic in range(int(group), topics, groups):
            ws.subscribe(f"topic/{topic}")


def publish(ws: Any, message: Any, opcode: Any) -> None:
    """Publish as many as the message says."""
    global published
    for _ in range(int(message)):
        app.publish(f"topic/{published % topics}", MESSAGE, OpCode.TEXT, False)
        published += 1


options = {
    "compression": CompressOptions.DISABLED,
    "idle_timeout": 960,
    "send_pings_automatically": False,
}
app.ws("/*", {**options, "upgrade": upgrade, "open": join, "message": publish})
app.listen({"port": port, "host": "127.0.0.1"})
app.run()

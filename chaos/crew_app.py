"""The application of ``chaos.crew``: what a client says in JSON is done.

With ``SOAK_PLANT`` it spoils one message of a thousand on purpose.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

import duologue

PLANT = os.environ.get("SOAK_PLANT", "")
ONE_OF = 1000

app = duologue.App(ping_interval=5.0, ping_timeout=20.0)


@app.on_gap
def missed(reason: str) -> None:
    """Send everybody away who may have missed something: they come back, and know it."""
    for server in app.tally.servers:
        for ws in server.connections:
            ws.start_close(1012, "messages may be missing")


async def publish(topic: str, number: int) -> bool:
    """Publish a message; tell whether that is certain."""
    planted = PLANT if random.randrange(ONE_OF) == 0 else ""
    message = json.dumps({"topic": topic, "number": number})
    try:
        if planted != "lost":
            await app.publish(topic, message)
        if planted == "doubled":
            await app.publish(topic, message)
    except duologue.BackplaneError:
        return False
    return True


@app.websocket("/")
async def obey(ws: duologue.ServerConnection) -> None:
    """Do what is said."""
    async for message in ws:
        said: dict[str, Any] = json.loads(message)
        if "publish" in said:
            answer: Any = {"certain": await publish(said["publish"], said["number"])}
        elif "subscribe" in said:
            for topic in said["subscribe"]:
                ws.subscribe(topic, presence=said["as"])
            answer = {"subscribed": True}
        else:
            found = await app.presence(said["presence"])
            answer = {"present": sorted(member.info for member in found)}
        await ws.send(json.dumps(answer))

"""The application of ``chaos.crew``: what a client says in JSON is done.

Environment:
    CREW_NOTES    a folder, in which each worker notes what it has sent to whom
    CREW_PLANT    "lost", "doubled" or "reordered": spoil one message of some, see :func:`publish`
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

import duologue

PLANT = os.environ.get("CREW_PLANT", "")
ONE_OF = 50
LATER = 0.2
"""Seconds by which a message is late that is to come after the next one."""

app = duologue.App(ping_interval=5.0, ping_timeout=20.0)


@app.on_gap
def missed(reason: str) -> None:
    """Send everybody away who may have missed something: they come back, and know it."""
    for server in app.tally.servers:
        for ws in server.connections:
            ws.start_close(1012, "messages may be missing")


async def publish(topic: str, number: int) -> bool:
    """Publish a message; tell whether that is certain.

    Every fiftieth one of a topic is spoiled on purpose if that is wanted.
    """
    planted = PLANT if number % ONE_OF == 0 and topic.startswith("topic/") else ""
    message = json.dumps({"topic": topic, "number": number})
    try:
        if planted == "reordered":
            asyncio.get_running_loop().call_later(LATER, app.publish, topic, message)
        elif planted != "lost":
            await app.publish(topic, message)
        if planted == "doubled":
            await app.publish(topic, message)
    except duologue.BackplaneError:
        return False
    return True


def facts() -> dict[str, Any]:
    """What this worker holds."""
    gc.collect()
    return {
        "pid": os.getpid(),
        "blocks": sys.getallocatedblocks(),
        "connections": sum(len(server.connections) for server in app.tally.servers),
        "tasks": len(asyncio.all_tasks()),
    }


async def stream(ws: duologue.ServerConnection, name: str) -> None:
    """Send messages until the end, and note the last one whose ``send()`` has returned."""
    number = 0
    try:
        while True:
            await ws.send(f"{number + 1} {'x' * (number % 700)}")
            number += 1
            await asyncio.sleep(0.01)
    finally:
        with Path(os.environ["CREW_NOTES"], str(os.getpid())).open("a") as notes:
            notes.write(f"{name} {number}\n")


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
        elif "stream" in said:
            await stream(ws, said["stream"])
        elif "facts" in said:
            answer = facts()
        else:
            found = await app.presence(said["presence"])
            answer = {"present": sorted(member.info for member in found)}
        await ws.send(json.dumps(answer))

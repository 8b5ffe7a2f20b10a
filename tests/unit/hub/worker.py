"""A process of an application for ``test_processes.py``: its clients say what it is to do, in JSON.

usage: worker.py PATH [--host] [--lease SECONDS]; prints its port.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

import duologue
from duologue.hub.backplanes.local import LocalBackplane
from duologue.hub.hub import Hub


async def serve(hub: Hub, backplane: LocalBackplane) -> None:
    async def answer(said: dict[str, Any]) -> Any:
        match said["do"]:
            case "publish":
                try:
                    return await hub.publish(said["topic"], said["message"])
                except duologue.BackplaneError:
                    return None
            case "count":
                return await hub.subscribers(said["topic"])
            case "presence":
                return sorted(member.info for member in await hub.presence(said["topic"]))
            case "hosting":
                return backplane.bus is not None
            case "peers":
                return len(backplane.peers)

    async def handler(ws: duologue.ServerConnection) -> None:
        hub.admit(ws)

        def tell(event: Any) -> None:
            ws.send(json.dumps({"event": event.kind, "who": event.member.info}))

        async for message in ws:
            said = json.loads(message)
            if said["do"] == "subscribe":
                reply: Any = ws.subscribe(said["topic"], presence=said.get("presence"))
            elif said["do"] == "watch":
                watch = hub.watch(said["topic"], tell)
                await watch.ready()
                reply = sorted(member.info for member in watch.members.values())
            else:
                reply = await answer(said)
            await ws.send(json.dumps({"reply": reply}))

    async with duologue.serve(handler, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("--host", action="store_true")
    parser.add_argument("--lease", type=float, default=10.0)
    arguments = parser.parse_args()
    limits = duologue.Limits(lease=arguments.lease)
    backplane = LocalBackplane(arguments.path, host=arguments.host, limits=limits)
    async with Hub(backplane=backplane, limits=limits) as hub:
        await serve(hub, backplane)


if __name__ == "__main__":
    asyncio.run(main())

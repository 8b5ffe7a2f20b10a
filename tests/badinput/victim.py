"""A server in a process of its own, whose memory can be looked at from outside.

Usage: ``python victim.py HANDLER OPTIONS`` with options of `serve` as JSON, and ``limits`` as the
fields of `Limits`. Prints its port, then one line of JSON for each connection that ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from duologue.asyncio.server import serve
from duologue.base.limits import Limits
from duologue.exceptions import ConnectionClosed


async def echo(connection: Any) -> None:
    async for message in connection:
        await connection.send(message)


async def sink(connection: Any) -> None:
    async for _ in connection:
        pass


async def deaf(connection: Any) -> None:
    await connection.wait_closed()


async def farewell(connection: Any) -> None:
    await connection.recv()
    await connection.close()


async def gusher(connection: Any) -> None:
    """Send without waiting, a little in each turn of the loop."""
    await connection.recv()
    while connection.state == 1:
        connection.send(bytes(65_536))
        await asyncio.sleep(0)


async def main() -> None:
    handler = globals()[sys.argv[1]]
    options = json.loads(sys.argv[2])
    limits = Limits(**options.pop("limits", {}))

    async def report(connection: Any) -> None:
        end: BaseException | None = None
        try:
            await handler(connection)
        except ConnectionClosed as exc:
            end = exc
        await connection.wait_closed()
        sent = getattr(end, "sent", None)
        line = {
            "code": connection.close_code,
            "sent": sent and sent.code,
            "cause": repr(end and end.__cause__),
        }
        print(json.dumps(line), flush=True)

    async with serve(report, "127.0.0.1", 0, limits=limits, **options) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())

"""The application that many visit in test_app_storm.py, in a process of its own.

Prints its port. For each line on standard input it answers with one line of JSON: what it holds.
Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import logging
import sys
from typing import Any

import duologue
from duologue import App, Endpoint

from .rig import descriptors

app = App(
    # Many come from one address here; what counts them is in force all the same.
    max_connections=6000,
    max_connections_per_client=5999,
    connect_rate_per_client=100_000,
    ping_interval=None,
    # All visitors are one process, which may stand still for long on a busy machine.
    open_timeout=200.0,
    close_timeout=10.0,
    write_timeout=10.0,
)


@app.websocket("/")
async def echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


@app.websocket("/room/{name}")
class Room(Endpoint):
    def on_open(self, ws: Any) -> None:
        ws.subscribe(ws.path_params["name"])

    def on_message(self, ws: Any, message: Any) -> None:
        ws.send(message)


@app.post("/length")
async def length(request: Any) -> str:
    return str(len(await request.body()))


class Mallinfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc."""

    _fields_ = [
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")),
        *((name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks")),
        ("keepcost", ctypes.c_size_t),
    ]


def allocated() -> int:
    """Octets that C code has allocated and not freed; 0 where nobody counts them."""
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:
        return 0
    mallinfo.restype = Mallinfo
    found = mallinfo()
    return int(found.uordblks + found.hblkhd)


def facts(server: duologue.Server) -> dict[str, Any]:
    """What there is, once everything is freed that can be."""
    gc.collect()
    accounts = duologue.accounts()
    return {
        "connections": len(server.all_connections),
        "openings": len(server.openings),
        "tasks": len(asyncio.all_tasks()),
        "descriptors": descriptors(),
        "admitted": sum(sum(quota.open.values()) for quota in app.guard._quotas if quota),
        "accounts": [accounts.octets, accounts.connections, accounts.links, accounts.codecs],
        "blocks": sys.getallocatedblocks(),
        "octets": allocated(),
    }


async def main() -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with app.serving("127.0.0.1", 0, drain_timeout=1.0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        while await lines.readline():
            print(json.dumps(facts(server)), flush=True)
    pipe.close()


if __name__ == "__main__":
    # Warnings tell of visitors' misbehaviour; errors would be ours.
    logging.basicConfig(level=logging.ERROR)
    duologue.run(main())

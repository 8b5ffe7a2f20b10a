"""The server under test, in its own process: a coroutine echoes on one port, callbacks on another.

Prints both ports; at SIGTERM it closes, prints what the process-wide accounts still hold as one
line of JSON, and ends.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import signal
from typing import Any

import duologue
from duologue.base.limits import Limits

# Keepalive is patient: on a busy machine the peers' one process may not run for seconds.
LIMITS = Limits(open_timeout=5.0, close_timeout=5.0, ping_interval=10.0, ping_timeout=60.0)


async def echo(ws: Any) -> None:
    """Echo, as a coroutine."""
    async for message in ws:
        await ws.send(message)


class Echo(duologue.Endpoint):
    """Echo, as callbacks."""

    def on_message(self, ws: Any, message: Any) -> None:
        """Answer."""
        ws.send(message)


async def main() -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    options: dict[str, Any] = {"limits": LIMITS, "backlog": 512}
    async with (
        duologue.serve(echo, "127.0.0.1", 0, **options) as first,
        duologue.serve(Echo(), "127.0.0.1", 0, **options) as second,
    ):
        for server in (first, second):
            print(server.sockets[0].getsockname()[1], flush=True)
        await stop.wait()
        while first.all_connections or second.all_connections:
            # The hostile ones take their time; a bound for it stands with who waits for us.
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    # Warnings tell of peers' misbehaviour, which there is plenty of; errors would be ours.
    logging.basicConfig(level=logging.ERROR)
    duologue.run(main())
    gc.collect()
    print(json.dumps(duologue.accounts()._asdict()), flush=True)

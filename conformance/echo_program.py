"""``duologue run cat`` under test: a program on the other side of a WebSocket echoes its lines.

Prints its URL when it listens. A program's lines are texts; what of the suite does not pass stands
in ``deviations.py``::

    python -m conformance.run_autobahn --front-end websocketd
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from duologue.frontends.websocketd import Log, read
from duologue.frontends.websocketd.serving import open_servers
from duologue.frontends.websocketd.site import Site

OPTIONS = ("--maxframesize=0", "--maxlinesize=0", "--pingms=0", "--loglevel=none", "cat")


async def main() -> None:
    config = replace(read(OPTIONS), port=0)
    site = Site(config, Log(config.log_level, print))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(site.close)
        (server,) = await open_servers(config, site, stack)
        host, port = server.sockets[0].getsockname()[:2]
        print(f"ws://{host}:{port}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

r"""``duologue run cat`` under test: a program on the other side of a WebSocket echoes its lines.

Prints its URL when it listens. Of the suite only the cases whose messages are texts of one line
apply, since a program's lines have no other type, and there is no compression::

    run_autobahn.py --testee conformance/echo_program.py --role server \
        --cases '1.1.*,2.*,3.*,4.*,5.*,6.*,7.*,9.1.*,9.3.*,9.5.*,9.7.*,10.*'

Nine of them (3.2 to 3.4, 4.1.3 to 4.1.5, 4.2.3, 4.2.4, 5.15) are NON-STRICT: a message, then a
fault at once, which ends the connection before the program can have answered the message.
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

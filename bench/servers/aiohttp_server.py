"""Echo with aiohttp."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import WSMsgType, web
from common import MAX_SIZE, argument_parser, run, tls_context

everybody: set[web.WebSocketResponse] = set()


async def send(ws: web.WebSocketResponse, message: Any) -> None:
    """Send a message of the kind that came."""
    if message.type is WSMsgType.TEXT:
        await ws.send_str(message.data)
    else:
        await ws.send_bytes(message.data)


async def broadcast(ws: web.WebSocketResponse) -> None:
    """Send every message to everybody."""
    everybody.add(ws)
    try:
        async for message in ws:
            for each in everybody:
                await send(each, message)
    finally:
        everybody.discard(ws)


def make_handler(compress: bool) -> Any:
    """Return the handler of all paths."""

    async def handler(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=compress, max_msg_size=MAX_SIZE)
        await ws.prepare(request)
        if request.path == "/broadcast":
            await broadcast(ws)
        async for message in ws:
            await send(ws, message)
        return ws

    return handler


async def main(arguments: Any) -> None:
    """Serve until cancelled."""
    application = web.Application()
    application.router.add_get("/{path:.*}", make_handler(arguments.deflate))
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(
        runner, "127.0.0.1", arguments.port, ssl_context=tls_context(arguments.tls), backlog=1024
    )
    await site.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    parsed = argument_parser(__doc__ or "").parse_args()
    run(main(parsed), parsed.loop)

"""A guest: a handler of exchanges as the ASGI application ``app``, for any ASGI server."""

from __future__ import annotations

from typing import Any

from duologue.asgi.guest import Guest
from duologue.wire.headers import Headers
from duologue.wire.http11 import Response

log: list[Any] = []


async def answer(exchange: Any) -> None:
    """Echo bodies, messages by ``/ws``; refuse ``/no``."""
    path = exchange.request.path.partition("?")[0]
    if path == "/ws" and exchange.asks_upgrade:
        ws = await exchange.accept(
            "v1" if "v1" in exchange.request.headers.get("Sec-WebSocket-Protocol", "") else None
        )
        try:
            async for message in ws:
                if message == "close":
                    await ws.close(4000, "asked for")
                    return
                await ws.send(message)
        finally:
            log.append((ws.close_code, ws.close_reason))
    elif path == "/echo":
        parts = []
        while part := await exchange.read():
            parts.append(part)
        await exchange.respond(Response(200, "OK", Headers({"X-A": "1"}), b"".join(parts)))
    elif path == "/stream":
        await exchange.begin(200, [])
        for part in (b"a", b"b"):
            await exchange.write(part)
        await exchange.finish()
    else:
        await exchange.respond(Response(403, "Forbidden", Headers(), b"no"))


async def startup() -> None:
    """Note that the lifespan began."""
    log.append("startup")


async def shutdown() -> None:
    """Note that it ended."""
    log.append("shutdown")


app = Guest(answer, startup=startup, shutdown=shutdown)

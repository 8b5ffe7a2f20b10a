"""Sending once in an interval, unless too much still waits."""

from __future__ import annotations

import asyncio

from duologue import WebSocket


def main(url: str = "ws://echo.websocket.org", interval: float = 1.0) -> None:
    ws = WebSocket(url)
    max_data = 10240

    async def onopen(event):
        while ws.readyState == WebSocket.OPEN:
            await asyncio.sleep(interval)
            if ws.bufferedAmount < max_data:
                ws.send("tick")  # send() without data is a TypeError, here as in browsers

    ws.onopen = onopen
    ws.wait_closed()


if __name__ == "__main__":
    main()

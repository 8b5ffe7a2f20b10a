"""A client on picows' own API: a listener's callback for every frame."""

from __future__ import annotations

import asyncio
from typing import Any

import picows
from meter import PAYLOAD, Meter, argument_parser, run


class Client(picows.WSListener):  # type: ignore[misc]
    """Answers every frame with the next message, but for a feed."""

    def __init__(self, arguments: Any) -> None:
        self.arguments = arguments
        self.answers = arguments.mode != "feed"

    def on_ws_connected(self, transport: Any) -> None:
        """Begin."""
        self.meter = Meter(self.arguments, asyncio.get_running_loop())
        for _ in range(self.arguments.depth):
            transport.send(picows.WSMsgType.BINARY, PAYLOAD)

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        """Count and go on."""
        self.meter.received(frame.get_payload_as_bytes())
        if self.meter.over:
            transport.disconnect(graceful=False)
        elif self.answers:
            transport.send(picows.WSMsgType.BINARY, PAYLOAD)


async def main(arguments: Any) -> None:
    """Exchange messages until the time is over."""
    path = "feed" if arguments.mode == "feed" else ""
    transport, client = await picows.ws_connect(
        lambda: Client(arguments), f"ws://127.0.0.1:{arguments.port}/{path}"
    )
    await transport.wait_disconnected()
    client.meter.print()


if __name__ == "__main__":
    run(main, argument_parser(__doc__ or "").parse_args())

"""Echo with picows' own API: a listener's callback for every frame."""

from __future__ import annotations

from typing import Any

import picows
from common import MAX_SIZE, argument_parser, run, tls_context

DATA = (picows.WSMsgType.TEXT, picows.WSMsgType.BINARY, picows.WSMsgType.CONTINUATION)


class Echo(picows.WSListener):  # type: ignore[misc]
    """Sends every frame back."""

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        """Answer at once, without a copy of the payload."""
        if frame.msg_type in DATA:
            self.answer(transport, frame)
        elif frame.msg_type == picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()

    def answer(self, transport: Any, frame: Any) -> None:
        """Send the frame to whom it is for."""
        transport.send(frame.msg_type, frame.get_payload_as_memoryview(), frame.fin)


class Broadcast(Echo):
    """Sends every frame to everybody."""

    everybody: set[Any] = set()  # noqa: RUF012 - shared by the listeners on purpose

    def on_ws_connected(self, transport: Any) -> None:
        """Join."""
        self.everybody.add(transport)

    def on_ws_disconnected(self, transport: Any) -> None:
        """Leave."""
        self.everybody.discard(transport)

    def answer(self, transport: Any, frame: Any) -> None:
        """Send the frame to everybody."""
        payload = frame.get_payload_as_bytes()
        for each in self.everybody:
            each.send(frame.msg_type, payload, frame.fin)


def make_listener(request: Any) -> picows.WSListener:
    """Return the listener for the request's path."""
    return Broadcast() if request.path == b"/broadcast" else Echo()


async def main(arguments: Any) -> None:
    """Serve until cancelled."""
    server = await picows.ws_create_server(
        make_listener,
        "127.0.0.1",
        arguments.port,
        ssl=tls_context(arguments.tls),
        max_frame_size=MAX_SIZE,
        backlog=1024,
    )
    await server.serve_forever()


if __name__ == "__main__":
    parsed = argument_parser(__doc__ or "").parse_args()
    run(main(parsed), parsed.loop)

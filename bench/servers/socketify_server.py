"""Echo with socketify: µWebSockets (C++) behind a Python callback."""

from __future__ import annotations

from typing import Any

from common import MAX_SIZE, argument_parser
from socketify import App, CompressOptions

parsed = argument_parser(__doc__ or "").parse_args()
app = App()


def echo(ws: Any, message: Any, opcode: Any) -> None:
    """Send the message back."""
    ws.send(message, opcode, parsed.deflate)


def join(ws: Any) -> None:
    """Subscribe to the broadcasts."""
    ws.subscribe("everybody")


def broadcast(ws: Any, message: Any, opcode: Any) -> None:
    """Send the message to everybody, by µWebSockets' own topics."""
    app.publish("everybody", message, opcode, parsed.deflate)


options = {
    "compression": CompressOptions.DEDICATED_COMPRESSOR_32KB
    if parsed.deflate
    else CompressOptions.DISABLED,
    "max_payload_length": MAX_SIZE,
    "max_backpressure": 4 * MAX_SIZE,
    "idle_timeout": 120,
}
app.ws("/broadcast", {**options, "open": join, "message": broadcast})
app.ws("/*", {**options, "message": echo})
app.listen({"port": parsed.port, "host": "127.0.0.1"})
app.run()

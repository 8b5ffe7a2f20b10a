"""The sans-I/O protocol, usable alone as h11 and wsproto are.

What it is: `ClientProtocol` and `ServerProtocol` turn octets into events and wishes into octets,
for programs that bring their own I/O; `ServerExchange` does the same for HTTP/1.1 before an
upgrade. The connections of this package run the same code. It must never know sockets, loops,
tasks or time.

Names and behaviour are those of `websockets.protocol`, `websockets.client` and `websockets.server`.
Sources: RFC 6455, RFC 7692, RFC 9110, RFC 9112.
"""

from __future__ import annotations

from duologue.base.vocabulary import CloseCode, Opcode, Side, State
from duologue.protocol.client import ClientProtocol
from duologue.protocol.exchange import ServerExchange
from duologue.protocol.machine import EventMachine as Protocol
from duologue.protocol.server import ServerProtocol
from duologue.wire.frame import Close, Frame
from duologue.wire.http11 import Request, Response

__all__ = [
    "SEND_EOF",
    "ClientProtocol",
    "Close",
    "CloseCode",
    "Frame",
    "Opcode",
    "Protocol",
    "Request",
    "Response",
    "ServerExchange",
    "ServerProtocol",
    "Side",
    "State",
]

SEND_EOF = b""
"""What `data_to_send` returns last when the stream must be half-closed."""

SERVER, CLIENT = Side.SERVER, Side.CLIENT
CONNECTING, OPEN, CLOSING, CLOSED = State

Event = Request | Response | Frame
"""What `events_received` may return."""

"""What a conversation counts, for ``/stats``."""

from __future__ import annotations

import time

from duologue.asyncio.client import ClientConnection

__all__ = ["Numbers"]


class Numbers:
    """Messages and their octets, both ways, over all connections of a conversation."""

    def __init__(self) -> None:
        self.connections = 0
        self._since = 0.0
        self._sent = self._sent_size = 0
        self._received = self._received_size = 0

    def begin(self) -> None:
        """A connection is open."""
        self.connections += 1
        self._since = time.monotonic()

    def sent(self, message: str | bytes) -> None:
        """A message was sent."""
        self._sent += 1
        self._sent_size += _size(message)

    def received(self, message: str | bytes) -> None:
        """A message has arrived."""
        self._received += 1
        self._received_size += _size(message)

    def lines(self, websocket: ClientConnection) -> str:
        """Tells them.

        Args:
            websocket: The connection that is open.
        """
        extensions = ", ".join(extension.name for extension in websocket.extensions)
        host, port = (websocket.remote_address or ("?", 0))[:2]
        trip = f"{websocket.latency * 1000:.1f} ms" if websocket.latency else "not measured yet"
        return "\n".join(
            [
                f"connection {self.connections} to {host} port {port}, "
                f"open for {time.monotonic() - self._since:.1f} s",
                f"subprotocol: {websocket.subprotocol or 'none'}; "
                f"extensions: {extensions or 'none'}",
                f"sent: {_many(self._sent, 'message')}, {_many(self._sent_size, 'byte')}",
                f"received: {_many(self._received, 'message')}, "
                f"{_many(self._received_size, 'byte')}",
                f"round trip: {trip}",
            ]
        )


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _size(message: str | bytes) -> int:
    if isinstance(message, bytes) or message.isascii():
        return len(message)
    return len(message.encode())

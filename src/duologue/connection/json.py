"""Messages that are JSON: what both ends of a connection can send and receive."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any

from duologue.wire.json import encode_json

__all__ = ["JSONMessages"]


class JSONMessages:
    """What connections have besides ``send`` and ``recv``."""

    __slots__ = ()

    send: Any
    recv: Any

    def send_json(self, value: object) -> Awaitable[None]:
        """Send a value as JSON in a text message; like ``send``, it need not be awaited.

        Raises:
            TypeError: If JSON doesn't know a value's type; nothing is sent.
            ValueError: If a number is not finite, or the value contains itself.
            ConnectionClosed: When awaited, if the connection is closed.
        """
        sending: Awaitable[None] = self.send(encode_json(value))
        return sending

    async def recv_json(self) -> Any:
        """Receive a message, text or binary, and return what its JSON says.

        Raises:
            ValueError: If it isn't JSON; the connection lives on.
            ConnectionClosed: If the connection is closed.
        """
        message = await self.recv()
        try:
            return json.loads(message)
        except RecursionError:
            raise ValueError("JSON of too many levels") from None

"""What the parent and one child tell each other: lines of JSON on a pair of sockets.

A child says ``ready`` when it serves and a ``beat`` from time to time; the parent says ``leave``
with a close code. A channel that ends tells each of them that the other is gone. Neither ever waits
for the other: what does not fit into the socket any more is let go of, which only happens to beats.
"""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

__all__ = ["Channel"]

MOST = 1 << 20
"""Octets of a line; a longer one ends the channel."""


class Channel:
    """One end.

    Args:
        sock: a connected stream socket, which becomes the channel's.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._read = b""
        self._unsent = b""

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Make both ends."""
        one, other = socket.socketpair()
        return cls(one), cls(other)

    def fileno(self) -> int:
        """The socket's descriptor, for selectors."""
        return self.sock.fileno()

    def say(self, **words: Any) -> bool:
        """Send a line; tell whether there was room for it."""
        if self._unsent and not self._push(b""):
            return False
        return self._push(json.dumps(words).encode() + b"\n")

    def _push(self, octets: bytes) -> bool:
        """Send what is left of the line before, and a line; true unless the former is stuck."""
        octets = self._unsent + octets
        with contextlib.suppress(OSError):  # full, or the other end is gone, which reading tells
            octets = octets[self.sock.send(octets) :]
        self._unsent = octets
        return not octets

    def hear(self) -> list[dict[str, Any]] | None:
        """Return the lines that have arrived; ``None`` once the other end is gone."""
        try:
            octets = self.sock.recv(65536)
        except BlockingIOError:
            return []
        except OSError:
            octets = b""
        *lines, self._read = (self._read + octets).split(b"\n")
        if not octets or len(self._read) > MOST:
            return None
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Let go of this end."""
        self.sock.close()

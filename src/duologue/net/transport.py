"""A link of the engine as an asyncio transport, for programs that reach for ``ws.transport``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duologue.net.socket_link import SocketLink


class LinkTransport(asyncio.Transport):
    """The part of :class:`asyncio.Transport` that doesn't meddle with what the link carries.

    Args:
        link: the link.
    """

    def __init__(self, link: SocketLink) -> None:
        super().__init__()
        self._link = link

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``"peername"`` or ``"sockname"``."""
        value = self._link.get_extra_info(name)
        return default if value is None else value

    def is_closing(self) -> bool:
        """Whether the link is closed or about to be."""
        return self._link.is_closing()

    def close(self) -> None:
        """Close after what is queued has gone out."""
        self._link.close_link()

    def abort(self) -> None:
        """Close at once."""
        self._link.abort_link()

    def get_write_buffer_size(self) -> int:
        """Octets queued that the operating system has not taken yet."""
        return self._link.unsent_octets()

    def can_write_eof(self) -> bool:
        """Our stream can be ended while the peer's goes on."""
        return True

    def write_eof(self) -> None:
        """End our stream after what is queued."""
        self._link.write_eof()

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._link.pause()

    def resume_reading(self) -> None:
        """Read again."""
        self._link.resume()

    def is_reading(self) -> bool:
        """Whether octets are read as they come."""
        return self._link.is_reading()

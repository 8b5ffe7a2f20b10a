"""``request``, as handlers see it, and its ``connection``.

Handlers hang attributes of their own on it; the opening handshake adds those whose names begin with
``ws_``, and ``extra_headers``.
"""

from __future__ import annotations

from typing import Any

from duologue.frontends.pywebsocket.channel import Channel

__all__ = ["Connection", "Request"]


class Connection:
    """The octets below a request: what is written here is sent as it is.

    Args:
        channel: The peer's.
        remote_addr: The peer's address.
        local_addr: The server's host and port.

    Attributes:
        channel: The same.
        read: ``read(n)`` waits for that many octets; there are fewer only at the end.
        write: ``write(octets)`` waits until the system has taken them.
    """

    def __init__(self, channel: Channel, remote_addr: Any, local_addr: tuple[str, int]) -> None:
        self.channel = channel
        self.remote_addr = remote_addr
        self.local_addr = local_addr
        self.read = channel.read
        self.write = channel.write
        self.read_until = channel.read_until
        self.write_at_once = channel.write_at_once
        self.interrupt = channel.interrupt
        self._lines = channel.lines

    def get_remote_addr(self) -> Any:
        """Returns ``remote_addr``."""
        return self.remote_addr

    def get_local_addr(self) -> tuple[str, int]:
        """Returns ``local_addr``."""
        return self.local_addr

    def get_memorized_lines(self) -> list[bytes]:
        """Returns the lines of the request's head."""
        return self._lines


class Request:
    """An opening handshake, and then the connection.

    Args:
        connection: Its octets.
        method: Of the request.
        uri: Its target; of an absolute one the path with the query.
        protocol: Its version, such as ``HTTP/1.1``.
        headers_in: Its headers: a mapping without regard to case, with ``get_all``.
        is_tls: Whether TLS carries it.
        max_size: Octets in a message; ``None`` lifts the limit.
        compression: Whether permessage-deflate may be agreed on.
        close_timeout: Seconds to wait for the answer to a Close frame; ``None`` lifts the limit.

    Attributes:
        uri, unparsed_uri: The target.
        client_terminated: Whether the peer's Close frame has come.
        server_terminated: Whether ours was sent.
    """

    client_terminated = False
    server_terminated = False
    ws_stream: Any
    _dispatcher: Any

    def __init__(
        self,
        connection: Connection,
        *,
        method: str,
        uri: str,
        protocol: str,
        headers_in: Any,
        is_tls: bool = False,
        max_size: int | None = None,
        compression: bool = True,
        close_timeout: float | None = None,
    ) -> None:
        self.connection = connection
        self.method = method
        self.uri = uri
        self.unparsed_uri = uri
        self.protocol = protocol
        self.headers_in = headers_in
        self.max_size = max_size
        self.compression = compression
        self.close_timeout = close_timeout
        self._is_tls = is_tls

    def is_https(self) -> bool:
        """Tells whether TLS carries it."""
        return self._is_tls

    def get_uri(self) -> str:
        """Returns ``uri``."""
        return self.uri

    def get_unparsed_uri(self) -> str:
        """Returns ``unparsed_uri``."""
        return self.unparsed_uri

    def get_method(self) -> str:
        """Returns ``method``."""
        return self.method

    def get_protocol(self) -> str:
        """Returns ``protocol``."""
        return self.protocol

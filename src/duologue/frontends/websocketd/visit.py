"""What is known of a request before it is decided what becomes of it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes, urlsplit

from duologue.datastructures import Headers
from duologue.http11 import Request

__all__ = ["Visit", "clean_path", "wants_websocket"]


@dataclass(slots=True)
class Visit:
    """A request, and who sent it.

    Attributes:
        request: As it came.
        tls: Whether it came over TLS.
        remote_address: The client's address, ``unix-socket`` over a Unix socket.
        remote_port: Its port, empty over a Unix socket.
        remote_host: Its address, or its name if that was looked up.
        target: Path and query as they were asked for.
        path: The path, with its percent-encoding undone; octets that aren't UTF-8 are kept.
        query: The query as it was asked for, empty if there is none.
        id: Nanoseconds since the epoch when the request came.
    """

    request: Request
    tls: bool
    remote_address: str
    remote_port: str
    remote_host: str = ""
    target: str = field(init=False)
    path: str = field(init=False)
    query: str = field(init=False)
    id: str = field(default_factory=lambda: str(time.time_ns()))

    def __post_init__(self) -> None:
        target = self.request.path
        if not target.startswith("/"):
            # The absolute form, which servers must accept (RFC 9112 section 3.2.2).
            parts = urlsplit(target)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.target = target
        path, _, self.query = target.partition("?")
        self.path = os.fsdecode(unquote_to_bytes(path))
        self.remote_host = self.remote_host or self.remote_address

    @property
    def headers(self) -> Headers:
        """Header fields of the request."""
        return self.request.headers

    @property
    def host(self) -> str:
        """The ``Host`` header; empty if there is none."""
        values = self.headers.get_all("Host")
        return values[0] if values else ""

    @property
    def origin(self) -> str | None:
        """The ``Origin`` header; ``None`` if there is none."""
        values = self.headers.get_all("Origin")
        return values[0] if values else None

    @property
    def url(self) -> str:
        """What was asked for, as the log shows it."""
        return f"{'https' if self.tls else 'http'}://{self.host}{self.target}"


def wants_websocket(request: Request) -> bool:
    """Tells whether a request asks for an upgrade to WebSocket.

    Args:
        request: The request. What else may be wrong with it is judged later.
    """
    tokens = ",".join(request.headers.get_all("Connection")).lower().split(",")
    upgrades = request.headers.get_all("Upgrade")
    return (
        "upgrade" in (token.strip() for token in tokens)
        and bool(upgrades)
        and upgrades[0].strip().lower() == "websocket"
    )


def clean_path(path: str) -> str:
    """Returns a path without empty segments, ``.`` and ``..``, as Go's ``ServeMux`` has it.

    Args:
        path: A path that begins with a slash, percent-encoded or not.
    """
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    cleaned = "/" + "/".join(kept)
    return cleaned + "/" if path.endswith("/") and kept else cleaned

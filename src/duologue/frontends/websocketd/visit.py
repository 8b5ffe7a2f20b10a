"""What is known of a request before it is decided what becomes of it."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes, urlsplit

from duologue.datastructures import Headers
from duologue.http11 import Request

__all__ = ["Visit", "clean_path", "wants_websocket"]

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


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
        host: What was asked of: the ``Host`` header, or what an absolute target says instead of it;
            empty if there is none.
        malformed: Whether the target is no path, is wrongly encoded, or has a NUL in it.
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
    host: str = field(init=False)
    malformed: bool = field(init=False)
    id: str = field(default_factory=lambda: str(time.time_ns()))

    def __post_init__(self) -> None:
        target = self.request.path
        values = self.headers.get_all("Host")
        self.host = values[0] if values else ""
        if "://" in target and not target.startswith("/"):
            # The absolute form: accepted, and Host is passed over (RFC 9112 section 3.2.2).
            target, self.host = _relative(target)
        self.target = target
        path, _, self.query = target.partition("?")
        self.path = os.fsdecode(unquote_to_bytes(path))
        wrong = "\0" in self.path or _BAD_ESCAPE.search(path) is not None
        self.malformed = wrong or not path.startswith("/")
        self.remote_host = self.remote_host or self.remote_address

    @property
    def headers(self) -> Headers:
        """Header fields of the request."""
        return self.request.headers

    @property
    def origin(self) -> str | None:
        """The ``Origin`` header; ``None`` if there is none."""
        values = self.headers.get_all("Origin")
        return values[0] if values else None

    @property
    def url(self) -> str:
        """What was asked for, as the log shows it."""
        return f"{'https' if self.tls else 'http'}://{self.host}{self.target}"


def _relative(target: str) -> tuple[str, str]:
    """Return path and query of an absolute target, and its host and port."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "", ""
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return path, parts.netloc.rpartition("@")[2]


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

"""What a server is told: every option, with its default."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

__all__ = ["MAX_SIZE", "MAX_THREADS", "Config"]

MAX_THREADS = 1000
"""Connections served at once by default, each by a thread; others wait in the backlog."""

MAX_SIZE = 16_777_216
"""Octets in a message by default. pywebsocket3 has no limit; browsers' tests send megabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How handlers are served.

    Attributes:
        hosts: Addresses to listen on; an empty one stands for all of IPv6 and of IPv4. The default
            is the machine itself: handlers are programs.
        port: TCP port; 0 lets the system choose.
        handlers: Root of the handlers.
        handlers_map: File of aliases.
        scan_dir: Where to look for handlers, below the root; ``None`` for all of it.
        outside_root: Whether links may lead to handlers outside of the root.
        handler_encoding: Of the handlers' files; ``None`` for the locale's.
        document_root: What plain HTTP serves; ``None`` for nothing.
        cgi_paths: Prefixes of paths below which files are programs to run.
        validation_host: What the host of an absolute target must be; ``None`` for any.
        validation_port: The same for its port.
        origins: Pages that may connect, as their ``Origin`` says it; ``None`` for all. Who sends
            none is no page, and may.
        credential: ``user:password`` that every request must show; ``None`` for none.
        tls: TLS settings; ``None`` for no TLS.
        backlog: Connections that wait to be accepted.
        max_threads: Connections served at once.
        max_size: Octets in a message; ``None`` lifts the limit.
        compression: Whether permessage-deflate may be agreed on.
        open_timeout: Seconds for TLS handshake and request head.
        close_timeout: Seconds to wait for the answer to a Close frame.
        write_timeout: Seconds in which a write must make progress.
        max_head: Octets in a request's head.
    """

    hosts: tuple[str, ...] = ("127.0.0.1", "::1")
    port: int = 80
    handlers: str = "."
    handlers_map: str | None = None
    scan_dir: str | None = None
    outside_root: bool = False
    handler_encoding: str | None = None
    document_root: str | None = None
    cgi_paths: tuple[str, ...] = ()
    validation_host: str | None = None
    validation_port: int | None = None
    origins: tuple[str, ...] | None = None
    credential: str | None = None
    tls: ssl.SSLContext | None = None
    backlog: int = 128
    max_threads: int = MAX_THREADS
    max_size: int | None = MAX_SIZE
    compression: bool = True
    open_timeout: float = 10.0
    close_timeout: float = 10.0
    write_timeout: float = 60.0
    max_head: int = 32_768

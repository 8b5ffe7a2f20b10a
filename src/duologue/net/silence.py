"""How long a TCP connection has been silent, as the operating system knows it.

Costs a system call when somebody asks and nothing before. Linux tells; elsewhere nobody knows.

Source: ``struct tcp_info`` of Linux's ``tcp.h``.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

# Of struct tcp_info, in milliseconds: since data was last sent, and since it last arrived.
_LAST_SENT = 44
_LAST_RECEIVED = 52
_SIZE = 56


def silence_of(sock: Any) -> float | None:
    """Return the seconds since data was last sent or received, ``None`` if that can't be told.

    Args:
        sock: a socket, or what asyncio's transports give for one.
    """
    ages = _ages(sock)
    return None if ages is None else min(ages)


def arrival_of(sock: Any) -> float | None:
    """Return the seconds since data last arrived, whether it was read or not.

    Who reads data that arrived long ago did nothing for so long.
    """
    ages = _ages(sock)
    return None if ages is None else ages[1]


def _ages(sock: Any) -> tuple[float, float] | None:
    """Seconds since data was last sent, and since it last arrived."""
    if sys.platform != "linux" or sock is None:
        return None
    try:
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
    except (OSError, AttributeError, TypeError):
        # Not the operating system's, but something that looks like a socket.
        return None
    if not isinstance(info, bytes) or len(info) < _SIZE:
        return None
    sent: int = struct.unpack_from("=I", info, _LAST_SENT)[0]
    received: int = struct.unpack_from("=I", info, _LAST_RECEIVED)[0]
    return sent / 1000, received / 1000


def silence_of_descriptor(descriptor: int) -> float | None:
    """Do the same as :func:`silence_of` with a descriptor, which stays open."""
    return _with_socket(descriptor, silence_of)


def arrival_of_descriptor(descriptor: int) -> float | None:
    """Do the same as :func:`arrival_of` with a descriptor, which stays open."""
    return _with_socket(descriptor, arrival_of)


def _with_socket(descriptor: int, ask: Callable[[Any], float | None]) -> float | None:
    try:
        sock = socket.socket(fileno=os.dup(descriptor))
    except OSError:
        return None
    with sock:
        return ask(sock)

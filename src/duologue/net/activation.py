"""Sockets that systemd hands over (socket activation): they listen before the program starts.

Source: sd_listen_fds(3).
"""

from __future__ import annotations

import os
import socket

__all__ = ["inherited", "activated_sockets"]

FIRST = 3
"""Descriptor of the first socket handed over."""


def inherited(fd: int) -> socket.socket:
    """Take a descriptor that the process was started with.

    Args:
        fd: of a stream socket, bound or listening.

    Returns:
        The socket, which owns the descriptor.

    Raises:
        OSError: If it isn't a stream socket.
    """
    sock = socket.socket(fileno=fd)
    if sock.type != socket.SOCK_STREAM:
        sock.detach()
        raise OSError(f"file descriptor {fd} is not a stream socket")
    sock.set_inheritable(False)
    return sock


def activated_sockets() -> list[socket.socket]:
    """Take the sockets that systemd has handed to this process.

    The variables of the environment that tell of them are removed, so that child processes don't
    take them for theirs, and a second call returns none.

    Returns:
        The sockets in the order of the unit's ``ListenStream=`` lines, usually none at all.

    Raises:
        OSError: If one isn't a stream socket.
        ValueError: If ``LISTEN_FDS`` isn't a number.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.get("LISTEN_FDS", "0"))
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    sockets: list[socket.socket] = []
    try:
        for fd in range(FIRST, FIRST + count):
            sockets.append(inherited(fd))
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets

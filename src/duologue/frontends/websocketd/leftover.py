"""What a program has left unread in the pipe of its standard input."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios

__all__ = ["Leftover"]


class Leftover:
    """What lies in a pipe, unread; to be closed soon, since a pipe with it counts as read.

    Known on Linux only: elsewhere a pipe can't be opened anew, and nothing is ever found.

    Args:
        fd: Descriptor of the writing end, negative if it is closed.
    """

    def __init__(self, fd: int) -> None:
        self._fd = -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
                self._fd = os.open(f"/proc/self/fd/{fd}", flags)

    def close(self) -> int:
        """Closes it, and returns how many octets lay there."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return 0
        try:
            (count,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
        finally:
            os.close(fd)
        return int(count)

"""A Unix socket that only this user's processes can use, and that one process at a time owns.

The socket has a path, never an abstract name: a path has permissions and lies in a folder that has
some too, and beside it there is room for the lock. Whoever holds the lock may replace a socket that
a crashed owner left behind. Both ends besides ask the kernel who the other one is, where it tells.

Knows nothing of what is said over the socket.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

from duologue.base.exceptions import BackplaneError

if os.name == "posix":
    import fcntl

BACKLOG = 1024
"""Connections that wait to be accepted: all processes may come at once."""
ROOT = 0


def check_owner(sock: socket.socket) -> None:
    """Make sure that the process at the other end is one of this user, or of root.

    Raises:
        BackplaneError: If it is not.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return
    format = struct.Struct("3i")
    octets = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, format.size)
    _, user, _ = format.unpack(octets)
    if user not in (ROOT, os.geteuid()):
        raise BackplaneError(f"the other end of {sock.getsockname()} belongs to user {user}")


class OwnedSocket:
    """A listening socket at a path, together with the lock that makes it ours.

    Args:
        path: where; the lock is at ``path`` with ``.lock`` behind it.

    Attributes:
        sock: listens.

    Raises:
        BlockingIOError: If another process owns the path.
        OSError: If the path can't be used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.sock = self._listen()
        except BaseException:
            os.close(self._lock)
            raise

    def _listen(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.path.unlink(missing_ok=True)
            sock.bind(str(self.path))
            # Nobody can connect before listen().
            self.path.chmod(0o600)
            sock.listen(BACKLOG)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
        return sock

    def close(self) -> None:
        """Give the path up; closing again changes nothing."""
        if self._lock >= 0:
            self.path.unlink(missing_ok=True)
            self.sock.close()
            os.close(self._lock)
            self._lock = -1

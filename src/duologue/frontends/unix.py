"""A Unix socket to listen on, whose file is there exactly as long as it is needed."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator

__all__ = ["unix_listener"]


@contextlib.contextmanager
def unix_listener(path: str) -> Iterator[socket.socket]:
    """Gives a socket bound to a path, and removes its file afterwards.

    What a server that was killed has left there is removed, but neither a socket that somebody
    listens on nor anything else.

    Args:
        path: Where the socket is to be.

    Raises:
        OSError: If it can't be there.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        _remove_stale(path)
        sock.bind(path)
        ours = os.stat(path)
        try:
            yield sock
        finally:
            # Not if somebody has replaced it by now.
            with contextlib.suppress(OSError):
                if os.path.samestat(ours, os.stat(path)):
                    os.unlink(path)


def _remove_stale(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "it exists and is not a socket", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise OSError(errno.EADDRINUSE, "another server listens there", path)

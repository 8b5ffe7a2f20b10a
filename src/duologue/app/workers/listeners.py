"""The listening sockets of several workers, which the parent opens and keeps.

On Linux each worker has sockets of its own, among which the kernel shares out connections
(SO_REUSEPORT): no worker is woken for another one's. Since the parent keeps them open, connections
that wait in a socket whose worker has died wait for the next one. Elsewhere, and for Unix sockets,
inherited ones and those of systemd, all workers accept from the same sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Sequence

from duologue.net.activation import activated_sockets, inherited
from duologue.net.listening import bind, bind_unix

__all__ = ["Listeners"]

HOST, PORT = "127.0.0.1", 8000


class Listeners:
    """Sockets by worker.

    Attributes:
        slots: for each worker those that it accepts from; the same ones if they are shared.
    """

    def __init__(self, slots: list[list[socket.socket]], unlink: str | None = None) -> None:
        self.slots = slots
        self._unlink = unlink

    @classmethod
    def open(
        cls,
        workers: int,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        uds: str | os.PathLike[str] | None = None,
        fd: int | None = None,
        sock: socket.socket | Sequence[socket.socket] | None = None,
        backlog: int = 2048,
    ) -> Listeners:
        """Listen; arguments are those of :meth:`~duologue.App.serving`.

        Raises:
            OSError: If nothing can listen there.
            ValueError: If the places exclude each other.
        """
        tcp = host is not None or port is not None
        if tcp + (uds is not None) + (fd is not None) + (sock is not None) > 1:
            raise ValueError("host and port, uds, fd and sock exclude each other")
        unlink = None
        if uds is not None:
            shared = [bind_unix(uds)]
            unlink = os.fspath(uds)
        elif fd is not None:
            shared = [inherited(fd)]
        elif sock is not None:
            shared = [sock] if isinstance(sock, socket.socket) else list(sock)
        else:
            shared = [] if tcp else activated_sockets()
        slots = [shared] * workers if shared else _bind_tcp(workers, host, port)
        for each in {id(each): each for slot in slots for each in slot}.values():
            each.setblocking(False)
            each.listen(backlog)
        return cls(slots, unlink)

    @property
    def all(self) -> list[socket.socket]:
        """Every socket once."""
        return list({id(each): each for slot in self.slots for each in slot}.values())

    def keep_only(self, slot: int | None) -> None:
        """In a child: let go of the sockets of others, or of all."""
        kept = [] if slot is None else self.slots[slot]
        for each in self.all:
            if each not in kept:
                each.close()

    def close(self) -> None:
        """Stop listening."""
        for each in self.all:
            each.close()
        if self._unlink is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._unlink)


def _bind_tcp(
    workers: int, host: str | Sequence[str] | None, port: int | None
) -> list[list[socket.socket]]:
    async def bound(place: str | Sequence[str], port: int, reuse: bool) -> list[socket.socket]:
        return await bind(asyncio.get_running_loop(), place, port, reuse_port=reuse)

    host = HOST if host is None else host
    first = asyncio.run(bound(host, PORT if port is None else port, False))
    if sys.platform != "linux":
        return [first] * workers
    # It shows that the port is free of others who would share it: those have SO_REUSEPORT, too.
    places = [sock.getsockname() for sock in first]
    for sock in first:
        sock.close()
    slots: list[list[socket.socket]] = []
    try:
        for _ in range(workers):
            slots.append([])
            for name in places:
                slots[-1] += asyncio.run(bound(name[0], name[1], True))
    except BaseException:
        for slot in slots:
            for sock in slot:
                sock.close()
        raise
    return slots

"""Kills the programs that a server leaves behind when it is killed itself.

A program that ignores the end of its input would live on: nobody ends it when SIGKILL ends the
server. So a small process of its own waits at the end of a pipe that only the server holds. When
the pipe ends it kills the process groups that a file without a name lists: the server writes there
what runs, which wakes nobody.

Started with the first program. POSIX only.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile

__all__ = ["Warden"]

_PLACE = struct.Struct("=q")

_SCRIPT = """\
import os, signal, struct, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.read(0, 1)
table = os.pread(int(sys.argv[1]), os.fstat(int(sys.argv[1])).st_size, 0)
for group, in struct.iter_unpack("=q", table):
    try:
        if group:
            os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""


def _file_without_name() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("programs")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Warden:
    """The process that outlives us by a moment."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._table = -1
        self._places: dict[int, int] = {}
        self._free: list[int] = []

    def watch(self, group: int) -> None:
        """Has a process group killed if we are killed before :meth:`forget`.

        Args:
            group: Number of its leader.
        """
        if self._process is None or self._process.poll() is not None:
            self._start()
        place = self._free.pop() if self._free else len(self._places)
        self._places[group] = place
        self._note(place, group)

    def forget(self, group: int) -> None:
        """Has a process group live; to be called before its leader is reaped.

        Args:
            group: Number of its leader.
        """
        place = self._places.pop(group, None)
        if place is not None:
            self._note(place, 0)
            self._free.append(place)

    def _start(self) -> None:
        if self._table < 0:
            self._table = _file_without_name()
        # Somebody may have killed it: another takes the table over.
        self._end()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _SCRIPT, str(self._table)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(self._table,),
        )

    def _note(self, place: int, group: int) -> None:
        os.pwrite(self._table, _PLACE.pack(group), place * _PLACE.size)

    def close(self) -> None:
        """Ends it: all programs are gone by now."""
        self._end()
        if self._table >= 0:
            os.close(self._table)
            self._table = -1

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()

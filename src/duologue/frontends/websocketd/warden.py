"""Kills the programs that a server leaves behind when it is killed itself.

A program that ignores the end of its input would live on: nobody ends it when SIGKILL ends the
server. So a small process of its own waits at the end of a pipe that only the server writes to. It
is told of each program; when the pipe ends it kills the process groups that are left.

Started with the first program. POSIX only.
"""

from __future__ import annotations

import os
import subprocess
import sys

__all__ = ["Warden"]

_SCRIPT = """\
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
groups = set()
for line in sys.stdin:
    number = int(line)
    groups.add(number) if number > 0 else groups.discard(-number)
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""


class Warden:
    """The process that outlives us by a moment."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, group: int) -> None:
        """Has a process group killed if we are killed before :meth:`forget`.

        Args:
            group: Number of its leader.
        """
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _SCRIPT],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._tell(group)

    def forget(self, group: int) -> None:
        """Has a process group live; to be called before its leader is reaped.

        Args:
            group: Number of its leader.
        """
        self._tell(-group)

    def _tell(self, number: int) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        try:
            os.write(self._process.stdin.fileno(), b"%d\n" % number)
        except OSError:
            # Somebody has killed it: the next program gets another.
            self.close()

    def close(self) -> None:
        """Ends it: all programs are gone by now."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()

"""Starting a process with pipes for its standard streams.

``posix_spawn`` does it without copying the server's memory, and leaves nothing to Python between
fork and exec. It has no working directory; where one is wanted, :mod:`subprocess` does it.

Invariants: a program is given three descriptors and no others; signals that we ignore, it doesn't.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence

__all__ = ["keep_descriptors", "spawn"]

# What Python ignores, as far as this system has it.
_RESTORED = [
    getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ", "SIGXFZ") if hasattr(signal, name)
]


def keep_descriptors() -> None:
    """Keeps what whoever started us has left open from every program; ours never pass."""
    with contextlib.suppress(OSError):
        for name in os.listdir("/dev/fd"):
            if int(name) > 2:
                with contextlib.suppress(OSError):
                    os.set_inheritable(int(name), False)


def spawn(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    session: bool,
    directory: str | None = None,
) -> tuple[int, list[int]]:
    """Starts a process.

    Args:
        command: Program and arguments; the program is looked for in the ``PATH`` of its own
            environment if it is a name only.
        environment: All of its environment.
        session: Whether it leads a session, and so a process group, of its own.
        directory: Working directory; ours by default.

    Returns:
        Its number, which is the caller's to reap, and our ends of the pipes: of its standard input,
        output and error.

    Raises:
        OSError: If it can't be started.
        ValueError: If a word holds a NUL.
    """
    ours: list[int] = []
    theirs: list[int] = []
    try:
        for stream in range(3):
            ends = os.pipe()
            ours.append(ends[stream == 0])
            theirs.append(ends[stream != 0])
        number = _start(command, environment, theirs, session, directory)
    except BaseException:
        _close(ours)
        raise
    finally:
        _close(theirs)
    return number, ours


def _close(descriptors: list[int]) -> None:
    for each in descriptors:
        os.close(each)


def _start(
    command: Sequence[str],
    environment: Mapping[str, str],
    streams: list[int],
    session: bool,
    directory: str | None,
) -> int:
    # A pipe that has a place of the standard streams would be overwritten on the way.
    if directory is None and min(streams) > 2:
        try:
            return os.posix_spawn(
                _find(command[0], environment),
                list(command),
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, each, place) for place, each in enumerate(streams)
                ],
                setsid=session,
                setsigdef=_RESTORED,
            )
        except NotImplementedError:
            # An old system, which can't begin a session so.
            pass
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=directory,
        stdin=streams[0],
        stdout=streams[1],
        stderr=streams[2],
        start_new_session=session,
    )
    # Its end is for our caller to know, not for subprocess.
    process.returncode = 0
    return process.pid


def _find(program: str, environment: Mapping[str, str]) -> str:
    if os.sep in program:
        return program
    return shutil.which(program, path=environment.get("PATH", os.defpath)) or program

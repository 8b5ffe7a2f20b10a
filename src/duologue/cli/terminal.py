"""What the command line prints, and how it keeps a peer from playing with the terminal.

Control characters in what a peer has sent can move the cursor, change the title or make a terminal
type: they are shown as escapes whenever a person may be looking.

Invariant: a reader of our output that goes away (``| head``) ends our output, never our work.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TextIO

__all__ = ["complain", "escape", "prepare_streams", "say"]

_CONTROLS = [*range(0x20), *range(0x7F, 0xA0)]
_DIRECTIONS = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]  # they reorder what follows
_ESCAPES = str.maketrans(
    {point: chr(point).encode("unicode_escape").decode() for point in _CONTROLS + _DIRECTIONS}
)


def escape(text: str) -> str:
    """Returns a text with its control characters written as backslash escapes.

    That is C0 with the line feed, DEL, C1 and the characters that change the direction of writing.

    Args:
        text: Any text.
    """
    return text.translate(_ESCAPES)


def prepare_streams() -> None:
    """Makes standard output able to print any character, as an escape if its encoding has none."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def say(line: str) -> bool:
    """Prints a line on standard output, at once.

    Args:
        line: The line, without line feed.

    Returns:
        False if nobody reads standard output any more.
    """
    return _write(sys.stdout, line)


def complain(line: str) -> None:
    """Prints a line on standard error, with the program's name before it.

    Args:
        line: The line, without line feed. Control characters are escaped.
    """
    _write(sys.stderr, f"duologue: {escape(line)}")


def _write(stream: TextIO | None, line: str) -> bool:
    if stream is None:  # closed by whoever has started us
        return False
    try:
        print(line, file=stream, flush=True)
    except BrokenPipeError:
        # What is still buffered would raise again when the interpreter exits: let it go nowhere.
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        return False
    return True

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
from collections.abc import Mapping
from enum import StrEnum
from typing import TextIO

__all__ = [
    "Colour",
    "at_terminal",
    "complain",
    "escape",
    "has_colours",
    "prepare_streams",
    "say",
    "say_octets",
    "write",
]

_CONTROLS = [*range(0x20), *range(0x7F, 0xA0)]
# They reorder what follows, or are line ends to some.
_DIRECTIONS = [0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
_ESCAPES = str.maketrans(
    {point: chr(point).encode("unicode_escape").decode() for point in _CONTROLS + _DIRECTIONS}
)


class Colour(StrEnum):
    """What the colours are for; the values are those of SGR (ECMA-48 section 8.3.117)."""

    RECEIVED = "36"
    NOTICE = "32"
    PROBLEM = "33"
    FRAME = "2"

    def paint(self, text: str) -> str:
        """Returns a text between the sequences that turn the colour on and off.

        Args:
            text: A text without control characters.
        """
        return f"\x1b[{self}m{text}\x1b[0m"


def escape(text: str) -> str:
    """Returns a text with its control characters written as backslash escapes.

    That is C0 with the line feed, DEL, C1, line separators and the characters that change the
    direction of writing.

    Args:
        text: Any text.
    """
    return text.translate(_ESCAPES)


def at_terminal(stream: object) -> bool:
    """Tells whether a person may be at the other end of a stream.

    Args:
        stream: A file, or ``None``, which a closed standard stream is.
    """
    return bool(stream is not None and getattr(stream, "isatty", lambda: False)())


def has_colours(stream: object, environment: Mapping[str, str]) -> bool:
    """Tells whether colours are wanted on a stream.

    Args:
        stream: The stream.
        environment: ``NO_COLOR``, if not empty, forbids them (https://no-color.org), and so does a
            ``TERM`` that says that the terminal knows nothing.
    """
    if environment.get("NO_COLOR") or environment.get("TERM", "") == "dumb":
        return False
    return at_terminal(stream)


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
    return write(sys.stdout, f"{line}\n")


def say_octets(octets: bytes) -> bool:
    """Writes octets to standard output as they are, at once.

    Args:
        octets: The octets.

    Returns:
        False if nobody reads standard output any more.
    """
    stream = sys.stdout
    if stream is None:
        return False
    try:
        stream.buffer.write(octets)
        stream.buffer.flush()
    except BrokenPipeError:
        _discard(stream)
        return False
    return True


def complain(line: str) -> None:
    """Prints a line on standard error, with the program's name before it.

    Args:
        line: The line, without line feed. Control characters are escaped.
    """
    write(sys.stderr, f"duologue: {escape(line)}\n")


def write(stream: TextIO | None, text: str) -> bool:
    """Writes text at once.

    Args:
        stream: Standard output or standard error; ``None`` if whoever has started us closed it.
        text: The text, line feeds included.

    Returns:
        False if nobody reads it any more.
    """
    if stream is None:
        return False
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _discard(stream)
        return False
    return True


def _discard(stream: TextIO) -> None:
    """Lets what is still buffered go nowhere: it would raise again when the interpreter exits."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)

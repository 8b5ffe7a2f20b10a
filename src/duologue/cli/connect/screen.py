"""Where everything goes that ``duologue connect`` has to show: messages, notices, frames.

Messages go to standard output, everything else to standard error. On a terminal what a peer has
sent is escaped, shortened to :data:`SHOWN` characters and, while a person types, marked with ``<``;
in a pipe text comes out as it is.

While a line is being edited, what goes to the terminal must go above that line: the editor lends a
function that lets us do so. Since the line is drawn again each time, what comes within
:data:`PAUSE` seconds, at most :data:`WAITING` lines, is written together; our own words end the
wait, and what is not a terminal is written at once.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import TextIO

from duologue.cli.terminal import (
    Colour,
    at_terminal,
    escape,
    has_colours,
    say,
    say_octets,
    write,
)

__all__ = ["PAUSE", "SHOWN", "WAITING", "Screen"]

SHOWN = 65536
"""Characters of a message, or digits of a binary one, that a terminal shows."""

WAITING = 256
"""Lines that may wait to be written above the line being edited."""

PAUSE = 0.02
"""Seconds they wait at most: nobody reads faster, and drawing takes a while."""

Above = Callable[[Callable[[], None]], None]
"""Calls a function while the line being edited is out of the way."""


class Screen:
    """What is shown, and where.

    Args:
        interactive: Whether a person types.
        raw: Whether a pipe gets the octets of messages and nothing else.
        quiet: Whether notices are left out.
    """

    def __init__(self, *, interactive: bool, raw: bool = False, quiet: bool = False) -> None:
        self._person = at_terminal(sys.stdout)
        self._colours = {
            stream: has_colours(stream, os.environ) for stream in (sys.stdout, sys.stderr)
        }
        self._marked = interactive and self._person
        self._raw = raw and not self._person
        self._quiet = quiet
        self._above: Above | None = None
        self._waiting: list[tuple[TextIO, str]] = []

    def share(self, above: Above) -> None:
        """Shares the terminal with an editor.

        Args:
            above: How to write above the line being edited.
        """
        self._above = above

    def message(self, message: str | bytes) -> bool:
        """Shows a message that was received.

        Args:
            message: The message.

        Returns:
            False if nobody reads standard output any more.
        """
        if self._raw:
            return say_octets(message.encode() if isinstance(message, str) else message)
        if not self._person:
            return say(f"(binary) {message.hex()}" if isinstance(message, bytes) else message)
        shown = _shortened(message)
        if not self._marked:
            return self._put(sys.stdout, shown)
        mark = Colour.RECEIVED.paint("<") if self._colours[sys.stdout] else "<"
        return self._put(sys.stdout, f"{mark} {shown}")

    def answer(self, text: str) -> None:
        """Shows what a person has asked for.

        Args:
            text: Lines of our own.
        """
        for line in text.splitlines():
            self._put(sys.stderr, self._painted(Colour.NOTICE, line))
        self.flush()

    def notice(self, text: str) -> None:
        """Shows how things stand, unless silence is wanted.

        Args:
            text: One line. Control characters are escaped.
        """
        if not self._quiet:
            self._put(sys.stderr, self._painted(Colour.NOTICE, f"duologue: {escape(text)}"))
            self.flush()

    def problem(self, text: str) -> None:
        """Shows what has gone wrong.

        Args:
            text: One line. Control characters are escaped.
        """
        self._put(sys.stderr, self._painted(Colour.PROBLEM, f"duologue: {escape(text)}"))
        self.flush()

    def traffic(self, line: str) -> None:
        """Shows a part of what went over the wire.

        Args:
            line: One line. Control characters are escaped.
        """
        self._put(sys.stderr, self._painted(Colour.FRAME, escape(line)))

    def flush(self) -> None:
        """Shows what is still waiting."""
        if self._above is not None and self._waiting:
            self._above(self._write_waiting)

    def _painted(self, colour: Colour, line: str) -> str:
        return colour.paint(line) if self._colours[sys.stderr] else line

    def _put(self, stream: TextIO | None, line: str) -> bool:
        if self._above is None or not at_terminal(stream):
            return write(stream, f"{line}\n")
        assert stream is not None  # since it is a terminal
        if not self._waiting:
            asyncio.get_running_loop().call_later(PAUSE, self.flush)
        self._waiting.append((stream, line))
        if len(self._waiting) >= WAITING:
            self.flush()
        return True

    def _write_waiting(self) -> None:
        lines, self._waiting = self._waiting, []
        for stream, line in lines:
            write(stream, f"{line}\n")


def _shortened(message: str | bytes) -> str:
    if isinstance(message, bytes):
        more = len(message) - SHOWN // 2
        shown, unit = f"(binary) {message[: SHOWN // 2].hex()}", "bytes"
    else:
        more = len(message) - SHOWN
        shown, unit = escape(message[:SHOWN]), "characters"
    return f"{shown} … and {more} {unit} more" if more > 0 else shown

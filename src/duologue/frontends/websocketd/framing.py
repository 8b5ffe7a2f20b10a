"""Octets of a program's streams turned into messages, and messages into octets.

In text mode a message is a line; in binary mode it is whatever came at once. Sans-I/O.

Invariant: no more than ``max_line`` octets of an unfinished line are kept.
"""

from __future__ import annotations

import json

__all__ = ["LineTooLong", "Lines", "as_json", "to_program", "to_text"]


class LineTooLong(Exception):
    """A program wrote a line beyond the bound."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"a line is longer than {limit} bytes, see --maxlinesize")


class Lines:
    """Cuts a stream into lines.

    Args:
        max_line: Octets that a line may have; ``None`` for no limit.

    Attributes:
        max_line: The same.
        size: Octets of the unfinished line that are kept.
    """

    def __init__(self, max_line: int | None) -> None:
        self.max_line = max_line
        self.size = 0
        self._parts: list[bytes] = []

    def feed(self, octets: bytes) -> list[bytes]:
        r"""Takes octets.

        Returns:
            The lines that ended, without ``\n`` or ``\r\n``.

        Raises:
            LineTooLong: If a line passes the bound.
        """
        if not self._parts and octets.find(b"\n") == len(octets) - 1 >= 0:
            # One whole line, as most programs answer: nothing to take apart.
            self._check(len(octets) - 1)
            return [octets[:-2] if octets[-2:] == b"\r\n" else octets[:-1]]
        head, *whole = octets.split(b"\n")
        if not whole:
            self._keep(head)
            return []
        *whole, tail = whole
        self._keep(head)
        first = b"".join(self._parts)
        self._parts, self.size = [], 0
        lines = [first, *whole]
        for line in whole:
            self._check(len(line))
        self._keep(tail)
        return [line[:-1] if line[-1:] == b"\r" else line for line in lines]

    def rest(self) -> bytes:
        """Returns what came after the last line end, when the stream has ended."""
        rest = b"".join(self._parts)
        self._parts, self.size = [], 0
        return rest

    def _keep(self, octets: bytes) -> None:
        self.size += len(octets)
        self._check(self.size)
        if octets:
            self._parts.append(octets)

    def _check(self, size: int) -> None:
        if self.max_line is not None and size > self.max_line:
            raise LineTooLong(self.max_line)


def to_program(message: str | bytes) -> bytes:
    """Returns what a program gets of a message: a text as a line, octets as they are.

    The frame's own kind decides, so that nothing is lost when a client sends the other one.
    """
    return message.encode() + b"\n" if isinstance(message, str) else message


def to_text(line: bytes) -> str:
    """Returns a line as text that may stand in a WebSocket message.

    Octets that aren't UTF-8 are replaced by U+FFFD: a browser would end the connection for them.
    """
    return line.decode("utf-8", "replace")


def as_json(stream: str, line: bytes) -> str:
    """Returns a line with the stream that it came from, for ``--passstderr``.

    Args:
        stream: ``stdout`` or ``stderr``.
        line: The line.
    """
    text = json.dumps(
        {"stream": stream, "data": to_text(line)}, ensure_ascii=False, separators=(",", ":")
    )
    # As Go writes them, so that it can stand inside HTML.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text

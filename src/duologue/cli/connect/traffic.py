"""What goes over the wire, made readable: a log handler for ``-v`` and ``-P``.

Connections log heads and frames at DEBUG level, a frame as the value itself; nothing is hooked in
here. Frames are logged before they are compressed and before they are decompressed: a received one
that is compressed is shown as it came, with ``rsv1``.

Each frame has a line of its own and then its octets, sixteen a line, as digits and as characters;
of a long one the first :data:`DUMPED` octets.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from duologue.cli.connect.screen import Screen
from duologue.exceptions import ProtocolError
from duologue.frames import Close, Frame, Opcode

__all__ = ["DUMPED", "Traffic", "described", "dumped", "logger_for"]

DUMPED = 512
"""Octets of a frame that are shown."""

_ROW = 16


class Traffic(logging.Handler):
    """Shows what a connection logs.

    Args:
        screen: Where to.
        verbose: Whether all that was logged is shown; otherwise only what is at least a warning,
            and what the other argument asks for.
        pings: Whether pings and pongs that were received are shown.
        attempts: Whether what concerns new attempts to connect is shown.
    """

    def __init__(self, screen: Screen, *, verbose: bool, pings: bool, attempts: bool) -> None:
        super().__init__()
        self._screen = screen
        self._verbose = verbose
        self._pings = pings
        self._attempts = attempts

    def emit(self, record: logging.LogRecord) -> None:
        """Shows a record, if it is wanted."""
        match record.args:
            case (str(way), Frame() as frame):
                self._show_frame(way, frame)
            case _ if record.levelno >= logging.WARNING:
                cause = record.exc_info[1] if record.exc_info else None
                self._screen.problem(record.getMessage() + (f": {cause}" if cause else ""))
            case _ if record.levelno >= logging.INFO:
                if self._attempts or self._verbose:
                    self._screen.notice(record.getMessage())
            case _ if self._verbose:
                self._screen.traffic(record.getMessage())

    def _show_frame(self, way: str, frame: Frame) -> None:
        if self._verbose:
            self._screen.traffic(f"{way} {described(frame)}")
            for row in dumped(bytes(frame.data)):
                self._screen.traffic(f"{way}   {row}")
        elif self._pings and way == "<" and frame.opcode in (Opcode.PING, Opcode.PONG):
            self._screen.traffic(f"{way} {frame}")


def logger_for(handler: Traffic, *, frames: bool) -> logging.Logger:
    """Returns a logger that nobody else has a handler on.

    Args:
        handler: Its only handler.
        frames: Whether heads and frames are logged, which costs time for each.
    """
    logger = logging.Logger("duologue.connect", logging.DEBUG if frames else logging.INFO)
    logger.addHandler(handler)
    return logger


def described(frame: Frame) -> str:
    """Says in a line what a frame is.

    Args:
        frame: The frame.
    """
    words = [Opcode(frame.opcode).name.lower()]
    if frame.opcode == Opcode.CLOSE:
        try:
            words.append(str(Close.parse(frame.data)))
        except (ProtocolError, UnicodeDecodeError):
            words.append("(malformed)")
    flags = ("fin", "rsv1", "rsv2", "rsv3")
    notes = [name for name in flags if getattr(frame, name)]
    size = len(frame.data)
    notes.append(f"{size} byte{'' if size == 1 else 's'}")
    return f"{' '.join(words)} [{', '.join(notes)}]"


def dumped(octets: bytes) -> Iterator[str]:
    """Gives octets as rows of their offset, digits and characters.

    Args:
        octets: The octets; of those after :data:`DUMPED` only their number is told.
    """
    for start in range(0, min(len(octets), DUMPED), _ROW):
        row = octets[start : start + _ROW]
        digits = f"{row[:8].hex(' ')}  {row[8:].hex(' ')}"
        characters = "".join(chr(octet) if 0x20 <= octet < 0x7F else "." for octet in row)
        yield f"{start:04x}  {digits:<49} {characters}"
    if len(octets) > DUMPED:
        yield f"… and {len(octets) - DUMPED} more"

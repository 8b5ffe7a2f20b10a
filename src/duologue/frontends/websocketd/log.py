"""The log in the format of websocketd: one line an event, with what is known of its session.

Invariant: whatever a client or a program has said, a line of the log stays one line.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable
from email.utils import format_datetime

__all__ = ["LEVELS", "Log", "Records"]

LEVELS = ("debug", "trace", "access", "info", "error", "fatal")
"""Names of the levels, the least severe first; ``none`` is above them all."""

_RANKS = {name: rank for rank, name in enumerate((*LEVELS, "none"))}
_CONTROLS = {point: f"\\x{point:02x}" for point in (*range(0x20), *range(0x7F, 0xA0))}


class Log:
    """Writes lines, each with what is known by now of what it is about.

    Args:
        level: Least severe level that is written.
        write: Takes a line, without line feed.
        known: Names and values, in the order in which they are shown.
    """

    def __init__(
        self, level: str, write: Callable[[str], object], known: dict[str, str] | None = None
    ) -> None:
        self._level = level
        self._write = write
        self.known = known or {}

    def about(self, **known: str) -> Log:
        """Returns a log for something else, of which this is known."""
        return Log(self._level, self._write, known)

    def shows(self, level: str) -> bool:
        """Tells whether lines of a level are written."""
        return _RANKS[level] >= _RANKS[self._level]

    def __call__(self, level: str, category: str, message: str) -> None:
        """Writes a line.

        Args:
            level: One of :data:`LEVELS`.
            category: Which part speaks: ``server``, ``session``, ``http``, ...
            message: What has happened.
        """
        if not self.shows(level):
            return
        now = format_datetime(datetime.datetime.now().astimezone())
        pairs = " ".join(f"{name}:'{value}'" for name, value in self.known.items())
        line = f"{now} | {level.upper():<6} | {category:<10} | {pairs} | {message}"
        self._write(line.translate(_CONTROLS))


class Records(logging.Handler):
    """Takes warnings and errors of :mod:`logging`, so that all is said in one place and one form.

    Args:
        log: Where they go.
    """

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record: errors at ``error``, warnings at ``debug``.

        Most of these say why a single connection has ended, which the original never does.
        """
        level = "error" if record.levelno >= logging.ERROR else "debug"
        self._log(level, "server", self.format(record))

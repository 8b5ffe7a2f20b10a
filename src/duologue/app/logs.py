"""Structured logs: a formatter for the standard library's logging; each line is a JSON object.

Fields: ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, ``process``; ``exception``
with its traceback; of records about a connection ``connection`` (its identifier), ``peer`` and
``path``; and whatever was given as ``extra=``.
"""

from __future__ import annotations

import datetime
import json
import logging
from typing import Any

__all__ = ["JSONFormatter", "set_up_logging"]

PLAIN = "%(levelname)s %(name)s: %(message)s"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "websocket"}


class JSONFormatter(logging.Formatter):
    """Writes records as JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record; what JSON can't say is written as its ``repr``."""
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        fields: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        fields |= _about(getattr(record, "websocket", None))
        fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=repr, ensure_ascii=False)


def _about(connection: Any) -> dict[str, Any]:
    """What to say of a connection."""
    if connection is None:
        return {}
    peer = connection.remote_address
    found = {
        "connection": str(connection.id),
        "peer": "{}:{}".format(*peer[:2]) if isinstance(peer, tuple) else peer or None,
        "path": getattr(connection.request, "path", None),
    }
    return {name: value for name, value in found.items() if value is not None}


def set_up_logging(level: str | int, log_format: str = "text", plain: str = PLAIN) -> None:
    """Print records on standard error, unless the program has set up logging itself.

    Args:
        level: least severe one.
        log_format: ``"text"`` or ``"json"``.
        plain: how text looks.

    Raises:
        ValueError: If the format is neither.
    """
    if log_format not in ("text", "json"):
        raise ValueError(f"log_format must be 'text' or 'json', not {log_format!r}")
    handler = logging.StreamHandler()
    handler.setFormatter(JSONFormatter() if log_format == "json" else logging.Formatter(plain))
    name = level.upper() if isinstance(level, str) else level
    logging.basicConfig(level=name, handlers=[handler])

"""Structured logs: a formatter for the standard library's logging; each line is a JSON object.

Fields: ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, ``process``; ``exception``
with its traceback; of records about a connection ``connection`` (its identifier), ``peer`` and
``path``; and whatever was given as ``extra=``.
"""

from __future__ import annotations

import datetime
import json
import logging
import logging.config
import os
from collections.abc import Mapping
from typing import Any

__all__ = ["JSONFormatter", "LogConfig", "configure_logging", "set_up_logging"]

LogConfig = Mapping[str, Any] | str | os.PathLike[str]

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
    # Of a server's connections that may be another one: see ServerConnection.client.
    peer = getattr(connection, "client", connection.remote_address)
    found = {
        "connection": str(connection.id),
        "peer": _name(*peer[:2]) if isinstance(peer, tuple) else peer or None,
        "path": getattr(connection.request, "path", None),
    }
    return {name: value for name, value in found.items() if value is not None}


def _name(host: str, port: int | None) -> str:
    return host if port is None else f"{host}:{port}"


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
    # uvicorn knows one level below DEBUG.
    name = level.upper().replace("TRACE", "DEBUG") if isinstance(level, str) else level
    logging.basicConfig(level=name, handlers=[handler])


def configure_logging(config: LogConfig | None) -> None:
    """Set up logging as a program's own configuration has it.

    Args:
        config: what :func:`logging.config.dictConfig` takes, the path of a ``.json`` file of that,
            or of any other file for :func:`logging.config.fileConfig`; ``None`` for nothing.

    Raises:
        ValueError: If it can't be understood.
        OSError: If the file can't be read.
    """
    if config is None:
        return
    if isinstance(config, Mapping):
        logging.config.dictConfig(dict(config))
        return
    path = os.fspath(config)
    if path.endswith((".yaml", ".yml")):
        raise ValueError(f"{path}: read YAML yourself, and pass what it says as log_config=")
    if path.endswith(".json"):
        with open(path, encoding="utf-8") as file:
            logging.config.dictConfig(json.load(file))
    else:
        logging.config.fileConfig(path, disable_existing_loggers=False)

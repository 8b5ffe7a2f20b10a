"""HTTP heads in the log, as they stand on the wire."""

from __future__ import annotations

from duologue.base.types import LoggerLike
from duologue.wire.http11 import Request, Response

SECRET = frozenset({"authorization", "cookie", "proxy-authorization", "set-cookie"})
"""Headers whose values no log should keep."""


def log_head(logger: LoggerLike, way: str, head: Request | Response) -> None:
    """Log a request or response at DEBUG level, one line for each of its own.

    Args:
        logger: where to.
        way: ``"<"`` for received, ``">"`` for sent.
        head: what to log; the values of credentials are left out.
    """
    if isinstance(head, Request):
        logger.debug("%s %s %s %s", way, head.method, head.path, head.protocol)
    else:
        logger.debug("%s HTTP/1.1 %d %s", way, head.status_code, head.reason_phrase)
    for name, value in head.headers.raw_items():
        logger.debug("%s %s: %s", way, name, "***" if name.lower() in SECRET else value)
    if isinstance(head, Response) and head.body:
        logger.debug("%s [body] (%d bytes)", way, len(head.body))

"""The access log: a line for each answer, in uvicorn's words.

::

    127.0.0.1:51200 - "GET /items?page=2 HTTP/1.1" 200
    127.0.0.1:51202 - "WebSocket /chat" [accepted]
    127.0.0.1:51204 - "WebSocket /chat" 403

Who reads such lines can go on. Records have the facts as attributes, too, for logs in JSON:
``client``, ``method`` (``"WebSocket"`` for handshakes), ``target``, ``status``.

Invariants: where nobody listens a request pays for one look at the logger's level; a peer can't
write a line of its own, nor to a terminal, since request targets are visible ASCII.
"""

from __future__ import annotations

import logging
from typing import Final

from duologue.base.types import StatusLike
from duologue.server.exchanges import HTTPExchange

__all__ = ["ACCESS_LOGGER", "log_access"]

ACCESS_LOGGER: Final = logging.getLogger("duologue.access")
"""Where servers of applications write them."""

_ACCEPTED: Final = 101


def log_access(logger: logging.Logger, exchange: HTTPExchange, outcome: StatusLike | str) -> None:
    """Write down how a request was answered.

    Args:
        logger: gets the record, of level INFO.
        exchange: the request.
        outcome: status code, or ``"[accepted]"``.
    """
    if not logger.isEnabledFor(logging.INFO):
        return
    request, client = exchange.request, exchange.client
    who = "" if client is None else _name(*client)
    target = request.path
    method = "WebSocket" if exchange.asks_upgrade else request.method
    status = _ACCEPTED if isinstance(outcome, str) else int(outcome)
    facts = {"client": who, "method": method, "target": target, "status": status}
    shown = outcome if isinstance(outcome, str) else status
    if exchange.asks_upgrade:
        logger.info('%s - "WebSocket %s" %s', who, target, shown, extra=facts)
    else:
        version = exchange.http_version
        logger.info('%s - "%s %s HTTP/%s" %s', who, method, target, version, shown, extra=facts)


def _name(host: str, port: int | None) -> str:
    if port is None:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

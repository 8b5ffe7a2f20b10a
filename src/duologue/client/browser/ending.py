"""How a connection's end looks to a page: code, reason, and whether it was clean.

"Fail the WebSocket connection" (RFC 6455 section 7.1.7) is the client's own doing: the peer broke
the protocol, a limit was passed, time ran out. A page then sees 1006, whatever the peer says.
"""

from __future__ import annotations

from typing import NamedTuple

from duologue.connection.connection import Connection
from duologue.connection.ending import Cause

__all__ = ["End", "judge_end"]

_NOT_FAILED = (Cause.PEER_CLOSED, Cause.CLOSED_HERE, Cause.CONNECTION_LOST)


class End(NamedTuple):
    """How a connection ended.

    Attributes:
        code: close code of the peer; 1005 if it gave none, 1006 if no Close frame came or the
            connection failed.
        reason: close reason of the peer, likewise.
        clean: whether both sides have sent their Close frame, and the connection hasn't failed.
        failure: why it failed, ``None`` if it didn't.
    """

    code: int
    reason: str
    clean: bool
    failure: BaseException | None


def judge_end(connection: Connection) -> End:
    """Say how a connection ended that has."""
    fault, ending = connection.parser_exc, connection.why
    failure: BaseException | None = None
    if fault is not None and not isinstance(fault, EOFError):
        failure = fault
    if ending is not None and (failure is not None or ending.cause not in _NOT_FAILED):
        failure = ending.exc or failure or ConnectionError(str(ending))
    received = connection.close_rcvd
    if received is None or failure is not None:
        return End(1006, "", False, failure)
    return End(int(received.code), received.reason, connection.close_sent is not None, None)

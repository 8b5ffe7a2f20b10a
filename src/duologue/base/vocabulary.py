"""The vocabulary of RFC 6455: opcodes, connection states, sides and close codes.

This module holds names and the facts attached to them. It must never know how a frame is laid
out, nor who sends it.

Invariants:
    * a member's value is the number used on the wire (`Opcode`, `CloseCode`);
    * `is_wire_close_code` is the only place that decides which codes may travel in a Close frame.

Sources: RFC 6455 sections 5.2, 5.5, 7.1 and 7.4; the IANA WebSocket registries.
"""

from __future__ import annotations

import enum

__all__ = [
    "BINARY",
    "CLOSE",
    "CLOSE_CODE_EXPLANATIONS",
    "CONT",
    "CTRL_OPCODES",
    "DATA_OPCODES",
    "EXTERNAL_CLOSE_CODES",
    "OK_CLOSE_CODES",
    "PING",
    "PONG",
    "TEXT",
    "CloseCode",
    "Opcode",
    "Side",
    "State",
    "explain_close_code",
    "is_wire_close_code",
]


class Opcode(enum.IntEnum):
    """Frame types (RFC 6455 section 5.2; 3-7 and 11-15 are reserved)."""

    CONT = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


DATA_OPCODES = (Opcode.CONT, Opcode.TEXT, Opcode.BINARY)
"""Opcodes of frames that carry a message or a part of one."""

CTRL_OPCODES = (Opcode.CLOSE, Opcode.PING, Opcode.PONG)
"""Opcodes of control frames: at most 125 octets, never fragmented (RFC 6455 section 5.5)."""

CONT, TEXT, BINARY = DATA_OPCODES
CLOSE, PING, PONG = CTRL_OPCODES


class State(enum.IntEnum):
    """Where a connection stands; the order of the values is the order in time."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


class Side(enum.IntEnum):
    """Which end of the connection this is: servers never mask, clients always do."""

    SERVER = 0
    CLIENT = 1


class CloseCode(enum.IntEnum):
    """Close codes with a registered meaning (RFC 6455 section 7.4.1 and IANA).

    1005, 1006 and 1015 describe an end locally and never travel in a frame.
    """

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RCVD = 1005
    ABNORMAL_CLOSURE = 1006
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015


LOCAL_CLOSE_CODES = frozenset(
    {CloseCode.NO_STATUS_RCVD, CloseCode.ABNORMAL_CLOSURE, CloseCode.TLS_HANDSHAKE}
)
"""Codes that only describe how a connection ended and are never sent (RFC 6455 section 7.4.1)."""

EXTERNAL_CLOSE_CODES = frozenset(CloseCode) - LOCAL_CLOSE_CODES
"""Named codes that may travel in a Close frame."""

OK_CLOSE_CODES = frozenset(
    {CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.NO_STATUS_RCVD}
)
"""Codes of an ending that no one has to worry about."""

CLOSE_CODE_EXPLANATIONS: dict[int, str] = {
    CloseCode.NORMAL_CLOSURE: "OK",
    CloseCode.GOING_AWAY: "going away",
    CloseCode.PROTOCOL_ERROR: "protocol error",
    CloseCode.UNSUPPORTED_DATA: "unsupported data",
    CloseCode.NO_STATUS_RCVD: "no status received [internal]",
    CloseCode.ABNORMAL_CLOSURE: "abnormal closure [internal]",
    CloseCode.INVALID_DATA: "invalid frame payload data",
    CloseCode.POLICY_VIOLATION: "policy violation",
    CloseCode.MESSAGE_TOO_BIG: "message too big",
    CloseCode.MANDATORY_EXTENSION: "mandatory extension",
    CloseCode.INTERNAL_ERROR: "internal error",
    CloseCode.SERVICE_RESTART: "service restart",
    CloseCode.TRY_AGAIN_LATER: "try again later",
    CloseCode.BAD_GATEWAY: "bad gateway",
    CloseCode.TLS_HANDSHAKE: "TLS handshake failure [internal]",
}
"""What each named code says, in the words that logs and exceptions use."""


def is_wire_close_code(code: int) -> bool:
    """Tell whether a code may travel in a Close frame.

    Args:
        code: Any integer.

    Returns:
        True for 1000-1003, 1007-1014 and 3000-4999. 1004 is reserved, 1005, 1006 and 1015 are
        local, 1016-2999 have no meaning yet (RFC 6455 section 7.4).
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def explain_close_code(code: int) -> str:
    """Name a close code in a few words.

    Args:
        code: Any integer.

    Returns:
        The registered meaning; "registered" for 3000-3999 (libraries and frameworks), "private
        use" for 4000-4999 (applications), "unknown" for everything else.
    """
    if 3000 <= code < 4000:
        return "registered"
    if 4000 <= code < 5000:
        return "private use"
    return CLOSE_CODE_EXPLANATIONS.get(code, "unknown")

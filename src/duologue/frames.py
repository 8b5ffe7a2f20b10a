"""WebSocket frames as values; names are those of `websockets.frames`."""

from __future__ import annotations

from duologue.base.vocabulary import (
    BINARY,
    CLOSE,
    CLOSE_CODE_EXPLANATIONS,
    CONT,
    CTRL_OPCODES,
    DATA_OPCODES,
    EXTERNAL_CLOSE_CODES,
    OK_CLOSE_CODES,
    PING,
    PONG,
    TEXT,
    CloseCode,
    Opcode,
)
from duologue.wire.frame import (
    Close,
    Frame,
)

__all__ = [
    "BINARY",
    "CLOSE",
    "CONT",
    "PING",
    "PONG",
    "TEXT",
    "CLOSE_CODE_EXPLANATIONS",
    "CTRL_OPCODES",
    "DATA_OPCODES",
    "EXTERNAL_CLOSE_CODES",
    "OK_CLOSE_CODES",
    "Close",
    "CloseCode",
    "Frame",
    "Opcode",
]

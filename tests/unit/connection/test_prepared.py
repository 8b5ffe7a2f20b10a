"""A message made ready once: its frames, and who may send them."""

from __future__ import annotations

from duologue.base.vocabulary import Opcode
from duologue.connection.prepared import Prepared


def test_it_says_what_it_carries() -> None:
    message = Prepared(Opcode.TEXT, b"hello")
    assert (message.opcode, message.payload, message.frames) == (1, b"hello", 0)

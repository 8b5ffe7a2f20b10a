from __future__ import annotations

import pytest
import websockets.frames
import websockets.protocol

from duologue.base import vocabulary
from duologue.base.vocabulary import (
    CLOSE_CODE_EXPLANATIONS,
    CTRL_OPCODES,
    DATA_OPCODES,
    EXTERNAL_CLOSE_CODES,
    OK_CLOSE_CODES,
    CloseCode,
    Opcode,
    Side,
    State,
    explain_close_code,
    is_wire_close_code,
)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Opcode, websockets.frames.Opcode),
        (CloseCode, websockets.frames.CloseCode),
        (State, websockets.protocol.State),
        (Side, websockets.protocol.Side),
    ],
)
def test_members_are_those_of_websockets(ours, theirs):
    assert {m.name: m.value for m in ours} == {m.name: m.value for m in theirs}


def test_opcode_groups_cover_all_opcodes():
    assert set(DATA_OPCODES) | set(CTRL_OPCODES) == set(Opcode)
    assert all(opcode < 8 for opcode in DATA_OPCODES)
    assert all(opcode >= 8 for opcode in CTRL_OPCODES)


def test_states_are_ordered_in_time():
    assert State.CONNECTING < State.OPEN < State.CLOSING < State.CLOSED


def test_wire_close_codes_are_exactly_those_of_section_7_4():
    allowed = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
    assert {code for code in range(-1, 70000) if is_wire_close_code(code)} == allowed


def test_external_close_codes_are_the_named_ones_that_travel():
    assert set(EXTERNAL_CLOSE_CODES) == {code for code in CloseCode if is_wire_close_code(code)}
    assert set(EXTERNAL_CLOSE_CODES) == websockets.frames.EXTERNAL_CLOSE_CODES


def test_ok_close_codes():
    assert set(OK_CLOSE_CODES) == {1000, 1001, 1005}


def test_every_named_code_is_explained():
    assert set(CLOSE_CODE_EXPLANATIONS) == set(CloseCode)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (1000, "OK"),
        (1014, "bad gateway"),
        (1004, "unknown"),
        (2999, "unknown"),
        (3000, "registered"),
        (3999, "registered"),
        (4000, "private use"),
        (4999, "private use"),
        (5000, "unknown"),
    ],
)
def test_explain_close_code(code, text):
    assert explain_close_code(code) == text


def test_everything_public_exists():
    assert all(hasattr(vocabulary, name) for name in vocabulary.__all__)

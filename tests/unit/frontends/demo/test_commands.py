from __future__ import annotations

import json

import pytest

from duologue.frontends.demo.commands import BadCommand, encode, integer, parse, text


@pytest.mark.parametrize(
    "message", [b"{}", "", "[]", "1", "null", '"x"', "{", "nan", "[" * 100_000, "1" * 5000]
)
def test_what_is_no_command(message):
    with pytest.raises(BadCommand, match="a command is a"):
        parse(message)


def test_a_command_is_an_object():
    assert parse('{"do": "close", "code": 1000}') == {"do": "close", "code": 1000}


@pytest.mark.parametrize("value", [None, "1", 1.0, True, -1, 10])
def test_numbers_are_whole_and_within_bounds(value):
    with pytest.raises(BadCommand, match="n must be a whole number from 0 to 9"):
        integer({"n": value}, "n", 0, 9)


def test_numbers():
    assert integer({"n": 9}, "n", 0, 9) == 9
    with pytest.raises(BadCommand):
        integer({}, "n", 0, 9)


def test_texts():
    assert text({"t": "grüß"}, "t") == "grüß"
    assert text({}, "t", "default") == "default"
    for command in ({}, {"t": 1}, {"t": None}):
        with pytest.raises(BadCommand, match="t must be a text"):
            text(command, "t")


def test_half_a_character_does_not_break_an_answer():
    assert text(parse('{"t": "\\ud800x"}'), "t") == "?x"


def test_what_is_encoded_can_be_read():
    assert json.loads(encode({"a": "对话", "b": [1, None]})) == {"a": "对话", "b": [1, None]}

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.cli.connect.unfinished import goes_on

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    "text",
    ["[", "{", ' { "a"', '{"a":', '{"a": 1', '{"a": 1,', "[1,", "[1", "[[]", "[\n1", '[{"a": [ '],
)
def test_goes_on(text):
    assert goes_on(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "hello", "[]", "{}", "[1, 2]", '{"a": 1}', "[hello", "{curly", '["open', "[1,]"),
        *("[tr", "[1]]", '"text', "1", "[-", "[" * 100_000, "[1,\n", "{\n"),
    ],
)
def test_does_not_go_on(text):
    assert not goes_on(text)


@given(st.lists(values, min_size=1) | st.dictionaries(st.text(), values, min_size=1))
def test_only_the_last_line_of_a_document_ends_it(value):
    lines = json.dumps(value, indent=1).split("\n")
    for number in range(1, len(lines)):
        assert goes_on("\n".join(lines[:number]))
    assert not goes_on("\n".join(lines))

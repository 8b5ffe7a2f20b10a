from __future__ import annotations

import argparse

import pytest

from duologue.cli import values


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("8000", 8000), ("65535", 65535)])
def test_port(text, value):
    assert values.port(text) == value


@pytest.mark.parametrize("text", ["", "-1", "65536", "http", "1.5", "٣", "80 "])
def test_not_a_port(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a port, a number from 0 to 65535"):
        values.port(text)


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("1048576", 1 << 20), ("none", None)])
def test_size(text, value):
    assert values.size(text) == value
    assert values.size(text.upper()) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "1k", "nil", "٣"])
def test_not_a_size(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a size"):
        values.size(text)

from __future__ import annotations

import argparse
import math

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


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("007", 7), ("1099511627776", 1 << 40)])
def test_count(text, value):
    assert values.count(text) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "²", "1099511627777", "none"])
def test_not_a_count(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a positive whole number"):
        values.count(text)


@pytest.mark.parametrize(("text", "value"), [("1", 1.0), ("0.25", 0.25), ("1e3", 1000.0)])
def test_seconds(text, value):
    assert values.seconds(text) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "inf", "nan", "1s", "none"])
def test_not_seconds(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a positive number of seconds"):
        values.seconds(text)


@pytest.mark.parametrize(("text", "value"), [("1", 1.0), ("0.25", 0.25), ("NONE", None)])
def test_interval(text, value):
    assert values.interval(text) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "inf", "nan", "1s"])
def test_not_an_interval(text):
    with pytest.raises(argparse.ArgumentTypeError, match="seconds, and not 'none'"):
        values.interval(text)


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0.0), ("2.5", 2.5), ("none", math.inf), ("-1", math.inf)]
)
def test_wait(text, value):
    assert values.wait(text) == value


@pytest.mark.parametrize("text", ["", "-2", "-0.5", "inf", "nan", "soon"])
def test_not_a_wait(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a number of seconds"):
        values.wait(text)


def test_text():
    assert values.text("對話 🎈") == "對話 🎈"
    with pytest.raises(argparse.ArgumentTypeError, match="it is not UTF-8"):
        values.text("\udcff")

"""Go's syntax of options."""

from __future__ import annotations

import pytest

from duologue.frontends.websocketd.flags import Flag, HelpWanted, WrongFlag, parse

FLAGS = (
    Flag("on", "bool", ""),
    Flag("count", "int", "", 7),
    Flag("size", "uint", ""),
    Flag("name", "string", ""),
    Flag("more", "list", ""),
)


def value(name, *words):
    return parse(FLAGS, words)[0][name]


@pytest.mark.parametrize("hyphens", ["-", "--"])
def test_one_hyphen_or_two(hyphens):
    assert value("name", f"{hyphens}name=a=b") == "a=b"
    assert value("name", f"{hyphens}name", "--odd") == "--odd"
    assert value("on", f"{hyphens}on") is True


def test_defaults():
    assert parse(FLAGS, []) == (
        {"on": False, "count": 7, "size": 0, "name": "", "more": []},
        [],
        frozenset(),
    )


def test_the_first_other_word_ends_them():
    values, rest, given = parse(FLAGS, ["--on", "--name", "--size", "cat", "--on=false", "-x"])
    assert (values["on"], values["name"], rest) == (True, "--size", ["cat", "--on=false", "-x"])
    assert given == {"on", "name"}
    assert parse(FLAGS, ["--", "--on"])[1] == ["--on"]
    assert parse(FLAGS, ["-", "--on"])[1] == ["-", "--on"]


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_true(text):
    assert value("on", f"--on={text}") is True


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_false(text):
    assert value("on", "--on", f"--on={text}") is False


def test_a_boolean_takes_no_word():
    assert parse(FLAGS, ["--on", "false"])[1] == ["false"]


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("-12", -12), ("0x1F", 31), ("010", 8), ("0b11", 3), ("0o17", 15), ("+5", 5)],
)
def test_numbers(text, number):
    assert value("count", f"--count={text}") == number


def test_repeated():
    assert value("more", "--more", "a", "-more=b") == ["a", "b"]
    assert value("name", "--name=a", "--name=b") == "b"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--odd"], "flag provided but not defined: -odd"),
        (["--=x"], "bad flag syntax: --=x"),
        (["---on"], "bad flag syntax: ---on"),
        (["--count"], "flag needs an argument: -count"),
        (["--count=x"], 'invalid value "x" for flag -count: parse error'),
        (["--count= 5"], 'invalid value " 5" for flag -count: parse error'),
        (["--size=-5"], 'invalid value "-5" for flag -size: parse error'),
        (["--count=9223372036854775808"], "value out of range"),
        (["--on=maybe"], 'invalid boolean value "maybe" for -on: parse error'),
    ],
)
def test_wrong(words, text):
    with pytest.raises(WrongFlag) as wrong:
        parse(FLAGS, words)
    assert text in str(wrong.value)


@pytest.mark.parametrize("word", ["-h", "--help", "-help"])
def test_help(word):
    with pytest.raises(HelpWanted):
        parse(FLAGS, [word])

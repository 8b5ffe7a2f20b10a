"""``DOMException`` has the names and legacy codes of Web IDL."""

from __future__ import annotations

import copy
import pickle

import pytest

from duologue import DOMException


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("SyntaxError", 12),
        ("InvalidStateError", 11),
        ("InvalidAccessError", 15),
        ("AbortError", 20),
        ("NotSupportedError", 9),
        ("TimeoutError", 23),
        ("DataCloneError", 25),
        ("NotAllowedError", 0),
        ("Error", 0),
    ],
)
def test_code_follows_from_the_name(name: str, code: int) -> None:
    exc = DOMException("what happened", name)
    assert (exc.message, exc.name, exc.code) == ("what happened", name, code)


def test_defaults() -> None:
    exc = DOMException()
    assert (exc.message, exc.name, exc.code) == ("", "Error", 0)


def test_constants_are_the_codes() -> None:
    assert DOMException("", "SyntaxError").code == DOMException.SYNTAX_ERR
    assert DOMException.INVALID_STATE_ERR == 11
    assert DOMException("x").DATA_CLONE_ERR == 25


def test_shows_name_and_message() -> None:
    assert str(DOMException("no such port", "SyntaxError")) == "SyntaxError: no such port"


def test_attributes_are_read_only() -> None:
    exc = DOMException("m", "SyntaxError")
    for name in ("name", "message", "code"):
        with pytest.raises(AttributeError):
            setattr(exc, name, "x")


@pytest.mark.parametrize("again", [copy.copy, lambda exc: pickle.loads(pickle.dumps(exc))])
def test_is_copied_whole(again: object) -> None:
    exc = again(DOMException("m", "SyntaxError"))  # type: ignore[operator]
    assert (exc.name, exc.message) == ("SyntaxError", "m")

from __future__ import annotations

import inspect
import re

import pytest
import websockets.exceptions
import websockets.frames
import websockets.http11

from duologue.base import exceptions
from duologue.base.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    PayloadTooBig,
)
from duologue.wire.frame import Close
from duologue.wire.headers import Headers
from duologue.wire.http11 import Response

NAMES = websockets.exceptions.__all__


def bases(module, name):
    return [cls.__name__ for cls in getattr(module, name).__mro__]


def takes_parameters(name):
    """Whether the exception has a constructor written in Python."""
    return inspect.isfunction(getattr(websockets.exceptions, name).__init__)


def test_tree_has_the_names_of_websockets():
    # What duologue has besides stands in its own part of the tree.
    assert set(NAMES) <= set(exceptions.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_tree_has_the_shape_of_websockets(name):
    assert bases(exceptions, name) == bases(websockets.exceptions, name)


def test_the_drawing_shows_the_tree():
    lines = re.findall(r"^    ((?:\| +)*)\+-- (\w+)", exceptions.__doc__, re.MULTILINE)
    parents = ["WebSocketException"]
    for indent, name in lines:
        depth = len(indent) // 4 + 1
        del parents[depth:]
        assert getattr(exceptions, name).__bases__[0].__name__ == parents[-1], name
        parents.append(name)
    assert {name for _, name in lines} == set(exceptions.__all__) - {"WebSocketException"}


@pytest.mark.parametrize("name", [n for n in NAMES if takes_parameters(n)])
def test_constructors_take_the_parameters_of_websockets(name):
    def parameters(module):
        found = inspect.signature(getattr(module, name)).parameters.values()
        return [(parameter.name, parameter.kind, parameter.default) for parameter in found]

    assert parameters(exceptions) == parameters(websockets.exceptions)


class Box:
    """Builds the same values for both libraries."""

    def __init__(self, exceptions, close, response):
        self.exceptions, self.close, self.response = exceptions, close, response


OURS = Box(exceptions, Close, lambda s: Response(s, "x", Headers(), b""))
THEIRS = Box(
    websockets.exceptions,
    websockets.frames.Close,
    lambda s: websockets.http11.Response(s, "x", websockets.http11.Headers(), b""),
)
CASES = {
    "no frames": lambda b: b.exceptions.ConnectionClosed(None, None),
    "received": lambda b: b.exceptions.ConnectionClosedError(b.close(1000, ""), None),
    "sent": lambda b: b.exceptions.ConnectionClosedError(None, b.close(1011, "oh")),
    "received first": lambda b: b.exceptions.ConnectionClosedOK(
        b.close(1001, "bye"), b.close(1001, ""), True
    ),
    "sent first": lambda b: b.exceptions.ConnectionClosedOK(
        b.close(4001, "bye"), b.close(3001, "x"), False
    ),
    "uri": lambda b: b.exceptions.InvalidURI("x:", "no"),
    "proxy": lambda b: b.exceptions.InvalidProxy("x:", "no"),
    "proxy status": lambda b: b.exceptions.InvalidProxyStatus(b.response(407)),
    "status": lambda b: b.exceptions.InvalidStatus(b.response(404)),
    "method": lambda b: b.exceptions.InvalidMethod("POST"),
    "protocol": lambda b: b.exceptions.InvalidProtocol("HTTP/1.0"),
    "header missing": lambda b: b.exceptions.InvalidHeader("A"),
    "header empty": lambda b: b.exceptions.InvalidHeader("A", ""),
    "header wrong": lambda b: b.exceptions.InvalidHeaderValue("A", "b"),
    "header format": lambda b: b.exceptions.InvalidHeaderFormat("A", "expected token", "x y", 1),
    "origin": lambda b: b.exceptions.InvalidOrigin("http://x"),
    "no origin": lambda b: b.exceptions.InvalidOrigin(None),
    "upgrade": lambda b: b.exceptions.InvalidUpgrade("Connection", "close"),
    "duplicate": lambda b: b.exceptions.DuplicateParameter("p"),
    "parameter": lambda b: b.exceptions.InvalidParameterName("p"),
    "value": lambda b: b.exceptions.InvalidParameterValue("p", "v"),
    "value empty": lambda b: b.exceptions.InvalidParameterValue("p", ""),
    "value missing": lambda b: b.exceptions.InvalidParameterValue("p", None),
    "too big": lambda b: b.exceptions.PayloadTooBig(5, 4),
    "too big, unknown": lambda b: b.exceptions.PayloadTooBig(None, 4),
    "too big, later": lambda b: b.exceptions.PayloadTooBig(5, 4, 10),
    "fragments": lambda b: b.exceptions.TooManyFragments(3),
    "plain": lambda b: b.exceptions.ProtocolError("text"),
}


@pytest.mark.parametrize("case", CASES)
def test_texts_and_attributes_are_those_of_websockets(case):
    ours, theirs = CASES[case](OURS), CASES[case](THEIRS)
    assert str(ours) == str(theirs)
    plain = (str, int, bool, type(None))
    for name, value in vars(theirs).items():
        if isinstance(value, plain):
            assert getattr(ours, name) == value, name


@pytest.mark.parametrize("frames", [(None, None, True), (Close(1000, ""), Close(1000, ""), None)])
def test_connection_closed_refuses_a_contradiction(frames):
    with pytest.raises(ValueError, match="rcvd_then_sent"):
        ConnectionClosed(*frames)


def test_connection_closed_keeps_deprecated_attributes():
    exc = ConnectionClosedError(Close(1002, "why"), None)
    with pytest.warns(DeprecationWarning, match="code"):
        assert exc.code == 1002
    with pytest.warns(DeprecationWarning, match="reason"):
        assert exc.reason == "why"
    exc = ConnectionClosedOK(None, None)
    with pytest.warns(DeprecationWarning, match="code"):
        assert exc.code == 1006
    with pytest.warns(DeprecationWarning, match="reason"):
        assert exc.reason == ""


def test_payload_too_big_learns_the_size_of_earlier_frames_once():
    exc = PayloadTooBig(5, 4)
    exc.set_current_size(None)
    exc.set_current_size(6)
    assert (exc.size, exc.max_size, exc.current_size) == (5, 10, 6)
    with pytest.raises(RuntimeError, match="set already"):
        exc.set_current_size(1)


def test_payload_too_big_names_the_setting_in_tracebacks():
    assert "max_size" in PayloadTooBig(5, 4).__notes__[0]


def test_payload_too_big_with_a_message_is_deprecated():
    with pytest.warns(DeprecationWarning, match="message"):
        assert str(PayloadTooBig("text")) == "text"
    with pytest.raises(TypeError):
        PayloadTooBig("text", 4)
    with pytest.raises(TypeError):
        PayloadTooBig(5)


def test_builtin_bases():
    assert issubclass(exceptions.InvalidState, AssertionError)
    assert issubclass(exceptions.ConcurrencyError, RuntimeError)

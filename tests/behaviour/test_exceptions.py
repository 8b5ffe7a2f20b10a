"""What the exceptions carry and say."""

from __future__ import annotations

import pytest

from .library import Library


@pytest.mark.parametrize(
    ("rcvd", "sent", "rcvd_then_sent", "text"),
    [
        (None, None, None, "no close frame received or sent"),
        (
            None,
            (1000, ""),
            None,
            "sent 1000 (OK); no close frame received",
        ),
        (
            (1001, "bye"),
            None,
            None,
            "received 1001 (going away) bye; no close frame sent",
        ),
        (
            (1000, ""),
            (1000, ""),
            True,
            "received 1000 (OK); then sent 1000 (OK)",
        ),
        (
            (1000, ""),
            (1011, "oops"),
            False,
            "sent 1011 (internal error) oops; then received 1000 (OK)",
        ),
        (
            (3000, "later"),
            (4999, ""),
            True,
            "received 3000 (registered) later; then sent 4999 (private use)",
        ),
        (
            (1005, ""),
            (1005, ""),
            True,
            "received 1005 (no status received [internal]); "
            "then sent 1005 (no status received [internal])",
        ),
    ],
)
@pytest.mark.parametrize(
    "kind", ["ConnectionClosed", "ConnectionClosedOK", "ConnectionClosedError"]
)
def test_connection_closed(
    lib: Library,
    kind: str,
    rcvd: tuple[int, str] | None,
    sent: tuple[int, str] | None,
    rcvd_then_sent: bool | None,
    text: str,
) -> None:
    exc = getattr(lib, kind)(
        lib.Close(*rcvd) if rcvd else None,
        lib.Close(*sent) if sent else None,
        rcvd_then_sent,
    )
    assert exc.rcvd == (lib.Close(*rcvd) if rcvd else None)
    assert exc.sent == (lib.Close(*sent) if sent else None)
    assert exc.rcvd_then_sent is rcvd_then_sent
    assert str(exc) == text


@pytest.mark.parametrize(
    ("kind", "arguments", "text"),
    [
        ("InvalidURI", ("|", "not at all!"), "| isn't a valid URI: not at all!"),
        ("InvalidProxy", ("|", "not at all!"), "| isn't a valid proxy: not at all!"),
        ("InvalidMethod", ("POST",), "unsupported HTTP method: POST"),
        ("InvalidProtocol", ("HTTP/1.0",), "unsupported HTTP version: HTTP/1.0"),
        ("InvalidHeader", ("Name",), "missing Name header"),
        ("InvalidHeader", ("Name", None), "missing Name header"),
        ("InvalidHeader", ("Name", ""), "empty Name header"),
        ("InvalidHeader", ("Name", "Value"), "invalid Name header: Value"),
        (
            "InvalidHeaderFormat",
            ("Sec-WebSocket-Protocol", "exp. token", "a=|", 3),
            "invalid Sec-WebSocket-Protocol header: exp. token at 3 in a=|",
        ),
        (
            "InvalidHeaderValue",
            ("Sec-WebSocket-Version", "42"),
            "invalid Sec-WebSocket-Version header: 42",
        ),
        ("InvalidOrigin", (None,), "missing Origin header"),
        ("InvalidOrigin", ("http://bad",), "invalid Origin header: http://bad"),
        ("InvalidUpgrade", ("Upgrade",), "missing Upgrade header"),
        ("InvalidUpgrade", ("Connection", "websocket"), "invalid Connection header: websocket"),
        ("NegotiationError", ("unsupported subprotocol: spam",), "unsupported subprotocol: spam"),
        ("DuplicateParameter", ("a",), "duplicate parameter: a"),
        ("InvalidParameterName", ("|",), "invalid parameter name: |"),
        ("InvalidParameterValue", ("a", None), "missing value for parameter a"),
        ("InvalidParameterValue", ("a", ""), "empty value for parameter a"),
        ("InvalidParameterValue", ("a", "|"), "invalid value for parameter a: |"),
        ("ProtocolError", ("invalid opcode: 7",), "invalid opcode: 7"),
        ("PayloadTooBig", (None, 4), "frame exceeds limit of 4 bytes"),
        ("PayloadTooBig", (8, 4), "frame with 8 bytes exceeds limit of 4 bytes"),
        (
            "PayloadTooBig",
            (8, 4, 12),
            "frame with 8 bytes after reading 12 bytes exceeds limit of 16 bytes",
        ),
        ("InvalidState", ("cannot send",), "cannot send"),
        (
            "ConcurrencyError",
            ("get() or get_iter() is already running",),
            "get() or get_iter() is already running",
        ),
    ],
)
def test_text(lib: Library, kind: str, arguments: tuple[object, ...], text: str) -> None:
    assert str(getattr(lib, kind)(*arguments)) == text


def test_attributes(lib: Library) -> None:
    assert lib.InvalidURI("u", "m").uri == "u"
    assert lib.InvalidURI("u", "m").msg == "m"
    assert lib.InvalidHeader("N", "V").name == "N"
    assert lib.InvalidHeader("N", "V").value == "V"
    assert lib.InvalidParameterValue("n", "v").name == "n"
    assert lib.InvalidParameterValue("n", "v").value == "v"
    assert lib.InvalidMethod("POST").method == "POST"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("InvalidStatus", "server rejected WebSocket connection: HTTP 401"),
        ("InvalidProxyStatus", "proxy rejected connection: HTTP 401"),
    ],
)
def test_rejections_carry_the_response(lib: Library, kind: str, text: str) -> None:
    response = lib.Response(401, "Unauthorized", lib.Headers())
    exc = getattr(lib, kind)(response)
    assert exc.response is response
    assert str(exc) == text


def test_payload_too_big_learns_the_size_read_so_far(lib: Library) -> None:
    exc = lib.PayloadTooBig(8, 4)
    exc.set_current_size(12)
    assert (exc.size, exc.max_size, exc.current_size) == (8, 16, 12)

"""Answers a server gives on its own account."""

from __future__ import annotations

import email.utils
import locale

import pytest

from duologue.base.exceptions import (
    BodyTooLarge,
    HeaderLineTooLong,
    InvalidHeader,
    InvalidHeaderFormat,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidMethod,
    InvalidOrigin,
    InvalidProtocol,
    InvalidUpgrade,
    NegotiationError,
    RequestLineTooLong,
    SecurityError,
    TooManyHeaders,
)
from duologue.protocol.reply import explain, http_date, rejection, respond, status_for


@pytest.mark.parametrize("second", [0, 784111777, 951782399, 951782400, 1709251199, 4102444800])
def test_http_date_is_what_the_standard_library_makes(second: int) -> None:
    assert http_date(second) == email.utils.formatdate(second, usegmt=True)


def test_http_date_of_the_rfc() -> None:
    assert http_date(784111777.9) == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_http_date_is_now_by_default() -> None:
    before = email.utils.formatdate(usegmt=True)
    now = http_date()
    assert now in (before, email.utils.formatdate(usegmt=True))


def test_http_date_ignores_the_locale() -> None:
    old = locale.setlocale(locale.LC_TIME)
    try:
        locale.setlocale(locale.LC_TIME, "C.UTF-8")
        assert http_date(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT"
    finally:
        locale.setlocale(locale.LC_TIME, old)


def test_respond() -> None:
    response = respond(404, "näher nichts\n")
    assert response.status_code == 404
    assert response.reason_phrase == "Not Found"
    assert response.body == "näher nichts\n".encode()
    assert response.headers["Content-Length"] == "14"
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Connection"] == "close"
    assert "Date" in response.headers


def test_respond_refuses_unknown_status() -> None:
    with pytest.raises(ValueError, match="799"):
        respond(799, "")


def chained(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("exc", "status"),
    [
        (InvalidOrigin("http://evil.example"), 403),
        (InvalidMethod("POST"), 405),
        (InvalidProtocol("HTTP/1.0"), 505),
        (InvalidUpgrade("Upgrade", "h2c"), 426),
        (InvalidHeaderValue("Sec-WebSocket-Version", "8"), 426),
        (InvalidHeader("Sec-WebSocket-Version"), 400),
        (InvalidHeader("Sec-WebSocket-Key"), 400),
        (InvalidHeaderFormat("Connection", "expected token", "???", 0), 400),
        (NegotiationError("missing subprotocol"), 400),
        (RequestLineTooLong("long"), 414),
        (HeaderLineTooLong("long"), 431),
        (TooManyHeaders("many"), 431),
        (SecurityError("head too large"), 431),
        (BodyTooLarge("large"), 413),
        (InvalidMessage("malformed"), 400),
        (chained(InvalidMessage("malformed"), ValueError("bare LF")), 400),
        (chained(InvalidMessage("malformed"), NotImplementedError("gzip")), 501),
        (chained(InvalidMessage("malformed"), RequestLineTooLong("long")), 414),
        (NotImplementedError("gzip"), 501),
        (ZeroDivisionError("secret"), 500),
        (ValueError("secret"), 500),
    ],
)
def test_rejection_status(exc: BaseException, status: int) -> None:
    assert status_for(exc) == status
    response = rejection(exc)
    assert response.status_code == status
    assert "close" in response.headers["Connection"]
    assert response.headers["Content-Length"] == str(len(response.body))
    text = bytes(response.body).decode()
    assert (explain(exc) in text) == (status != 500)
    assert ("Allow" in response.headers) == (status == 405)
    assert ("Upgrade" in response.headers) == (status == 426)


def test_rejection_of_a_method_names_the_right_one() -> None:
    assert rejection(InvalidMethod("POST")).headers["Allow"] == "GET"


def test_rejection_of_an_upgrade_names_the_right_one() -> None:
    headers = rejection(InvalidUpgrade("Upgrade", "h2c")).headers
    assert headers["Upgrade"] == "websocket"
    assert headers["Connection"] == "close, Upgrade"
    assert "Sec-WebSocket-Version" not in headers


@pytest.mark.parametrize("exc_type", [InvalidHeader, InvalidHeaderValue])
def test_rejection_of_a_version_names_the_right_one(exc_type: type[InvalidHeader]) -> None:
    assert rejection(exc_type("Sec-WebSocket-Version")).headers["Sec-WebSocket-Version"] == "13"


def test_explain_follows_causes_and_skips_empty_ones() -> None:
    exc = chained(InvalidMessage("outer"), chained(ValueError(), EOFError("inner")))
    assert explain(exc) == "outer; inner"

"""``WebSocketError``, and the dictionaries of WebSocketStream."""

from __future__ import annotations

from typing import Any

import pytest

from duologue import DOMException
from duologue.client.browser.streams_error import WebSocketError, get_close


def test_defaults() -> None:
    error = WebSocketError()
    assert isinstance(error, DOMException)
    assert (error.name, error.code, error.message) == ("WebSocketError", 0, "")
    assert (error.closeCode, error.reason) == (None, "")


@pytest.mark.parametrize(
    ("options", "keywords"),
    [({"closeCode": 3456, "reason": "why"}, {}), (None, {"closeCode": 3456, "reason": "why"})],
)
def test_options(options: Any, keywords: dict[str, Any]) -> None:
    error = WebSocketError("message", options, **keywords)
    assert (error.message, error.closeCode, error.reason) == ("message", 3456, "why")


def test_a_reason_alone_goes_with_1000() -> None:
    assert WebSocketError("", {"reason": "why"}).closeCode == 1000
    assert WebSocketError("", {"reason": ""}).closeCode is None


@pytest.mark.parametrize("code", [0, 999, 1001, 1005, 1006, 2999, 5000, 65535])
def test_codes_that_may_not_be_sent(code: int) -> None:
    with pytest.raises(DOMException) as caught:
        WebSocketError("", {"closeCode": code})
    assert caught.value.name == "InvalidAccessError"


@pytest.mark.parametrize("reason", ["x" * 124, "🔌" * 31, "\ud800" * 42])
def test_reasons_that_are_too_long(reason: str) -> None:
    with pytest.raises(DOMException) as caught:
        WebSocketError("", {"reason": reason})
    assert caught.value.name == "SyntaxError"


@pytest.mark.parametrize("code", [-1, 65536, 1e9, float("nan"), "1000", [1000]])
def test_codes_out_of_range_are_not_clamped(code: Any) -> None:
    with pytest.raises(TypeError, match="closeCode"):
        get_close({"closeCode": code})


def test_a_code_is_truncated() -> None:
    assert get_close({"closeCode": 3000.9}) == (3000, "")


@pytest.mark.parametrize("options", [True, "text", 5, ["closeCode"]])
def test_options_must_be_a_mapping(options: Any) -> None:
    with pytest.raises(TypeError, match="mapping"):
        WebSocketError("", options)

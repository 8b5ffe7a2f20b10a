"""What the constructor, ``send`` and ``close`` take and refuse."""

from __future__ import annotations

import array
import math
from types import SimpleNamespace
from typing import Any

import pytest

from duologue import Blob, DOMException
from duologue.client.browser.arguments import (
    check_close,
    get_protocols,
    get_url,
    is_blocked,
    to_message,
)


@pytest.mark.parametrize(
    ("url", "href"),
    [
        ("ws://h", "ws://h/"),
        ("http://h", "ws://h/"),
        ("https://h:443/a?é", "wss://h/a?%C3%A9"),
        ("WS://H:80", "ws://h/"),
        ("wss://example.com:80/some/path", "wss://example.com:80/some/path"),
        ("ws://user:pw@h/", "ws://user:pw@h/"),
    ],
)
def test_url(url: str, href: str) -> None:
    assert get_url(url).href == href
    assert get_url(SimpleNamespace(href=url)).href == href


def test_relative_urls_need_a_base() -> None:
    assert get_url("/chat", "https://example.com/page").href == "wss://example.com/chat"
    assert get_url("//other/", "http://example.com/").href == "ws://other/"
    with pytest.raises(DOMException, match="SyntaxError"):
        get_url("/chat")


@pytest.mark.parametrize(
    "url",
    [
        "ws://foo bar.com/", "ftp://h/", "mailto:a@b.c", "about:blank", "ws://h/#", "ws://h/#frag",
        "/#", "#test", "", "ws://", "ws://h:99999/",
    ],
)  # fmt: skip
def test_wrong_urls(url: str) -> None:
    with pytest.raises(DOMException) as info:
        get_url(url)
    assert (info.value.name, info.value.code) == ("SyntaxError", 12)


@pytest.mark.parametrize("url", [None, 5, b"ws://h/"])
def test_urls_are_text(url: Any) -> None:
    with pytest.raises(TypeError, match="url must be str"):
        get_url(url)


@pytest.mark.parametrize(
    ("protocols", "names"),
    [
        (None, []),
        ([], []),
        ("chat", ["chat"]),
        (["b", "a"], ["b", "a"]),
        (("a",), ["a"]),
        ({}, []),
        ({"protocols": ["a"]}, ["a"]),
        ({"protocols": "a", "other": 1}, ["a"]),
    ],
)
def test_protocols(protocols: Any, names: list[str]) -> None:
    assert get_protocols(protocols) == names


@pytest.mark.parametrize("char", [*'()<>@,;:\\"/[]?={} \t\x00\x1f\x7f\u0080é'])
def test_protocols_are_tokens(char: str) -> None:
    with pytest.raises(DOMException) as info:
        get_protocols(["chat", f"a{char}b"])
    assert info.value.name == "SyntaxError"


@pytest.mark.parametrize("protocols", [["a", "a"], ["a", "A"], "", [""], {"protocols": [""]}])
def test_protocols_are_there_once(protocols: Any) -> None:
    with pytest.raises(DOMException) as info:
        get_protocols(protocols)
    assert info.value.name == "SyntaxError"


@pytest.mark.parametrize("protocols", [5, b"a", [5], [None]])
def test_protocols_are_text(protocols: Any) -> None:
    with pytest.raises(TypeError, match="must be str"):
        get_protocols(protocols)


def test_blocked_ports() -> None:
    assert is_blocked(get_url("ws://h:25/"))
    assert is_blocked(get_url("ws://h:10080/"))
    assert is_blocked(get_url("wss://h:6000/"))
    for port in (80, 443, 8080, 9998, 24):
        assert not is_blocked(get_url(f"ws://h:{port}/"))


@pytest.mark.parametrize(
    ("data", "message", "octets"),
    [
        ("", "", 0),
        ("abc", "abc", 3),
        ("é", "é", 2),
        ("\ud800", "\ufffd", 3),
        ("\ud83d\ude00", "\U0001f600", 4),
        ("a\udc00\ud800b", "a\ufffd\ufffdb", 8),
        (b"ab", b"ab", 2),
        (bytearray(b"abc"), b"abc", 3),
        (memoryview(b"abcdef")[1:3], b"bc", 2),
        (memoryview(b"abcdef")[::2], b"ace", 3),
        (array.array("I", [1]), array.array("I", [1]).tobytes(), 4),
        (Blob(["four"]), b"four", 4),
    ],
)
def test_messages(data: Any, message: str | bytes, octets: int) -> None:
    assert to_message(data) == (message, octets)


def test_message_is_as_it_was() -> None:
    data = bytearray(b"abc")
    message, _ = to_message(data)
    data[0] = 0
    assert message == b"abc"


@pytest.mark.parametrize("data", [None, 5, 1.5, True, {}, ["a"], object()])
def test_other_messages_are_refused(data: Any) -> None:
    with pytest.raises(TypeError, match="data must be str, bytes-like or a Blob"):
        to_message(data)


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ((None, None), (None, "")),
        ((1000, None), (1000, "")),
        ((3000, "why"), (3000, "why")),
        ((4999, ""), (4999, "")),
        (("1000", None), (1000, "")),
        ((1000.4, None), (1000, "")),
        # Half to even.
        ((2999.5, None), (3000, "")),
        ((1000.5, None), (1000, "")),
        ((None, ""), (None, "")),
        ((None, "why"), (1000, "why")),
        ((1000, "\ud800"), (1000, "\ufffd")),
    ],
)
def test_close(arguments: tuple[Any, Any], sent: tuple[int | None, str]) -> None:
    assert check_close(*arguments) == sent


@pytest.mark.parametrize(
    "code",
    [
        0, 500, 999, 1001, 1005, 1006, 2999, 5000, 65536 + 1000, -1, math.nan, math.inf, -math.inf,
        4999.5, "string", "", "only a reason", True, False, 10**400, -(10**400),
    ],
)  # fmt: skip
def test_wrong_codes(code: Any) -> None:
    with pytest.raises(DOMException) as info:
        check_close(code, None)
    assert (info.value.name, info.value.code) == ("InvalidAccessError", 15)


@pytest.mark.parametrize("reason", ["a" * 123, "é" * 61, "\u20ac" * 41, "\ud800" * 41])
def test_longest_reasons(reason: str) -> None:
    assert len(check_close(1000, reason)[1]) == len(reason)


@pytest.mark.parametrize("reason", ["a" * 124, "é" * 62, "\u20ac" * 42, "\ud800" * 42])
@pytest.mark.parametrize("code", [1000, None])
def test_longer_reasons(code: int | None, reason: str) -> None:
    with pytest.raises(DOMException) as info:
        check_close(code, reason)
    assert info.value.name == "SyntaxError"


def test_code_is_judged_before_the_reason() -> None:
    with pytest.raises(DOMException) as info:
        check_close(1, "a" * 124)
    assert info.value.name == "InvalidAccessError"


@pytest.mark.parametrize(("code", "reason"), [(object(), None), (b"1000", None), (1000, 5)])
def test_close_with_other_types(code: Any, reason: Any) -> None:
    with pytest.raises(TypeError):
        check_close(code, reason)

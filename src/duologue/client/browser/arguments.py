"""What the constructor, ``send`` and ``close`` take, and what is refused (WHATWG WebSockets 3.1).

Pure functions: they know no connection and no event loop.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from duologue.base.exceptions import InvalidURI
from duologue.base.types import Subprotocol
from duologue.client.browser.blob import Blob, encode
from duologue.client.browser.dom_exception import DOMException
from duologue.wire.grammar import is_token
from duologue.wire.uri import URL, parse_url

__all__ = ["MAX_REASON", "check_close", "get_protocols", "get_url", "is_blocked", "to_message"]

MAX_REASON = 123
"""Octets in a close reason: a control frame has 125, and the code takes two (RFC 6455 5.5)."""

# "Bad ports" of the Fetch standard (section 2.9).
_BLOCKED_PORTS = frozenset(
    {
        *(0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95),
        *(101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161),
        *(179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563),
        *(587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061),
        *(6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    }
)


def get_url(url: Any, base: Any = None) -> URL:
    """Parse the URL of a socket ("obtain a URL record").

    Args:
        url: :class:`str`, or an object with ``href``; ``http`` stands for ``ws`` and ``https`` for
            ``wss``.
        base: what a relative URL refers to, such as the address of a page.

    Raises:
        DOMException: ``SyntaxError`` if it can't be parsed, has another scheme or a fragment.
        TypeError: If it isn't text.
    """
    try:
        record = parse_url(_href("url", url), None if base is None else _href("base", base))
    except InvalidURI as exc:
        raise DOMException(str(exc), "SyntaxError") from None
    if record.fragment is not None:
        raise DOMException(f"{url} has a fragment, which no request can have", "SyntaxError")
    return record


def get_protocols(protocols: Any) -> list[Subprotocol]:
    """Check the subprotocols of a socket.

    Args:
        protocols: one name, a list of names, ``None`` for none, or a mapping that has one of these
            as ``protocols``.

    Raises:
        DOMException: ``SyntaxError`` if a name is no token or there twice, in whichever case.
        TypeError: If one isn't text.
    """
    if isinstance(protocols, Mapping):
        protocols = protocols.get("protocols")
    if protocols is None:
        return []
    names = [protocols] if isinstance(protocols, str) else protocols
    if not isinstance(names, Iterable) or isinstance(names, bytes | bytearray | memoryview):
        raise TypeError(f"protocols must be str or a list of str, not {protocols!r}")
    found: dict[str, Subprotocol] = {}
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"a subprotocol must be str, not {name!r}")
        if not is_token(name):
            raise DOMException(f"subprotocol {name!r} is no token", "SyntaxError")
        if name.lower() in found:
            raise DOMException(f"subprotocol {name!r} is there twice", "SyntaxError")
        found[name.lower()] = Subprotocol(name)
    return list(found.values())


def is_blocked(url: URL) -> bool:
    """Whether no browser connects to the port, since another protocol has it (Fetch 2.9)."""
    return url.port in _BLOCKED_PORTS


def to_message(data: Any) -> tuple[str | bytes, int]:
    """Take a message as ``send`` does.

    Args:
        data: :class:`str`, anything with the buffer protocol, or a :class:`Blob`.

    Returns:
        The message as it is now, text without lone surrogates, and its octets (of text in UTF-8).

    Raises:
        TypeError: If it is something else. JavaScript would send the text that it shows as.
    """
    if isinstance(data, str):
        if data.isascii():
            return data, len(data)
        octets = encode(data)
        return octets.decode(), len(octets)
    if isinstance(data, bytes):
        return data, len(data)
    if isinstance(data, Blob):
        return bytes(data), data.size
    try:
        octets = memoryview(data).tobytes()
    except TypeError:
        kind = type(data).__name__
        raise TypeError(f"data must be str, bytes-like or a Blob, not {kind}") from None
    return octets, len(octets)


def check_close(code: Any, reason: Any) -> tuple[int | None, str]:
    """Check what ``close`` is given.

    Args:
        code: a number, taken as JavaScript takes it (rounded, and held between 0 and 65535); text
            is read as one; ``None`` for none.
        reason: text; ``None`` for none.

    Returns:
        Code and reason to send; a reason without a code goes with 1000.

    Raises:
        DOMException: ``InvalidAccessError`` if the code is neither 1000 nor 3000 to 4999,
            ``SyntaxError`` if the reason has more than `MAX_REASON` octets of UTF-8.
        TypeError: If an argument has another type.
    """
    if reason is not None and not isinstance(reason, str):
        raise TypeError(f"reason must be str, not {reason!r}")
    number = None if code is None else _clamp(code)
    if number is not None and number != 1000 and not 3000 <= number <= 4999:
        raise DOMException(
            f"close code {code!r} is neither 1000 nor from 3000 to 4999", "InvalidAccessError"
        )
    octets = encode(reason or "")
    if len(octets) > MAX_REASON:
        raise DOMException(
            f"close reason has {len(octets)} octets, more than {MAX_REASON}", "SyntaxError"
        )
    if octets and number is None:
        number = 1000
    return number, octets.decode()


def _clamp(code: Any) -> int:
    """Convert to ``[Clamp] unsigned short`` (Web IDL section 3.2.4.9)."""
    if isinstance(code, str):
        code = _number(code.strip())
    if not isinstance(code, int | float):
        raise TypeError(f"code must be a number, not {code!r}")
    if isinstance(code, float) and math.isnan(code):
        return 0
    # round() goes to the even neighbour, as the conversion does.
    return round(min(max(code, 0), 65535))


def _number(text: str) -> float:
    """Read text as JavaScript does (ECMA-262 section 7.1.4.1)."""
    base = {"0x": 16, "0o": 8, "0b": 2}.get(text[:2].lower())
    try:
        if not text:
            return 0
        if base is not None and text[2:].isalnum():
            return int(text[2:], base)
        # Python alone takes digits in groups.
        return math.nan if "_" in text else float(text)
    except ValueError:
        return math.nan


def _href(name: str, value: Any) -> str:
    text = value if isinstance(value, str) else getattr(value, "href", None)
    if not isinstance(text, str):
        raise TypeError(f"{name} must be str, not {value!r}")
    return text

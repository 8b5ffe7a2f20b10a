"""``WebSocketError``: how a WebSocketStream fails, and how it is told to close (WHATWG WebSockets).

And the dictionaries that the constructor, ``close`` and this exception take.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from duologue.client.browser.arguments import check_close
from duologue.client.browser.dom_exception import DOMException

__all__ = ["WebSocketError"]


class WebSocketError(DOMException):
    """A WebSocketStream failed; or, as a reason to cancel or abort, what to close it with.

    Args:
        message: what happened.
        options: a mapping with ``closeCode`` and ``reason``.
        closeCode: close code, 1000 or from 3000 to 4999; ``None`` for none.
        reason: close reason, at most 123 octets of UTF-8; without a code it goes with 1000.

    Raises:
        DOMException: ``InvalidAccessError`` for another code, ``SyntaxError`` for a longer reason.
        TypeError: If an argument has the wrong type.
    """

    def __init__(
        self,
        message: str = "",
        options: Mapping[str, Any] | None = None,
        /,
        *,
        closeCode: int | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message, "WebSocketError")
        given = get_dictionary(options, closeCode=closeCode, reason=reason)
        self._close_code, self._reason = get_close(given)

    @classmethod
    def _received(cls, message: str, code: int, reason: str) -> WebSocketError:
        """Make one with what a connection ended with, which may be any code."""
        error = cls(message)
        error._close_code, error._reason = code, reason
        return error

    @property
    def closeCode(self) -> int | None:
        """The close code, ``None`` without one."""
        return self._close_code

    @property
    def reason(self) -> str:
        """The close reason, empty without one."""
        return self._reason


def get_dictionary(options: object, **keywords: Any) -> dict[str, Any]:
    """Read a dictionary of Web IDL: a mapping, or keywords instead; ``None`` counts as missing.

    Args:
        options: the mapping, or ``None``.
        **keywords: its members by name.

    Raises:
        TypeError: If it is something else.
    """
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"options must be a mapping, not {options!r}")
    given = {
        **(options or {}),
        **{name: value for name, value in keywords.items() if value is not None},
    }
    return {name: value for name, value in given.items() if value is not None}


def get_close(given: Mapping[str, Any]) -> tuple[int | None, str]:
    """Check ``closeCode`` and ``reason``; a reason without a code goes with 1000.

    Raises:
        DOMException: ``InvalidAccessError`` for a code that may not be sent, ``SyntaxError`` for a
            reason that is too long.
        TypeError: If one has the wrong type, or the code isn't from 0 to 65535.
    """
    code = given.get("closeCode")
    # "[EnforceRange] unsigned short": unlike that of WebSocket.close(), it isn't clamped.
    if isinstance(code, float) and math.isfinite(code):
        code = int(code)
    if code is not None and (not isinstance(code, int) or not 0 <= code <= 65535):
        raise TypeError(f"closeCode must be a number from 0 to 65535, not {code!r}")
    return check_close(code, given.get("reason"))

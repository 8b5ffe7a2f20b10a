"""JSON as it travels: no needless spaces, nothing that JSON doesn't know (RFC 8259)."""

from __future__ import annotations

import json

__all__ = ["encode_json"]


def encode_json(value: object) -> str:
    """Return a value as JSON without needless spaces.

    Raises:
        TypeError: If JSON doesn't know a value's type.
        ValueError: If a number is not finite, or the value contains itself.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            # Lone surrogates have no UTF-8, but an escape.
            return json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text

"""What a parameter of a path may be: ``{id:int}``, ``{name}``, ``{rest:path}``.

Pure functions of text. What a peer sent never raises: text that
doesn't fit is simply not matched. A slash gets into a parameter of one segment only if it came
percent-encoded.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["CONVERTERS", "Converter"]


@dataclass(frozen=True, slots=True)
class Converter:
    """A kind of parameter.

    Attributes:
        pattern: regular expression that the whole text must match; without groups.
        convert: makes the value of it; may raise :exc:`ValueError`, which means no match.
        rank: the lower, the more special; where two parameters fit, the lower rank is tried first.
    """

    pattern: str
    convert: Callable[[str], Any]
    rank: int


CONVERTERS = {
    # int() takes quadratic time, and refuses more than 4300 digits.
    "int": Converter(r"[0-9]{1,300}", int, 0),
    "uuid": Converter(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", uuid.UUID, 0),
    "float": Converter(r"[0-9]{1,300}(?:\.[0-9]{1,300})?", float, 1),
    "str": Converter(r"(?s:.+)", str, 2),
}
"""Parameters of one segment, by name. ``path``, which takes all the rest, is the router's own."""

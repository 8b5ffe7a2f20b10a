"""HTTP headers as a value; names are those of `websockets.datastructures`."""

from __future__ import annotations

from duologue.wire.headers import (
    Headers,
    HeadersLike,
    MultipleValuesError,
    SupportsKeysAndGetItem,
)

__all__ = [
    "Headers",
    "HeadersLike",
    "MultipleValuesError",
    "SupportsKeysAndGetItem",
]

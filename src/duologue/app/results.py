"""What handlers of plain HTTP return, as responses."""

from __future__ import annotations

from collections.abc import Mapping

from duologue.wire.response import Response

__all__ = ["as_response"]


def as_response(value: object) -> Response:
    """Make a response of what a handler returned.

    Args:
        value: a response, text, octets, or a mapping or list, sent as JSON.

    Raises:
        TypeError: If it is something else, such as ``None``.
    """
    if isinstance(value, Response):
        return value
    if isinstance(value, str | bytes | bytearray | memoryview):
        return Response(value)
    if isinstance(value, Mapping | list):
        return Response.json(value)
    raise TypeError(
        f"a handler returns a Response, str, bytes, dict or list, not {type(value).__name__}"
    )

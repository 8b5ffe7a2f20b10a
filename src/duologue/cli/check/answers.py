"""An HTTP answer of a server that may do anything: the head, and the first of the body.

A page of any length, or one that never ends, must not keep a check from going on.
"""

from __future__ import annotations

import asyncio
import contextlib
import re

from duologue.base.exceptions import InvalidHandshake
from duologue.wire.http11 import Response, ResponseParser

__all__ = ["discard", "not_http", "read_answer"]

_CHUNK = 65536
_MAX_HEAD = 65536
_BODY_READ = 4096
_BODY_PATIENCE = 0.5

_is_bodiless = re.compile(rb"HTTP/1\.[01] (?:101|204|304)\b").match
_announced = re.compile(rb"(?i)\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*(?:\r|\Z)").search


async def read_answer(
    reader: asyncio.StreamReader, patience: float, *, head_only: bool = False
) -> tuple[Response | None, bytes]:
    """Reads an HTTP answer: the head, and of a body no more than the first of it.

    Args:
        reader: Where it comes from.
        patience: Seconds to wait for the head.
        head_only: Whether to leave the body alone, as after CONNECT.

    Returns:
        The answer, ``None`` if it isn't HTTP; and all octets read.

    Raises:
        TimeoutError: If nothing or no whole head has come in time.
        EOFError: If the connection ends before anything has come.
        OSError: If it fails.
    """
    octets = b""
    try:
        async with asyncio.timeout(patience):
            while b"\r\n\r\n" not in octets and len(octets) < _MAX_HEAD:
                more = await reader.read(_CHUNK)
                if not more:
                    break
                octets += more
                if not b"HTTP/1.1".startswith(octets[:8]) and not octets.startswith(b"HTTP/1."):
                    break
    except TimeoutError as error:
        if error.errno is not None:
            raise
        came = f", only {octets[:40]!r}" if octets else ""
        raise TimeoutError(f"no answer within {patience:g} s{came}") from None
    if not octets:
        raise EOFError("the server ended TCP without an answer")
    head, found, body = octets.partition(b"\r\n\r\n")
    if not found:
        return None, octets
    length = 0 if head_only else _body_length(head)
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(_BODY_PATIENCE):
            while len(body) < length and (more := await reader.read(_CHUNK)):
                body += more
    return _response(head, body[:length]), octets


def _body_length(head: bytes) -> int:
    """Returns how much of the body to read."""
    if _is_bodiless(head):
        return 0
    announced = _announced(head)
    return _BODY_READ if announced is None else min(int(announced.group(1)), _BODY_READ)


def _response(head: bytes, body: bytes) -> Response | None:
    """Parses a head alone, so that a body of any length or coding doesn't matter."""
    framing = (b"content-length:", b"transfer-encoding:")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(framing)]
    parser = ResponseParser()
    try:
        response = parser.feed(b"\r\n".join(lines) + b"\r\n\r\n") or parser.feed_eof()
    except (ValueError, InvalidHandshake, EOFError):
        return None
    if response is not None and response.status_code != 101:
        response.body = body
    return response


def not_http(octets: bytes) -> ValueError:
    """Returns an error for an answer that isn't HTTP."""
    return ValueError(f"the server did not answer in HTTP: {octets[:40]!r}")


async def discard(writer: asyncio.StreamWriter) -> None:
    """Ends a connection at once."""
    writer.transport.abort()
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        async with asyncio.timeout(1):
            await writer.wait_closed()

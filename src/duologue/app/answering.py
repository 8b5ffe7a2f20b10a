"""Sending what handlers return: responses, files, refusals.

It knows exchanges, and decides nothing about routes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from duologue.app.files import PART, FileAnswer, open_file
from duologue.wire.headers import Headers
from duologue.wire.response import FileResponse, Response

if TYPE_CHECKING:
    from duologue.server.exchanges import HTTPExchange

__all__ = ["method_not_allowed", "not_found", "options", "send", "send_file"]


def not_found() -> Response:
    """The answer where nothing is."""
    return Response.text("Not Found\n", 404)


def method_not_allowed(methods: Iterable[str]) -> Response:
    """The answer to a method that isn't for this path."""
    return Response.text("Method Not Allowed\n", 405, [("Allow", _allow(methods))])


def options(methods: Iterable[str]) -> Response:
    """The answer to OPTIONS where no handler answers it."""
    return Response(b"", 204, [("Allow", _allow(methods))])


def _allow(methods: Iterable[str]) -> str:
    allowed = {*methods, "OPTIONS"}
    if "GET" in allowed:
        allowed.add("HEAD")
    return ", ".join(sorted(allowed))


async def send(exchange: HTTPExchange, response: Response) -> None:
    """Answer with a response."""
    if isinstance(response, FileResponse):
        await send_file(exchange, response.path, response.headers, status=response.status_code)
    else:
        await exchange.respond(response)


async def send_file(
    exchange: HTTPExchange,
    path: str,
    fields: Headers | Sequence[tuple[str, str]] = (),
    *,
    status: int = 200,
) -> None:
    """Answer with a file.

    Raises:
        FileNotFoundError: If there is none, before anything was sent.
        OSError: If it can't be read.
    """
    answer = open_file(
        path,
        exchange.request.headers,
        Headers(fields),
        status=status,
        body=exchange.request.method != "HEAD",
    )
    try:
        if answer.length <= PART:
            await exchange.respond(_whole(answer))
        else:
            await _stream(exchange, answer)
    finally:
        answer.close()


def _whole(answer: FileAnswer) -> Response:
    # Small enough to be read between two connections' turns; without a body for HEAD.
    body = b"".join(answer.parts()) if answer.descriptor >= 0 else b""
    return Response(answer.status, _phrases[answer.status], answer.headers, body)


async def _stream(exchange: HTTPExchange, answer: FileAnswer) -> None:
    await exchange.begin(answer.status, answer.headers)
    parts = answer.parts() if answer.descriptor >= 0 else iter(())
    # A disk may be slow, and nobody else is to wait for it.
    while (part := await asyncio.to_thread(next, parts, None)) is not None:
        await exchange.write(part)
    await exchange.finish()


_phrases = {
    200: "OK",
    206: "Partial Content",
    304: "Not Modified",
    416: "Range Not Satisfiable",
}

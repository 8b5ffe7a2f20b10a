"""Answers plain HTTP and WebSocket on one port: a page, and the conversation it starts."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from duologue import Request, Response, ServerConnection, serve

PAGE = """<!DOCTYPE html>
<title>Hello</title>
<p id="answer">Connecting …</p>
<script>
  const socket = new WebSocket(location.href.replace("http", "ws"));
  socket.onopen = () => socket.send("page");
  socket.onmessage = (event) => document.querySelector("#answer").textContent = event.data;
</script>
"""


def answer_http(connection: ServerConnection, request: Request) -> Response | None:
    if "Upgrade" in request.headers:
        return None  # go on with the opening handshake
    response = connection.respond(HTTPStatus.OK, PAGE)
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "text/html; charset=utf-8"
    return response


async def greet(websocket: ServerConnection) -> None:
    async for name in websocket:
        await websocket.send(f"Hello, {name}!")


async def main(port: int = 8000) -> None:
    async with serve(greet, "127.0.0.1", port, process_request=answer_http) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

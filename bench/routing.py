"""What routing costs: µs for each request, and instructions for each message.

    python bench/routing.py

An application with 300 routes is asked where requests belong; the best of several rounds counts.
The budget is 5 µs a request. A message costs what it costs on a connection of ``serve()``, since
both are served by the same compiled code: the last lines compare echoes on both.
"""

from __future__ import annotations

import time
from typing import Any

import duologue
from duologue.app.routes import Table
from duologue.net.loops import run

ROUNDS, REQUESTS, MESSAGES = 7, 20_000, 5_000


async def echo(ws: Any) -> None:
    """Send everything back."""
    async for message in ws:
        await ws.send(message)


def application() -> duologue.App:
    """Return an application with some 300 routes."""
    app = duologue.App()
    for number in range(75):
        app.get(f"/static/{number}")(lambda request: "")
        app.get(f"/api/v{number}/items/{{id:int}}")(lambda request: "")
        app.websocket(f"/rooms/{number}/{{name}}")(echo)
        app.websocket(f"/feeds/{number}", subprotocols=["v1", "v2"])(echo)
    app.get("/files/{path:path}")(lambda request: "")
    app.websocket("/echo")(echo)
    return app


def microseconds(find: Any, *arguments: Any) -> float:
    """Return what a call takes, the best of several rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(REQUESTS):
            find(*arguments)
        best = min(best, time.perf_counter() - began)
    return best / REQUESTS * 1e6


def show_routing(table: Table) -> None:
    """Print what finding a route takes."""
    print("µs a request, 300 routes")
    for name, find, arguments in (
        ("GET, static path", table.http, ("GET", "/static/74")),
        ("GET, a parameter", table.http, ("GET", "/api/v74/items/7")),
        ("GET, rest of a path", table.http, ("GET", "/files/a/b/c.txt")),
        ("GET, nothing there", table.http, ("GET", "/nothing/at/all")),
        ("WebSocket, static path", table.websocket, ("/echo", [])),
        ("WebSocket, a parameter", table.websocket, ("/rooms/74/lobby", [])),
        ("WebSocket, by subprotocol", table.websocket, ("/feeds/74", ["v2"])),
    ):
        print(f"  {name:28}{microseconds(find, *arguments):6.2f}")


async def cpu_per_message(server: Any, path: str) -> float:
    """Return the processor's time for a message there and back."""
    port = server.sockets[0].getsockname()[1]
    best = float("inf")
    async with duologue.connect(f"ws://127.0.0.1:{port}{path}", compression=None) as ws:
        for _ in range(ROUNDS):
            began = time.process_time()
            for _ in range(MESSAGES):
                await ws.send("x" * 32)
                await ws.recv()
            best = min(best, time.process_time() - began)
    return best / MESSAGES * 1e6


async def show_messages(app: duologue.App) -> None:
    """Print what messages take with and without routes."""
    async with (
        duologue.serve(echo, "127.0.0.1", 0) as plain,
        app.serving("127.0.0.1", 0) as routed,
    ):
        print("µs of CPU for an echo, client and server in one process")
        for _ in range(2):
            print(f"  {'serve()':28}{await cpu_per_message(plain, '/'):6.2f}")
            print(f"  {'App, static path':28}{await cpu_per_message(routed, '/echo'):6.2f}")
            print(f"  {'App, a parameter':28}{await cpu_per_message(routed, '/rooms/7/a'):6.2f}")


def main() -> None:
    """Measure both."""
    app = application()
    show_routing(app.table)
    run(show_messages(app))


if __name__ == "__main__":
    main()

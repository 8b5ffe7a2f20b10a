"""What routing costs: µs for each request, and processor time for each message.

    python bench/routing.py

An application with 300 routes is asked where requests belong. A message costs what it costs on a
connection of ``serve()``, since both are served by the same compiled code: echoes on both, client
and server in one process, are compared.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Mapping
from typing import Any

import parts
from report import introduction, machine, versus_table
from scenarios import CPU

import duologue
from duologue.app.routes import Table
from duologue.net.loops import run

REQUESTS, MESSAGES = 20_000, 5_000
PLAIN = "serve()"


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


def requests(table: Table) -> dict[str, float]:
    """Return the microseconds that finding a route takes, by kind of request."""
    found = {}
    for name, find, arguments in (
        ("GET, static path", table.http, ("GET", "/static/74")),
        ("GET, a parameter", table.http, ("GET", "/api/v74/items/7")),
        ("GET, rest of a path", table.http, ("GET", "/files/a/b/c.txt")),
        ("GET, nothing there", table.http, ("GET", "/nothing/at/all")),
        ("WebSocket, static path", table.websocket, ("/echo", [])),
        ("WebSocket, a parameter", table.websocket, ("/rooms/74/lobby", [])),
        ("WebSocket, by subprotocol", table.websocket, ("/feeds/74", ["v2"])),
    ):
        began = time.process_time()
        for _ in range(REQUESTS):
            find(*arguments)
        found[name] = (time.process_time() - began) / REQUESTS * 1e6
    return found


async def messages(app: duologue.App) -> dict[str, float]:
    """Return the microseconds of an echo with and without routes."""
    found = {}
    async with (
        duologue.serve(echo, "127.0.0.1", 0) as plain,
        app.serving("127.0.0.1", 0) as routed,
    ):
        rows = [
            (PLAIN, plain, "/"),
            ("App, static path", routed, "/echo"),
            ("App, a parameter", routed, "/rooms/7/a"),
        ]
        for name, server, path in random.sample(rows, len(rows)):
            port = server.sockets[0].getsockname()[1]
            url = f"ws://127.0.0.1:{port}{path}"
            async with duologue.connect(url, compression=None) as ws:
                began = time.process_time()
                for _ in range(MESSAGES):
                    await ws.send("x" * 32)
                    await ws.recv()
                found[name] = (time.process_time() - began) / MESSAGES * 1e6
    return found


def page(part: Mapping[str, Any]) -> str:
    """Return the tables of a run."""
    results = parts.unpack(part["results"])
    return "\n".join(
        [
            versus_table("Routing, 300 routes", results["requests"], unit="request"),
            versus_table("Echo, both ends in one process", results["messages"], PLAIN),
        ]
    )


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    app = application()
    part: dict[str, Any] = {"machine": machine(), "seconds": 0.3, "notes": []}
    results: parts.Results = {"requests": {}, "messages": {}}
    for number in range(rounds):
        for kind, found in (("requests", requests(app.table)), ("messages", run(messages(app)))):
            for name, figure in found.items():
                results[kind].setdefault(name, []).append({"round": number, CPU: figure})
    part["results"] = parts.pack(results)
    parts.save("routing", part)
    print("# Routing\n", introduction(part), page(part), sep="\n")


if __name__ == "__main__":
    main()

"""The subscribers count what they get, and refuse what is doubled or different."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

pytestmark = pytest.mark.leftovers_allowed

MESSAGE = "x" * 32
PATIENCE = 30
CONNECTIONS = 6


class Topics:
    """A server of four topics in two groups."""

    def __init__(self, socketio: bool, spoil: str) -> None:
        self.groups: dict[str, list[ServerConnection]] = {"0": [], "1": []}
        self.published = 0
        self.socketio = socketio
        self.spoil = spoil

    async def handle(self, ws: ServerConnection) -> None:
        assert ws.request is not None
        group = ws.request.path.rpartition("=" if self.socketio else "/")[2]
        if self.socketio:
            await ws.send('0{"sid":"' + "s" * 150 + '"}')
            assert await ws.recv() == "40"
            await ws.send('40{"sid":"t"}')
        if group != "control":
            self.groups[group].append(ws)
        async for message in ws:
            if message == "3":
                continue
            assert group == "control"
            # Clients are connected a moment before their handlers run.
            while sum(map(len, self.groups.values())) < CONNECTIONS:
                await asyncio.sleep(0.01)
            count = json.loads(str(message)[2:])[1] if self.socketio else int(message)
            for _ in range(count):
                await self.publish(self.groups[str(self.published % 2)])
                self.published += 1

    async def publish(self, group: list[ServerConnection]) -> None:
        message = f'42["m","{MESSAGE}"]' if self.socketio else MESSAGE
        for ws in group:
            if self.socketio and self.published == 2:
                await ws.send("2")
            await ws.send(message)
        if self.published == 1 and self.spoil == "doubled":
            await group[0].send(message)
        if self.published == 1 and self.spoil == "different":
            await group[0].send(message.replace("x", "y"))


async def measure(programs: Path, *options: str, spoil: str = "") -> tuple[Topics, str, str]:
    served = Topics("--socketio" in options, spoil)
    async with serve(served.handle, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(
                str(programs / "subscribers"),
                "--port",
                str(port),
                "--connections",
                str(CONNECTIONS),
            ),
            *("--groups", "2", "--subscribers", "3", "--depth", "4", *options),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )
        async with asyncio.timeout(PATIENCE):
            out, error = await process.communicate(b"0.05\n")
    return served, out.decode(), error.decode()


@pytest.mark.parametrize("options", [(), ("--socketio",)], ids=["websocket", "socketio"])
async def test_deliveries_are_counted(programs: Path, options: tuple[str, ...]) -> None:
    served, out, error = await measure(programs, *options)
    assert error == ""
    ready, line = out.splitlines()
    found: dict[str, Any] = json.loads(line)
    assert ready == "ready"
    assert found["published"] == served.published > 0
    assert found["deliveries"] == 3 * served.published
    assert found["seconds"] >= 0.05


@pytest.mark.parametrize(
    ("spoil", "complaint"), [("doubled", "deliveries, and not"), ("different", "differs: yyyy")]
)
async def test_what_is_not_as_it_should_be(programs: Path, spoil: str, complaint: str) -> None:
    _, out, error = await measure(programs, "--settle", "10000", spoil=spoil)
    assert complaint in error
    assert out == "ready\n"

"""Our chat does on the wire, and prints, what the tutorials' chat on nodejs-websocket does."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import pytest

from .node_peers import PEERS_FOLDER, reap
from .peer import PATIENCE
from .subject import connect

SERVERS = {
    "nodejs-websocket": ["node", str(PEERS_FOLDER / "chat-server.mjs")],
    "duologue serve chat": [sys.executable, "-m", "duologue", "serve", "chat", "--port", "0"],
    "duologue demo": [sys.executable, "-m", "duologue", "demo", "--port", "0"],
}
LISTENING = "websocket server connection on port "


@contextlib.asynccontextmanager
async def chat(command: list[str]) -> AsyncIterator[tuple[int, asyncio.StreamReader]]:
    """Run a chat server; yields its port and what it prints from then on."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while not (line := (await process.stdout.readline()).decode()).startswith(LISTENING):
                assert line, "the server has ended"
            yield int(line.removeprefix(LISTENING)), process.stdout
    finally:
        if command[0] != "node":
            process.terminate()
        await reap(process)


@pytest.mark.needs_node
@pytest.mark.parametrize("server", SERVERS)
async def test_everybody_hears_who_comes_and_what_is_said(server: str) -> None:
    async with chat(SERVERS[server]) as (port, output):
        url = f"ws://127.0.0.1:{port}/"
        async with connect(url, close_timeout=0.2) as first:
            assert await first.recv() == "user1 come in!"
            async with connect(url, close_timeout=0.2) as second:
                assert await first.recv() == await second.recv() == "user2 come in!"
                await first.send("hi")
                assert await first.recv() == await second.recv() == "hi"
                await second.send(b"binary goes to nobody")
                await second.send("")
                assert await first.recv() == await second.recv() == ""
            assert (await output.readline()).decode() == "New connection\n"
            assert (await output.readline()).decode() == "New connection\n"
            assert (await output.readline()).decode() == "Received hi\n"
            assert (await output.readline()).decode() == "Received \n"
            assert (await output.readline()).decode() == "Connection closed\n"
            async with connect(url, close_timeout=0.2) as third:
                # Nobody was told of the second one's leaving, and its number is not used again.
                assert await first.recv() == await third.recv() == "user3 come in!"

"""The command-line client ``wscat`` talks to our server."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from .conversation import serving
from .node_peers import PEERS_FOLDER, piped
from .subject import ConnectionClosedError

pytestmark = pytest.mark.needs_node
WSCAT = PEERS_FOLDER / "node_modules" / "wscat" / "bin" / "wscat"


def wscat(
    port: int, *options: str
) -> contextlib.AbstractAsyncContextManager[asyncio.subprocess.Process]:
    return piped("node", str(WSCAT), "--connect", f"ws://127.0.0.1:{port}/", *options)


async def test_lines_are_echoed() -> None:
    ends: asyncio.Queue[tuple[int, str]] = asyncio.Queue()

    async def echo(connection: Any) -> None:
        await connection.send("ready")  # wscat ignores its input until the connection is open
        with pytest.raises(ConnectionClosedError):
            while True:
                await connection.send(f"echo: {await connection.recv()}")
        ends.put_nowait((connection.close_code, connection.close_reason))

    async with serving(echo) as port, wscat(port, "--slash") as process:
        assert process.stdin is not None and process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        process.stdin.write("對話\n".encode())
        line = (await process.stdout.readline()).decode()
        assert line.removeprefix("> ") == "echo: 對話\n"  # the prompt is written for a line
        process.stdin.write(b"/close 4001 done\n")
        assert await ends.get() == (4001, "done")
        assert await process.wait() == 0


async def test_server_speaks_first_and_executed_commands_arrive() -> None:
    commands: asyncio.Queue[Any] = asyncio.Queue()

    async def greet(connection: Any) -> None:
        await connection.send("welcome")
        async for message in connection:
            commands.put_nowait(message)

    async with serving(greet) as port:
        async with wscat(port, "--execute", "one", "--execute", "two", "--wait", "0.2") as process:
            output, errors = await process.communicate()
            assert process.returncode == 0, errors
    assert b"welcome\n" in output
    assert [commands.get_nowait(), commands.get_nowait()] == ["one", "two"]


async def test_ping_and_subprotocol_are_seen() -> None:
    async def ping(connection: Any) -> None:
        assert connection.subprotocol == "chat.v1"
        await (await connection.ping("knock"))
        await connection.close(1000)

    async with serving(ping, subprotocols=["chat.v1"]) as port:
        async with wscat(port, "--show-ping-pong", "--subprotocol", "chat.v1") as process:
            output, errors = await process.communicate()
            assert process.returncode == 0, errors
    assert b'Received ping (data: "knock")' in output


async def test_refusal_shows_the_status() -> None:
    async def never(connection: Any) -> None:
        raise AssertionError

    async with serving(never, subprotocols=["chat.v1"]) as port:
        async with wscat(port, "--subprotocol", "other") as process:
            _, errors = await process.communicate()
            assert process.returncode not in (0, None)
    assert b"400" in errors

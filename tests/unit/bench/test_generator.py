"""The generator counts what a server got, and refuses every reply that is not as it should be."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve

pytestmark = pytest.mark.leftovers_allowed

Handler = Callable[[ServerConnection], Awaitable[None]]


class Seen:
    """An echo server's memory."""

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.connections = 0
        self.codes: list[int | None] = []
        self.extensions: list[int] = []

    async def echo(self, ws: ServerConnection) -> None:
        self.connections += 1
        self.extensions.append(len(ws.protocol.extensions))
        async for message in ws:
            self.messages.append(message)
            await ws.send(message)
        self.codes.append(ws.close_code)


async def start(programs: Path, port: int, *arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        str(programs / "generator"),
        *(arguments[0], "--port", str(port), *arguments[1:]),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
    )


async def generate(programs: Path, handler: Handler, *arguments: str) -> tuple[int, str, str]:
    async with serve(handler, "127.0.0.1", 0, ping_interval=None, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        process = await start(programs, port, *arguments)
        out, error = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), error.decode()


async def results(programs: Path, handler: Handler, *arguments: str) -> dict[str, Any]:
    status, out, error = await generate(programs, handler, *arguments)
    assert status == 0, error
    found: dict[str, Any] = json.loads(out)
    return found


async def complaint(programs: Path, handler: Handler, *arguments: str) -> str:
    status, out, error = await generate(programs, handler, *arguments)
    assert status == 1
    assert out == ""
    return error


async def test_echo_counts_what_the_server_counts(programs: Path) -> None:
    seen = Seen()
    found = await results(
        programs, seen.echo, "echo", "--connections", "3", "--depth", "4", "--messages", "50"
    )
    assert found["count"] == 150
    assert len(seen.messages) == 150
    assert {len(message) for message in seen.messages} == {32}
    assert len(set(seen.messages)) > 40
    assert all(isinstance(message, bytes) for message in seen.messages)
    assert seen.codes == [1000] * 3
    assert found["octets_in"] == 34
    assert found["octets_out"] == 38
    assert 0 < found["p50_us"] <= found["p99_us"] <= found["p999_us"]


async def test_bursts_come_all_at_once(programs: Path) -> None:
    depths = []

    async def echo(ws: ServerConnection) -> None:
        while True:
            batch = [await ws.recv() for _ in range(5)]
            depths.append(len(batch))
            for message in batch:
                await ws.send(message)

    await results(programs, echo, "echo", "--depth", "5", "--burst", "--messages", "20")
    assert depths == [5] * 4


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 300_000])
async def test_every_length_form(programs: Path, size: int) -> None:
    seen = Seen()
    found = await results(
        programs, seen.echo, "echo", "--size", str(size), "--messages", "9", "--depth", "2"
    )
    assert found["count"] == 9
    assert [len(message) for message in seen.messages] == [size] * 9


async def test_text(programs: Path) -> None:
    seen = Seen()
    await results(programs, seen.echo, "echo", "--text", "--messages", "5")
    assert [type(message) for message in seen.messages] == [str] * 5


@pytest.mark.parametrize("deflate", [False, True])
async def test_json(programs: Path, deflate: bool) -> None:
    seen = Seen()
    options = ["--json", "--size", "1024", "--messages", "70", *(["--deflate"] if deflate else [])]
    found = await results(programs, seen.echo, "echo", *options)
    assert seen.extensions == [int(deflate)]
    assert all(json.loads(message)["type"] == "update" for message in seen.messages)
    assert all(1024 <= len(message) <= 1280 for message in seen.messages)
    assert (found["octets_in"] < 600) == deflate
    assert (found["octets_out"] < 600) == deflate


async def test_deflate_must_be_agreed_to(programs: Path) -> None:
    async def refuse(connection: ServerConnection, request: Any, response: Any) -> None:
        del response.headers["Sec-WebSocket-Extensions"]

    async with serve(Seen().echo, "127.0.0.1", 0, process_response=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        process = await start(programs, port, "echo", "--deflate", "--messages", "1")
        _, error = await process.communicate()
    assert process.returncode == 1
    assert b"permessage-deflate was not agreed to" in error


async def test_fragments_and_pings_are_understood(programs: Path) -> None:
    pongs = []

    async def echo(ws: ServerConnection) -> None:
        async for message in ws:
            assert isinstance(message, bytes)
            pong = await ws.ping(b"still there?")
            await ws.send(message[i : i + 7] for i in range(0, len(message), 7))
            pongs.append(await pong)

    found = await results(programs, echo, "echo", "--messages", "6")
    assert found["count"] == 6
    assert len(pongs) == 6


def spoiled(change: Callable[[int, bytes], bytes | str | None]) -> Handler:
    """An echo that answers with ``change(number, message)``; with nothing, when that is None."""

    async def handler(ws: ServerConnection) -> None:
        number = 0
        async for message in ws:
            assert isinstance(message, bytes)
            reply = change(number, message)
            if reply is not None:
                await ws.send(reply)
            number += 1

    return handler


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n, m: m if n < 3 else m[:-1] + b"!", "message 3 differs"),
        (lambda n, m: m if n < 3 else m[:-1], "message 3 is too short"),
        (lambda n, m: m if n < 3 else m + b"x", "message 3 differs"),
        (lambda n, m: m if n < 3 else m.decode(), "a frame of opcode 1 came, not 2"),
        (lambda n, m: m if n != 3 else None, "message 3 differs"),
    ],
    ids=["altered", "short", "long", "text", "lost"],
)
async def test_a_wrong_reply_is_an_error(
    programs: Path, change: Callable[[int, bytes], bytes | str | None], words: str
) -> None:
    error = await complaint(programs, spoiled(change), "echo", "--messages", "10", "--depth", "3")
    assert words in error


async def test_a_reply_too_many_is_an_error(programs: Path) -> None:
    async def three_for_one(ws: ServerConnection) -> None:
        message = await ws.recv()
        assert isinstance(message, bytes)
        letters = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
        for shift in range(3):
            at = letters.index(message[:1]) + shift
            ws.protocol.send_binary((letters * 2)[at : at + 32])
        # In one piece: one at a time, each would be the reply to the message after it.
        ws.transport.write(b"".join(ws.protocol.data_to_send()))
        await ws.wait_closed()

    assert "more replies than messages" in await complaint(
        programs, three_for_one, "echo", "--messages", "10"
    )


async def test_a_server_that_leaves_is_an_error(programs: Path) -> None:
    async def leave(ws: ServerConnection) -> None:
        await ws.send(await ws.recv())
        await ws.close(1011)

    assert "closed the connection with code 1011" in await complaint(
        programs, leave, "echo", "--messages", "2"
    )


async def test_a_refused_upgrade_is_an_error(programs: Path) -> None:
    def refuse(connection: ServerConnection, request: Any) -> Any:
        return connection.respond(503, "no")

    async with serve(Seen().echo, "127.0.0.1", 0, process_request=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        process = await start(programs, port, "echo", "--messages", "1")
        _, error = await process.communicate()
    assert process.returncode == 1
    assert b"the upgrade was refused:\nHTTP/1.1 503" in error


async def test_nothing_at_all_is_an_error(programs: Path) -> None:
    async def silent(ws: ServerConnection) -> None:
        await ws.wait_closed()

    error = await complaint(programs, silent, "echo", "--duration", "0.1")
    assert "nothing came back" in error


async def test_broadcast_counts_deliveries(programs: Path) -> None:
    everybody: list[ServerConnection] = []

    async def broadcast(ws: ServerConnection) -> None:
        assert ws.request is not None
        assert ws.request.path == "/broadcast"
        everybody.append(ws)
        async for message in ws:
            for each in everybody:
                await each.send(message)

    found = await results(
        programs,
        broadcast,
        *("broadcast", "--path", "/broadcast", "--connections", "5", "--depth", "2"),
        *("--messages", "12"),
    )
    assert found["count"] == 60


async def test_feed_receives_one_message_for_ever(programs: Path) -> None:
    received = []

    async def feed(ws: ServerConnection) -> None:
        received.append(await ws.recv())
        while True:
            await ws.send(received[0])

    found = await results(programs, feed, "feed", "--messages", "100")
    assert found["count"] >= 100
    assert len(received) == 1


async def test_open_loop_sends_without_waiting(programs: Path) -> None:
    """A closed loop would wait for ever for the first reply."""

    async def late(ws: ServerConnection) -> None:
        batch = [await ws.recv() for _ in range(20)]
        for message in batch:
            await ws.send(message)
        async for message in ws:
            await ws.send(message)

    found = await results(
        programs, late, "open", "--rate", "1000", "--duration", "0.3", "--connections", "2"
    )
    assert found["count"] > 40


async def test_handshakes(programs: Path) -> None:
    seen = Seen()
    found = await results(
        programs, seen.echo, "handshake", "--connections", "4", "--messages", "30"
    )
    assert found["count"] == 30
    assert seen.connections == 30
    assert seen.codes == [1000] * 30


async def test_handshakes_over_tls(programs: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    seen = Seen()
    async with serve(seen.echo, "127.0.0.1", 0, ssl=context) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        options = ["--tls", "--connections", "3", "--messages", "12"]
        process = await start(programs, port, "handshake", *options)
        out, error = await process.communicate()
    assert process.returncode == 0, error
    assert json.loads(out)["count"] == 12
    assert seen.codes == [1000] * 12


async def test_idle_connections_answer_pings_and_exchange_again(programs: Path) -> None:
    seen = Seen()
    async with serve(seen.echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        process = await start(programs, port, "idle", "--connections", "3", "--messages", "1")
        assert process.stdout is not None
        assert process.stdin is not None
        assert await process.stdout.readline() == b"ready\n"
        for ws in server.connections:
            await (await ws.ping())
        process.stdin.write(b"\n")
        assert await process.stdout.readline() == b"ready\n"
        assert len(seen.messages) == 6
        process.stdin.close()
        assert await process.wait() == 0


async def test_idle_connections_are_held(programs: Path) -> None:
    seen = Seen()
    async with serve(seen.echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        process = await start(programs, port, "idle", "--connections", "7", "--messages", "2")
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        assert len(server.connections) == 7
        assert len(seen.messages) == 14
        assert process.stdin is not None
        process.stdin.close()
        assert await process.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["loiter"], "the mode must be"),
        (["echo", "--depth", "0"], "not a number of at least 1: 0"),
        (["echo", "--size", "12x"], "not a number"),
        (["open"], "--rate belongs to the mode open"),
        (["echo", "--rate", "5"], "--rate belongs to the mode open"),
        (["echo", "--unix", "s"], "either --port or --unix"),
        (["echo", "more"], "what is more?"),
    ],
)
async def test_wrong_arguments(programs: Path, arguments: list[str], words: str) -> None:
    process = await start(programs, 1, *arguments)
    _, error = await process.communicate()
    assert process.returncode == 1
    assert words in error.decode()

from __future__ import annotations

import asyncio

from duologue.asyncio.client import connect
from duologue.asyncio.server import serve
from duologue.frontends import chat


async def until(condition):
    """Waits for what the server does on its own; pytest's time-out ends a wait in vain."""
    while not condition():
        await asyncio.sleep(0.001)


async def test_the_tutorials_sequence(place):
    lines: list[str] = []
    async with chat.serve(port=0, log=lines.append) as server:
        url = place(server).url()
        async with connect(url) as first:
            assert await first.recv() == "user1 come in!"
            async with connect(url) as second:
                assert await first.recv() == "user2 come in!"
                assert await second.recv() == "user2 come in!"
                await first.send("hi")
                assert await first.recv() == "hi"
                assert await second.recv() == "hi"
                await second.send("")
                assert await first.recv() == ""
            await until(lambda: lines.count("Connection closed") == 1)
        await until(lambda: lines.count("Connection closed") == 2)
    assert lines == [
        "New connection",
        "New connection",
        "Received hi",
        "Received ",
        "Connection closed",
        "Connection closed",
    ]


async def test_numbers_are_not_used_again_and_nobody_is_announced_when_leaving(place):
    async with chat.serve(port=0) as server:
        url = place(server).url()
        async with connect(url) as stayer:
            assert await stayer.recv() == "user1 come in!"
            async with connect(url) as leaver:
                assert await leaver.recv() == "user2 come in!"
            async with connect(url) as newcomer:
                assert await newcomer.recv() == "user3 come in!"
            assert await stayer.recv() == "user2 come in!"
            assert await stayer.recv() == "user3 come in!"


async def test_binary_messages_are_ignored(place):
    lines: list[str] = []
    async with (
        chat.serve(port=0, log=lines.append) as server,
        connect(place(server).url()) as websocket,
    ):
        assert await websocket.recv() == "user1 come in!"
        await websocket.send(b"binary")
        await websocket.send("text")
        assert await websocket.recv() == "text"
    assert "Received text" in lines
    assert not any("binary" in line for line in lines)


async def test_the_room_knows_who_is_in(place):
    room = chat.Chat()
    async with serve(room.handler, "127.0.0.1", 0) as server:
        assert not room.connections
        async with connect(place(server).url()) as websocket:
            await websocket.recv()
            assert len(room.connections) == room.count == 1
            room.say("the server speaks unasked")
            assert await websocket.recv() == "the server speaks unasked"
        await until(lambda: not room.connections)
        assert room.count == 1


async def test_hanging_up_is_no_error(place):
    lines: list[str] = []
    async with chat.serve(port=0, log=lines.append) as server:
        async with place(server).raw() as (reader, _):
            assert await reader.readexactly(16) == b"\x81\x0euser1 come in!"
        await until(lambda: "Connection closed" in lines)
    assert lines == ["New connection", "Connection closed"]


async def test_breaking_the_protocol_is_an_error(place):
    lines: list[str] = []
    async with chat.serve(port=0, log=lines.append) as server:
        async with place(server).raw() as (reader, writer):
            await reader.readexactly(16)
            writer.write(b"\x83\x80\x00\x00\x00\x00")  # opcode 3 is reserved
            opcode, _, *code = await reader.readexactly(4)
            assert (opcode, bytes(code)) == (0x88, b"\x03\xea")  # Close, 1002
        await until(lambda: "Connection closed" in lines)
    assert lines[0] == "New connection"
    assert lines[1].startswith("Error ")
    assert lines[2:] == ["Connection closed"]


def test_listening_names_the_port():
    lines: list[str] = []
    chat.Chat(lines.append).listening(8001)
    assert lines == ["websocket server connection on port 8001"]

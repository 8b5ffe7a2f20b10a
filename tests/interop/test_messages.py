"""What is said arrives, with every other implementation and in each role it has."""

from __future__ import annotations

import asyncio
from typing import Any

from .conversation import MIB, RANDOM_MIB, UNICODE, Pairing, conversation, pairings
from .peer import PATIENCE


@pairings()
async def test_text_and_binary_keep_content_and_type_both_ways(pairing: Pairing) -> None:
    messages: list[str | bytes] = [
        "plain",
        UNICODE,
        "",
        bytes(range(256)),
        b"",
        "x" * 125,
        "x" * 126,
        b"y" * 65536,
    ]
    if pairing.peer.name == "nodejs-websocket":
        # Its binary messages are streams, and an empty chunk writes no frame.
        messages.remove(b"")
    async with conversation(pairing) as (ours, theirs):
        await theirs.next("open")
        for message in messages:
            await ours.send(message)
            assert await theirs.message() == message
            await theirs.send(message)
            received = await ours.recv()
            assert received == message
            assert type(received) is type(message)


@pairings()
async def test_one_mebibyte_both_ways(pairing: Pairing) -> None:
    text = "0123456789abcde\n" * (MIB // 16)
    async with conversation(pairing) as (ours, theirs):
        await theirs.next("open")
        for message in (text, RANDOM_MIB):
            await ours.send(message)
            await theirs.send(message)
            assert await theirs.message() == message
            assert await ours.recv() == message


@pairings()
async def test_our_fragments_arrive_as_one_message(pairing: Pairing) -> None:
    async with conversation(pairing) as (ours, theirs):
        await theirs.next("open")
        await ours.send(["frag", "mented ", "對", "話"])
        assert await theirs.message() == "fragmented 對話"
        await ours.send([b"\x00" * 70000, b"\x01", b"\x02\x03"])
        assert await theirs.message() == b"\x00" * 70000 + b"\x01\x02\x03"


@pairings(fragments=str)
async def test_their_text_fragments_arrive_as_one_message(pairing: Pairing) -> None:
    async with conversation(pairing) as (ours, theirs):
        await theirs.next("open")
        await theirs.send_fragments(["對", "話", "!"])
        assert await ours.recv() == "對話!"


@pairings(fragments=str)
async def test_their_text_fragments_can_be_streamed(pairing: Pairing) -> None:
    async with conversation(pairing) as (ours, theirs):
        await theirs.next("open")
        await theirs.send_fragments(["four", "teen", "!"])
        parts = [part async for part in ours.recv_streaming()]
        # An end that cannot know which part is the last finishes with an empty frame.
        assert [part for part in parts if part] == ["four", "teen", "!"]


@pairings(fragments=bytes)
async def test_their_binary_fragments_arrive_as_one_message(pairing: Pairing) -> None:
    parts = [bytes([index]) * 50000 for index in range(3)]
    async with conversation(pairing) as (ours, theirs):
        await theirs.next("open")
        await theirs.send_fragments(parts)
        assert await ours.recv() == b"".join(parts)


@pairings()
async def test_our_ping_is_answered(pairing: Pairing) -> None:
    async with conversation(pairing) as (ours, theirs):
        await theirs.next("open")
        async with asyncio.timeout(PATIENCE):
            latency = await (await ours.ping("are you there?"))
        assert 0 < latency < PATIENCE
        assert ours.latency == latency


@pairings(pings=True)
async def test_their_ping_is_answered_with_its_payload(pairing: Pairing) -> None:
    async with conversation(pairing) as (ours, theirs):
        await theirs.next("open")
        await theirs.ping(b"still here?")
        assert (await theirs.next("pong")).data == b"still here?"
        await theirs.send("after")
        assert await ours.recv() == "after"


@pairings(role="client")
async def test_our_server_may_speak_first(pairing: Pairing) -> None:
    async with conversation(pairing) as (ours, theirs):
        await ours.send("welcome")
        await theirs.next("open")
        assert await theirs.message() == "welcome"


@pairings(role="server")
async def test_their_server_may_speak_first(pairing: Pairing) -> None:
    async with conversation(pairing) as (ours, theirs):
        await theirs.send("welcome")
        assert await ours.recv() == "welcome"


@pairings()
async def test_both_talk_at_once_and_order_is_kept(pairing: Pairing) -> None:
    count = 300
    async with conversation(pairing) as (ours, theirs):
        await theirs.next("open")

        async def talk(end: Any) -> None:
            for number in range(count):
                await end.send(f"{number}")

        async with asyncio.TaskGroup() as group:
            group.create_task(talk(ours))
            group.create_task(talk(theirs))
            received = [await ours.recv() for _ in range(count)]
        assert received == [f"{number}" for number in range(count)]
        assert [await theirs.message() for _ in range(count)] == received

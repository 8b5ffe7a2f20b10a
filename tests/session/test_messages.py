"""Messages get through whole, in order and once, wherever the conversation takes place."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from .venue import Venue


def order(role: str, ends: tuple[Any, Any]) -> tuple[Any, Any]:
    """Put the end that plays ``role`` first."""
    return ends if role == "client" else (ends[1], ends[0])


MESSAGES = [
    "",
    "hello",
    "Grüße, 世界 🌍",
    b"",
    b"\x00\xff" * 50,
    "x" * 125,
    "y" * 126,
    b"z" * 70_000,
]


async def test_texts_and_octets_both_ways(venue: Venue, role: str) -> None:
    async with venue.ends() as ends:
        here, there = order(role, ends)
        for message in MESSAGES:
            await here.send(message)
            await there.send(await there.recv())
            answer = await here.recv()
            assert answer == message
            assert type(answer) is type(message)


async def test_five_mebibytes(venue: Venue, role: str) -> None:
    octets = random.Random(1).randbytes(5 * 2**20)
    async with venue.ends(max_size=None) as ends:
        venue.carry_whole()
        here, there = order(role, ends)
        sending = asyncio.create_task(here.send(octets))
        assert await there.recv() == octets
        await sending
        text = octets[: 2**20].hex() + "é"
        sending = asyncio.create_task(there.send(text))
        assert await here.recv() == text
        await sending


async def test_fragments_are_joined(venue: Venue, role: str) -> None:
    async with venue.ends() as ends:
        here, there = order(role, ends)
        await here.send(["frag", "", "mént", "ed"])
        assert await there.recv() == "fragménted"

        async def parts() -> Any:
            for part in (b"one ", b"", b"by ", b"one"):
                await asyncio.sleep(0)
                yield part

        await here.send(parts())
        assert await there.recv() == b"one by one"


async def test_fragments_can_be_received_one_by_one(venue: Venue, role: str) -> None:
    async with venue.ends() as ends:
        here, there = order(role, ends)
        await here.send(["one", "two", "three"])
        await here.send("next")
        parts = [part async for part in there.recv_streaming()]
        assert "".join(parts) == "onetwothree"
        assert len(parts) >= 3
        assert await there.recv() == "next"


async def test_a_burst_keeps_its_order(venue: Venue, role: str) -> None:
    async with venue.ends() as ends:
        here, there = order(role, ends)

        async def send_all() -> None:
            for number in range(500):
                await here.send(f"message {number}")

        sending = asyncio.create_task(send_all())
        for number in range(500):
            assert await there.recv() == f"message {number}"
        await sending


async def test_sends_at_the_same_time_do_not_mix(venue: Venue, role: str) -> None:
    async with venue.ends(write_limit=1000) as ends:
        here, there = order(role, ends)
        messages = [letter * 5000 for letter in "abcdefgh"]
        sending = asyncio.gather(*(here.send(message) for message in messages))
        received = [await there.recv() for _ in messages]
        await sending
        assert sorted(received) == messages


async def test_pings_are_answered(venue: Venue, role: str) -> None:
    async with venue.ends() as ends:
        here, _ = order(role, ends)
        waiters = [await here.ping() for _ in range(3)]
        waiters.append(await here.ping(b"payload"))
        for latency in [await waiter for waiter in waiters]:
            assert latency >= 0
        await here.pong(b"unasked")


async def test_a_ping_overtakes_no_message_and_interrupts_none(venue: Venue, role: str) -> None:
    async with venue.ends() as ends:
        here, there = order(role, ends)

        async def parts() -> Any:
            yield "before "
            await (await here.ping())
            yield "after"

        await here.send(parts())
        assert await there.recv() == "before after"


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_compression(venue: Venue, role: str, compression: str | None) -> None:
    async with venue.ends(compression=compression) as ends:
        here, there = order(role, ends)
        names = [extension.name for extension in here.extensions]
        assert names == ["permessage-deflate"] * (compression is not None)
        for repeat in (1, 2000, 2000, 3):
            await here.send("compressible " * repeat)
            assert await there.recv() == "compressible " * repeat
        await there.send(b"answer" * 1000)
        assert await here.recv() == b"answer" * 1000


async def test_compression_can_be_chosen_per_message(venue: Venue, role: str) -> None:
    async with venue.ends() as ends:
        here, there = order(role, ends)
        for choice in (True, False, None):
            await here.send("text " * 500, compress=choice)
            assert await there.recv() == "text " * 500


MESSAGE = 65_536
MANY = 400


async def test_a_reader_that_stops_stops_the_writer(venue: Venue, role: str) -> None:
    async with venue.ends(compression=None, ping_interval=None) as ends:
        venue.carry_whole()
        here, there = order(role, ends)
        sent = 0

        async def send_all() -> None:
            nonlocal sent
            for number in range(MANY):
                await here.send(number.to_bytes(4, "big") * (MESSAGE // 4))
                sent = number + 1

        sending = asyncio.create_task(send_all())
        while True:
            before = sent
            await asyncio.sleep(0.2)
            if sent == before:
                break
        # What fits: both ends' bounds (about 1 MiB here) and the system's socket buffers.
        assert 0 < sent < MANY * 0.8
        if venue.carrier == "simulated":
            assert sent * MESSAGE < 3 * 2**20
        for number in range(MANY):
            message = await there.recv()
            assert len(message) == MESSAGE
            assert message[:4] == number.to_bytes(4, "big")
        await sending


async def test_cancelling_recv_loses_nothing(venue: Venue, role: str) -> None:
    async with venue.ends() as ends:
        here, there = order(role, ends)
        chance = random.Random(7)
        received = []

        async def send_all() -> None:
            for number in range(100):
                await there.send(str(number))
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)

        sending = asyncio.create_task(send_all())
        while len(received) < 100:
            receiving = asyncio.create_task(here.recv())
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            receiving.cancel()
            try:
                received.append(await receiving)
            except asyncio.CancelledError:
                await asyncio.sleep(0.001)
        await sending
        assert received == [str(number) for number in range(100)]

"""Those who converse: each verifies that every message comes back whole, in order and once."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import duologue


class Tally:
    """What all polite peers have seen so far.

    Args:
        wrong: where complaints go, one line each.

    Attributes:
        messages: answers that were right.
        octets: of their payloads.
        conversations: that were opened, and closed as they should be.
    """

    def __init__(self, wrong: list[str]) -> None:
        self.messages = 0
        self.octets = 0
        self.conversations = 0
        self.wrong = wrong


def some_message(chance: random.Random) -> str | bytes:
    """A message of a random kind and size, mostly small."""
    size = int(chance.paretovariate(0.7) * 20) % 300_000
    if chance.random() < 0.5:
        return chance.choice(["x", "é", "{}"]) * size
    return chance.randbytes(min(size, 50_000)) * (1 + size // 50_000)


async def converse(url: str, chance: random.Random, tally: Tally) -> None:
    """Open one conversation, have it, and close it."""
    compression = chance.choice(["deflate", None])
    # The same host carries all of this at its lowest priority: only our own patience is long.
    async with duologue.connect(
        url, proxy=None, compression=compression, open_timeout=60, ping_timeout=120
    ) as ws:
        for _ in range(chance.randrange(1, 60)):
            burst = [some_message(chance) for _ in range(chance.choice([1, 1, 1, 2, 8]))]
            sending = send(ws, burst, chance.random() < 0.1)
            _, answers = await asyncio.gather(sending, receive(ws, len(burst)))
            if answers != burst:
                raise ValueError(f"sent {len(burst)} messages, got others")
            tally.messages += len(burst)
            tally.octets += sum(map(len, burst))
            await asyncio.sleep(chance.random())
    if ws.close_code != 1000:
        raise ValueError(f"closed with {ws.close_code}: {ws.ending}")
    tally.conversations += 1


async def receive(ws: Any, count: int) -> list[str | bytes]:
    """Receive so many messages."""
    async with asyncio.timeout(120):
        return [await ws.recv() for _ in range(count)]


async def send(ws: Any, burst: list[str | bytes], fragmented: bool) -> None:
    """Send messages, in fragments if asked for."""
    for message in burst:
        if fragmented and len(message) > 2:
            half = len(message) // 2
            await ws.send([message[:half], message[half:]])
        else:
            await ws.send(message)


async def stay(urls: list[str], seed: int, tally: Tally, stop: asyncio.Event) -> None:
    """Have one conversation after another until told to stop."""
    chance = random.Random(seed)
    while not stop.is_set():
        try:
            await converse(chance.choice(urls), chance, tally)
        except Exception as exc:
            tally.wrong.append(f"peer {seed}: {type(exc).__name__}: {exc}")
            await asyncio.sleep(1)

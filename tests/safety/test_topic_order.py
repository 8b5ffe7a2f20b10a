"""Topics over four processes: every subscriber gets everything, once, in the one order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import duologue

from .ledger import END, Ledger, complaints, write

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs fork()"),
    pytest.mark.timeout(120),
]

PATIENCE = 60
AT_ONCE = 50
"""Connections that are opened at the same time."""


class Client:
    """One subscriber, which may be told to publish too."""

    def __init__(self, ws: duologue.ClientConnection, worker: str) -> None:
        self.ws = ws
        self.worker = worker
        self.ledger = Ledger([])

    @classmethod
    async def connect(cls, url: str) -> Client:
        ws = await duologue.connect(url, compression=None)
        return cls(ws, str(await ws.recv()))

    async def subscribe(self, topics: list[str]) -> None:
        self.ledger = Ledger(topics)
        await self.ws.send(f"subscribe {','.join(topics)}")
        assert await self.ws.recv() == ".subscribed"

    async def publish(self, name: str, count: int, topics: int) -> None:
        """Publish as the workers do."""
        for number in range(count):
            for topic in range(topics):
                await self.ws.send(f"publish {write(f't{topic}', name, number)}")
        await self.ws.send(f"publish {write(END, name, 0)}")

    async def listen(self, publishers: set[str]) -> None:
        """Receive until everybody has published everything."""
        while self.ledger.ended != publishers:
            self.ledger.take(str(await self.ws.recv()))


@contextlib.asynccontextmanager
async def serving(workers: int, **variables: str) -> AsyncIterator[str]:
    """Run the application; gives its URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "duologue", "serve", "topics_app:app", "--port", "0"),
        *("--workers", str(workers)),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent,
        env=os.environ | variables,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            url = (await process.stdout.readline()).decode().strip()
        yield url.replace("http", "ws", 1)
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            await process.wait()
    assert process.returncode == 0


async def gather(url: str, workers: int, each: int) -> list[Client]:
    """Connect until so many clients are with each worker; the kernel chooses where they go."""
    clients: list[Client] = []
    count: Counter[str] = Counter()
    while len(clients) < workers * each:
        for client in await asyncio.gather(*(Client.connect(url) for _ in range(AT_ONCE))):
            if count[client.worker] < each:
                count[client.worker] += 1
                clients.append(client)
            else:
                await client.ws.close()
    assert len(count) == workers
    return clients


async def publish_and_check(clients: list[Client], topics: int, count: int) -> set[tuple[str, str]]:
    """Have every worker publish, and one client of each; return what is wrong."""
    first = {client.worker: client for client in reversed(clients)}.values()
    workers = [f"w{at}" for at in range(len(first))]
    publishing = [f"c{at}" for at in range(len(first))]
    publishers = {*workers, *publishing}
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.listen(publishers))
        for client, name, other in zip(first, workers, publishing, strict=True):
            await client.ws.send(f"work {name} {count} {topics}")
            group.create_task(client.publish(other, count, topics))
    return complaints([client.ledger for client in clients], publishers, count)


@pytest.mark.slow
async def test_four_processes_a_thousand_clients_a_thousand_topics() -> None:
    """Each topic has ten subscribers, in whatever processes, and 32 messages."""
    workers, each, topics, count = 4, 250, 1000, 4
    async with serving(workers) as url, contextlib.AsyncExitStack() as stack:
        clients = await gather(url, workers, each)
        for client in clients:
            stack.push_async_callback(client.ws.close)
        async with asyncio.TaskGroup() as group:
            for at, client in enumerate(clients):
                chosen = [f"t{(at + step * 211) % topics}" for step in range(10)]
                group.create_task(client.subscribe(chosen))
        assert await publish_and_check(clients, topics, count) == set()


async def test_the_check_sees_a_single_spoiled_message(tmp_path: Path) -> None:
    kinds = {"lost": "t1", "doubled": "t2", "reordered": "t3", "changed": "t4"}
    plant = " ".join(f"{kind}={topic}" for kind, topic in kinds.items())
    async with (
        serving(2, PLANT=plant, CLAIMS=str(tmp_path)) as url,
        contextlib.AsyncExitStack() as stack,
    ):
        clients = await gather(url, 2, 2)
        for client in clients:
            stack.push_async_callback(client.ws.close)
            await client.subscribe([f"t{at}" for at in range(20)])
        found = await publish_and_check(clients, 20, 4)
    assert {(kind, topic) for kind, topic in found if kind in kinds} == {
        *kinds.items(),
        # What was changed has not come as it was.
        ("lost", "t4"),
    }
    assert {topic for _, topic in found} == set(kinds.values())

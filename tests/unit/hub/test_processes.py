"""Topics over several processes: order, content, counts, presence, and processes that die."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import duologue
from duologue.base.limits import Limits
from duologue.hub.backplanes.bus import Bus

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs Unix sockets")

WORKER = Path(__file__).with_name("worker.py")
PATIENCE = 30
WORKERS, CLIENTS, TOPICS, MESSAGES = 4, 3, 20, 60


class Client:
    """A client that tells its worker what to do."""

    def __init__(self, ws: duologue.ClientConnection) -> None:
        self.ws = ws
        self.got: list[dict[str, Any]] = []
        self.events: list[tuple[str, Any]] = []
        self._replies: asyncio.Queue[Any] = asyncio.Queue()
        self._changed = asyncio.Event()
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with contextlib.suppress(duologue.ConnectionClosed):
            async for message in self.ws:
                said = json.loads(message)
                if "reply" in said:
                    self._replies.put_nowait(said["reply"])
                elif "event" in said:
                    self.events.append((said["event"], said["who"]))
                else:
                    self.got.append(said)
                self._changed.set()

    async def ask(self, do: str, **more: Any) -> Any:
        await self.ws.send(json.dumps({"do": do, **more}))
        async with asyncio.timeout(PATIENCE):
            return await self._replies.get()

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_it_is(self, expected: Any, do: str, **more: Any) -> None:
        """Ask until the answer is this."""
        async with asyncio.timeout(PATIENCE):
            while await self.ask(do, **more) != expected:
                await asyncio.sleep(0.05)


class Workers:
    """Processes with clients."""

    def __init__(self, path: Path, *options: str) -> None:
        self.path = path
        self.options = options
        self.processes: list[asyncio.subprocess.Process] = []
        self.ports: list[int] = []
        self.clients: list[Client] = []

    async def start(self, count: int) -> None:
        """Start some more."""
        command = [sys.executable, str(WORKER), str(self.path), *self.options]
        started = [
            await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            for _ in range(count)
        ]
        self.processes += started
        for process in started:
            assert process.stdout is not None
            async with asyncio.timeout(PATIENCE):
                self.ports.append(int(await process.stdout.readline()))

    async def client(self, worker: int) -> Client:
        """Connect to one of them."""
        client = Client(await duologue.connect(f"ws://127.0.0.1:{self.ports[worker]}"))
        self.clients.append(client)
        return client

    async def kill(self, worker: int) -> None:
        self.processes[worker].kill()
        await self.processes[worker].wait()

    async def stop(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.kill()
            await process.wait()
            process._transport.close()  # type: ignore[attr-defined]
        for client in self.clients:
            client.task.cancel()
            await client.ws.close()
            await asyncio.gather(client.task, return_exceptions=True)


@contextlib.asynccontextmanager
async def workers(path: Path, count: int, *options: str) -> AsyncIterator[Workers]:
    made = Workers(path, *options)
    try:
        await made.start(count)
        yield made
    finally:
        await made.stop()


async def test_four_processes() -> None:
    limits = Limits(lease=3.0)
    async with Bus(limits=limits) as bus, workers(bus.path, WORKERS, "--lease", "3") as crew:
        clients = [await crew.client(n % WORKERS) for n in range(WORKERS * CLIENTS)]
        await everybody_gets_everything_in_order(clients)
        await processes_come_and_go(crew, clients)


async def everybody_gets_everything_in_order(clients: list[Client]) -> None:
    dice = random.Random(7)
    wanted: dict[str, list[Client]] = {f"t/{number}": [] for number in range(TOPICS)}
    for client in clients:
        for topic in dice.sample(sorted(wanted), TOPICS // 2):
            assert await client.ask("subscribe", topic=topic, presence=1) is True
            wanted[topic].append(client)
    for topic, subscribers in wanted.items():
        for client in clients[:WORKERS]:
            assert await client.ask("count", topic=topic) == len(subscribers)

    async def publish(name: int, client: Client) -> list[tuple[str, int, int, int]]:
        own = random.Random(name)
        done = []
        for number in range(MESSAGES):
            topic = own.choice(sorted(wanted))
            message = json.dumps({"topic": topic, "from": name, "number": number})
            position = await client.ask("publish", topic=topic, message=message)
            done.append((topic, position, name, number))
        return done

    lists = await asyncio.gather(*(publish(name, each) for name, each in enumerate(clients)))
    published = sorted(each for one in lists for each in one)
    for topic, subscribers in wanted.items():
        mine = [(name, number) for each, _, name, number in published if each == topic]
        positions = [position for each, position, _, _ in published if each == topic]
        assert positions == list(range(1, len(mine) + 1))
        for client in subscribers:
            await client.until(lambda c=client, t=topic, mine=mine: count(c, t) >= len(mine))
            heard = [(m["from"], m["number"]) for m in client.got if m["topic"] == topic]
            assert heard == mine
    for client in clients:
        topics = {topic for topic, subscribers in wanted.items() if client in subscribers}
        assert {message["topic"] for message in client.got} == topics


def count(client: Client, topic: str) -> int:
    return sum(message["topic"] == topic for message in client.got)


async def processes_come_and_go(crew: Workers, clients: list[Client]) -> None:
    watcher = clients[0]
    for number, client in enumerate(clients[:WORKERS]):
        await client.ask("subscribe", topic="room", presence=number)
    assert await clients[1].ask("presence", topic="room") == [0, 1, 2, 3]
    assert await watcher.ask("watch", topic="room") == [0, 1, 2, 3]

    # One is killed: whoever was connected to it is gone, without its help.
    await crew.kill(3)
    await watcher.until(lambda: ("leave", 3) in watcher.events)
    await clients[1].until_it_is([0, 1, 2], "presence", topic="room")

    # One stands still for longer than its lease, and comes back.
    os.kill(crew.processes[2].pid, signal.SIGSTOP)
    await watcher.until(lambda: ("leave", 2) in watcher.events)
    await clients[1].until_it_is(2, "count", topic="room")
    os.kill(crew.processes[2].pid, signal.SIGCONT)
    await watcher.until(lambda: ("join", 2) in watcher.events)
    await clients[1].until_it_is(3, "count", topic="room")

    # Another one takes the place of the first.
    await crew.start(1)
    newcomer = await crew.client(4)
    await newcomer.ask("subscribe", topic="room", presence="new")
    await watcher.until(lambda: ("join", "new") in watcher.events)
    await newcomer.until_it_is(4, "count", topic="room")
    message = json.dumps({"topic": "room", "from": "new"})
    position = await newcomer.ask("publish", topic="room", message=message)
    assert position == 1
    for client in (*clients[:3], newcomer):
        await client.until(lambda c=client: count(c, "room") == 1)


async def test_the_process_that_hosts_the_bus_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "bus"
    async with workers(path, 1, "--host") as crew:
        await crew.start(2)
        clients = [await crew.client(number) for number in range(3)]
        assert [await each.ask("hosting") for each in clients] == [True, False, False]
        for client in clients:
            await client.ask("subscribe", topic="x", presence=0)
        assert await clients[1].ask("count", topic="x") == 3
        first = await clients[1].ask("publish", topic="x", message='{"topic": "x", "from": 1}')
        assert first == 1
        await crew.kill(0)
        async with asyncio.timeout(PATIENCE):
            while True not in [await each.ask("hosting") for each in clients[1:]]:
                await asyncio.sleep(0.02)
        await clients[2].until_it_is(2, "count", topic="x")
        await clients[1].until_it_is(2, "count", topic="x")
        await clients[1].until(lambda: count(clients[1], "x") == 1)
        second = await clients[2].ask("publish", topic="x", message='{"topic": "x", "from": 2}')
        assert second > first
        for client in clients[1:]:
            await client.until(lambda c=client: count(c, "x") == 2)
            assert [message["from"] for message in client.got] == [1, 2]

"""5,000 visitors of an application, 1 % of which misbehave at random in every way there is.

Nothing of the others' messages is lost, and afterwards the application holds what it held before.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import duologue
from chaos.hostile import ATTACKS, Bare

from .rig import dial

ROOT = Path(__file__).parents[2]
POLITE = 4950
HOSTILE = 50
ROUNDS = 3
RESERVE = 300
"""Descriptors for all else."""
MIB = 1 << 20
PATIENCE = 60.0
"""Seconds until the application must have noticed that visitors are gone."""
COUNTS = ("connections", "openings", "tasks", "descriptors", "admitted", "accounts")


async def half_a_body(bare: Bare) -> None:
    """A request whose body never comes, and one whose length is a lie."""
    await bare.loop.sock_connect(bare.sock, bare.address)
    await bare.send(b"POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\nx")
    await bare.read()


async def asks_without_end(bare: Bare) -> None:
    """Requests without end, and never a look at an answer."""
    await bare.loop.sock_connect(bare.sock, bare.address)
    while True:
        await bare.send(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
        await asyncio.sleep(0)


async def half_a_handshake(bare: Bare) -> None:
    """An opening handshake that is none, or that its own end overtakes."""
    await bare.loop.sock_connect(bare.sock, bare.address)
    version = bare.chance.choice([b"12", b"13", b"13\r\nSec-WebSocket-Key: x"])
    await bare.send(
        b"GET /room/x HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: " + version + b"\r\n\r\n"
    )
    if bare.chance.random() < 0.5:
        bare.reset()
    else:
        await bare.read()


WAYS: list[Callable[[Bare], Awaitable[None]]] = [
    *ATTACKS, half_a_body, asks_without_end, half_a_handshake,
]  # fmt: skip


class Application:
    """The application's process.

    Args:
        process: runs :mod:`tests.safety.app_server`.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = int(self._read())

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def facts(self) -> dict[str, Any]:
        """What it holds."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        facts: dict[str, Any] = json.loads(self._read())
        return facts

    async def facts_like(self, expected: dict[str, Any]) -> dict[str, Any]:
        """What it holds, once that is as expected and stays so, or after a long while.

        Links are forgotten a turn of the loop before the tasks that served them have ended, so
        that once is not enough.
        """
        deadline = time.monotonic() + PATIENCE
        before: dict[str, Any] = {}
        while time.monotonic() < deadline:
            facts = self.facts()
            counts = {name: facts[name] for name in COUNTS}
            if counts == before and all(facts[name] == expected[name] for name in expected):
                break
            before = counts
            await asyncio.sleep(0.1)
        return facts


@contextlib.contextmanager
def application(errors: Path) -> Iterator[Application]:
    command = [sys.executable, "-W", "error", "-m", "tests.safety.app_server"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with errors.open("w") as said:
        with subprocess.Popen(command, cwd=ROOT, stderr=said, **pipes) as process:
            try:
                yield Application(process)
                assert process.stdin is not None
                process.stdin.close()
                assert process.wait(30) == 0
            finally:
                process.kill()
    assert errors.read_text() == ""


class Polite:
    """One who converses, and checks every answer.

    Args:
        number: its own.
        port: of the application.
    """

    def __init__(self, number: int, port: int) -> None:
        self._name = f"{number}:"
        self._path = "" if number % 2 else f"room/{number % 100}"
        self._port = port
        self._ws: Any = None

    async def open(self, doors: asyncio.Semaphore) -> None:
        async with doors:
            url = f"ws://127.0.0.1:{self._port}/{self._path}"
            self._ws = await dial(
                url, open_timeout=200, close_timeout=60, ping_interval=None, compression=None
            )

    async def ask(self, question: int) -> None:
        texts = [f"{self._name}{question}.{part}" for part in range(2)]
        for text in texts:
            await self._ws.send(text)
        assert [await self._ws.recv() for _ in texts] == texts

    async def leave(self, doors: asyncio.Semaphore) -> None:
        async with doors:
            await self._ws.close()
        assert self._ws.close_code == 1000


async def misbehave(port: int, chance: random.Random, ways: Iterator[Any]) -> None:
    """In one way after the other, until cancelled."""
    while True:
        bare = Bare(port, chance)
        try:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(2 + 2 * chance.random()):
                    await next(ways)(bare)
        finally:
            bare.sock.close()


def at_random(chance: random.Random, done: set[str]) -> Iterator[Any]:
    """All ways in random order, again and again."""
    for ways in itertools.repeat(WAYS):
        for way in chance.sample(ways, len(ways)):
            done.add(way.__name__)
            yield way


async def visit(served: Application, count: int) -> set[str]:
    """Have all of them come, converse, and leave; return how the hostile misbehaved."""
    chance, done, doors = random.Random(17), set[str](), asyncio.Semaphore(200)
    ways = at_random(chance, done)
    hostile = [
        asyncio.create_task(misbehave(served.port, chance, ways))
        for _ in range(max(3, count * HOSTILE // POLITE))
    ]
    polite = [Polite(number, served.port) for number in range(count)]
    await asyncio.gather(*(each.open(doors) for each in polite))
    for question in range(ROUNDS):
        await asyncio.gather(*(each.ask(question) for each in polite))
    await asyncio.gather(*(each.leave(doors) for each in polite))
    for task in hostile:
        assert not task.done(), task.result()
        task.cancel()
    await asyncio.wait(hostile)
    return done


@contextlib.contextmanager
def descriptors_for(count: int) -> Iterator[int]:
    """Allow this process, and those it starts, that many visitors; give how many it can have."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted, most = count + HOSTILE + RESERVE, limits[1]
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, limits[0]), most))
    try:
        yield min(count, wanted - HOSTILE - RESERVE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_an_application_with_five_thousand_visitors(tmp_path: Path) -> None:
    with descriptors_for(POLITE) as polite, application(tmp_path / "errors") as served:

        async def main() -> None:
            # What is made once is made, so that what is compared is what visitors leave behind.
            await visit(served, 300)
            none = {"connections": 0, "openings": 0, "admitted": 0, "accounts": [0, 0, 0, 0]}
            before = await served.facts_like(none)
            assert {name: before[name] for name in none} == none
            counts = {name: before[name] for name in COUNTS}
            assert await visit(served, polite) == {way.__name__ for way in WAYS}
            after = await served.facts_like(counts)
            assert {name: after[name] for name in COUNTS} == counts
            # Not what the process has: allocators keep for themselves what was freed. Tables that
            # have grown stay as they are; each visitor once took many times what is left of them.
            assert after["blocks"] < before["blocks"] + POLITE
            assert after["octets"] < before["octets"] + 8 * MIB

        duologue.run(main())

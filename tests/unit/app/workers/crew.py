"""An application of several processes: what serves in ``test_processes.py``, and how it is run.

A client says what to do in words: ``subscribe TOPIC``, ``publish TOPIC TEXT``, ``burst NUMBER``
(so many messages of 64 KiB, none of which is awaited), ``block SECONDS`` (the event loop).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import duologue

PATIENCE = 30
SIZE = 65_536

app = duologue.App(max_outbox=64 << 20, write_limit=None)


@app.websocket("/")
async def obey(ws: duologue.ServerConnection) -> None:
    await ws.send(str(os.getpid()))
    async for message in ws:
        assert isinstance(message, str)
        match message.split(" ", 2):
            case ["subscribe", topic]:
                ws.subscribe(topic)
            case ["publish", topic, text]:
                await app.publish(topic, text)
            case ["burst", number]:
                for n in range(int(number)):
                    ws.send(f"{n}".ljust(SIZE))
                continue
            case ["block", seconds]:
                time.sleep(float(seconds))
        await ws.send("done")


class Crew:
    """A supervisor and its workers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.port = 0
        self.lines: list[str] = []
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().rstrip())
            self._changed.set()

    async def until(self, pattern: str, times: int = 1) -> list[str]:
        """Wait until lines of the log match, so many of them."""
        async with asyncio.timeout(PATIENCE):
            while len(found := [line for line in self.lines if re.search(pattern, line)]) < times:
                self._changed.clear()
                await self._changed.wait()
        return found

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE):
            code = await self.process.wait()
            await self._reading
        return code

    async def connect(self, **options: Any) -> tuple[duologue.ClientConnection, int]:
        """Connect; return the process that answers, too."""
        ws = await duologue.connect(f"ws://127.0.0.1:{self.port}/", **options)
        async with asyncio.timeout(PATIENCE):
            return ws, int(await ws.recv())

    async def connect_to_all(self, workers: int) -> dict[int, duologue.ClientConnection]:
        """Connect until there is one connection to each worker, whose numbers are the keys."""
        found: dict[int, duologue.ClientConnection] = {}
        while len(found) < workers:
            ws, pid = await self.connect()
            if pid in found:
                await ws.close()
            found.setdefault(pid, ws)
        return found


async def ask(ws: duologue.ClientConnection, words: str) -> None:
    await ws.send(words)
    async with asyncio.timeout(PATIENCE):
        assert await ws.recv() == "done"


@contextlib.asynccontextmanager
async def crew(*arguments: str, workers: int = 2) -> AsyncIterator[Crew]:
    """Run it until the end of the context."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "duologue", "serve", "crew:app", "--port", "0"),
        *("--workers", str(workers), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=Path(__file__).parent,
    )
    made = Crew(process)
    try:
        (url,) = await made.until("^http://")
        made.port = int(url.rstrip("/").rpartition(":")[2])
        yield made
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await made.ended()

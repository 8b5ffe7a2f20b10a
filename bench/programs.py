"""``duologue run`` beside ``websocketd``: messages through a program, and programs started.

One client program, interleaved runs, and the server's processor time as the system counts it::

    python bench/programs.py --seconds 3 --rounds 3

``lines`` is one client with 50 messages in flight, ``ping-pong`` ten clients with one, both through
``cat``; ``processes`` is eight clients that open a connection to ``true``, one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator

from duologue import ConnectionClosed, EventLoop, connect

SERVERS = {
    "websocketd": ("websocketd",),
    "duologue": (sys.executable, "-m", "duologue", "run"),
}
SCENARIOS = {"lines": ("cat", 1, 50), "ping-pong": ("cat", 10, 1), "processes": ("true", 8, 0)}
MESSAGE = "x" * 32


@contextlib.asynccontextmanager
async def running(command: tuple[str, ...], program: str) -> AsyncIterator[tuple[int, str]]:
    """Run a server; give its process and URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [*command, f"--port={port}", "--address=127.0.0.1", "--loglevel=fatal", program],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            await asyncio.sleep(0.05)
        yield process.pid, f"ws://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def processor_time(pid: int) -> float:
    """Seconds of processor time of a process, its children left out."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def exchange(url: str, in_flight: int, end: float) -> int:
    """Keep messages in flight until it is over; return how many came back."""
    count = 0
    ws = await connect(url, compression=None, proxy=None)
    for _ in range(in_flight):
        await ws.send(MESSAGE)
    while time.monotonic() < end:
        await ws.recv()
        count += 1
        await ws.send(MESSAGE)
    # Drained first: the original panics when it writes to a connection that is gone.
    for _ in range(in_flight):
        await ws.recv()
    await ws.close()
    return count


async def open_and_close(url: str, end: float) -> int:
    """Open connections whose program ends at once until it is over; return how many."""
    count = 0
    while time.monotonic() < end:
        async with connect(url, compression=None, proxy=None) as ws:
            with contextlib.suppress(ConnectionClosed):
                await ws.recv()
        count += 1
    return count


async def measure(server: str, scenario: str, seconds: float) -> tuple[float, float]:
    """Return how many a second, and the server's microseconds for each."""
    program, clients, in_flight = SCENARIOS[scenario]
    async with running(SERVERS[server], program) as (pid, url):
        before, end = processor_time(pid), time.monotonic() + seconds
        one = (lambda: exchange(url, in_flight, end)) if in_flight else None
        work = [one() if one else open_and_close(url, end) for _ in range(clients)]
        count = sum(await asyncio.gather(*work))
        return count / seconds, (processor_time(pid) - before) / count * 1e6


async def main(seconds: float, rounds: int) -> None:
    """Print the medians of all rounds."""
    servers = [name for name, command in SERVERS.items() if shutil.which(command[0])]
    for scenario in SCENARIOS:
        found: dict[str, list[tuple[float, float]]] = {server: [] for server in servers}
        for _ in range(rounds):
            for server in servers:
                found[server].append(await measure(server, scenario, seconds))
        for server, results in found.items():
            rate, cost = (statistics.median(column) for column in zip(*results, strict=True))
            print(f"{scenario:10} {server:11} {rate:10.0f}/s {cost:8.1f} µs of the server's each")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(main(arguments.seconds, arguments.rounds))

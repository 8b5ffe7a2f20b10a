"""CPU time of a delivery: topics in one process, and in several on the `local` backplane.

usage: python bench/topics.py [--seconds S] [--scenario KEY ...] [--workers N ...]

Servers and bus share one core, a receiver that only reads has the other. The first worker
publishes --depth messages in one turn, and again when all of them have arrived everywhere: so
nobody is ever too slow, and it is known how many messages share a system call. What counts is the
processor time of all workers and the bus, by frames received.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import itertools
import json
import multiprocessing
import os
import select
import socket
import statistics
import struct
import tempfile
import time
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, NamedTuple

import duologue
from duologue.hub.backplanes.bus import Bus
from duologue.hub.backplanes.local import LocalBackplane
from duologue.hub.hub import Hub

MESSAGE = "x" * 32
FRAME = len(MESSAGE) + 2
REQUEST = (
    "GET /{} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
NUMBER = struct.Struct("<Q")


class Scenario(NamedTuple):
    """How many topics, subscribers of each, and connections that they share."""

    topics: int
    subscribers: int
    connections: int

    @property
    def groups(self) -> int:
        """Connections of one group are subscribed to the same topics."""
        return self.connections // self.subscribers


SCENARIOS = {
    "1000": Scenario(1, 1000, 1000),
    "10000": Scenario(1, 10_000, 10_000),
    "10000x100": Scenario(10_000, 100, 1000),
}


def bound_to(core: int) -> None:
    """Run on one core, where there are two to choose from."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[core]})


class Subscriber(duologue.Endpoint):  # type: ignore[misc]
    """Subscribes each connection to its group's topics."""

    keep_request = True

    def __init__(self, hub: Hub, scenario: Scenario) -> None:
        self.hub = hub
        self.scenario = scenario

    def on_open(self, ws: Any) -> None:
        """Subscribe."""
        self.hub.admit(ws)
        groups = self.scenario.groups
        first = int(ws.request.path[1:]) % groups
        for topic in range(first, self.scenario.topics, groups):
            ws.subscribe(f"topic/{topic}")


def worker(scenario: Scenario, depth: int, bus: str | None, pipe: Pipe, credit: Any) -> None:
    """Serve connections; publish while the pipe says so."""
    bound_to(0)

    async def main() -> None:
        backplane = None if bus is None else LocalBackplane(bus)
        async with Hub(backplane=backplane) as hub:
            options: dict[str, Any] = {"compression": None, "ping_interval": None}
            endpoint = Subscriber(hub, scenario)
            async with duologue.serve(endpoint, "127.0.0.1", 0, **options) as server:
                pipe.send(server.sockets[0].getsockname()[1])
                loop = asyncio.get_running_loop()
                while (seconds := await loop.run_in_executor(None, pipe.recv)) is not None:
                    pipe.send(await publish(hub, seconds))

    async def publish(hub: Hub, seconds: float) -> int:
        end = time.monotonic() + seconds
        done = 0
        topics = itertools.cycle([f"topic/{number}" for number in range(scenario.topics)])
        start = credit.value
        while time.monotonic() < end:
            for _ in range(depth):
                published = hub.publish(next(topics), MESSAGE)
                done += 1
            await published
            while credit.value - start < done * scenario.subscribers:
                await asyncio.sleep(0.001)
        return done

    # Looking again before it sleeps is not what a delivery costs.
    loop_factory = functools.partial(duologue.EventLoop, busy_poll=0)
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


def run_bus(pipe: Pipe) -> None:
    """Run the bus until it is killed."""
    bound_to(0)

    async def main() -> None:
        async with Bus(tempfile.mkdtemp() + "/bus") as bus:
            pipe.send(str(bus.path))
            await bus.serve_forever()

    asyncio.run(main())


def receiver(ports: list[int], scenario: Scenario, pipe: Pipe, credit: Any) -> None:
    """Connect, then read everything; say how many frames came in all."""
    bound_to(1)
    poll = select.epoll()
    socks = {}
    for number in range(scenario.connections):
        sock = socket.create_connection(("127.0.0.1", ports[number % len(ports)]))
        sock.sendall(REQUEST.format(number // len(ports)).encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += sock.recv(1)
        sock.setblocking(False)
        socks[sock.fileno()] = sock
        poll.register(sock, select.EPOLLIN)
    pipe.send("ready")
    buffer = bytearray(1 << 20)
    octets = 0
    while True:
        for fd, _ in poll.poll():
            got = socks[fd].recv_into(buffer)
            if got == 0:
                return
            octets += got
        credit.value = octets // FRAME


def cpu(pids: list[int]) -> float:
    """Seconds of processor time that processes have used."""
    return sum(
        int((task / "schedstat").read_text().split()[0]) / 1e9
        for pid in pids
        for task in Path(f"/proc/{pid}/task").iterdir()
    )


def measure(
    scenario: Scenario, depth: int, workers: int, seconds: float, rounds: int
) -> list[float]:
    """Return µs of CPU time per delivery, of each round."""
    context = multiprocessing.get_context("fork")
    credit = context.Value("Q", 0, lock=False)
    processes: list[Any] = []
    pids: list[int] = []

    def start(target: Any, *arguments: Any) -> Pipe:
        here, there = context.Pipe()
        ordered = [there if each is Pipe else each for each in arguments]
        process = context.Process(target=target, args=ordered, daemon=True)
        process.start()
        processes.append(process)
        if target is not receiver:
            pids.append(process.pid)
        return here

    bus = start(run_bus, Pipe).recv() if workers > 1 else None
    pipes = [start(worker, scenario, depth, bus, Pipe, credit) for _ in range(workers)]
    ports = [pipe.recv() for pipe in pipes]
    start(receiver, ports, scenario, Pipe, credit).recv()
    time.sleep(0.5)
    results = []
    for _ in range(rounds + 1):
        before, frames = cpu(pids), credit.value
        pipes[0].send(seconds)
        published = pipes[0].recv()
        time.sleep(0.3)
        deliveries = credit.value - frames
        assert deliveries == published * scenario.subscribers, "a message was lost or doubled"
        results.append((cpu(pids) - before) * 1e6 / deliveries)
    for process in processes:
        process.kill()
        process.join()
    return results[1:]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scenario", choices=SCENARIOS, nargs="*", default=list(SCENARIOS))
    parser.add_argument("--depth", type=int, default=1, help="messages published in one turn")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--json", action="store_true", help="for programs")
    arguments = parser.parse_args()
    found: dict[str, dict[int, float]] = {}
    for key in arguments.scenario:
        for workers in arguments.workers:
            rounds = measure(
                SCENARIOS[key], arguments.depth, workers, arguments.seconds, arguments.rounds
            )
            found.setdefault(key, {})[workers] = statistics.median(rounds)
            if not arguments.json:
                shown = ", ".join(f"{each:.3f}" for each in rounds)
                ratio = found[key][workers] / found[key][arguments.workers[0]]
                print(f"{key:>10} {workers} workers: {shown} µs/delivery, {ratio:.2f} x")
    if arguments.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()

"""How cost grows with the number of connections: CPU per message, and memory of a connection.

    python bench/growth.py

Every connection has one message in flight (32 octets, ping-pong). Memory is that of processes which
have served nobody else. What a connection's own state in the kernel costs the raw epoll server too:
its row says how much of the growth is not ours.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import parts
from intervals import estimate
from measure import Failed, Running, measure
from peers import RAW, SERVERS_BY_NAME
from report import cell, column, introduction, machine, with_interval
from scenarios import MEMORY, Scenario
from targets import CALLBACK, COROUTINE, growth_ratio

SIZES = (1, 10, 100, 1000, 10000)
MEMORY_SIZES = (100, 1000, 10000)
ROWS = (RAW, CALLBACK, COROUTINE)
SITTING = 5
MEMORY_ROUNDS = 3


def echo(size: int) -> Scenario:
    """Return the scenario with that many connections."""
    return Scenario("growth", f"{size} connections", ("echo", "--connections", str(size)))


def idle(size: int) -> Scenario:
    """Return the memory scenario with that many connections."""
    words = ("idle", "--connections", str(size), "--messages", "1")
    return Scenario("growth", f"{size} idle connections", words, MEMORY)


class Growth:
    """One run."""

    def __init__(self, names: list[str], seconds: float, part: str) -> None:
        self.names = [name for name in names if SERVERS_BY_NAME[name].missing() is None]
        self.seconds = seconds
        self.part = part
        self.facts = machine()
        self.results: parts.Results = {name: {} for name in self.names}
        self.memory: dict[str, dict[str, list[float]]] = {name: {} for name in self.names}
        self.notes: list[str] = []

    def measure_memory(self) -> None:
        """Measure every row once, in processes of its own."""
        for name in random.sample(self.names, len(self.names)):
            for size in MEMORY_SIZES:
                with Running(SERVERS_BY_NAME[name], idle(size)) as running:
                    running.wait_until_listening()
                    found = measure(running, idle(size), self.seconds)
                self.memory[name].setdefault(str(size), []).append(found[MEMORY])

    def measure_cpu(self, number: int, everyone: list[Running]) -> None:
        """Measure every row with every number of connections once."""
        for running in random.sample(everyone, len(everyone)):
            name = running.server.name
            running.thaw()
            for size in SIZES:
                # Each connection has to have had its turn a few times.
                seconds = max(self.seconds, size / 10000)
                found = measure(running, echo(size), seconds)
                one = {"round": number, **found}
                self.results[name].setdefault(str(size), []).append(one)
            running.freeze()

    def sit(self, numbers: range) -> None:
        """Measure rounds with processes of their own."""
        with ExitStack() as stack:
            everyone = [
                stack.enter_context(Running(SERVERS_BY_NAME[name], echo(1))) for name in self.names
            ]
            for running in everyone:
                running.wait_until_listening()
                running.freeze()
            for number in numbers:
                if number < MEMORY_ROUNDS:
                    self.measure_memory()
                self.measure_cpu(number, everyone)
                self.save()
                print(f"round {number + 1}", file=sys.stderr, flush=True)

    def part_value(self) -> dict[str, Any]:
        """Return the part as it is stored."""
        return {
            "machine": self.facts,
            "seconds": self.seconds,
            "notes": self.notes,
            "results": parts.pack(self.results),
            "memory": self.memory,
        }

    def save(self) -> None:
        """Write the part."""
        parts.save(self.part, self.part_value())


def page(part: Mapping[str, Any]) -> str:
    """Return the tables of a run."""
    results = parts.unpack(part["results"])
    heads = ["server", *(f"{size:,}" for size in SIZES), "10,000 by 100"]
    lines = ["### Growth: µs CPU/message by connections", ""]
    lines += ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, sizes in results.items():
        cells = [
            with_interval(estimate(column(sizes[str(size)], "cpu_us")))
            if str(size) in sizes
            else "–"
            for size in SIZES
        ]
        lines.append(f"| {name} | " + " | ".join([*cells, cell(growth_ratio(sizes))]) + " |")
    heads = ["server", *(f"{size:,}" for size in MEMORY_SIZES)]
    lines += ["", "### Growth: KB of resident memory per idle connection, by connections", ""]
    lines += ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, found in part["memory"].items():
        cells = [
            with_interval(estimate(found[str(size)])) if str(size) in found else "–"
            for size in MEMORY_SIZES
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, *(f"\n- {note}" for note in part["notes"])]) + "\n"


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="stop then")
    parser.add_argument("--servers", nargs="+", default=list(ROWS), choices=list(SERVERS_BY_NAME))
    parser.add_argument("--part", default="growth", help="file in .cache/bench/parts")
    arguments = parser.parse_args()
    growth = Growth(arguments.servers, arguments.seconds, arguments.part)
    deadline = time.monotonic() + 60 * (arguments.budget or float("inf"))
    took = 0.0
    for first in range(0, arguments.rounds, SITTING):
        began = time.monotonic()
        if first and began + took > deadline:
            growth.notes.append(f"only {first} rounds: the time was over")
            break
        try:
            growth.sit(range(first, min(first + SITTING, arguments.rounds)))
        except Failed as error:
            growth.notes.append(f"a sitting ended early: {error}")
            print(error, file=sys.stderr)
        took = time.monotonic() - began
    growth.save()
    part = growth.part_value()
    print("# Growth\n", introduction(part), page(part), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

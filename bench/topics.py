"""Measures topics: what a delivery costs, in one process and in two, beside peers.

    python bench/topics.py --rounds 15

All processes of a server share one core, the subscribers have the other. The server is told to
publish --depth messages, and again when all of them have arrived everywhere: so nobody is ever too
slow, and it is known how many messages share a turn. What counts is the processor time of all
processes of the server, by deliveries.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import parts
import scenarios
from intervals import estimate, ratio
from measure import GENERATOR_CORE, Failed, Running, pinned
from parts import Rounds
from peers import SERVERS_BY_NAME, Server, Variant, version
from places import BIN, NODE_MODULES, PYTHON, SERVERS
from report import cell, column, introduction, machine, pairs, versus_table

ONE, TWO = "duologue", "duologue, 2 workers"
BEST_PEER = "bun"
#: How much more a delivery of two workers may cost.
ALLOWED = 1.3


@dataclass(frozen=True)
class Scenario:
    """How many topics, subscribers of each, and connections that they share.

    Connections of one group are subscribed to the same topics.
    """

    title: str
    topics: int
    subscribers: int
    connections: int
    depth: int = 1

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return self.connections // self.subscribers


SCENARIOS = {
    "1000": Scenario("1 topic, 1,000 subscribers", 1, 1000, 1000),
    "1000-16": Scenario("1 topic, 1,000 subscribers, 16 messages at a time", 1, 1000, 1000, 16),
    "10000": Scenario("1 topic, 10,000 subscribers", 1, 10_000, 10_000),
    "10000x100": Scenario(
        "10,000 topics with 100 subscribers each, 1,000 connections", 10_000, 100, 1000
    ),
    "10000x100-16": Scenario(
        "10,000 topics with 100 subscribers each, 1,000 connections, 16 messages at a time",
        *(10_000, 100, 1000, 16),
    ),
}


def commands() -> dict[str, list[str]]:
    """Return how each row's server is started, but for port, topics and groups."""
    ours = [str(PYTHON), str(SERVERS / "topics_server.py")]
    return {
        ONE: ours,
        TWO: [*ours, "--workers", "2"],
        BEST_PEER: [str(NODE_MODULES / ".bin" / "bun"), str(SERVERS / "topics_bun.js")],
        "socketify": [str(PYTHON), str(SERVERS / "topics_socketify.py")],
        "Socket.IO": ["node", str(SERVERS / "topics_socketio.js")],
    }


def missing(name: str) -> str | None:
    """Return why a row's server cannot be started here, or None."""
    if name == "Socket.IO":
        there = (NODE_MODULES / "socket.io").exists()
        return None if there else "socket.io is not installed"
    return SERVERS_BY_NAME[name].missing() if name in SERVERS_BY_NAME else None


class Subscribed:
    """A server with all its subscribers; stopped while it is not measured."""

    def __init__(self, name: str, scenario: Scenario) -> None:
        def command(variant: Variant) -> list[str]:
            # Options come last, whatever the program is.
            places = [variant.port, scenario.topics, scenario.groups]
            words = commands()[name]
            known = 2 if len(words) > 1 else 1
            return [*words[:known], *map(str, places), *words[known:]]

        self._stack = ExitStack()
        server = Server(name, command, "")
        self._running = self._stack.enter_context(
            Running(server, scenarios.Scenario("topics", "topics", ()))
        )
        self._scenario = scenario
        self._socketio = name == "Socket.IO"

    def __enter__(self) -> Subscribed:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def connect(self) -> None:
        """Connect the subscribers.

        Raises:
            Failed: If that does not succeed.
        """
        self._running.wait_until_listening()
        # All of several workers listen from the beginning, and one is ready before the other.
        time.sleep(1)
        one = self._scenario
        words = [str(BIN / "subscribers"), "--port", str(self._running.port)]
        words += ["--connections", str(one.connections), "--groups", str(one.groups)]
        words += ["--subscribers", str(one.subscribers), "--depth", str(one.depth)]
        words += ["--socketio"] * self._socketio
        self._subscribers = subprocess.Popen(
            pinned(GENERATOR_CORE, words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._stack.callback(self._subscribers.kill)
        self._answer()
        # Subscriptions have to have come to the other worker.
        time.sleep(0.5)
        self.measure(0.1)

    def _answer(self) -> str:
        assert self._subscribers.stdout is not None
        line = self._subscribers.stdout.readline()
        if not line:
            assert self._subscribers.stderr is not None
            error = self._subscribers.stderr.read().strip()
            raise Failed(f"{error}; the server: {self._running.last_words()}")
        return line

    def _cpu(self) -> float:
        """Return the seconds of processor time that the server's processes have used."""
        # The kernel's clock of a process, threads that have ended included: clock_getcpuclockid().
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self._running.pids())

    def freeze(self) -> None:
        """Let the server have no processor time."""
        self._running.freeze()

    def measure(self, seconds: float) -> dict[str, float]:
        """Measure once.

        Raises:
            Failed: If a message was lost, doubled or changed.
        """
        assert self._subscribers.stdin is not None
        self._running.thaw()
        before = self._cpu()
        self._subscribers.stdin.write(f"{seconds}\n")
        self._subscribers.stdin.flush()
        found = json.loads(self._answer())
        used = self._cpu() - before
        return {
            "per_second": found["deliveries"] / found["seconds"],
            "cpu_us": used * 1e6 / found["deliveries"],
        }

    def pids(self) -> list[int]:
        """Return the server's processes."""
        return self._running.pids()


def run(
    key: str, names: list[str], rounds: int, seconds: float, notes: list[str]
) -> dict[str, Rounds]:
    """Measure a scenario; rows in another order in each round."""
    found: dict[str, Rounds] = {name: [] for name in names}
    with ExitStack() as stack:
        servers: dict[str, Subscribed] = {}

        def drop(name: str, error: Failed) -> None:
            notes.append(f"{key}: {name}: {error}")
            print(notes[-1], file=sys.stderr)
            servers.pop(name, None)
            found.pop(name, None)

        for name in names:
            servers[name] = stack.enter_context(Subscribed(name, SCENARIOS[key]))
            try:
                servers[name].connect()
                servers[name].freeze()
            except Failed as error:
                drop(name, error)
        for number in range(rounds):
            for name in random.sample(list(servers), len(servers)):
                try:
                    found[name].append({"round": number, **servers[name].measure(seconds)})
                    servers[name].freeze()
                except Failed as error:
                    drop(name, error)
    return found


def workers_table(results: parts.Results) -> str:
    """Return what a second worker costs, by scenario."""
    lines = ["### Topics: two workers on `local`, by one process", ""]
    lines += [f"| scenario | CPU per delivery (allowed: {ALLOWED} x) |", "|---|---|"]
    for key, rows in results.items():
        if rows.get(ONE) and rows.get(TWO):
            one, two = pairs(rows[ONE], rows[TWO])
            times = ratio(column(two, "cpu_us"), column(one, "cpu_us"))
            lines.append(f"| {SCENARIOS[key].title} | {cell(times)} |")
    return "\n".join(lines) + "\n"


def page(part: Mapping[str, Any]) -> str:
    """Return the tables of a run."""
    results = parts.unpack(part["results"])
    tables = [workers_table(results)]
    for key, rows in results.items():
        if rows:
            title = f"Topics: {SCENARIOS[key].title}"
            tables.append(versus_table(title, rows, BEST_PEER, unit="frame"))
    return "\n".join([*tables, *(f"- left out: {note}" for note in part["notes"])])


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--servers", nargs="+", choices=list(commands()), default=list(commands()))
    parser.add_argument("--part", default="topics", help="file in .cache/bench/parts")
    arguments = parser.parse_args()
    part: dict[str, Any] = {"machine": machine(), "seconds": arguments.seconds, "notes": []}
    part["versions"] = [version(name) for name in ("npm bun", "socketify", "npm socket.io")]
    names = []
    for name in arguments.servers:
        reason = missing(name)
        if reason is None:
            names.append(name)
        else:
            part["notes"].append(f"{name}: {reason}")
    results: parts.Results = {}
    for key in arguments.scenarios:
        results[key] = run(key, names, arguments.rounds, arguments.seconds, part["notes"])
        part["results"] = parts.pack(results)
        parts.save(arguments.part, part)
        for name, rounds in results[key].items():
            if rounds:
                shown = estimate(column(rounds, "cpu_us"))
                print(f"{key}: {name}: {shown.value:.2f} µs", file=sys.stderr, flush=True)
    print("# Topics\n", introduction(part), page(part), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

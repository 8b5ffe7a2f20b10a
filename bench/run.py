"""Measures duologue's servers beside their peers: ``make bench``, ``make bench-quick``.

Rounds are interleaved: every round measures every server once, so that whatever the machine does
meanwhile befalls all of them. They are spread over sittings of five: each begins with new
processes, since a process may be lucky or unlucky in how its memory lies. What there is is saved
after every scenario of a sitting. bench/README.md says how to read the result.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from contextlib import ExitStack

import parts
from measure import Failed, Running, measure
from peers import QUICK as QUICK_SERVERS
from peers import SERVERS_BY_NAME, Server
from probe import look, set_up, suite
from report import machine, page
from scenarios import MEMORY, QUICK, SCENARIOS, TAIL, Scenario

SITTING = 5
#: Memory needs a new process for each round, and varies little.
MEMORY_ROUNDS = 4
#: Seconds that a measurement takes besides measuring and warming up, and a server to start.
OVERHEAD, START = 0.12, 0.35


def parse_arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--scenarios", nargs="+", metavar="KEY", choices=SCENARIOS, help="default: all"
    )
    parser.add_argument(
        "--servers", nargs="+", metavar="TEXT", help="rows whose name contains one of the texts"
    )
    parser.add_argument("--rounds", type=int, help="default: 15, quick: 3")
    parser.add_argument(
        "--seconds",
        type=float,
        help="a measurement lasts (default: 1, quick: 0.5, with a budget: what fits, at least 0.3)",
    )
    parser.add_argument("--quick", action="store_true", help="few scenarios, servers and rounds")
    parser.add_argument(
        "--budget",
        type=float,
        metavar="MINUTES",
        help="stop then; peers that no target names are measured in a few scenarios only",
    )
    parser.add_argument(
        "--part", help="file in .cache/bench/parts (default: servers, quick, or last for a choice)"
    )
    parser.add_argument(
        "--add", action="store_true", help="keep the part's other scenarios; see --part"
    )
    parser.add_argument("--list", action="store_true", help="list scenarios and servers, and stop")
    arguments = parser.parse_args()
    chosen = arguments.scenarios or arguments.servers
    arguments.part = arguments.part or (
        "quick" if arguments.quick else "last" if chosen else "servers"
    )
    arguments.rounds = arguments.rounds or (3 if arguments.quick else 15)
    arguments.scenarios = arguments.scenarios or (QUICK if arguments.quick else tuple(SCENARIOS))
    return arguments


def chosen_servers(arguments: argparse.Namespace, notes: list[str]) -> list[Server]:
    """Return the servers to measure; why others are not goes into the notes."""
    names = list(SERVERS_BY_NAME)
    if arguments.servers:
        names = [name for name in names if any(text in name for text in arguments.servers)]
    elif arguments.quick:
        names = [name for name in names if name in QUICK_SERVERS]
    servers = []
    for name in names:
        reason = SERVERS_BY_NAME[name].missing()
        if reason is None:
            servers.append(SERVERS_BY_NAME[name])
        else:
            notes.append(f"{name}: {reason}")
    return servers


def _is_wanted(server: Server, scenario: Scenario, everybody: bool) -> bool:
    if not scenario.needs <= server.features or server.only not in ("", scenario.key):
        return False
    return (
        everybody
        or server.rank == "always"
        or (scenario.everyone and server.rank == "peer")
        or (scenario.tuned and server.rank == "tuned")
        or (scenario.loops and server.rank == "loops")
        or server.name in scenario.named
    )


class Bench:
    """One run: what is to be measured, and what has been."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.notes: list[str] = []
        self.rounds: int = arguments.rounds
        self.part: str = arguments.part
        servers = chosen_servers(arguments, self.notes)
        everybody = arguments.budget is None or bool(arguments.servers)
        self.plan = {
            key: [one for one in servers if _is_wanted(one, SCENARIOS[key], everybody)]
            for key in arguments.scenarios
            if everybody or not SCENARIOS[key].spare
        }
        self.results: parts.Results = {}
        self.failed: set[tuple[str, str]] = set()
        self.took: dict[str, float] = {}
        self.deadline = time.monotonic() + 60 * arguments.budget if arguments.budget else None
        self.seconds = arguments.seconds or (0.5 if arguments.quick else 1.0)
        if arguments.budget and not arguments.seconds:
            self.seconds = self._seconds_that_fit(60 * arguments.budget)
        self.facts = machine()
        self.before = (parts.load(self.part) or {}) if arguments.add else {}
        self.setups = self.before.get("setups", {})

    def _seconds_that_fit(self, budget: float) -> float:
        """Return how long a measurement may last, from what the others cost anyway."""
        measurements, other = 0.0, 0.0
        for key, servers in self.plan.items():
            scenario = SCENARIOS[key]
            if scenario.figure == MEMORY:
                other += MEMORY_ROUNDS * len(servers) * (START + 1.8)
                continue
            count = self.rounds * len(servers) * (2 if scenario.figure == TAIL else 1)
            large = "1000" in scenario.arguments
            if scenario.least:
                other += count * 1.2 * scenario.least
            else:
                measurements += count
            other += count * (OVERHEAD + (0.4 if large else 0))
            other += self.rounds / SITTING * len(servers) * START
        if not measurements:
            return 1.0
        return round(min(1.0, max(0.3, (0.95 * budget - other) / measurements / 1.2)), 2)

    def fail(self, scenario: Scenario, server: Server, error: Failed) -> None:
        """Leave a server out of this scenario: half its rounds would be worse than none."""
        note = f"{scenario.key}: {server.name}: {error}"
        self.failed.add((scenario.key, server.name))
        self.notes.append(note)
        self.results.get(scenario.key, {}).pop(server.name, None)
        print(f"  left out: {note}", file=sys.stderr, flush=True)

    def _start(self, scenario: Scenario, stack: ExitStack) -> list[Running]:
        """Start the scenario's servers, all at the same time, and freeze them."""
        started, listening = [], []
        for server in self.plan[scenario.key]:
            if (scenario.key, server.name) not in self.failed:
                started.append(stack.enter_context(Running(server, scenario)))
        for running in started:
            try:
                running.wait_until_listening()
            except Failed as error:
                self.fail(scenario, running.server, error)
            else:
                self._note_setup(scenario, running)
                running.freeze()
                listening.append(running)
        return listening

    def _note_setup(self, scenario: Scenario, running: Running) -> None:
        name = running.server.name
        if name not in self.setups:
            self.setups[name] = set_up(running)
        if scenario.deflate and "compression" not in self.setups[name]:
            self.setups[name]["compression"] = look(running)[0]
        if "--tls" in scenario.arguments and "tls" not in self.setups[name]:
            self.setups[name]["tls"] = suite(running)

    def _round(self, scenario: Scenario, number: int, everyone: list[Running]) -> None:
        """Measure every server once, in an order of chance."""
        found = self.results.setdefault(scenario.key, {})
        for running in random.sample(everyone, len(everyone)):
            server = running.server
            if (scenario.key, server.name) in self.failed:
                continue
            running.thaw()
            try:
                figures = measure(running, scenario, max(self.seconds, scenario.least))
                found.setdefault(server.name, []).append({"round": number, **figures})
            except Failed as error:
                self.fail(scenario, server, error)
            finally:
                running.freeze()

    def sit(self, scenario: Scenario, first: int) -> None:
        """Measure the rounds of one sitting."""
        fresh = scenario.figure == MEMORY
        limit = min(self.rounds, MEMORY_ROUNDS) if fresh else self.rounds
        rounds = range(first, min(first + SITTING, limit))
        began = time.monotonic()
        with ExitStack() as stack:
            everyone: list[Running] = []
            for number in rounds:
                if fresh or not everyone:
                    stack.close()
                    everyone = self._start(scenario, stack)
                self._round(scenario, number, everyone)
        if len(rounds) > 0:
            self.took[scenario.key] = time.monotonic() - began
            print(
                f"{scenario.key}: {rounds.stop} of {limit} rounds, {len(everyone)} servers,"
                f" {self.took[scenario.key]:.0f} s",
                file=sys.stderr,
                flush=True,
            )

    def run(self) -> None:
        """Measure until the rounds or the minutes are over."""
        print(f"{self.seconds} s a measurement", file=sys.stderr, flush=True)
        for first in range(0, self.rounds, SITTING):
            for key in self.plan:
                if SCENARIOS[key].figure == MEMORY and first >= MEMORY_ROUNDS:
                    continue
                left = float("inf") if not self.deadline else self.deadline - time.monotonic()
                if left < self.took.get(key, 0):
                    self.notes.append(f"{key}: only {first} rounds: the time was over")
                    continue
                self.sit(SCENARIOS[key], first)
                self.save()
            self._foretell(first)

    def _foretell(self, first: int) -> None:
        """Say how long the rest takes, as far as one can tell from the last sitting."""
        timed = [took for key, took in self.took.items() if SCENARIOS[key].figure != MEMORY]
        sittings = (self.rounds - first - 1) // SITTING
        left = f", {(self.deadline - time.monotonic()) / 60:.1f} left" if self.deadline else ""
        if sittings > 0:
            minutes = sittings * sum(timed) / 60
            print(f"about {minutes:.1f} minutes more{left}", file=sys.stderr, flush=True)

    def part_value(self) -> dict[str, object]:
        """Return the part as it is stored."""
        results = dict(self.before.get("results", {}))
        results |= parts.pack({key: rows for key, rows in self.results.items() if rows})
        order = [key for key in SCENARIOS if key in results]
        return {
            "machine": self.facts,
            "seconds": self.seconds,
            "setups": self.setups,
            "notes": [*self.before.get("notes", []), *self.notes],
            "results": {key: results[key] for key in order},
        }

    def save(self) -> None:
        """Write the part."""
        parts.save(self.part, self.part_value())


def main() -> int:
    """Run; return the exit status."""
    arguments = parse_arguments()
    if arguments.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.key:10} {scenario.title}")
        for server in SERVERS_BY_NAME.values():
            print(f"{server.name:42} {server.missing() or server.setup}")
        return 0
    bench = Bench(arguments)
    try:
        bench.run()
    except KeyboardInterrupt:
        bench.notes.append("interrupted")
    bench.save()
    print(page(bench.part_value()))
    print(f"saved: {parts.PARTS / bench.part}.json", file=sys.stderr)
    return 0 if any(bench.results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Measures duologue beside its peers: ``make bench``, ``make bench-quick``.

Rounds are interleaved: every round measures every server once, so that whatever the machine does
meanwhile befalls all of them. bench/README.md says how to read the result.
"""

from __future__ import annotations

import argparse
import random
import sys
from contextlib import ExitStack
from pathlib import Path

from measure import Failed, Running, measure
from peers import QUICK as QUICK_SERVERS
from peers import SERVERS_BY_NAME, Server
from places import RESULTS
from report import Results, machine, page, write
from scenarios import MEMORY, QUICK, SCENARIOS, Scenario


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
        "--seconds", type=float, help="a measurement lasts (default: 1, quick: 0.5)"
    )
    parser.add_argument("--quick", action="store_true", help="few scenarios, servers and rounds")
    parser.add_argument("--output", type=Path, help="Markdown file; the figures go beside it")
    parser.add_argument("--list", action="store_true", help="list scenarios and servers, and stop")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (3 if arguments.quick else 15)
    arguments.seconds = arguments.seconds or (0.5 if arguments.quick else 1.0)
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


class Round:
    """The rounds of one scenario."""

    def __init__(self, scenario: Scenario, seconds: float, notes: list[str]) -> None:
        self.scenario = scenario
        self.seconds = seconds
        self.notes = notes
        self.failed: set[str] = set()

    def fail(self, server: Server, error: Failed) -> None:
        """Leave a server out of this scenario: half its rounds would be worse than none."""
        note = f"{self.scenario.key}: {server.name}: {error}"
        self.failed.add(server.name)
        self.notes.append(note)
        print(f"  left out: {note}", file=sys.stderr, flush=True)

    def start(self, servers: list[Server], stack: ExitStack) -> list[Running]:
        """Start the servers that can do what the scenario needs, and freeze them."""
        started = []
        for server in servers:
            if not self.scenario.needs <= server.features:
                continue
            try:
                running = stack.enter_context(Running(server, self.scenario))
            except Failed as error:
                self.fail(server, error)
            else:
                running.freeze()
                started.append(running)
        return started

    def measure_all(self, everyone: list[Running], rows: dict[str, list[dict[str, float]]]) -> None:
        """Measure every server once, in an order of chance."""
        for running in random.sample(everyone, len(everyone)):
            if running.server.name in self.failed:
                continue
            running.thaw()
            try:
                figures = measure(running, self.scenario, self.seconds)
                rows.setdefault(running.server.name, []).append(figures)
            except Failed as error:
                self.fail(running.server, error)
            finally:
                running.freeze()


def run_scenario(
    scenario: Scenario, servers: list[Server], arguments: argparse.Namespace, notes: list[str]
) -> dict[str, list[dict[str, float]]]:
    """Return the figures of all rounds by server."""
    rows: dict[str, list[dict[str, float]]] = {}
    rounds = Round(scenario, arguments.seconds, notes)
    # Memory needs a fresh process each time; it varies little, so five rounds do.
    fresh = scenario.figure == MEMORY
    count = min(arguments.rounds, 5) if fresh else arguments.rounds
    with ExitStack() as stack:
        everyone: list[Running] = []
        for number in range(count):
            if fresh or not everyone:
                stack.close()
                everyone = rounds.start(
                    [server for server in servers if server.name not in rounds.failed], stack
                )
            rounds.measure_all(everyone, rows)
            print(f"{scenario.key}: round {number + 1} of {count}", file=sys.stderr, flush=True)
    return {name: figures for name, figures in rows.items() if name not in rounds.failed}


def main() -> int:
    """Run; return the exit status."""
    arguments = parse_arguments()
    if arguments.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.key:10} {scenario.title}")
        for server in SERVERS_BY_NAME.values():
            print(f"{server.name:36} {server.missing() or server.setup}")
        return 0
    notes: list[str] = []
    facts = machine()
    servers = chosen_servers(arguments, notes)
    results: Results = {}
    for key in arguments.scenarios:
        results[key] = run_scenario(SCENARIOS[key], servers, arguments, notes)
    text = page(results, facts, notes, arguments.rounds)
    print(text)
    path = arguments.output or RESULTS / ("quick.md" if arguments.quick else "bench.md")
    write(path, results, facts, text)
    print(f"written: {path} and {path.with_suffix('.json')}", file=sys.stderr)
    return 1 if not any(results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())

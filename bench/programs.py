"""``duologue run`` beside ``websocketd``: messages through a program, and programs started.

    python bench/programs.py --rounds 15

``lines`` is one client with 50 messages in flight, ``ping-pong`` ten clients with one each, both
through ``cat``; ``processes`` is eight clients that open a connection to ``true``, one after the
other. Server and programs have one core, the generator the other: a server's children run where it
runs, and what its way of waking them costs is part of the figure. The processor time is the
server's own, without its programs', which are the same ones.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import parts
from interleaved import take_rounds
from measure import GENERATOR_CORE, PATIENCE, Failed, Running, measure, pinned, processor_seconds
from peers import Server, Variant, environment
from places import CLIENTS, PYTHON
from report import introduction, machine, versus_table
from scenarios import CPU, Scenario

WEBSOCKETD = "websocketd"
SCENARIOS = {
    "lines": Scenario(
        "lines",
        "Lines through cat, 1 connection, 50 in flight",
        ("echo", "--text", "--connections", "1", "--depth", "50"),
    ),
    "ping-pong": Scenario(
        "ping-pong",
        "Lines through cat, 10 connections, ping-pong",
        ("echo", "--text", "--connections", "10"),
    ),
    "processes": Scenario(
        "processes", "Programs started, true, 8 connections at a time", ("--connections", "8")
    ),
}


def servers(program: str) -> dict[str, Server]:
    """Return the rows by name."""

    def words(command: list[str], variant: Variant) -> list[str]:
        where = [f"--port={variant.port}", "--address=127.0.0.1", "--loglevel=fatal"]
        return [*command, *where, program]

    ours = [str(PYTHON), "-m", "duologue", "run"]
    return {
        "duologue": Server("duologue", lambda variant: words(ours, variant), "", ours=True),
        WEBSOCKETD: Server(
            WEBSOCKETD,
            lambda variant: words([WEBSOCKETD], variant),
            "Debian's package",
            needs="/usr/bin/websocketd",
        ),
    }


class Alone(Running):
    """A server whose programs don't count as parts of it."""

    def pids(self) -> list[int]:
        """Return the server's process."""
        return [self.process.pid]


def processes(running: Running, scenario: Scenario, seconds: float) -> dict[str, Any]:
    """Have programs started one after the other; raise Failed when something goes wrong."""
    command = [str(PYTHON), str(CLIENTS / "opening_client.py"), "--port", str(running.port)]
    command += [*scenario.arguments, "--duration", str(seconds), "--warmup", str(seconds / 5)]
    client = subprocess.Popen(
        pinned(GENERATOR_CORE, command),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert client.stdout is not None
    try:
        client.stdout.readline()
        before = processor_seconds(running)
        out, error = client.communicate(timeout=PATIENCE)
    finally:
        client.kill()
        client.wait()
    if client.returncode != 0:
        raise Failed(error.strip() or f"the client ended with {client.returncode}")
    figures: dict[str, Any] = json.loads(out)
    spent = processor_seconds(running) - before
    return figures | {CPU: spent * 1e6 / figures["count"]}


def run(name: str, scenario: Scenario, seconds: float) -> dict[str, Any]:
    """Measure one row once, on a server that has done nothing before."""
    starts_many = scenario.key == "processes"
    server = servers("true" if starts_many else "cat")[name]
    with Alone(server, scenario) as running:
        running.wait_until_listening()
        return (processes if starts_many else measure)(running, scenario, seconds)


def page(part: Mapping[str, Any]) -> str:
    """Return the tables of a run."""
    tables = [
        versus_table(
            SCENARIOS[key].title,
            rows,
            WEBSOCKETD,
            unit="program" if key == "processes" else "message",
        )
        for key, rows in parts.unpack(part["results"]).items()
    ]
    return "\n".join([*tables, *(f"- left out: {note}" for note in part["notes"])])


def parse_arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--part", default="programs", help="file in .cache/bench/parts")
    return parser.parse_args()


def main() -> int:
    """Run; return the exit status."""
    arguments = parse_arguments()
    part: dict[str, Any] = {"machine": machine(), "seconds": arguments.seconds, "notes": []}
    missing = {name: server.missing() for name, server in servers("cat").items()}
    part["notes"] += [f"{name}: {why}" for name, why in missing.items() if why]
    names = [name for name, why in missing.items() if not why]
    results: parts.Results = {key: {name: [] for name in names} for key in arguments.scenarios}
    take_rounds(
        arguments.part,
        part,
        results,
        lambda key, name: run(name, SCENARIOS[key], arguments.seconds),
        rounds=arguments.rounds,
    )
    print("# Programs\n", introduction(part), page(part), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

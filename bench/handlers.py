"""``duologue serve DIR`` beside ``pywebsocket3``: what a message through a handler costs.

    python bench/handlers.py --rounds 15

100 clients have one text of 32 octets in flight each, and a blocking handler sends it back. In
``echo`` the server has all cores, as a server with threads has where it is used, and the generator
sleeps until there is something to read: whatever runs, runs where the system puts it. In ``core``
the server has one core and the generator spins on another, as elsewhere in the bench; a GIL whose
owners are all on one core costs less.

The threads are what that costs at the least: a loop of ``recv`` and ``send`` for each connection,
with an interpreter and without.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

import parts
from interleaved import take_rounds
from measure import Running, measure
from peers import Server, Variant
from places import BIN, PYTHON, ROOT, SERVERS
from report import introduction, machine, versus_table
from scenarios import Scenario

PYWEBSOCKET = "pywebsocket3"
EXAMPLES = str(ROOT / "examples" / "pywebsocket")
ECHO = ("echo", "--path", "/echo", "--text", "--connections", "100")
SCENARIOS = {
    "echo": Scenario("echo", "A handler's echo, 100 connections, all cores", (*ECHO, "--wait")),
    "core": Scenario("core", "A handler's echo, 100 connections, one core", ECHO),
}


def _standalone(module: str, variant: Variant) -> list[str]:
    options = ["-H", "127.0.0.1", "-w", EXAMPLES, "-d", EXAMPLES, "-q", "1000"]
    return [str(PYTHON), "-W", "ignore", "-m", module, *options, "-p", str(variant.port)]


def servers() -> dict[str, Server]:
    """Return the rows by name."""
    ours, theirs = "duologue.frontends.pywebsocket.standalone", "pywebsocket3.standalone"
    python = [str(PYTHON), str(SERVERS / "threads_server.py"), "--port"]
    c = [str(BIN / "threads"), "--port"]
    return {
        "duologue": Server("duologue", lambda variant: _standalone(ours, variant), "", ours=True),
        PYWEBSOCKET: Server(
            PYWEBSOCKET, lambda variant: _standalone(theirs, variant), "", (PYWEBSOCKET,)
        ),
        "threads (Python)": Server(
            "threads (Python)", lambda variant: [*python, str(variant.port)], ""
        ),
        "threads (C)": Server(
            "threads (C)", lambda variant: [*c, str(variant.port)], "", needs=c[0]
        ),
    }


class Anywhere(Running):
    """A server that the system puts where it wants, as it does the generator."""

    cores = (None, None)


def kind(scenario: Scenario) -> type[Running]:
    """Return how servers of a scenario are run."""
    return Anywhere if scenario.key == "echo" else Running


def run(server: Server, scenario: Scenario, seconds: float) -> dict[str, Any]:
    """Measure one row once; raise Failed when something goes wrong."""
    with kind(scenario)(server, scenario) as running:
        running.wait_until_listening()
        return measure(running, scenario, seconds)


def page(part: Mapping[str, Any]) -> str:
    """Return the tables of a run."""
    tables = [
        versus_table(SCENARIOS[key].title, rows, PYWEBSOCKET)
        for key, rows in parts.unpack(part["results"]).items()
    ]
    return "\n".join([*tables, *(f"- left out: {note}" for note in part["notes"])])


def parse_arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--part", default="handlers", help="file in .cache/bench/parts")
    return parser.parse_args()


def main() -> int:
    """Run; return the exit status."""
    arguments = parse_arguments()
    part: dict[str, Any] = {"machine": machine(), "seconds": arguments.seconds, "notes": []}
    known = servers()
    missing = {name: server.missing() for name, server in known.items()}
    part["notes"] += [f"{name}: {why}" for name, why in missing.items() if why]
    names = [name for name, why in missing.items() if not why]
    results: parts.Results = {key: {name: [] for name in names} for key in arguments.scenarios}
    take_rounds(
        arguments.part,
        part,
        results,
        lambda key, name: run(known[name], SCENARIOS[key], arguments.seconds),
        rounds=arguments.rounds,
    )
    print("# Handlers\n", introduction(part), page(part), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measures clients: duologue's beside its peers', against the raw epoll server.

    python bench/clients.py --rounds 15

The server spins on one core, the client has the other. Every message is a binary one of 32 octets.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import parts
from interleaved import take_rounds
from measure import GENERATOR_CORE, SERVER_CORE, Failed, free_port, pinned
from peers import environment
from places import BIN, CLIENTS, PYTHON
from report import introduction, machine, versus_table

MODES = ("ping-pong", "pipelined", "feed")
BEST_PEER = "picows (uvloop)"


def rows() -> dict[str, list[str]]:
    """Return the clients by name: script and options."""
    found = {
        f"duologue ({loop})": ["coroutine_client.py", "--loop", loop]
        for loop in ("asyncio", "uvloop", "duologue")
    }
    return found | {
        BEST_PEER: ["picows_client.py", "--loop", "uvloop"],
        "picows.websockets (uvloop)": [
            *("coroutine_client.py", "--loop", "uvloop", "--library", "picows.websockets")
        ],
        "websockets": ["coroutine_client.py", "--library", "websockets"],
        "websockets (uvloop)": [
            *("coroutine_client.py", "--loop", "uvloop", "--library", "websockets")
        ],
        "aiohttp (uvloop)": ["aiohttp_client.py", "--loop", "uvloop"],
    }


def measure(words: list[str], mode: str, port: int, seconds: float) -> dict[str, Any]:
    """Run one client once and return its figures; raise Failed when it fails."""
    command = [str(PYTHON), str(CLIENTS / words[0]), "--port", str(port), "--mode", mode]
    command += ["--seconds", str(seconds), *words[1:]]
    result = subprocess.run(
        pinned(SERVER_CORE, command), env=environment(), capture_output=True, text=True, timeout=60
    )
    if result.returncode != 0 or not result.stdout:
        raise Failed((result.stderr.strip().splitlines() or ["it printed nothing"])[-1])
    figures: dict[str, Any] = json.loads(result.stdout)
    return figures


def page(part: Mapping[str, Any]) -> str:
    """Return the tables of a run."""
    results = parts.unpack(part["results"])
    tables = [
        versus_table(f"Client, {mode}", rows, BEST_PEER) for mode, rows in results.items() if rows
    ]
    return "\n".join([*tables, *(f"- left out: {note}" for note in part["notes"])])


def parse_arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="stop then")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--clients", nargs="+", metavar="TEXT", help="rows that contain a text")
    parser.add_argument("--part", default="clients", help="file in .cache/bench/parts")
    return parser.parse_args()


def main() -> int:
    """Run; return the exit status."""
    arguments = parse_arguments()
    chosen = {
        name: words
        for name, words in rows().items()
        if not arguments.clients or any(text in name for text in arguments.clients)
    }
    part: dict[str, Any] = {"machine": machine(), "seconds": arguments.seconds, "notes": []}
    results: parts.Results = {mode: {name: [] for name in chosen} for mode in arguments.modes}
    deadline = time.monotonic() + 60 * (arguments.budget or float("inf"))
    port = free_port()
    server = [str(BIN / "raw_epoll"), "--port", str(port), "--spin"]
    with subprocess.Popen(pinned(GENERATOR_CORE, server)) as process:
        try:
            take_rounds(
                arguments.part,
                part,
                results,
                lambda mode, name: measure(chosen[name], mode, port, arguments.seconds),
                rounds=arguments.rounds,
                deadline=deadline,
            )
        finally:
            process.kill()
    print("# Clients\n", introduction(part), page(part), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

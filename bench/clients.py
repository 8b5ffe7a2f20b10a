"""Measures clients: duologue's beside its peers', against the raw epoll server.

    python bench/clients.py --rounds 15

The server spins on one core, the client has the other. Every message is a binary one of 32 octets.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from intervals import estimate, ratio
from measure import GENERATOR_CORE, SERVER_CORE, free_port, pinned
from peers import environment, importable
from places import BIN, CLIENTS, PYTHON, RESULTS
from report import machine, plain, with_interval

MODES = ("ping-pong", "pipelined", "feed")
BEST_PEER = "picows (uvloop)"
Figures = dict[str, list[dict[str, Any]]]


def rows() -> dict[str, list[str]]:
    """Return the clients by name: script and options."""
    found = {
        f"duologue ({loop})": ["coroutine_client.py", "--loop", loop]
        for loop in ("asyncio", "uvloop", "duologue")
    }
    if importable("import duologue; duologue.EventLoop") is not None:
        del found["duologue (duologue)"]
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
    """Run one client once and return its figures; raise when it fails."""
    command = [str(PYTHON), str(CLIENTS / words[0]), "--port", str(port), "--mode", mode]
    command += ["--seconds", str(seconds), *words[1:]]
    result = subprocess.run(
        pinned(SERVER_CORE, command), env=environment(), capture_output=True, text=True, timeout=60
    )
    if result.returncode != 0 or not result.stdout:
        raise RuntimeError(f"{' '.join(words)}: {result.stderr.strip()[-500:]}")
    figures: dict[str, Any] = json.loads(result.stdout)
    return figures


def table(mode: str, figures: Figures) -> str:
    """Return the mode's table; best first."""
    speeds = {name: [one["per_second"] for one in rounds] for name, rounds in figures.items()}
    lines = [f"### {mode}", "", f"| client | messages/s | ratio to {BEST_PEER} | µs CPU/message |"]
    lines.append("|---|---|---|---|")
    for name in sorted(figures, key=lambda name: -estimate(speeds[name]).value):
        best = speeds.get(BEST_PEER)
        cell = with_interval(ratio(speeds[name], best)) if best else "–"
        cpu = estimate([one["cpu_us"] for one in figures[name]]).value
        lines.append(
            f"| {name} | {with_interval(estimate(speeds[name]))} | {cell} | {plain(cpu)} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--clients", nargs="+", metavar="TEXT", help="rows that contain a text")
    parser.add_argument("--output", type=Path, default=RESULTS / "clients.md")
    arguments = parser.parse_args()
    chosen = {
        name: words
        for name, words in rows().items()
        if not arguments.clients or any(text in name for text in arguments.clients)
    }
    facts = machine()
    results: dict[str, Figures] = {mode: {name: [] for name in chosen} for mode in arguments.modes}
    port = free_port()
    server = [str(BIN / "raw_epoll"), "--port", str(port), "--spin"]
    with subprocess.Popen(pinned(GENERATOR_CORE, server)) as process:
        try:
            for number in range(arguments.rounds):
                for mode in arguments.modes:
                    for name in random.sample(list(chosen), len(chosen)):
                        found = measure(chosen[name], mode, port, arguments.seconds)
                        results[mode][name].append(found)
                print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
        finally:
            process.kill()
    text = "\n".join(
        ["# Clients\n", *(f"- {name}: {value}" for name, value in facts.items()), ""]
        + [table(mode, figures) for mode, figures in results.items()]
    )
    print(text)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(text, encoding="utf-8")
    everything = json.dumps({"machine": facts, "results": results}, indent=1)
    arguments.output.with_suffix(".json").write_text(everything + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

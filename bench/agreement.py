"""Checks the generator against a second one of another hand: Bun's WebSocket client.

    python bench/agreement.py

Both load the same servers in turn. Where the server is the limit under both (it is busy all the
time), they must find the same number of messages per second, to within 5 %. Where the second one
cannot keep the server busy, the figures say how fast that generator is, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import parts
from intervals import estimate, ratio
from measure import GENERATOR_CORE, PATIENCE, Failed, Running, generate, pinned
from peers import RAW, SERVERS_BY_NAME
from places import CLIENTS, NODE_MODULES
from report import column, introduction, machine, with_interval
from scenarios import SCENARIOS, Scenario
from targets import CALLBACK

BUN = NODE_MODULES / ".bin" / "bun"
#: What the two may differ by.
TOLERANCE = 0.05
#: Share of the time from which a server counts as busy.
BUSY = 0.95
#: On loopback whoever sends does the receiver's work in the kernel as well, so a broadcast is what
#: a slower generator can saturate a fast server with; an echo saturates the slower servers.
PAIRS = (
    ("h", RAW),
    ("h", CALLBACK),
    ("h", "picows (uvloop)"),
    ("b", CALLBACK),
    ("b", "websockets (uvloop)"),
    ("b", "aiohttp (uvloop)"),
)
SECOND = "second"


def _option(scenario: Scenario, name: str, default: int) -> int:
    words = scenario.arguments
    return int(words[words.index(name) + 1]) if name in words else default


def with_bun(running: Running, scenario: Scenario, seconds: float) -> dict[str, Any]:
    """Return what Bun's client finds of a server."""
    numbers = [
        _option(scenario, "--connections", 1),
        _option(scenario, "--depth", 1),
        _option(scenario, "--size", 32),
        seconds,
        running.process.pid,
    ]
    command = [str(BUN), str(CLIENTS / "bun_generator.js"), str(running.port)]
    command += [scenario.arguments[0], *(str(number) for number in numbers)]
    done = subprocess.run(
        pinned(GENERATOR_CORE, command), capture_output=True, text=True, timeout=PATIENCE
    )
    if done.returncode != 0:
        raise Failed(done.stderr.strip()[-300:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def with_ours(running: Running, scenario: Scenario, seconds: float) -> dict[str, Any]:
    """Return what the project's generator finds."""
    arguments = [*scenario.arguments, "--duration", str(seconds), "--warmup", str(seconds * 0.3)]
    found = generate(running, arguments)
    busy = found["cpu_us"] * found["per_second"] / 1e6
    return {"per_second": found["per_second"], "cpu_us": found["cpu_us"], "busy": busy}


def measure(key: str, name: str, rounds: int, seconds: float) -> dict[str, parts.Rounds]:
    """Return both generators' rounds with one server, interleaved."""
    scenario = SCENARIOS[key]
    found: dict[str, parts.Rounds] = {"generator": [], SECOND: []}
    with Running(SERVERS_BY_NAME[name], scenario) as running:
        running.wait_until_listening()
        for _ in range(rounds):
            found["generator"].append(with_ours(running, scenario, seconds))
            found[SECOND].append(with_bun(running, scenario, seconds))
    return found


def verdict(found: Mapping[str, parts.Rounds]) -> str:
    """Return whether the two agree, if that can be told."""
    ours, theirs = found["generator"], found[SECOND]
    if min(estimate(column(one, "busy")).value for one in (ours, theirs)) < BUSY:
        return "the server is not the limit"
    agreement = ratio(column(theirs, "per_second"), column(ours, "per_second")).value
    return "agree" if abs(agreement - 1) <= TOLERANCE else "**differ**"


def page(part: Mapping[str, Any]) -> str:
    """Return the table of a run."""
    heads = ["scenario", "server", "generator: messages/s", "Bun: messages/s", "Bun by generator"]
    heads += ["server busy, generator", "server busy, Bun", "verdict"]
    lines = ["### Two generators", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for key, rows in part["results"].items():
        for name, packed in rows.items():
            found = {kind: parts.rows(table) for kind, table in packed.items()}
            ours, theirs = found["generator"], found[SECOND]
            speeds = [column(one, "per_second") for one in (ours, theirs)]
            cells = [key, name, *(with_interval(estimate(one)) for one in speeds)]
            cells.append(with_interval(ratio(speeds[1], speeds[0])))
            cells += [f"{estimate(column(one, 'busy')).value:.0%}" for one in (ours, theirs)]
            lines.append("| " + " | ".join([*cells, verdict(found)]) + " |")
    return "\n".join([*lines, *(f"\n- {note}" for note in part["notes"])]) + "\n"


def main() -> int:
    """Run; return the exit status: 1 if the two differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.7)
    parser.add_argument("--part", default="agreement", help="file in .cache/bench/parts")
    arguments = parser.parse_args()
    part: dict[str, Any] = {"machine": machine(), "seconds": arguments.seconds, "notes": []}
    results: dict[str, Any] = {}
    part["results"] = results
    if not BUN.exists():
        print("bun is not installed", file=sys.stderr)
        return 1
    differ = False
    for key, name in PAIRS:
        try:
            found = measure(key, name, arguments.rounds, arguments.seconds)
        except (Failed, subprocess.TimeoutExpired) as error:
            part["notes"].append(f"{key}: {name}: {error}")
            continue
        table = {kind: parts.columns(rounds) for kind, rounds in found.items()}
        results.setdefault(key, {})[name] = table
        differ = differ or "differ" in verdict(found)
        parts.save(arguments.part, part)
        print(f"{key}: {name}: {verdict(found)}", file=sys.stderr, flush=True)
    print("# Two generators\n", introduction(part), page(part), sep="\n")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())

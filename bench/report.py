"""Turns measurements into a Markdown page and a JSON file."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from intervals import Estimate, estimate, ratio
from peers import RAW, SERVERS_BY_NAME, Server, version
from places import PYTHON
from scenarios import CPU, MEMORY, SCENARIOS, UNITS, Scenario

#: Rounds by scenario and server: ``results[scenario][server][round]``.
Results = dict[str, dict[str, list[dict[str, Any]]]]


def machine() -> dict[str, str]:
    """Return what the figures were measured on."""
    processor = "?"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    return {
        "processor": f"{processor}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}"
        if PYTHON.exists()
        else "?",
        "load average before": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "command": " ".join(["python", f"bench/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
    }


def plain(value: float) -> str:
    """Return a figure with as many digits as mean something."""
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def with_interval(figure: Estimate) -> str:
    """Return a median with its interval in parentheses."""
    return f"{plain(figure.value)} ({plain(figure.low)}–{plain(figure.high)})"


def _column(rounds: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [float(one[name]) for one in rounds]


def _speed(scenario: Scenario, rounds: Sequence[dict[str, Any]]) -> list[float]:
    """Return figures of which more is better, so that ratios read the same in all tables."""
    values = _column(rounds, scenario.figure)
    return values if scenario.more_is_better else [1 / max(value, 1e-9) for value in values]


def _best_peer(scenario: Scenario, rows: dict[str, list[dict[str, Any]]]) -> str | None:
    peers = [name for name in rows if name != RAW and not SERVERS_BY_NAME[name].ours]
    return max(peers, key=lambda name: estimate(_speed(scenario, rows[name])).value, default=None)


def _ratio_cell(scenario: Scenario, rows: dict[str, Any], name: str, other: str | None) -> str:
    if other is None or other not in rows:
        return "–"
    return with_interval(ratio(_speed(scenario, rows[name]), _speed(scenario, rows[other])))


def _cpu_ratio_cell(rows: dict[str, Any], name: str) -> str:
    if RAW not in rows:
        return "–"
    found = ratio(_column(rows[RAW], CPU), _column(rows[name], CPU))
    return with_interval(found)


def table(scenario: Scenario, rows: dict[str, list[dict[str, Any]]]) -> str:
    """Return the scenario's table; best first."""
    best = _best_peer(scenario, rows)
    timed = scenario.figure != MEMORY
    heads = ["server", UNITS[scenario.figure], "ratio to raw", f"ratio to {best or 'best peer'}"]
    if timed:
        heads += [
            "µs CPU/message",
            "CPU ratio to raw",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "generator idle",
        ]
    if scenario.deflate and timed:
        heads.append("compressed to")
    lines = [f"### {scenario.key}: {scenario.title}", "", "| " + " | ".join(heads) + " |"]
    lines.append("|---" * len(heads) + "|")
    order = sorted(rows, key=lambda name: -estimate(_speed(scenario, rows[name])).value)
    for name in order:
        rounds = rows[name]
        cells = [name, with_interval(estimate(_column(rounds, scenario.figure)))]
        cells += [_ratio_cell(scenario, rows, name, other) for other in (RAW, best)]
        if timed:
            cells.append(with_interval(estimate(_column(rounds, CPU))))
            cells.append(_cpu_ratio_cell(rows, name))
            for percentile in ("p50_us", "p99_us", "p999_us"):
                cells.append(plain(estimate(_column(rounds, percentile)).value))
            cells.append(f"{estimate(_column(rounds, 'spare')).value:.0%}")
        if scenario.deflate and timed:
            cells.append(f"{estimate(_column(rounds, 'octets_in')).value:.0f} octets")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def setups(servers: Sequence[Server]) -> str:
    """Return the table of what was measured."""
    lines = ["| server | set-up | versions |", "|---|---|---|"]
    for server in servers:
        versions = ", ".join(version(package) for package in server.packages)
        lines.append(f"| {server.name} | {server.setup} | {versions or '–'} |")
    return "\n".join(lines) + "\n"


def page(results: Results, facts: dict[str, str], notes: Sequence[str], rounds: int) -> str:
    """Return the whole page."""
    measured = {name for rows in results.values() for name in rows}
    parts = ["# Bench\n", *(f"- {name}: {value}" for name, value in facts.items())]
    parts.append(
        f"\nMedians of {rounds} interleaved rounds with their 95 % intervals"
        + (" (with fewer than six rounds: the range)" if rounds < 6 else "")
        + "; ratios are medians of the rounds' own ratios, above 1 is better. What each column and"
        " scenario means: bench/README.md.\n"
    )
    parts += [table(SCENARIOS[key], rows) for key, rows in results.items() if rows]
    parts.append("### Set-ups\n")
    parts.append(setups([server for server in SERVERS_BY_NAME.values() if server.name in measured]))
    if notes:
        parts += ["### Left out\n", *(f"- {note}" for note in notes)]
    return "\n".join(parts) + "\n"


def write(path: Path, results: Results, facts: dict[str, str], text: str) -> None:
    """Write the page and, beside it, every round's figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    everything = {"machine": facts, "results": results}
    path.with_suffix(".json").write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")

"""Turns measurements into a Markdown page and a JSON file."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from intervals import Estimate, estimate, ratio
from parts import Rounds, unpack
from peers import RAW, SERVERS_BY_NAME
from places import PYTHON
from scenarios import CPU, MEMORY, SCENARIOS, UNITS, Scenario


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


def column(rounds: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    """Return one figure of all rounds."""
    return [float(one[name]) for one in rounds]


def speed(scenario: Scenario, rounds: Rounds) -> list[float]:
    """Return figures of which more is better, so that ratios read the same in all tables."""
    values = column(rounds, scenario.figure)
    return values if scenario.more_is_better else [1 / max(value, 1e-9) for value in values]


def pairs(rounds: Rounds, others: Rounds) -> tuple[Rounds, Rounds]:
    """Return what was measured in the same rounds; a cut run has more of one than of the other."""
    by_number = {one.get("round", at): one for at, one in enumerate(others)}
    both = [
        (one, by_number[number])
        for number, one in ((one.get("round", at), one) for at, one in enumerate(rounds))
        if number in by_number
    ]
    return [one for one, _ in both], [other for _, other in both]


def speed_ratio(scenario: Scenario, rounds: Rounds, others: Rounds) -> Estimate | None:
    """Return how many times as fast rounds are as others, or None without common rounds."""
    ours, theirs = pairs(rounds, others)
    return ratio(speed(scenario, ours), speed(scenario, theirs)) if ours else None


def cpu_ratio(rounds: Rounds, others: Rounds) -> Estimate | None:
    """Return how many times as much CPU others need, or None without common rounds."""
    ours, theirs = pairs(rounds, others)
    return ratio(column(theirs, CPU), column(ours, CPU)) if ours else None


def busy(rounds: Rounds) -> float:
    """Return the share of the time in which a server had the processor."""
    shares = [one[CPU] * one["per_second"] / 1e6 for one in rounds]
    return estimate(shares).value


def cell(figure: Estimate | None) -> str:
    """Return a ratio as a cell of a table."""
    return with_interval(figure) if figure else "–"


def best_peer(scenario: Scenario, rows: Mapping[str, Rounds]) -> str | None:
    """Return the fastest row that is neither ours nor the physical limit."""
    peers = [name for name in rows if name != RAW and not SERVERS_BY_NAME[name].ours]
    return max(peers, key=lambda name: estimate(speed(scenario, rows[name])).value, default=None)


def table(scenario: Scenario, rows: Mapping[str, Rounds]) -> str:
    """Return the scenario's table; best first."""
    best = best_peer(scenario, rows)
    timed = scenario.figure != MEMORY
    heads = ["server", UNITS[scenario.figure], "ratio to raw"]
    heads.append(f"ratio to {best or 'best peer'}")
    if timed:
        heads += [
            "µs CPU/message",
            "CPU ratio to raw",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "server busy",
            "generator idle",
        ]
    if scenario.deflate and timed:
        heads.append("compressed to")
    lines = [f"### {scenario.key}: {scenario.title}", "", "| " + " | ".join(heads) + " |"]
    lines.append("|---" * len(heads) + "|")
    order = sorted(rows, key=lambda name: -estimate(speed(scenario, rows[name])).value)
    for name in order:
        rounds = rows[name]
        cells = [name, with_interval(estimate(column(rounds, scenario.figure)))]
        for other in (RAW, best):
            known = rows.get(other) if other else None
            cells.append(cell(speed_ratio(scenario, rounds, known) if known else None))
        if timed:
            cells.append(with_interval(estimate(column(rounds, CPU))))
            cells.append(cell(cpu_ratio(rounds, rows[RAW]) if RAW in rows else None))
            for percentile in ("p50_us", "p99_us", "p999_us"):
                cells.append(plain(estimate(column(rounds, percentile)).value))
            cells.append(f"{busy(rounds):.0%}")
            cells.append(f"{estimate(column(rounds, 'spare')).value:.0%}")
        if scenario.deflate and timed:
            cells.append(f"{estimate(column(rounds, 'octets_in')).value:.0f} octets")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def versus_table(
    title: str, rows: Mapping[str, Rounds], best: str | None = None, unit: str = "message"
) -> str:
    """Return the table of a part that compares its rows with one of them; best first.

    Args:
        title: the heading.
        rows: rounds with ``per_second``, ``cpu_us`` or both, by name.
        best: the row that ratios are to; it may be missing. None: there are no ratios.
        unit: what is counted.
    """
    rows = {name: rounds for name, rounds in rows.items() if rounds}
    known = {figure for rounds in rows.values() for figure in rounds[0]}
    shown = [figure for figure in ("per_second", CPU) if figure in known]
    names = {"per_second": (f"{unit}s/s", "ratio"), CPU: (f"µs CPU/{unit}", "CPU ratio")}
    heads = [""]
    for figure in shown:
        heads += [names[figure][0], *([f"{names[figure][1]} to {best}"] if best else [])]
    lines = [f"### {title}", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    more = shown[0] == "per_second"
    medians = {name: estimate(column(rounds, shown[0])).value for name, rounds in rows.items()}
    for name in sorted(rows, key=lambda name: -medians[name] if more else medians[name]):
        ours, theirs = pairs(rows[name], rows.get(best or "", []))
        cells = [name]
        for figure in shown:
            cells.append(with_interval(estimate(column(rows[name], figure))))
            both = [column(one, figure) for one in (ours, theirs)]
            better = both if figure == "per_second" else both[::-1]
            cells += [cell(ratio(*better) if ours else None)] if best else []
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def setups(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of what was measured."""
    heads = ["server", "set-up", "TCP_NODELAY", "extensions", "in scenario deflate", "TLS"]
    heads.append("versions")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, one in found.items():
        nodelay = {True: "on", False: "off", None: "not told"}[one["nodelay"]]
        cells = [name, one["setup"], nodelay]
        cells += [one.get(key) or "–" for key in ("extensions", "compression", "tls", "versions")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def introduction(part: Mapping[str, Any]) -> str:
    """Return what was measured on what, and how to read it."""
    lines = [f"- {name}: {value}" for name, value in part["machine"].items()]
    lines.append(
        f"\nMedians of interleaved rounds of {part['seconds']} s with their 95 % intervals (with"
        " fewer than six rounds: the range); ratios are medians of the rounds' own ratios, above 1"
        " is better. What each column and scenario means: bench/README.md.\n"
    )
    return "\n".join(lines)


def page(part: Mapping[str, Any]) -> str:
    """Return the whole page of a run."""
    results = unpack(part["results"])
    measured = {name for rows in results.values() for name in rows}
    texts = ["# Bench\n", introduction(part)]
    texts += [table(SCENARIOS[key], rows) for key, rows in results.items()]
    texts += ["### Set-ups\n"]
    texts.append(setups({n: one for n, one in part["setups"].items() if n in measured}))
    if part["notes"]:
        texts += ["### Left out\n", *(f"- {note}" for note in part["notes"])]
    return "\n".join(texts) + "\n"

"""Measures rows in rounds: in each round every row once, in an order of chance."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import parts
from measure import Failed

Measure = Callable[[str, str], dict[str, Any]]


def take_rounds(
    name: str,
    part: dict[str, Any],
    results: parts.Results,
    measure: Measure,
    *,
    rounds: int,
    deadline: float = float("inf"),
) -> None:
    """Measure, and keep the part after each round.

    Args:
        name: of the part's file.
        part: gets what was found as ``results``, and a note of each row that fails, which is left
            out from then on.
        results: for each scenario its rows, which are filled.
        measure: called with a scenario and a row; returns its figures.
        rounds: how many.
        deadline: of the monotonic clock, in seconds; no round begins after it.
    """
    for number in range(rounds):
        if time.monotonic() > deadline:
            break
        for key, rows in results.items():
            for row in random.sample(list(rows), len(rows)):
                try:
                    found = measure(key, row)
                except (Failed, subprocess.TimeoutExpired) as error:
                    part["notes"].append(f"{key}: {row}: {error}")
                    del rows[row]
                else:
                    rows[row].append({"round": number, **found})
        part["results"] = parts.pack(results)
        parts.save(name, part)
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)

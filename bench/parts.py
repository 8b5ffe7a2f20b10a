"""Keeps what was measured: one JSON file a command, written anew after every step.

A run that is cut keeps what it has. ``publish.py`` makes one page of all parts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from places import CACHE

PARTS = CACHE / "parts"
#: Rounds of one row: figures by name, one dictionary a round, its number under "round".
Rounds = list[dict[str, Any]]
#: ``results[scenario][row]``.
Results = dict[str, dict[str, Rounds]]
#: What the generator prints and no table shows.
_DROPPED = frozenset({"mode", "connections", "seconds", "max_us", "octets_out", "count"})


def columns(rounds: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return rounds as columns: a third of the size, and readable."""
    names = [name for name in rounds[0] if name not in _DROPPED] if rounds else []
    return {name: [one[name] for one in rounds] for name in names}


def rows(table: Mapping[str, Sequence[Any]]) -> Rounds:
    """Return columns as rounds again."""
    return [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]


def pack(results: Results) -> dict[str, Any]:
    """Return results as they are stored."""
    return {
        key: {name: columns(rounds) for name, rounds in found.items()}
        for key, found in results.items()
    }


def unpack(stored: Mapping[str, Any]) -> Results:
    """Return stored results as rounds."""
    return {
        key: {name: rows(table) for name, table in found.items()} for key, found in stored.items()
    }


def text(value: Any) -> str:
    """Return JSON with one line for every list of figures."""
    return "\n".join(_lines(value, "")) + "\n"


def _lines(value: Any, indent: str) -> list[str]:
    if not isinstance(value, dict) or not value:
        return [json.dumps(value, ensure_ascii=False)]
    lines = ["{"]
    for number, (name, inner) in enumerate(value.items()):
        below = _lines(inner, indent + " ")
        below[0] = f"{indent} {json.dumps(name, ensure_ascii=False)}: {below[0]}"
        if number < len(value) - 1:
            below[-1] += ","
        lines += below
    return [*lines, indent + "}"]


def save(part: str, value: Mapping[str, Any]) -> None:
    """Replace a part; whoever reads it meanwhile sees the old one or the new one."""
    PARTS.mkdir(parents=True, exist_ok=True)
    new = PARTS / f"{part}.json.new"
    new.write_text(text(dict(value)), encoding="utf-8")
    os.replace(new, PARTS / f"{part}.json")


def load(part: str) -> dict[str, Any] | None:
    """Return a part, or None if it was never measured."""
    try:
        found: dict[str, Any] = json.loads((PARTS / f"{part}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found

"""Makes the committed result of what has been measured: JSON, a page and a picture.

    python bench/publish.py                     # .cache/bench/parts -> bench/results/DATE.*
    python bench/publish.py --from NAME.json    # the page and the picture again

Nothing in the page is typed by hand: every figure is computed from the JSON beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import agreement
import clients
import counts
import growth
import handlers
import hosts
import many
import parts
import programs
import routing
import topics
from parts import unpack
from picture import picture
from places import RESULTS
from report import cell, introduction, setups, table
from scenarios import SCENARIOS, UNITS
from targets import COST, VALUE, Target, Verdict, judge

OTHER_PAGES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "clients": clients.page,
    "hosts": hosts.page,
    "routing": routing.page,
    "topics": topics.page,
    "programs": programs.page,
    "handlers": handlers.page,
    "growth": growth.page,
    "many": many.page,
    "counts": counts.page,
    "agreement": agreement.page,
}
PARTS = ("servers", *OTHER_PAGES)


def _what(target: Target) -> str:
    if target.part == "clients":
        return f"client, {target.scenario}"
    if target.part == "growth":
        return "CPU/message, 10,000 connections by 100"
    if target.part != "servers":
        return f"{target.part}, {target.scenario}"
    return f"{target.scenario}: {SCENARIOS[target.scenario].title}"


def _wanted(target: Target) -> str:
    if target.kind == VALUE:
        units = {"growth": "×", "routing": "µs"}
        unit = units.get(target.part) or UNITS[SCENARIOS[target.scenario].figure]
        return f"≤ {target.wanted:g} {unit}"
    return f"≥ {target.wanted:.3g} ×{' (CPU)' if target.kind == COST else ''}"


def _result(verdict: Verdict) -> str:
    if verdict.met is None:
        return "not measured"
    word = "met" if verdict.met else "**missed**"
    return word if verdict.is_certain else f"{word}, within the interval"


def targets_table(verdicts: list[Verdict]) -> str:
    """Return all targets with what was found of them."""
    heads = ["scenario", "row", "wanted", "of", "found", "CPU ratio", "servers busy", "result"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for one in verdicts:
        versus = one.versus or (" or ".join(one.target.versus) or "–")
        found = cell(one.found) if one.found else "–"
        cells = [_what(one.target), one.row or one.target.row, _wanted(one.target), versus, found]
        busy = f"{one.busy[0]:.0%}, {one.busy[1]:.0%}" if one.busy else "–"
        lines.append("| " + " | ".join([*cells, cell(one.cpu), busy, _result(one)]) + " |")
    met = sum(one.met is True for one in verdicts)
    missed = sum(one.met is False for one in verdicts)
    known = f"{met} met, {missed} missed, {len(verdicts) - met - missed} not measured."
    return f"{known}\n\n" + "\n".join(lines) + "\n"


def _summary(found: Mapping[str, Any]) -> str:
    commands = [
        f"- {name}: `{part['machine']['command']}` ({part['machine']['date']}, load average before:"
        f" {part['machine']['load average before']})"
        for name, part in found.items()
    ]
    return "\n".join(["Commands:", "", *commands]) + "\n"


def page(found: Mapping[str, Any], name: str) -> str:
    """Return the whole page.

    Args:
        found: the parts, by name.
        name: of the files beside it, without what follows the dot.
    """
    texts = [f"# Bench, {name}\n"]
    if "servers" in found:
        texts += [introduction(found["servers"]), f"![Messages per second]({name}.svg)\n"]
    texts += [_summary(found), "## Targets\n", targets_table(judge(found))]
    if "servers" in found:
        part = found["servers"]
        texts.append("## Servers\n")
        texts += [table(SCENARIOS[key], rows) for key, rows in unpack(part["results"]).items()]
        texts += ["### Set-ups\n", setups(part["setups"])]
        if part["notes"]:
            texts += ["### Left out\n", *(f"- {note}" for note in part["notes"]), ""]
    texts.append("## Clients, ASGI, topics, programs, handlers, growth, counts\n")
    texts += [make(found[name]) for name, make in OTHER_PAGES.items() if name in found]
    return "\n".join(texts).rstrip() + "\n"


def publish(found: Mapping[str, Any], name: str, folder: Path = RESULTS) -> list[Path]:
    """Write the files; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {".json": parts.text(dict(found)), ".md": page(found, name)}
    if "servers" in found:
        servers = found["servers"]
        texts[".svg"] = picture(unpack(servers["results"]), servers["machine"])
    for suffix, text in texts.items():
        (folder / f"{name}{suffix}").write_text(text, encoding="utf-8")
    return [folder / f"{name}{suffix}" for suffix in texts]


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", help="of the files (default: the day of the servers' run)")
    parser.add_argument("--from", dest="source", type=Path, help="published JSON to begin with")
    parser.add_argument("--targets", action="store_true", help="only print the targets")
    arguments = parser.parse_args()
    if arguments.source:
        found = json.loads(arguments.source.read_text(encoding="utf-8"))
    else:
        found = {name: part for name in PARTS if (part := parts.load(name)) is not None}
    if not found:
        print("nothing has been measured", file=sys.stderr)
        return 1
    if arguments.targets:
        print(targets_table(judge(found)))
        return 0
    day = next(iter(found.values()))["machine"]["date"].partition(" ")[0]
    name = arguments.name or (arguments.source.stem if arguments.source else day)
    for path in publish(found, name):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())

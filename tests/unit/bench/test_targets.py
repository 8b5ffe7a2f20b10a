"""Targets are judged by what was measured, and the published page says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.usefixtures("bench_modules")

RAW, PICOWS = "raw epoll (C)", "picows (uvloop)"
CALLBACK, COROUTINE = "duologue callback (duologue)", "duologue coroutine (duologue)"
MACHINE = {
    "processor": "a processor, 2 cores",
    "kernel": "Linux 6",
    "python": "CPython 3.11",
    "load average before": "0.00 0.00 0.00",
    "date": "2026-01-02 03:04 UTC",
    "command": "python bench/run.py",
}


def figures(per_second: float, count: int = 8, first: int = 0, **more: float) -> dict[str, Any]:
    """A row as it is stored: the same figures in every round."""
    one = {"per_second": per_second, "cpu_us": 1e6 / per_second, "spare": 0.5, "octets_in": 34.0}
    one |= {"p50_us": 1.0, "p99_us": 2.0, "p999_us": 3.0, **more}
    return {"round": list(range(first, first + count))} | {
        name: [value] * count for name, value in one.items()
    }


def part(results: dict[str, Any]) -> dict[str, Any]:
    setup = {"setup": "as it is", "versions": None, "nodelay": True, "extensions": "none"}
    names = {name for rows in results.values() for name in rows}
    setups = dict.fromkeys(sorted(names), setup)
    return {
        "machine": MACHINE,
        "seconds": 0.3,
        "setups": setups,
        "notes": ["b: x: a note"],
        "results": results,
    }


def verdicts(results: dict[str, Any], scenario: str, row: str) -> list[Any]:
    import targets

    found = targets.judge({"servers": part(results)})
    return [one for one in found if (one.target.scenario, one.target.row) == (scenario, row)]


def test_a_ratio_at_the_target_is_met_and_one_below_is_missed() -> None:
    rows = {RAW: figures(1000), CALLBACK: figures(950), PICOWS: figures(700)}
    raw, picows = verdicts({"b": rows}, "b", CALLBACK)
    assert (raw.met, raw.versus, raw.found.value) == (True, RAW, pytest.approx(0.95))
    assert (picows.met, picows.versus) == (False, PICOWS)
    assert picows.is_certain


def test_the_fastest_of_several_peers_counts() -> None:
    rows = {
        COROUTINE: figures(600),
        "websockets": figures(100),
        "websockets (uvloop)": figures(101),
    }
    _, websockets = verdicts({"b": rows}, "b", COROUTINE)
    assert websockets.versus == "websockets (uvloop)"
    assert websockets.met is False


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    found = verdicts({"b": {CALLBACK: figures(950)}}, "b", CALLBACK)
    assert [one.met for one in found] == [None, None]


def test_memory_has_to_be_below() -> None:
    [found] = verdicts({"g": {CALLBACK: figures(1, kb=0.6)}}, "g", CALLBACK)
    assert found.met is True
    [found] = verdicts({"g": {CALLBACK: figures(1, kb=0.61)}}, "g", CALLBACK)
    assert found.met is False


def test_cpu_counts_where_a_message_is_large() -> None:
    rows = {CALLBACK: figures(1, cpu_us=100), PICOWS: figures(9, cpu_us=150)}
    [found] = verdicts({"e": rows}, "e", CALLBACK)
    assert found.found.value == pytest.approx(1.5)
    assert found.met is True


def test_compression_is_compared_at_an_equal_ratio_or_a_better_one() -> None:
    level = "duologue callback (duologue, level 5)"
    rows = {
        CALLBACK: figures(300, octets_in=400),
        level: figures(200, octets_in=299),
        "bun": figures(100, octets_in=400),
        "websockets": figures(101, octets_in=300),
    }
    found = {one.versus: one for one in verdicts({"deflate": rows}, "deflate", CALLBACK)}
    assert (found["bun"].row, found["bun"].met) == (CALLBACK, True)
    assert (found["websockets"].row, found["websockets"].met) == (level, False)


def test_only_common_rounds_are_compared() -> None:
    rows = {RAW: figures(1000, count=4), CALLBACK: figures(950, count=8)}
    found = verdicts({"b": rows}, "b", CALLBACK)[0]
    assert found.found.count == 4
    rows[CALLBACK] = figures(950, first=100)
    assert verdicts({"b": rows}, "b", CALLBACK)[0].met is None


def test_growth() -> None:
    import targets

    sizes = {"100": figures(1, cpu_us=5.0), "10000": figures(1, cpu_us=7.6)}
    growth = {"results": {CALLBACK: sizes}}
    [found] = [one for one in targets.judge({"growth": growth}) if one.found]
    assert (found.found.value, found.met) == (pytest.approx(1.52), False)


def test_what_is_stored_is_what_was_measured() -> None:
    import parts

    rounds = [{"round": n, "per_second": 1.5 * n, "mode": "echo"} for n in range(3)]
    stored = parts.pack({"b": {RAW: rounds}})
    for one in rounds:
        del one["mode"]
    assert parts.unpack(stored) == {"b": {RAW: rounds}}


def test_published_files(tmp_path: Path) -> None:
    import json

    import publish

    rows = {RAW: figures(1000), CALLBACK: figures(950), PICOWS: figures(700)}
    found = {
        "servers": part({"b": rows}),
        "clients": part({"feed": {"duologue (duologue)": figures(300), PICOWS: figures(123)}}),
        "growth": part({CALLBACK: {"100": figures(7, cpu_us=5), "10000": figures(7, cpu_us=6)}})
        | {"memory": {CALLBACK: {"100": [0.25, 0.75], "10000": [0.5]}}},
        "many": {
            "machine": MACHINE,
            "descriptors": 20000,
            "notes": [],
            "results": {
                CALLBACK: {
                    "connections": 100000,
                    "processes": 6,
                    "tcp_sockets": 200000,
                    "kb": 0.61,
                    "seconds_to_open": 12.5,
                    "seconds_to_use_all": 3.5,
                    "kernel_kb": {"Slab": 9.75},
                }
            },
        },
        "counts": {
            "machine": MACHINE,
            "notes": [],
            "counted": ["allocations/message"],
            "results": {CALLBACK: {"allocations/message": 1.25}},
        },
        "agreement": part(
            {
                "b": {
                    "websockets": {
                        "generator": figures(500, busy=0.99),
                        "second": figures(489, busy=0.98),
                    },
                    "bun": {"generator": figures(500, busy=0.99), "second": figures(400, busy=0.5)},
                    "granian": {
                        "generator": figures(500, busy=0.99),
                        "second": figures(400, busy=0.99),
                    },
                }
            }
        ),
    }
    page, data, svg = (
        {path.suffix: path for path in publish.publish(found, "day", tmp_path)}[suffix]
        for suffix in (".md", ".json", ".svg")
    )
    assert json.loads(data.read_text()) == found
    text = page.read_text()
    assert "3 met, 1 missed" in text
    for row in (
        f"| {CALLBACK} | 100,000 | 6 | 0.61 | 9.75 | 12.50 | 3.50 |",
        f"| {CALLBACK} | 1.25 |",
        f"| {CALLBACK} | – | – | 5.00 (5.00–5.00) | – | 6.00 (6.00–6.00) | 1.20 (1.20–1.20) |",
        f"| {CALLBACK} | 0.50 (0.25–0.75) | – | 0.50 (0.50–0.50) |",
        "| duologue (duologue) | 300 (300–300) | 2.44 (2.44–2.44) |",
    ):
        assert row in text
    verdicts = {
        line.split(" | ")[1]: line.split(" | ")[-1]
        for line in text.splitlines()
        if line.startswith("| b | ")
    }
    assert verdicts == {
        "websockets": "agree |",
        "bun": "the server is not the limit |",
        "granian": "**differ** |",
    }
    assert "**missed**" in text
    assert "0.95 (0.95–0.95)" in text
    assert "- b: x: a note" in text
    assert "python bench/run.py" in text
    root = ElementTree.fromstring(svg.read_text())
    words = [element.text for element in root.iter() if element.text]
    assert "duologue, callback" in words
    bars = [element for element in root.iter() if element.tag.endswith("rect")]
    assert [float(bar.attrib["width"]) for bar in bars] == [180.5, 133.0]

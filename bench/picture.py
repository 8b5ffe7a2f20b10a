"""Draws the README's picture from published figures: plain SVG, for light and dark backgrounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from intervals import estimate
from parts import Results, Rounds
from peers import PICOWS, RAW, SERVERS_BY_NAME
from report import speed, speed_ratio
from scenarios import SCENARIOS
from targets import CALLBACK, COROUTINE

#: A panel for each, two in a row.
PANELS = {
    "b": "100 connections, ping-pong, 32 B",
    "c": "100 connections, 16 in flight, 32 B",
    "d": "10 connections, 16 KiB",
    "f": "1000 connections, 128 B",
}
#: Rows, with the words of the picture.
ROWS = {
    CALLBACK: "duologue, callback",
    COROUTINE: "duologue, coroutine",
    PICOWS: "picows (uvloop)",
    "socketify": "socketify (µWebSockets)",
    "bun": "bun",
    "node ws": "Node.js ws",
    "aiohttp (uvloop)": "aiohttp (uvloop)",
    "websockets (uvloop)": "websockets (uvloop)",
    "uvicorn websockets-sansio": "uvicorn (uvloop)",
}
LABEL, BAR, VALUE, ROW, HEAD, GAP = 165, 190, 60, 20, 34, 26
#: Bars end there, and figures stand behind it.
MOST = 1.2

#: Colours with enough contrast on white and on black: a picture does not know what is behind it.
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #6e7681; }
  .title { font-weight: 600; }
  .note { font-size: 11px; }
  .ours { fill: #2f81f7; }
  .peer { fill: #8c959f; }
  .limit { stroke: #e5534b; stroke-dasharray: 3 3; }
"""


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{style}>{escape(words)}</text>'


def _count(value: float) -> str:
    return f"{value / 1e6:.2f} M/s" if value >= 1e6 else f"{value / 1e3:.0f} k/s"


def panel(key: str, rows: Mapping[str, Rounds], names: Sequence[str]) -> list[str]:
    """Return one scenario's bars, at the origin; a full bar is what raw epoll does."""
    scenario = SCENARIOS[key]
    ratios = {name: speed_ratio(scenario, rows[name], rows[RAW]) for name in names}
    largest = max((found.value for found in ratios.values() if found), default=1)
    full = BAR * MOST / max(MOST, largest)
    parts = [_text(0, 14, PANELS[key], "title")]
    for at, (name, found) in enumerate(ratios.items()):
        y = HEAD + at * ROW
        parts.append(_text(LABEL - 8, y + 11, ROWS[name], anchor="end"))
        if found is None:
            continue
        kind = "ours" if SERVERS_BY_NAME[name].ours else "peer"
        parts.append(
            f'<rect x="{LABEL}" y="{y}" width="{full * found.value:.1f}" height="{ROW - 6}" '
            f'rx="2" class="{kind}"/>'
        )
        median = estimate(speed(scenario, rows[name])).value
        parts.append(_text(LABEL + MOST * BAR + VALUE, y + 11, _count(median), "note", "end"))
    x, bottom = round(LABEL + full, 1), HEAD + len(names) * ROW
    parts.append(f'<line x1="{x}" x2="{x}" y1="{HEAD - 8}" y2="{bottom}" class="limit"/>')
    return parts


def picture(results: Results, facts: Mapping[str, str]) -> str:
    """Return the SVG.

    Args:
        results: what was measured of the servers.
        facts: the machine, for the line below.
    """
    keys = [key for key in PANELS if RAW in results.get(key, {})]
    names = [name for name in ROWS if all(results[key].get(name) for key in keys)]
    wide, high = LABEL + MOST * BAR + VALUE, HEAD + len(names) * ROW + GAP
    lines = (len(keys) + 1) // 2
    width, height = round(2 * wide) + 40, lines * high + 44
    note = (
        "Messages per second of one core. Dashed: a C server that does nothing but epoll, recv and"
        " send."
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" '
        'aria-label="Messages per second of WebSocket servers">',
        f"<style>{STYLE}</style>",
    ]
    for at, key in enumerate(keys):
        x, y = 10 + at % 2 * (wide + 20), 8 + at // 2 * high
        parts.append(f'<g transform="translate({x:g} {y:g})">')
        parts += panel(key, results[key], names)
        parts.append("</g>")
    parts.append(_text(10, height - 26, note, "note"))
    machine = f"{facts['processor']}; {facts['kernel']}; {facts['python']}; {facts['date']}"
    parts.append(_text(10, height - 10, machine, "note"))
    return "\n".join([*parts, "</svg>"]) + "\n"

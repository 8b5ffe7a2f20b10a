"""What a load test has found, as lines of text and as JSON values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from duologue.cli.bench.counts import Counts
from duologue.cli.bench.crew import Progress, Result
from duologue.cli.bench.histogram import Histogram
from duologue.cli.bench.plan import Plan
from duologue.cli.terminal import escape

__all__ = ["PERCENTILES", "as_json", "picture", "progress_line", "title"]

PERCENTILES = (50.0, 75.0, 90.0, 99.0, 99.9, 99.99)
"""Percentiles of latency that are shown."""

_WIDTH = 40
_ROWS = 12
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_ERRORS = {
    "different": "answers that are not what was sent",
    "disordered": "answers out of order",
    "unasked": "messages that answer nothing",
    "unanswered": "messages without an answer",
    "lost": "connections lost",
    "failed": "connections not opened",
}


def title(plan: Plan, processes: int) -> str:
    """Returns what is being done.

    Args:
        plan: What all processes do together.
        processes: How many there are.
    """
    size = plan.size if plan.payload is None else len(plan.payload)
    if plan.rate is None:
        loop = f"closed loop with {plan.in_flight} in flight"
    else:
        loop = f"open loop of {plan.rate:,.10g} messages/s"
    parts = [f"{plan.connections:,} connection{_s(plan.connections)}", loop]
    if plan.messages is not None:
        parts.append(f"{plan.messages:,} messages")
    if plan.duration is not None:
        parts.append(f"{plan.duration:g} s")
    parts.append(f"{size:,} bytes of {'text' if plan.text else 'binary'}")
    if processes > 1:
        parts.append(f"{processes} processes")
    return ", ".join(parts)


def progress_line(progress: Progress) -> str:
    """Returns how it goes, in one line.

    Args:
        progress: How it goes.
    """
    counts = progress.counts
    parts = [f"{progress.phase} {progress.seconds:5.1f} s", f"{counts.open:,} open"]
    if progress.phase != "connecting":
        parts.append(f"{progress.rate:,.0f} messages/s")
        if progress.recent.count:
            median, high = progress.recent.percentile(50), progress.recent.percentile(99)
            parts.append(f"median {duration(median)}, 99 % {duration(high)}")
    if counts.errors:
        parts.append(f"{counts.errors:,} errors")
    return "  ".join(parts)


def picture(plan: Plan, result: Result, *, unicode: bool) -> Iterator[str]:
    """Iterates over the lines that say what was found.

    Args:
        plan: What was done.
        result: What was found.
        unicode: Whether block elements can be shown.
    """
    for line in _picture(plan, result, unicode):
        yield line if unicode else line.replace("µ", "u").replace("–", "-")


def _picture(plan: Plan, result: Result, unicode: bool) -> Iterator[str]:
    counts, latency = result.counts, result.counts.latency
    if result.interrupted:
        yield "ended early"
    size = plan.size if plan.payload is None else len(plan.payload)
    octets = f"{result.rate * size / 1e6:,.2f} MB/s each way"
    yield (
        f"messages     {counts.answered:,} answered in {result.seconds:.2f} s: "
        f"{result.rate:,.0f}/s, {octets}"
    )
    if counts.opening.count:
        opening = counts.opening
        yield (
            f"connections  {opening.count:,} opened, in {duration(opening.percentile(50))} median "
            f"and {duration(opening.most)} at most"
        )
    if plan.rate is not None and counts.lateness.count:
        late = counts.lateness
        yield (
            f"schedule     sent {duration(late.percentile(50))} late in the median, "
            f"{duration(late.percentile(99))} at 99 %, {duration(late.most)} at most"
        )
        if counts.unsent:
            yield f"             {counts.unsent:,} messages could not be sent in time at all"
    if latency.count:
        yield from _latency(latency, unicode)
    yield ""
    yield from _errors(counts, result)


def _latency(latency: Histogram, unicode: bool) -> Iterator[str]:
    yield (
        f"latency      {duration(latency.least)} least, {duration(latency.mean)} mean, "
        f"{duration(latency.most)} most"
    )
    yield ""
    values = [(f"{percent:g} %", latency.percentile(percent)) for percent in PERCENTILES]
    values.append(("100 %", latency.most))
    longest = max(latency.most, 1)
    for name, value in values:
        bar = _bar(value / longest, unicode)
        yield f"  {name:>9}  {duration(value):>10}  {bar}".rstrip()
    yield ""
    edges = _edges(latency)
    shares = list(latency.shares(edges))
    largest = max(shares)
    for low, high, share in zip(edges, edges[1:], shares, strict=False):
        bar = _bar(share / largest if largest else 0, unicode)
        span = f"{duration(low):>9} – {duration(high):<9}"
        yield f"  {span}  {share:6.1%}  {bar}".rstrip()


def _edges(latency: Histogram) -> list[int]:
    """Returns rising edges that all durations lie between, each the same multiple of the last."""
    low = max(latency.least, 1)
    high = max(latency.most + 1, low + 1)
    rows = min(_ROWS, max(1, math.ceil(math.log2(high / low) * 2)))
    factor = (high / low) ** (1 / rows)
    edges = [round(low * factor**row) for row in range(rows + 1)]
    edges[0], edges[-1] = 0 if latency.least == 0 else low, high
    return sorted(set(edges)) if len(set(edges)) > 1 else [low, high]


def _bar(share: float, unicode: bool) -> str:
    if not unicode:
        return "#" * round(share * _WIDTH)
    whole, part = divmod(round(share * _WIDTH * 8), 8)
    return "█" * whole + _EIGHTHS[part].strip()


def _errors(counts: Counts, result: Result) -> Iterator[str]:
    found = [(getattr(counts, name), text) for name, text in _ERRORS.items()]
    if result.died:
        found.append((result.died, "processes that died"))
    if not any(number for number, _ in found):
        yield "errors       none; every answer was compared with what was sent"
        return
    yield f"errors       {counts.errors + result.died:,}"
    for number, text in found:
        if number:
            yield f"  {number:>9,}  {text}"
    for example in counts.examples:
        yield f"  such as: {escape(example)}"


def as_json(plan: Plan, processes: int, result: Result) -> dict[str, Any]:
    """Returns what was done and found as JSON values; times are in seconds.

    Args:
        plan: What was done.
        processes: By how many processes.
        result: What was found.
    """
    counts = result.counts
    return {
        "url": plan.way.shown,
        "plan": {
            "connections": plan.connections,
            "processes": processes,
            "duration": plan.duration,
            "messages": plan.messages,
            "size": plan.size if plan.payload is None else len(plan.payload),
            "text": plan.text,
            "loop": "closed" if plan.rate is None else "open",
            "in_flight": plan.in_flight if plan.rate is None else None,
            "rate": plan.rate,
            "warm_up": plan.warm_up,
            "ramp": plan.ramp,
        },
        "interrupted": result.interrupted,
        "seconds": result.seconds,
        "messages_per_second": result.rate,
        "over_time": result.rates,
        "sent": counts.sent,
        "answered": counts.answered,
        "unsent": counts.unsent,
        "latency": _as_json(counts.latency),
        "lateness": _as_json(counts.lateness) if plan.rate is not None else None,
        "opening": _as_json(counts.opening),
        "errors": {name: getattr(counts, name) for name in _ERRORS}
        | {"died": result.died, "total": counts.errors + result.died},
        "examples": counts.examples,
    }


def _as_json(histogram: Histogram) -> dict[str, Any]:
    return {
        "count": histogram.count,
        "min": histogram.least / 1e9,
        "mean": histogram.mean / 1e9,
        "max": histogram.most / 1e9,
        "percentiles": {
            f"{percent:g}": histogram.percentile(percent) / 1e9 for percent in PERCENTILES
        },
    }


def duration(nanoseconds: float) -> str:
    """Returns a duration with three digits or so, and its unit.

    Args:
        nanoseconds: The duration.
    """
    for size, unit in ((1e9, "s"), (1e6, "ms")):
        if nanoseconds >= size:
            return (
                f"{nanoseconds / size:.3g} {unit}"
                if nanoseconds < 1000 * size
                else (f"{nanoseconds / size:.0f} {unit}")
            )
    return f"{nanoseconds / 1e3:.3g} µs"


def _s(number: int) -> str:
    return "" if number == 1 else "s"

"""A check on a terminal or in a pipe: a line for each finding, then what to change."""

from __future__ import annotations

import json
from collections.abc import Iterator

from duologue.cli.check.advice import advise
from duologue.cli.check.findings import Finding, Report, Verdict
from duologue.cli.check.plan import Plan
from duologue.cli.check.snippets import SERVERS
from duologue.cli.terminal import escape

__all__ = ["announce", "as_json", "ending", "line"]

_COLOURS = {Verdict.OK: "32", Verdict.NOTE: "33", Verdict.PROBLEM: "1;31"}


def announce(plan: Plan) -> str:
    """Returns what is said first: what the endpoint will be sent.

    Args:
        plan: What is checked.
    """
    parts = ["handshakes", "pings", "one plain GET"]
    if plan.messages:
        parts.append(
            "a short text and, if that is echoed, texts of up to "
            f"{plan.max_message:,} bytes (--no-messages sends none)"
        )
    if plan.idle is not None:
        parts.append(f"nothing for {plan.idle:g} s")
    return f"checking {escape(plan.url)}; it is sent {', '.join(parts)}"


def line(finding: Finding, *, colours: bool = False) -> str:
    """Returns a finding as a line.

    Args:
        finding: The finding.
        colours: Whether to colour the verdict as terminals do.
    """
    verdict = f"{finding.verdict.value:<8}"
    if colours:
        verdict = f"\x1b[{_COLOURS[finding.verdict]}m{verdict}\x1b[0m"
    return f"{verdict} {finding.step:<13} {_time(finding.seconds):>9}  {escape(finding.text)}"


def ending(report: Report) -> Iterator[str]:
    """Iterates over the lines that come last: the result, what was sent, what to change.

    Args:
        report: What was found.
    """
    problems, notes = report.count(Verdict.PROBLEM), report.count(Verdict.NOTE)
    yield ""
    yield f"{_count(problems, 'problem')}, {_count(notes, 'note')}. Sent: {report.sent}."
    for advice in advise(report):
        yield ""
        yield f"{advice.topic}: {advice.text}"
        for snippet in advice.snippets:
            yield ""
            yield f"  {SERVERS[snippet.server]}: {snippet.why}"
            yield ""
            yield from (f"    {code}".rstrip() for code in snippet.code.splitlines())


def as_json(report: Report) -> str:
    """Returns everything as one JSON object, see ``docs/howto/check-an-endpoint.md``.

    Args:
        report: What was found.
    """
    advice = [
        {
            "topic": advice.topic,
            "text": advice.text,
            "snippets": {snippet.server: snippet.code for snippet in advice.snippets},
        }
        for advice in advise(report)
    ]
    return json.dumps({**report.as_json(), "advice": advice}, indent=2)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

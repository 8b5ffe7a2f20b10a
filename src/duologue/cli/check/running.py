"""The run of a check, from its arguments to the exit code."""

from __future__ import annotations

import argparse
import os
import sys

from duologue.cli.check import show, visit
from duologue.cli.check.arguments import make_plan
from duologue.cli.check.findings import Finding, Report
from duologue.cli.check.plan import Plan
from duologue.cli.terminal import has_colours, say
from duologue.exceptions import InvalidProxy, InvalidURI

__all__ = ["run"]


def run(arguments: argparse.Namespace) -> int:
    """Checks an endpoint and prints what is found.

    Args:
        arguments: As :func:`duologue.cli.check.add_arguments` declares them, and the
            connection's.

    Returns:
        The exit code.

    Raises:
        Failure: If a file that an option names can't be used.
        SystemExit: With code 2 if an option has a value that it can't have.
    """
    try:
        plan = make_plan(arguments)
    except (InvalidURI, InvalidProxy, ValueError) as error:
        arguments.parser.error(str(error))
    if arguments.json:
        report = Report(plan.url)
        _visit(plan, report)
        say(show.as_json(report))
        return report.exit_code
    colours = has_colours(sys.stdout, os.environ)

    def tell(finding: Finding) -> None:
        say(show.line(finding, colours=colours))

    report = Report(plan.url, tell)
    say(show.announce(plan))
    _visit(plan, report)
    for text in show.ending(report):
        say(text)
    return report.exit_code


def _visit(plan: Plan, report: Report) -> None:
    try:
        visit.run(plan, report)
    except KeyboardInterrupt:
        report.problem("check", "interrupted: the rest was not looked at")

"""``duologue bench URL``: a load test of an endpoint that echoes.

Closed loop: each connection has so many messages in flight, and an answer is answered with the next
message. Open loop (``--rate``): messages are due at fixed times, and latencies begin then.

Exit codes: 0 every message was answered and every answer was right, 1 not so or nothing to measure,
2 wrong usage. Ctrl-C ends the test early and prints what there is.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from duologue.cli.bench import arguments as declared
from duologue.cli.bench.crew import Crew, Progress, Result
from duologue.cli.bench.picture import as_json, picture, progress_line, title
from duologue.cli.bench.plan import Plan
from duologue.cli.bench.probing import Probe, probe
from duologue.cli.failure import Failure, system_text
from duologue.cli.terminal import at_terminal, escape, say, write
from duologue.exceptions import InvalidProxy, InvalidURI

__all__ = ["add_parser", "run"]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares the arguments of the subcommand.

    Args:
        subparsers: What to add its parser to.
    """
    parser = subparsers.add_parser(
        "bench",
        help="load a server that echoes, and measure it",
        description=declared.DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    declared.declare(parser)
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs a load test.

    Args:
        arguments: As :func:`add_parser` declares them.

    Returns:
        The exit code.

    Raises:
        Failure: If there is nothing to measure, or a file can't be used.
        SystemExit: With code 2 if the arguments are wrong.
    """
    parser: argparse.ArgumentParser = arguments.parser
    try:
        plan = declared.make_plan(arguments)
        processes = min(arguments.processes, plan.connections)
        _check_writable(arguments.json)
        quiet = arguments.json == "-"
        found = probe(plan)
    except (InvalidURI, InvalidProxy, ValueError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        raise Failure("interrupted") from None
    plan = replace(plan, greetings=found.greetings)
    if not quiet:
        _introduce(plan, processes, found)
    try:
        with _Line(quiet) as line:
            result = Crew(plan, processes, line.show).run()
    except KeyboardInterrupt:
        raise Failure("interrupted") from None
    if arguments.json is not None:
        _write_json(arguments.json, as_json(plan, processes, result))
    if not quiet:
        encoding = getattr(sys.stdout, "encoding", None) or ""
        for text in picture(plan, result, unicode=encoding.lower().startswith("utf")):
            say(text)
    return _exit_code(result)


def _introduce(plan: Plan, processes: int, found: Probe) -> None:
    say(f"{escape(plan.way.shown)}: {title(plan, processes)}")
    if found.server or found.extensions:
        parts = [found.server or "a server without a name", found.extensions]
        say(f"served by {escape('; '.join(part for part in parts if part))}")
    if found.greetings:
        plural = "s" if found.greetings > 1 else ""
        say(f"it greets each connection with {found.greetings} message{plural}, left out")


def _exit_code(result: Result) -> int:
    return 1 if result.counts.errors or result.died or not result.counts.answered else 0


def _check_writable(place: str | None) -> None:
    """Finds out before the test whether its result can be written after it."""
    if place is not None and place != "-":
        try:
            open(place, "a").close()
        except OSError as error:
            raise Failure(f"cannot write {place}: {system_text(error)}") from error


def _write_json(place: str, values: object) -> None:
    text = json.dumps(values, indent=2)
    if place == "-":
        say(text)
        return
    try:
        Path(place).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise Failure(f"cannot write {place}: {system_text(error)}") from error


class _Line:
    """A line on standard error that is written anew while the test goes on, if anybody looks."""

    def __init__(self, quiet: bool) -> None:
        self._shown = at_terminal(sys.stderr) and not quiet
        self._length = 0

    def show(self, progress: Progress) -> None:
        """Shows how it goes."""
        if self._shown:
            columns = shutil.get_terminal_size().columns
            text = progress_line(progress)[: columns - 1]
            write(sys.stderr, f"\r{text:<{self._length}}")
            self._length = len(text)

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._length:
            write(sys.stderr, f"\r{'':<{self._length}}\r")

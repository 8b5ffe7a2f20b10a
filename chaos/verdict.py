"""What a run says in the end, also when it is interrupted, and how to repeat it.

Must never know what is judged.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable

import duologue

MOST_LINES = 20
WELL, WRONG, INTERRUPTED = 0, 1, 130


def options(module: str, about: str) -> argparse.ArgumentParser:
    """Make a parser of the options that all runs have; ``make`` hands them over in variables.

    Args:
        module: to be run by ``python -m``.
        about: what it does, in one line.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    parser.add_argument(
        "--seconds",
        type=float,
        default=float(os.environ.get("SOAK_SECONDS", "600")),
        help="how long (SOAK_SECONDS, 600 by default)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=int(os.environ.get("SOAK_SEED", "1")),
        help="where all chance comes from (SOAK_SEED, 1 by default)",
    )
    return parser


class Verdict:
    """What is wrong, and what was done.

    Args:
        module: that is run.
        chosen: its options, which repeat it.

    Attributes:
        wrong: one line each.
        interrupted: whether it did not come to its end.
    """

    def __init__(self, module: str, chosen: argparse.Namespace) -> None:
        named = [f"--{name}={value}" for name, value in vars(chosen).items() if value]
        self.again = shlex.join(["python", "-m", module, *named])
        self.wrong: list[str] = []
        self.interrupted = False
        self._figures: list[tuple[str, Callable[[], object]]] = []

    def figure(self, name: str, value: Callable[[], object]) -> None:
        """Have a figure told in the end, whatever happens until then."""
        self._figures.append((name, value))

    def conclude(self) -> int:
        """Print figures and verdict; return the exit code."""
        for name, value in self._figures:
            print(f"{name:26} {value()}")
        for line in self.wrong[:MOST_LINES]:
            print(f"WRONG  {line}")
        if len(self.wrong) > MOST_LINES:
            print(f"WRONG  and {len(self.wrong) - MOST_LINES} more")
        if self.interrupted:
            print("interrupted: what is above is what was done until then")
        else:
            print("wrong" if self.wrong else "all is well")
        if self.wrong or self.interrupted:
            print(f"again: {self.again}", flush=True)
        if self.wrong:
            return WRONG
        return INTERRUPTED if self.interrupted else WELL


def judge(verdict: Verdict, work: Callable[[], Awaitable[None]]) -> int:
    """Do the work, cancelled by SIGINT and SIGTERM, and conclude.

    Returns:
        The exit code: 0 if all is well, 1 if something is wrong, 130 if it was interrupted before.
    """

    async def main() -> None:
        task = asyncio.ensure_future(work())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task
        verdict.interrupted = task.cancelled()

    # Lines are of use when they come, not when a pipe's buffer is full.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    try:
        duologue.run(main())
    except Exception as exc:
        verdict.wrong.append(f"the run itself failed: {exc!r}")
        verdict.conclude()
        raise
    return verdict.conclude()

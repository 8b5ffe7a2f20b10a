"""Where the command line begins: finds the subcommand, and turns its failure into an exit code.

It must never know what a subcommand does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from duologue.cli import connect, demo, serve
from duologue.cli.failure import Failure
from duologue.cli.terminal import complain, prepare_streams
from duologue.version import version

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="duologue",
        description="WebSocket client, servers and demo.",
        epilog="A URL instead of a command connects to it: duologue ws://localhost:8000/",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"duologue {version}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (connect, serve, demo):
        module.add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the ``duologue`` command.

    Args:
        argv: The arguments after the program's name; by default those of the process.

    Returns:
        The exit code, see :mod:`duologue.cli`.

    Raises:
        SystemExit: With code 2 if the arguments are wrong, 0 after ``--help`` or ``--version``.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0].lower().startswith(("ws:", "wss:")):
        words.insert(0, "connect")
    prepare_streams()
    arguments = _parser().parse_args(words)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except Failure as failure:
        complain(str(failure))
        return 1

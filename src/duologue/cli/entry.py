"""Where the command line begins: finds the subcommand, and turns its failure into an exit code.

It must never know what a subcommand does. Only the module of the one that is wanted is imported, so
that one is not slow because another is large.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence

from duologue.cli.failure import Failure
from duologue.cli.terminal import complain, prepare_streams
from duologue.version import version

__all__ = ["main"]


_COMMANDS = ("connect", "serve", "run", "demo", "bench")


def _parser(commands: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="duologue",
        description="WebSocket client, servers and demo.",
        epilog="A URL instead of a command connects to it: duologue ws://localhost:8000/ -v",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"duologue {version}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in commands:
        importlib.import_module(f"duologue.cli.{command}").add_parser(subparsers)
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
    if _is_bare(words):
        words.insert(0, "connect")
    prepare_streams()
    wanted = [command for command in _COMMANDS if words[:1] == [command]]
    arguments = _parser(wanted or _COMMANDS).parse_args(words)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except Failure as failure:
        complain(str(failure))
        return 1


def _is_bare(words: Sequence[str]) -> bool:
    """Tells whether arguments begin with a URL, or with options and have one among them."""
    urls = [word.lower().startswith(("ws:", "wss:")) for word in words]
    return any(urls) and (urls[0] or words[0].startswith("-"))

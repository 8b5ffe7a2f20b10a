"""``duologue connect --check URL``: a doctor for any WebSocket endpoint.

It opens a handful of connections, looks at one thing after the other, and prints a line for each:
ok, note (may be wanted) or problem. What to change comes last.

Invariants: it is harmless, so every loop has a bound (:mod:`duologue.cli.check.plan`) and what it
sends says where it comes from; credentials never go to a server whose certificate was refused.

Exit codes: 0 nothing is wrong (there may be notes), 1 there are problems, 2 wrong usage.
"""

from __future__ import annotations

import argparse

from duologue.cli import values
from duologue.cli.check.plan import IDLE, MAX_MESSAGE, PATIENCE, PINGS

__all__ = ["add_arguments", "run", "wanted"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments of a check beside those of a connection.

    Args:
        parser: What to add them to. It must have ``url`` and the connection's options
            (``header``, ``origin``, ``subprotocol``, ``insecure``, ``ca``, ``cert``, ``key``,
            ``auth``, ``proxy``).
    """
    group = parser.add_argument_group(
        "check", "Look at what the endpoint can do, instead of talking to it."
    )
    group.add_argument(
        "--check", action="store_true", help="check the endpoint; 1 is returned for problems"
    )
    group.add_argument(
        "--idle",
        type=values.seconds,
        nargs="?",
        const=IDLE,
        metavar="SECONDS",
        help=f"with --check: also see whether silence is survived ({IDLE:g} s)",
    )
    group.add_argument(
        "--max-message",
        type=values.count,
        metavar="BYTES",
        help=f"with --check: longest message to try (default: {MAX_MESSAGE})",
    )
    group.add_argument(
        "--pings",
        type=values.count,
        metavar="N",
        help=f"with --check: pings to time (default: {PINGS})",
    )
    group.add_argument(
        "--patience",
        type=values.seconds,
        metavar="SECONDS",
        help=f"with --check: time to wait for each answer (default: {PATIENCE:g})",
    )
    group.add_argument(
        "--no-messages",
        action="store_true",
        help="with --check: send no text messages, only pings",
    )
    group.add_argument(
        "--json", action="store_true", help="with --check: print one JSON object instead of lines"
    )


def wanted(arguments: argparse.Namespace) -> bool:
    """Tells whether a check is asked for.

    Args:
        arguments: As :func:`add_arguments` declares them.

    Raises:
        SystemExit: With code 2 if options of a check are given without it.
    """
    if arguments.check:
        return True
    for name in ("idle", "max_message", "pings", "patience", "no_messages", "json"):
        if getattr(arguments, name):
            arguments.parser.error(f"--{name.replace('_', '-')} needs --check")
    return False


def run(arguments: argparse.Namespace) -> int:
    """Checks an endpoint and prints what is found.

    Args:
        arguments: As :func:`add_arguments` declares them, and the connection's.

    Returns:
        The exit code.

    Raises:
        Failure: If a file that an option names can't be used.
        SystemExit: With code 2 if an option has a value that it can't have.
    """
    # Whoever wants to talk shouldn't wait until a doctor is loaded.
    from duologue.cli.check import running

    return running.run(arguments)

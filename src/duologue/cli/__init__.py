"""The ``duologue`` command: one module a subcommand, and a few small ones that they share.

A subcommand's module has ``add_parser(subparsers)``, which declares its arguments, and
``run(arguments)``, which does its work and returns the exit code. What the user must read goes to
standard error if it is about a failure, to standard output if it is what was asked for.

Exit codes: 0 success, 1 the thing could not be done (one line says why), 2 wrong usage, and
3 for a connection that was opened but ended abnormally.
"""

from __future__ import annotations

from duologue.cli.entry import main

__all__ = ["main"]

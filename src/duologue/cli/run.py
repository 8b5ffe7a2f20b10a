"""``duologue run``: any program as a WebSocket server, with the options of websocketd.

Its command line is Go's, not argparse's, so the words pass through as they are.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import ssl
import sys

from duologue.cli.failure import Failure
from duologue.cli.terminal import say, write
from duologue.frontends import websocketd
from duologue.net.loops import new_event_loop
from duologue.net.signals import stop_requested

__all__ = ["add_parser", "run"]

CANNOT_LISTEN = 3
CONSOLE_CONFLICT = 4


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares the arguments of the subcommand.

    Args:
        subparsers: What to add its parser to.
    """
    parser = subparsers.add_parser(
        "run",
        help="serve any program that reads and writes lines, as websocketd does",
        add_help=False,
        # Whatever begins with a hyphen is for us to read, not for argparse.
        prefix_chars="\0",
    )
    parser.add_argument("words", nargs=argparse.REMAINDER)
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Serves until a signal comes.

    Args:
        arguments: With ``words``, the command line.

    Returns:
        The exit code: websocketd's.

    Raises:
        Failure: If this system has no way to run programs so.
    """
    try:
        config = websocketd.read(arguments.words)
    except websocketd.Stop as stop:
        write(sys.stdout, stop.output)
        write(sys.stderr, stop.errors)
        return stop.code
    if os.name != "posix":
        raise Failure("duologue run needs a POSIX system")
    log = websocketd.Log(config.log_level, say)
    if config.dev_console and (config.static_dir or config.cgi_dir):
        option = "--staticdir" if config.static_dir else "--cgidir"
        log(
            "fatal",
            "server",
            f"Invalid parameters: --devconsole cannot be used with {option}. Pick one.",
        )
        return CONSOLE_CONFLICT
    records = websocketd.Records(log)
    logging.getLogger().addHandler(records)
    try:
        with asyncio.Runner(loop_factory=_new_event_loop) as runner:
            runner.run(_serve(config, log))
    except (websocketd.CannotListen, ssl.SSLError, OSError) as error:
        log("fatal", "server", f"Can't start server: {error}")
        return CANNOT_LISTEN
    finally:
        logging.getLogger().removeHandler(records)
    return 0


def _new_event_loop() -> asyncio.AbstractEventLoop:
    # Whoever we wait for runs on this machine, and needs the processor more than we to look.
    return new_event_loop(busy_poll=0.0)


async def _serve(config: websocketd.Config, log: websocketd.Log) -> None:
    with stop_requested() as stop:
        await websocketd.run(config, log, stop)

"""``duologue connect``: a conversation between a person, or a pipe, and a server.

At a terminal the line is edited, with a history; in a pipe each line is a message. What arrives is
printed, and how it ended is told on standard error.

========================  =========================================================
module                    what it knows
========================  =========================================================
``options``, ``opening``  arguments, and the connections that they ask for
``entries``, ``commands``  what is typed or piped, read into values
``editor``, ``history``   the line that is edited, and what was entered before
``screen``, ``traffic``   what is shown, and where
``talk``                  the conversation, which none of the others knows
========================  =========================================================
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator

from duologue.cli import check
from duologue.cli.connect import options
from duologue.cli.connect.commands import Command
from duologue.cli.connect.entries import blocks, piped, read_all, typed_texts
from duologue.cli.connect.history import History, location
from duologue.cli.connect.opening import Connector, make
from duologue.cli.connect.running import run_conversation
from duologue.cli.connect.screen import Screen
from duologue.cli.connect.talk import MAX_SIZE, PATIENCE, SILENCE, Conversation, Manner
from duologue.cli.connect.traffic import Traffic, logger_for
from duologue.cli.terminal import at_terminal, has_colours
from duologue.exceptions import InvalidHeader, InvalidProxy, InvalidURI
from duologue.net.loops import new_event_loop

__all__ = ["MAX_SIZE", "PATIENCE", "SILENCE", "add_parser", "run"]

_DESCRIPTION = f"""\
Talk to a WebSocket server. At a terminal each line is sent as a text message,
and /help lists commands; in a pipe each line is a message. Each message received
is printed, a binary one as hexadecimal digits after (binary).

The end of the input closes the connection with code 1000: at a terminal (Ctrl-D)
at once, in a pipe when the server has been silent for {SILENCE:g} s, or after {PATIENCE:g} s.
The code and reason it was closed with are printed on standard error.
"""

_EPILOG = """\
exit codes:
  0  closed normally (1000, 1001, no code, or what /close said)
  1  could not connect
  2  wrong usage
  3  closed abnormally
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declares the arguments of the subcommand.

    Args:
        subparsers: What to add its parser to.
    """
    parser = subparsers.add_parser(
        "connect",
        help="talk to a server",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    options.declare(parser)
    check.add_arguments(parser)
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Talks to a server until either side ends it.

    Args:
        arguments: As :func:`add_parser` declares them.

    Returns:
        The exit code.

    Raises:
        Failure: If the connection can't be opened.
        SystemExit: With code 2 if the arguments are wrong.
    """
    if check.wanted(arguments):
        return check.run(arguments)
    screen = Screen(interactive=at_terminal(sys.stdin), raw=arguments.binary, quiet=arguments.quiet)
    try:
        connector = make(arguments, _logger(arguments, screen))
    except (InvalidURI, InvalidProxy, InvalidHeader, ValueError) as error:
        parser: argparse.ArgumentParser = arguments.parser
        parser.error(str(error))
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_talk(arguments, connector, screen))


def _logger(arguments: argparse.Namespace, screen: Screen) -> logging.Logger:
    traffic = Traffic(
        screen,
        verbose=arguments.verbose,
        pings=arguments.show_ping_pong,
        attempts=arguments.reconnect,
    )
    return logger_for(traffic, frames=arguments.verbose or arguments.show_ping_pong)


async def _talk(arguments: argparse.Namespace, connector: Connector, screen: Screen) -> int:
    interactive = at_terminal(sys.stdin)
    manner = Manner(
        interactive=interactive,
        first=tuple(arguments.execute),
        wait=arguments.wait,
        one_message=arguments.one_message,
        binary=arguments.binary,
        lasting=arguments.reconnect,
    )
    entries = _typed(screen) if interactive else _piped(arguments, screen)
    conversation = Conversation(manner, screen, entries)
    return await run_conversation(
        connector, conversation, screen, again=arguments.reconnect, news=interactive
    )


def _piped(arguments: argparse.Namespace, screen: Screen) -> AsyncGenerator[Command, None]:
    if arguments.binary and not arguments.slash:
        return blocks()
    return piped(screen.problem, slash=arguments.slash)


def _typed(screen: Screen) -> AsyncGenerator[Command, None]:
    """Gives what a person enters: with an editor if there can be one."""
    texts = typed_texts(screen.problem)
    if at_terminal(sys.stdout) and os.environ.get("TERM", "") != "dumb":
        try:
            from duologue.cli.connect.editor import Editor
        except ImportError:
            screen.notice("for a line editor and a history: pip install duologue[cli]")
        else:
            history = History(location(os.environ))
            colours = has_colours(sys.stdout, os.environ)
            editor = Editor(history, colours=colours, complain=screen.problem)
            screen.share(editor.above)
            texts = editor.texts()
    return read_all(texts, screen.problem)

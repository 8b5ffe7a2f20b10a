"""What is typed or piped, as commands one after the other.

In a pipe each line is a message and nothing is a command unless asked for; with ``--binary`` it is
the octets that count, in blocks. At a terminal without an editor, lines are read as the terminal
hands them over; JSON that goes on is put together here, as the editor does it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable

from duologue.cli import typed
from duologue.cli.connect import commands
from duologue.cli.connect.commands import Command, CommandError, Message
from duologue.cli.connect.unfinished import goes_on

__all__ = ["blocks", "piped", "read_all", "typed_texts"]


async def blocks() -> AsyncGenerator[Command, None]:
    """Gives standard input as binary messages, each what one read has brought."""
    async for block in typed.blocks():
        yield Message(block)


async def piped(complain: Callable[[str], None], *, slash: bool) -> AsyncGenerator[Command, None]:
    """Gives the lines of standard input.

    Args:
        complain: Called with what is wrong with a line that is left out.
        slash: Whether lines that begin with a slash are commands.
    """
    number = 0
    async for line in typed.lines():
        number += 1
        if len(line) > typed.LINE_SIZE:
            complain(f"line {number} has more than {typed.LINE_SIZE} bytes and was not sent")
            continue
        try:
            text = line.decode()
            yield commands.read(text) if slash else Message(text)
        except UnicodeDecodeError as error:
            complain(f"line {number} is not UTF-8 and was not sent: {error}")
        except CommandError as error:
            complain(f"line {number}: {error}")


async def typed_texts(complain: Callable[[str], None]) -> AsyncGenerator[str, None]:
    """Gives what a person types without an editor, JSON of several lines in one piece.

    Args:
        complain: Called with what is wrong with a line that is left out.
    """
    pending = ""
    async for line in typed.lines():
        try:
            pending += line.decode()
        except UnicodeDecodeError as error:
            complain(f"that is not UTF-8 and was not sent: {error}")
            pending = ""
            continue
        if goes_on(pending):
            pending += "\n"
            continue
        yield pending.removesuffix("\n")
        pending = ""
    if pending:
        yield pending.removesuffix("\n")


async def read_all(
    texts: AsyncGenerator[str, None], complain: Callable[[str], None]
) -> AsyncGenerator[Command, None]:
    """Reads what a person enters.

    Args:
        texts: What was entered; closed at the end.
        complain: Called with what is wrong with a text that is no command.
    """
    async with contextlib.aclosing(texts):
        async for text in texts:
            try:
                command = commands.read(text)
            except CommandError as error:
                complain(str(error))
            else:
                yield command

"""The command of ``--exithook``, run after each session to hear how it ended.

It gets the environment of the session's program and besides:

=============================  ====================================================
``WEBSOCKET_CLOSE_CODE``       what the connection ended with, 1006 for no Close frame
``WEBSOCKET_CLOSE_REASON``     its text, without line ends
``WEBSOCKET_EXIT_STATUS``      of the program: empty if it never ran; a negative
                               number is that of the signal that ended it
=============================  ====================================================
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from duologue.asyncio.server import ServerConnection
from duologue.frontends.websocketd.environment import clean
from duologue.frontends.websocketd.errors import ErrorLog
from duologue.frontends.websocketd.log import Log
from duologue.frontends.websocketd.program import CannotLaunch, Program

__all__ = ["TIMEOUT", "run_hook"]

TIMEOUT = 10.0
"""Seconds that the hook may take."""


async def run_hook(
    command: Sequence[str],
    variables: Mapping[str, str],
    connection: ServerConnection,
    status: int | None,
    log: Log,
) -> None:
    """Runs the hook.

    Args:
        command: Program and arguments.
        variables: Environment of the session's program.
        connection: The connection, which is closed.
        status: How the program ended; ``None`` if it never ran.
        log: Of the session; what the hook writes goes there.
    """
    more = {
        "WEBSOCKET_CLOSE_CODE": str(connection.close_code or 1006),
        "WEBSOCKET_CLOSE_REASON": clean(connection.close_reason or ""),
        "WEBSOCKET_EXIT_STATUS": "" if status is None else str(status),
    }
    try:
        program = Program(command, {**variables, **more}, log)
    except CannotLaunch as error:
        log("error", "process", f"Could not launch the exit hook {error}")
        return
    errors = ErrorLog(program.stderr, log)
    try:
        program.stdin.close()
        async with asyncio.timeout(TIMEOUT):
            while octets := await program.stdout.read():
                for line in octets.splitlines():
                    log("info", "hook", line.decode("utf-8", "replace"))
    except TimeoutError:
        log("error", "process", f"The exit hook took more than {TIMEOUT:g} s")
    finally:
        await program.end(errors=errors)
        await errors.drain()

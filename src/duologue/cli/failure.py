"""How a subcommand says that it can't do its work."""

from __future__ import annotations

import os
import socket

__all__ = ["Failure", "system_text"]


class Failure(Exception):
    """The work can't be done; the message says why, in one line, for the user.

    Raised by subcommands and turned into a line on standard error and exit code 1 by
    :func:`duologue.cli.main`.
    """


def system_text(error: OSError) -> str:
    """Returns the operating system's words for an error, such as "Connection refused".

    asyncio writes the address into its errors' texts, where the caller has named it already.

    Args:
        error: The error.
    """
    # Errors of name resolution and of TLS have numbers of their own, which mean something else.
    if type(error).__module__ == "builtins" and error.errno:
        return os.strerror(error.errno)
    if isinstance(error, socket.gaierror):
        return str(error.strerror)
    return error.strerror or str(error)

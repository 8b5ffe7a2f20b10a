"""How a subcommand says that it can't do its work."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

__all__ = ["Failure", "certificate_text", "system_text"]


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


def certificate_text(error: ssl.SSLError) -> str:
    """Returns words for why a certificate with its key can't be used: "key values mismatch".

    Args:
        error: The error.
    """
    # OpenSSL has no reason where a file simply holds nothing of the kind.
    if not error.reason:
        return "one of the two isn't there in PEM format"
    return error.reason.lower().replace("_", " ")

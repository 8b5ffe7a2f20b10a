"""Values of command line arguments: text in, checked value out."""

from __future__ import annotations

import argparse

__all__ = ["LOG_LEVELS", "port", "size"]

LOG_LEVELS = ("critical", "error", "warning", "info", "debug")
"""Names that ``--log-level`` accepts."""


def port(text: str) -> int:
    """Reads a TCP port.

    Args:
        text: A number from 0 to 65535; 0 lets the operating system choose.

    Raises:
        argparse.ArgumentTypeError: If it isn't one.
    """
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, a number from 0 to 65535")
    return int(text)


def size(text: str) -> int | None:
    """Reads a limit in bytes.

    Args:
        text: A positive number, or ``none`` for no limit. 0 is refused since it would mean that
            nothing may pass, and is often meant as its opposite.

    Raises:
        argparse.ArgumentTypeError: If it is neither.
    """
    if text.lower() == "none":
        return None
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a size, a positive number of bytes or 'none'"
        )
    return int(text)

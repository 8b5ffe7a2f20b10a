"""Values of command line arguments: text in, checked value out."""

from __future__ import annotations

import argparse
import math

__all__ = ["LOG_LEVELS", "count", "interval", "port", "seconds", "size", "text", "wait"]

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


def count(text: str) -> int:
    """Reads a number of things of which there is at least one.

    Args:
        text: A positive whole number.

    Raises:
        argparse.ArgumentTypeError: If it isn't one.
    """
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1 << 40):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def seconds(text: str) -> float:
    """Reads a time.

    Args:
        text: A positive number of seconds, fractions allowed.

    Raises:
        argparse.ArgumentTypeError: If it isn't one.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return value


def interval(text: str) -> float | None:
    """Reads the time between two things that are done again and again.

    Args:
        text: A positive number of seconds, or ``none`` for never.

    Raises:
        argparse.ArgumentTypeError: If it is neither.
    """
    if text.lower() == "none":
        return None
    try:
        return seconds(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, and not 'none'") from None


def text(text: str) -> str:
    """Reads a text message.

    Args:
        text: Any text; arguments need not be one, since to the operating system they are octets.

    Raises:
        argparse.ArgumentTypeError: If it isn't UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("it is not UTF-8") from None
    return text


def wait(text: str) -> float:
    """Reads a time to wait.

    Args:
        text: A number of seconds, 0 allowed; ``none``, or -1 as wscat has it, for any time.

    Raises:
        argparse.ArgumentTypeError: If it is neither.
    """
    if text.lower() in ("none", "-1"):
        return math.inf
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, and not 'none'")
    return value

"""JSON as pages send it: one object a message, with the keys that are expected of it.

Invariant: whatever a visitor sends becomes either an object that can be read without surprises, or
a :exc:`BadCommand` that says what is wrong with it.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["BadCommand", "encode", "integer", "parse", "text"]


class BadCommand(Exception):
    """A message isn't a command; the message of the exception says why, for the visitor."""


def parse(message: str | bytes) -> dict[str, Any]:
    """Reads a command.

    Args:
        message: What a page has sent.

    Raises:
        BadCommand: If it isn't a JSON object in a text message.
    """
    if not isinstance(message, str):
        raise BadCommand("a command is a text message")
    try:
        command = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise BadCommand("a command is a JSON object") from error
    if not isinstance(command, dict):
        raise BadCommand("a command is a JSON object")
    return command


def integer(command: dict[str, Any], key: str, low: int, high: int) -> int:
    """Returns a whole number of a command.

    Args:
        command: The command.
        key: Its name there.
        low: Smallest that may be asked for.
        high: Largest that may be asked for.

    Raises:
        BadCommand: If it is missing, of another type or out of bounds.
    """
    value = command.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadCommand(f"{key} must be a whole number from {low} to {high}")
    return value


def text(command: dict[str, Any], key: str, default: str | None = None) -> str:
    """Returns a text of a command.

    Args:
        command: The command.
        key: Its name there.
        default: What it is if it is missing; ``None`` if it must not be.

    Raises:
        BadCommand: If it is missing or of another type.
    """
    value = command.get(key, default)
    if not isinstance(value, str):
        raise BadCommand(f"{key} must be a text")
    # A lone surrogate, which JSON can write, has no UTF-8 form.
    return value.encode("utf-8", "replace").decode()


def encode(value: dict[str, Any]) -> str:
    """Returns an object as JSON.

    Args:
        value: The object.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

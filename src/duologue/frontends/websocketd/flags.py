"""Command line options in the syntax of Go's ``flag`` package, which websocketd uses.

``-name`` and ``--name`` are equal; a value follows as ``--name=value`` or as the next word; a
Boolean takes one only after ``=``. The first word that isn't an option ends the options, so that
those of a COMMAND are its own; ``--`` ends them as well.

It knows nothing of what the options mean.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Flag", "HelpWanted", "WrongFlag", "parse"]

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_NUMBER = re.compile(r"[+-]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)", re.ASCII)
_LIMITS = {"int": (-(2**63), 2**63 - 1), "uint": (0, 2**64 - 1)}


class WrongFlag(Exception):
    """A word that isn't an option, or a value that an option can't have."""


class HelpWanted(Exception):
    """``-h`` or ``--help``."""


@dataclass(frozen=True, slots=True)
class Flag:
    """An option.

    Attributes:
        name: Without hyphens.
        kind: ``bool``, ``int``, ``uint``, ``string``, or ``list`` for one that may be repeated.
        usage: What it is for; a word in backquotes names the value.
        default: Value without the option.
    """

    name: str
    kind: str
    usage: str
    default: Any = None

    def initial(self) -> Any:
        """Returns the value without the option."""
        if self.default is not None:
            return self.default
        return {"bool": False, "int": 0, "uint": 0, "string": "", "list": []}[self.kind]


def parse(
    flags: Sequence[Flag], words: Sequence[str]
) -> tuple[dict[str, Any], list[str], frozenset[str]]:
    """Reads options.

    Args:
        flags: All there are.
        words: The command line, without the program.

    Returns:
        The value of each option, the words after the options, and which options were given.

    Raises:
        WrongFlag: If a word is not an option, or has a value that it can't have.
        HelpWanted: If help is asked for.
    """
    known = {flag.name: flag for flag in flags}
    values = {flag.name: flag.initial() for flag in flags}
    left = list(words)
    given: set[str] = set()
    while left and len(left[0]) > 1 and left[0].startswith("-"):
        word = left.pop(0)
        if word == "--":
            break
        text = word[2:] if word.startswith("--") else word[1:]
        if not text or text[0] in "-=":
            raise WrongFlag(f"bad flag syntax: {word}")
        name, equals, value = text.partition("=")
        flag = known.get(name)
        if flag is None:
            if name in ("h", "help"):
                raise HelpWanted
            raise WrongFlag(f"flag provided but not defined: -{name}")
        given.add(name)
        if flag.kind == "bool":
            values[name] = _boolean(name, value) if equals else True
            continue
        if not equals:
            if not left:
                raise WrongFlag(f"flag needs an argument: -{name}")
            value = left.pop(0)
        if flag.kind == "list":
            values[name] = [*values[name], value]
        else:
            values[name] = value if flag.kind == "string" else _number(flag, value)
    return values, left, frozenset(given)


def _boolean(name: str, text: str) -> bool:
    if text not in _TRUE + _FALSE:
        raise WrongFlag(f'invalid boolean value "{text}" for -{name}: parse error')
    return text in _TRUE


def _number(flag: Flag, text: str) -> int:
    found = _NUMBER.fullmatch(text)
    if not found or (flag.kind == "uint" and text[0] in "+-"):
        raise WrongFlag(f'invalid value "{text}" for flag -{flag.name}: parse error')
    digits = found[1]
    octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
    number = int(digits, 8 if octal else 0)
    number = -number if text[0] == "-" else number
    least, most = _LIMITS[flag.kind]
    if not least <= number <= most:
        raise WrongFlag(f'invalid value "{text}" for flag -{flag.name}: value out of range')
    return number

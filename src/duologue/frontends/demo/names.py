"""Names that visitors of the chat choose, for rooms and for themselves.

Letters, digits and marks of any script, so no name can hold what ends a line, turns the direction
of writing, is invisible, or means something in a URL, a topic or in HTML. It must never repair a
name into another one, but for the spelling that Unicode takes for the same (NFC) and spaces around.
"""

from __future__ import annotations

import unicodedata

from duologue.frontends.demo.bounds import MAX_NAME, MAX_ROOM_NAME
from duologue.frontends.demo.commands import BadCommand

__all__ = ["LOBBY", "person_name", "room_name"]

LOBBY = "lobby"
"""The room of those who ask for none."""


def room_name(text: str) -> str:
    """Returns the room that is meant.

    Args:
        text: What somebody has asked for; nothing for the lobby.

    Raises:
        BadCommand: If no room can have this name; says what a name consists of.
    """
    name = unicodedata.normalize("NFC", text.strip()).lower()
    if not name:
        return LOBBY
    if len(name) > MAX_ROOM_NAME or not all(_in_a_word(each) or each in "-_" for each in name):
        raise BadCommand(f"a room's name has 1 to {MAX_ROOM_NAME} letters, digits, - and _")
    return name


def person_name(text: str) -> str:
    """Returns the name of somebody; empty if nothing was chosen.

    Args:
        text: What somebody wants to be called.

    Raises:
        BadCommand: If nobody can be called so; says what a name consists of.
    """
    name = unicodedata.normalize("NFC", text.strip())
    if len(name) > MAX_NAME or not all(_in_a_word(each) or each in " -_.'" for each in name):
        raise BadCommand(f"your name has up to {MAX_NAME} letters, digits, spaces and - _ . '")
    return name


def _in_a_word(character: str) -> bool:
    """Whether it is a letter, a mark on one, or a digit (L, M, N of Unicode's categories)."""
    return unicodedata.category(character)[0] in "LMN"

from __future__ import annotations

import pytest

from duologue.frontends.demo.bounds import MAX_NAME, MAX_ROOM_NAME
from duologue.frontends.demo.commands import BadCommand
from duologue.frontends.demo.names import LOBBY, person_name, room_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", LOBBY),
        ("  ", LOBBY),
        ("Lobby", LOBBY),
        (" Tea-Room_2 ", "tea-room_2"),
        ("茶室", "茶室"),
        ("cafe\u0301", "café"),  # the same, as Unicode sees it
        ("हिन्दी", "हिन्दी"),  # with marks that are no letters
        ("x" * MAX_ROOM_NAME, "x" * MAX_ROOM_NAME),
    ],
)
def test_rooms(text, name):
    assert room_name(text) == name


HOSTILE = [
    *("a/b", "+", "#", "a/#", "../etc", "a?b", "a&b", "a%2fb", "<b>", "a\nb", "a\0b", "a\u202eb"),
    *("a\u200bb", "\ud800", "a\u2028b", "💬", "a;b", 'a"b', "a\\b"),
]


@pytest.mark.parametrize("text", [*HOSTILE, "a b", "a.b", "x" * (MAX_ROOM_NAME + 1)])
def test_what_is_no_room(text):
    with pytest.raises(BadCommand, match=f"a room's name has 1 to {MAX_ROOM_NAME} letters, digits"):
        room_name(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [("", ""), (" Ann ", "Ann"), ("J. O'Hara-Li 3", "J. O'Hara-Li 3"), ("李雷", "李雷")],
)
def test_people(text, name):
    assert person_name(text) == name


@pytest.mark.parametrize("text", [*HOSTILE, "x" * (MAX_NAME + 1)])
def test_what_is_no_name(text):
    with pytest.raises(BadCommand, match=f"your name has up to {MAX_NAME} letters, digits, spaces"):
        person_name(text)

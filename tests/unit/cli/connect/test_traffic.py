from __future__ import annotations

import logging

import pytest

from duologue.cli.connect.screen import Screen
from duologue.cli.connect.traffic import DUMPED, Traffic, described, dumped, logger_for
from duologue.frames import Close, Frame, Opcode


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (Frame(Opcode.TEXT, b"hello"), "text [fin, 5 bytes]"),
        (Frame(Opcode.BINARY, b"\0", fin=False), "binary [1 byte]"),
        (Frame(Opcode.CONT, b"", rsv1=True, rsv3=True), "cont [fin, rsv1, rsv3, 0 bytes]"),
        (
            Frame(Opcode.CLOSE, Close(1001, "bye").serialize()),
            "close 1001 (going away) bye [fin, 5 bytes]",
        ),
        (Frame(Opcode.CLOSE, b"\x00"), "close (malformed) [fin, 1 byte]"),
        (Frame(Opcode.PING, b""), "ping [fin, 0 bytes]"),
    ],
)
def test_described(frame, words):
    assert described(frame) == words


def test_dumped():
    assert list(dumped(b"")) == []
    assert list(dumped(bytes(range(0x3A, 0x4B)))) == [
        "0000  3a 3b 3c 3d 3e 3f 40 41  42 43 44 45 46 47 48 49  :;<=>?@ABCDEFGHI",
        "0010  4a                                                J",
    ]
    assert list(dumped("\x1bü\x7f~".encode())) == [
        "0000  1b c3 bc 7f 7e                                    ....~"
    ]


def test_of_a_long_frame_the_beginning():
    rows = list(dumped(bytes(DUMPED + 1)))
    assert len(rows) == DUMPED // 16 + 1
    assert rows[-1] == "… and 1 more"
    assert "more" not in list(dumped(bytes(DUMPED)))[-1]


@pytest.fixture
def shown(capsys):
    def shown(*, frames=True, **wanted) -> list[str]:
        options = {"verbose": False, "pings": False, "attempts": False, **wanted}
        screen = Screen(interactive=False)
        logger = logger_for(Traffic(screen, **options), frames=frames)
        logger.debug("> %s: %s", "Host", "evil\x1b")
        logger.debug("%s %s", "<", Frame(Opcode.PING, b"1\x1b"))
        logger.debug("%s %s", ">", Frame(Opcode.PONG, b"2"))
        logger.info("reconnecting")
        try:
            raise ValueError("what")
        except ValueError:
            logger.error("failed", exc_info=True)
        output = capsys.readouterr()
        assert output.out == ""
        return output.err.splitlines()

    return shown


def test_what_is_shown_in_any_case(shown):
    assert shown() == ["duologue: failed: what"]


def test_pings(shown):
    assert shown(pings=True) == ["< PING 31 1b [binary, 2 bytes]", "duologue: failed: what"]


def test_attempts(shown):
    assert shown(attempts=True) == ["duologue: reconnecting", "duologue: failed: what"]


def test_everything(shown):
    assert shown(verbose=True, pings=True) == [
        "> Host: evil\\x1b",
        "< ping [fin, 2 bytes]",
        "<   0000  31 1b                                             1.",
        "> pong [fin, 1 byte]",
        ">   0000  32                                                2",
        "duologue: reconnecting",
        "duologue: failed: what",
    ]


def test_frames_are_not_logged_unless_wanted():
    handler = Traffic(Screen(interactive=False), verbose=False, pings=False, attempts=False)
    assert not logger_for(handler, frames=False).isEnabledFor(logging.DEBUG)
    assert logger_for(handler, frames=True).isEnabledFor(logging.DEBUG)

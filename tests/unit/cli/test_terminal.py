from __future__ import annotations

import io
import subprocess
import sys

import pytest

from duologue.cli import terminal


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain, ünïcode 🎈", "plain, ünïcode 🎈"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\u200f\u061c\u2028", "\\u200f\\u061c\\u2028"),
        ("non\u00a0break", "non\u00a0break"),
        ("👩\u200d💻", "👩\u200d💻"),
    ],
)
def test_escape(text, escaped):
    assert terminal.escape(text) == escaped


def test_complaints_are_one_escaped_line(capsys):
    terminal.complain("went wrong:\n\x1b[31m")
    assert capsys.readouterr().err == "duologue: went wrong:\\n\\x1b[31m\n"


def test_what_an_encoding_lacks_is_escaped():
    program = "from duologue.cli import terminal as t; t.prepare_streams(); t.say('grüß 🎈')"
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert result.stdout == b"gr\\xfc\\xdf \\U0001f388\n"


def test_a_reader_that_goes_away_is_told_by_the_result_only():
    program = (
        "import sys; from duologue.cli import terminal as t\n"
        "sys.stdin.readline()\n"
        "first, second = t.say('one'), t.say('two')\n"
        "print(first, second, file=sys.stderr)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.stderr.read() == b"False True\n"
        process.stderr.close()
    assert process.returncode == 0


class Terminal:
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "expected"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Terminal(), {}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "0"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
        (None, {"TERM": "xterm"}, False),
    ],
)
def test_has_colours(stream, environment, expected):
    assert terminal.has_colours(stream, environment) is expected


def test_paint():
    assert terminal.Colour.RECEIVED.paint("<") == "\x1b[36m<\x1b[0m"


def test_octets_and_a_reader_that_goes_away():
    program = (
        "import sys; from duologue.cli import terminal as t\n"
        "first = t.say_octets(b'\\xff\\n'); sys.stdin.readline()\n"
        "print(first, t.say_octets(b'x'), t.say_octets(b'x'), file=sys.stderr)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"\xff\n"
        process.stdout.close()
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.stderr.read() == b"True False True\n"
        process.stderr.close()
    assert process.returncode == 0


def test_streams_that_are_closed(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert terminal.say("x") is False
    assert terminal.say_octets(b"x") is False

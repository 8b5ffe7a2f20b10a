from __future__ import annotations

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
        ("non\u00a0break", "non\u00a0break"),
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

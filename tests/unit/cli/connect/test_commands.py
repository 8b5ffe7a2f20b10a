from __future__ import annotations

from pathlib import Path

import pytest

from duologue.cli.connect.commands import (
    HELP,
    Bye,
    CommandError,
    File,
    Help,
    Message,
    Ping,
    Pong,
    Stats,
    read,
)
from duologue.frames import Close


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("hello", Message("hello")),
        ("", Message("")),
        (" /ping", Message(" /ping")),
        ("//ping", Message("/ping")),
        ("///", Message("//")),
        ("/ping", Ping(None)),
        ("/ping two words", Ping(b"two words")),
        ("/pong", Pong(b"")),
        ("/pong ü", Pong("ü".encode())),
        ("/close", Bye(Close(1000, ""))),
        ("/close 4000", Bye(Close(4000, ""))),
        ("/close 1001 see  you ", Bye(Close(1001, "see  you"))),
        ("/binary a file.bin", File(Path("a file.bin"))),
        ("/stats", Stats()),
        ("/help", Help()),
    ],
)
def test_read(line, command):
    assert read(line) == command


def test_a_file_in_the_home_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert read("/binary ~/file") == File(tmp_path / "file")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("/", "there is no command /;"),
        ("/pling", "there is no command /pling; /help lists them"),
        ("/pingx", "there is no command /pingx"),
        ("/ping " + "x" * 126, "at most 125 bytes, not 126"),
        ("/pong " + "ü" * 63, "at most 125 bytes, not 126"),
        ("/close bye", "bye is not a close code"),
        ("/close 1005", "invalid status code: 1005"),
        ("/close 999", "invalid status code: 999"),
        ("/close 5000", "invalid status code: 5000"),
        ("/close 1000 " + "x" * 124, "close reason too long: 124 bytes, limit 123"),
        ("/binary", "/binary needs the name of a file"),
        ("/stats now", "/stats takes nothing after it"),
        ("/help me", "/help takes nothing after it"),
    ],
)
def test_no_command(line, complaint):
    with pytest.raises(CommandError) as caught:
        read(line)
    assert complaint in str(caught.value)


def test_the_help_names_every_command():
    for name in ("/ping", "/pong", "/close", "/binary", "/stats", "/help", "//"):
        assert f"\n{name}" in f"\n{HELP}"

"""How ``duologue run`` hands its words on; what they mean is tested where they are read."""

from __future__ import annotations

import pytest

from duologue.cli import main
from duologue.frontends import websocketd


@pytest.mark.parametrize(
    "words",
    [
        ["cat"],
        ["--port", "8080", "cat", "-u"],
        ["-port=8080", "--", "cat", "--", "--help"],
        ["cat", "--", "x"],
        ["--version"],
        ["--help"],
        ["ws://a/", "-x"],
        [],
    ],
)
def test_every_word_arrives(words, monkeypatch, capsys):
    found = []

    def read(given):
        found.append(given)
        raise websocketd.Stop(7, "out\n", "errors\n")

    monkeypatch.setattr(websocketd, "read", read)
    assert main(["run", *words]) == 7
    assert found == [words]
    assert capsys.readouterr() == ("out\n", "errors\n")

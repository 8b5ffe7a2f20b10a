from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from duologue.cli.connect import history
from duologue.cli.connect.history import ENTRIES, ENTRY_SIZE, History, location

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX only")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "duologue" / "history"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("state", ["", "relative/path"])
def test_location_by_default(state, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    expected = tmp_path / ".local" / "state" / "duologue" / "history"
    assert location({"XDG_STATE_HOME": state}) == expected
    assert location({}) == expected


def test_location_as_told(tmp_path):
    assert location({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "duologue" / "history"


def test_what_was_added_is_loaded(path):
    assert History(path).load() == []
    for entry in ("one", "two\nlines", "zwölf \u2028 \x1b"):
        History(path).add(entry)
    assert History(path).load() == ["one", "two\nlines", "zwölf \u2028 \x1b"]


@pytest.mark.parametrize("entry", ["", "  ", "\n", " secret", "x" * (ENTRY_SIZE + 1)])
def test_what_is_not_kept(path, entry):
    History(path).add(entry)
    assert History(path).load() == []


@posix
def test_only_its_owner_may_read_it(path):
    before = os.umask(0)
    try:
        History(path).add("one")
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700


@posix
def test_a_file_that_others_may_read_is_made_private(path):
    path.parent.mkdir(parents=True)
    path.write_text('"one"\n')
    path.chmod(0o644)
    History(path).add("two")
    assert mode(path) == 0o600
    assert History(path).load() == ["one", "two"]


def test_it_is_cut_down(path):
    path.parent.mkdir(parents=True)
    path.write_text("".join(f'"{number}"\n' for number in range(ENTRIES + 1)))
    assert History(path).load() == [str(n) for n in range(ENTRIES // 2 + 1, ENTRIES + 1)]
    assert len(path.read_text().splitlines()) == ENTRIES // 2
    assert list(path.parent.iterdir()) == [path]
    if os.name == "posix":
        assert mode(path) == 0o600


def test_it_is_not_cut_down_early(path):
    path.parent.mkdir(parents=True)
    path.write_text("".join(f'"{number}"\n' for number in range(ENTRIES)))
    assert len(History(path).load()) == ENTRIES


def test_what_somebody_else_has_written_is_skipped(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b'"one"\n\xff\xfe\nnot json\n12\n"tw\n"three"\n')
    assert History(path).load() == ["one", "three"]


def test_errors_are_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        History(tmp_path / "file" / "history").add("one")
    with pytest.raises(OSError):
        History(tmp_path).load()


def test_nothing_is_left_when_it_cannot_be_replaced(path, monkeypatch):
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{json.dumps(str(n))}\n" for n in range(ENTRIES + 1)))

    def fail(*arguments):
        raise PermissionError("no")

    monkeypatch.setattr(history.os, "replace", fail)
    with pytest.raises(PermissionError):
        History(path).load()
    assert list(path.parent.iterdir()) == [path]

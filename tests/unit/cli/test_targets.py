from __future__ import annotations

import pytest

from duologue.cli import targets
from duologue.cli.failure import Failure


@pytest.mark.parametrize("text", ["module:attribute", "a.b:c.d", "_x:y1"])
def test_is_target(text):
    assert targets.is_target(text)


@pytest.mark.parametrize("text", ["", "echo", ":", "a:", ":b", "a-b:c", "a:b:c", "a..b:c", "a:b."])
def test_is_no_target(text):
    assert not targets.is_target(text)


def test_a_failure_inside_a_package_names_the_part_that_is_missing():
    with pytest.raises(Failure, match=r"there is no module 'json\.absent'"):
        targets.imported("json.absent:handler")


def test_partial_and_bound_methods_are_handlers(monkeypatch, tmp_path):
    (tmp_path / "bound_handlers.py").write_text(
        "import functools\n"
        "async def handler(word, websocket): ...\n"
        "class Room:\n"
        "    async def talk(self, websocket): ...\n"
        "partial = functools.partial(handler, 'word')\n"
        "room = Room()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert targets.imported("bound_handlers:partial").handler.args == ("word",)
    assert targets.imported("bound_handlers:room.talk").handler.__name__ == "talk"
    with pytest.raises(Failure, match="missing a required argument: 'websocket'"):
        targets.imported("bound_handlers:Room.talk")

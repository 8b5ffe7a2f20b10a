"""The file of a Unix socket that is listened on."""

from __future__ import annotations

import os

import pytest

from duologue.frontends.unix import unix_listener


def test_what_is_at_the_path_already(tmp_path):
    path = tmp_path / "socket"
    path.write_text("precious")
    with pytest.raises(FileExistsError), unix_listener(str(path)):
        pass
    assert path.read_text() == "precious"
    path.unlink()
    with unix_listener(str(path)) as sock:
        sock.listen()
        with pytest.raises(OSError, match="another server listens there"):
            with unix_listener(str(path)):
                pass
        os.link(path, tmp_path / "stale")
    with unix_listener(str(tmp_path / "stale")):
        pass


def test_one_that_somebody_has_replaced(tmp_path):
    path = tmp_path / "socket"
    with unix_listener(str(path)):
        path.unlink()
        path.write_text("another's")
    assert path.read_text() == "another's"

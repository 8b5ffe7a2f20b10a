from __future__ import annotations

import websockets.typing

from duologue.base import types


def test_has_the_names_of_websockets():
    assert set(websockets.typing.__all__) <= set(types.__all__)
    assert all(hasattr(types, name) for name in types.__all__)


def test_unions_accept_what_websockets_accepts():
    for name in ("Data", "BytesLike", "DataLike", "StatusLike", "LoggerLike", "PathLike"):
        assert getattr(types, name) == getattr(websockets.typing, name), name

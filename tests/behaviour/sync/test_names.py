"""The names a program imports, and what their parameters are called."""

from __future__ import annotations

import inspect

import pytest

from .library import NAMES_BY_MODULE, SyncLibrary

MODULES = [module for module in NAMES_BY_MODULE if module.startswith("sync.")]


@pytest.mark.parametrize("module", MODULES)
def test_names_are_where_programs_import_them_from(lib: SyncLibrary, module: str) -> None:
    imported = lib.module(module)
    assert [name for name in NAMES_BY_MODULE[module] if not hasattr(imported, name)] == []


def test_connections_share_a_base(lib: SyncLibrary) -> None:
    assert issubclass(lib.ClientConnection, lib.Connection)
    assert issubclass(lib.ServerConnection, lib.Connection)


@pytest.mark.parametrize("name", ["recv", "recv_streaming", "send", "close", "ping", "pong"])
def test_methods_take_the_same_parameters(name: str) -> None:
    ours, theirs = (
        inspect.signature(getattr(SyncLibrary(each).Connection, name)).parameters
        for each in ("duologue", "websockets")
    )
    assert [ours[each].kind for each in theirs] == [theirs[each].kind for each in theirs]
    assert [each for each in list(ours)[: len(theirs)] if each not in theirs] == []

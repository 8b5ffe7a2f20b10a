"""Runs each test once per library, and fails those that leave threads or connections behind."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Generator

import pytest

from duologue.base.accounts import accounts

from .library import SyncLibrary

#: One for the process, and those of the resolver's pool.
LASTING = ("duologue I/O", "asyncio_")


@pytest.fixture(params=["websockets", "duologue"])
def lib(request: pytest.FixtureRequest) -> SyncLibrary:
    """The library that plays both ends."""
    return SyncLibrary(request.param)


@pytest.fixture(params=["client", "server"])
def role(request: pytest.FixtureRequest) -> str:
    """Which end of the conversation the test looks at."""
    return str(request.param)


def threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if not each.name.startswith(LASTING)}


def held() -> tuple[int, ...]:
    counts = accounts()
    return (counts.octets, counts.connections, counts.links, counts.listeners)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    """No thread, connection, listener or buffered octet may outlive a test."""
    gc.collect()
    before, held_before = threads(), held()
    outcome = yield
    deadline = time.monotonic() + 5
    while threads() - before or any(
        now > then for now, then in zip(held(), held_before, strict=True)
    ):
        # What pytest has caught of the log refers to connections.
        for handler in logging.getLogger().handlers:
            getattr(handler, "records", []).clear()
        gc.collect()
        if time.monotonic() > deadline:
            pytest.fail(f"left: {threads() - before}, {held()} where {held_before} was")
        time.sleep(0.01)
    return outcome

"""Runs each test once per library.

``BEHAVIOUR_LOOP=uvloop`` runs the whole suite on another event loop.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .library import Library

HERE = Path(__file__).parent
LIBRARIES = ("websockets", "duologue")


@pytest.fixture(params=LIBRARIES)
def lib(request: pytest.FixtureRequest) -> Library:
    """The library that plays both ends."""
    return Library(request.param)


@pytest.fixture(params=["client", "server"])
def role(request: pytest.FixtureRequest) -> str:
    """Which end of the conversation the test looks at."""
    return str(request.param)


@pytest.fixture(autouse=True)
def loop_factory() -> Callable[[], Any] | None:
    """The event loop that runs the test: asyncio's, or the one named in ``BEHAVIOUR_LOOP``."""
    if os.environ.get("BEHAVIOUR_LOOP") == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(15))

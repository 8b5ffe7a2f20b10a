"""Runs each of these tests on stock asyncio, its debug mode, uvloop and the engine's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from .rig import LOOPS


@pytest.fixture(params=LOOPS)
def loop_name(request: pytest.FixtureRequest) -> str:
    """Which event loop the test runs on."""
    return str(request.param)


@pytest.fixture
def loop_factory(loop_name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Make that event loop."""
    return LOOPS[loop_name]


@pytest.fixture(params=["epoll", "asyncio"])
def engine(request: pytest.FixtureRequest) -> str:
    """What carries connections: the engine's own sockets, or asyncio's transports."""
    return str(request.param)

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from .rig import LOOPS


@pytest.fixture(params=LOOPS)
def loop_factory(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """Each event loop that the engine runs in."""
    return LOOPS[request.param]

"""A plug-in of pytest: coroutine tests on virtual time and on a simulated network.

``@pytest.mark.virtual_time`` runs an ``async def`` test on a :class:`VirtualEventLoop`. A test that
takes the fixture ``simulated_network`` has its loop on that network, in virtual time, too;
``@pytest.mark.simulated_network(seed=7, delay=0.05)`` says what it is like. Other tests are left
alone, so that pytest-asyncio, anyio and the like run theirs.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from .clock import VirtualEventLoop
from .network import SimulatedNetwork

__all__: list[str] = []

OURS = pytest.StashKey[Callable[..., Coroutine[Any, Any, None]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    config.addinivalue_line("markers", "virtual_time: run the coroutine test on virtual time")
    config.addinivalue_line(
        "markers", "simulated_network(seed=0, **conditions): what the fixture's network is like"
    )


@pytest.fixture
def simulated_network(request: pytest.FixtureRequest) -> SimulatedNetwork:
    """A network in memory, which the coroutine test that asks for it lives on."""
    marker = request.node.get_closest_marker("simulated_network")
    return SimulatedNetwork(**(marker.kwargs if marker else {}))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Note the coroutine tests that are ours, before others put something else in their place.

    In its automatic mode pytest-asyncio makes a plain function of each.
    """
    if not (isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj)):
        return
    if "simulated_network" in item.funcargs or item.get_closest_marker("virtual_time"):
        item.stash[OURS] = item.obj


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the coroutine tests that are ours."""
    test = pyfuncitem.stash.get(OURS, None)
    if test is None:
        return None
    network = pyfuncitem.funcargs.get("simulated_network")
    factory: Callable[[], asyncio.AbstractEventLoop] = VirtualEventLoop
    if isinstance(network, SimulatedNetwork):
        factory = network.loop_factory
    names = pyfuncitem._fixtureinfo.argnames
    arguments: dict[str, Any] = {name: pyfuncitem.funcargs[name] for name in names}
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(test(**arguments))
    return True

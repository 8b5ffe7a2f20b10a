"""The public test kit: an in-memory pair, a simulated network, and virtual time.

With it a test of a WebSocket program opens no port, waits for nothing, and repeats exactly:
:class:`SimulatedNetwork` joins ``serve()`` and ``connect()`` in memory and makes trouble on
purpose, :class:`VirtualEventLoop` jumps to the next timer instead of waiting for it, :func:`pair`
gives two connections that talk to each other, and :func:`client` runs an application and talks to
it. :mod:`duologue.testing.pytest_plugin` runs coroutine tests so.
"""

from __future__ import annotations

from .app_client import Answer, AppClient, client
from .clock import DeadlockError, VirtualClock, VirtualEventLoop, virtual_loop_factory
from .conditions import Conditions
from .leftovers import WatchedEventLoop, pending_tasks
from .link import Direction, SimulatedLink
from .loop import SimulatedLoop
from .network import SimulatedNetwork
from .pair import pair
from .server import SimulatedServer, SimulatedSocket
from .transport import SimulatedTransport

__all__ = [
    "Answer",
    "AppClient",
    "Conditions",
    "DeadlockError",
    "Direction",
    "SimulatedLink",
    "SimulatedLoop",
    "SimulatedNetwork",
    "SimulatedServer",
    "SimulatedSocket",
    "SimulatedTransport",
    "VirtualClock",
    "VirtualEventLoop",
    "WatchedEventLoop",
    "client",
    "pair",
    "pending_tasks",
    "virtual_loop_factory",
]

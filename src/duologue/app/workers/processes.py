"""What the children do: a worker serves the application, the hub process runs the bus.

A child loads the application itself, so that a new process runs the code as it is then; of an
application that the parent has made, all have that one.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duologue.app.metrics import telling
from duologue.app.workers.channel import Channel
from duologue.base.vocabulary import CloseCode
from duologue.hub.backplanes.bus import Bus
from duologue.hub.backplanes.local import LocalBackplane
from duologue.net.loops import run

if TYPE_CHECKING:
    from duologue.app.application import App

__all__ = ["Processes"]

BEAT = 1.0
"""Seconds between a worker's signs of life."""


class Processes:
    """The children of one supervisor.

    Args:
        load: gives the application.
        options: how it is served, see :meth:`~duologue.App.serving`; without where.
        metrics: where the hub process tells the numbers of all workers, ``None`` for nowhere.
        prepare: called in each child first, to set up logging for instance.
    """

    def __init__(
        self,
        load: Callable[[], App],
        options: dict[str, Any],
        metrics: int | str | None = None,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self._metrics = metrics
        self._load = load
        self._options = options
        self._prepare = prepare
        self._parent = os.getpid()
        # Only this user can look into it, and so connect to the bus.
        self._folder = tempfile.TemporaryDirectory(prefix="duologue-")
        self.path = Path(self._folder.name) / "bus"

    def close(self) -> None:
        """In the parent: remove what is on disk."""
        self._folder.cleanup()

    def worker(self, channel: Channel, sockets: list[socket.socket], number: int) -> None:
        """Serve from sockets until told to leave, as the worker of this number, from 1."""
        app = self._loaded()
        app.worker = number
        if app.topics.backplane is None:
            app.topics.use(LocalBackplane(self.path, limits=app.limits))
        sock = sockets[0] if len(sockets) == 1 else sockets
        watched = self._metrics is not None
        run(_serve(app, channel, {**self._options, "sock": sock}, watched))

    def hub(self, channel: Channel) -> None:
        """Run the bus until told to leave."""
        # systemd and others send this one to all processes, but workers need the bus to the end.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        app = self._loaded()
        run(_connect(app, channel, self.path, self._metrics))
        if os.getppid() != self._parent:
            # It was killed, and can't clean up any more.
            shutil.rmtree(self._folder.name, ignore_errors=True)

    def _loaded(self) -> App:
        if self._prepare is not None:
            self._prepare()
        return self._load()


async def _serve(app: App, channel: Channel, options: dict[str, Any], watched: bool) -> None:
    async with _told(channel) as orders, app.serving(**options):
        channel.say(ready=os.getpid())
        beating = asyncio.create_task(_beat(app, channel, watched), name="duologue signs of life")
        try:
            app.leaving_code = CloseCode((await orders.get())["leave"])
            app.stopping = True
        finally:
            beating.cancel()


async def _beat(app: App, channel: Channel, watched: bool) -> None:
    while True:
        if watched:
            channel.say(stats=dataclasses.asdict(app.stats()))
        else:
            channel.say(beat=True)
        await asyncio.sleep(BEAT)


async def _connect(app: App, channel: Channel, path: Path, metrics: int | str | None) -> None:
    known: dict[str, dict[str, Any]] = {}
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(Bus(path, limits=app.limits, logger=app.logger))
        orders = await stack.enter_async_context(_told(channel))
        if metrics is not None:
            place = await stack.enter_async_context(telling(metrics, lambda: known))
            app.logger.info("metrics at http://%s:%d/metrics", *place)
        channel.say(ready=os.getpid())
        while "leave" not in (words := await orders.get()):
            known[str(words["worker"] + 1)] = words["stats"]


@contextlib.asynccontextmanager
async def _told(channel: Channel) -> AsyncIterator[asyncio.Queue[dict[str, Any]]]:
    """Give what the parent says; its end, and SIGTERM, are taken for being told to leave."""
    loop = asyncio.get_running_loop()
    orders: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    leave = {"leave": int(CloseCode.GOING_AWAY)}

    def hear() -> None:
        lines = channel.hear()
        if lines is None:
            loop.remove_reader(channel.fileno())
            lines = [leave]
        for line in lines:
            orders.put_nowait(line)

    loop.add_reader(channel.fileno(), hear)
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGTERM, orders.put_nowait, leave)
    try:
        yield orders
    finally:
        loop.remove_reader(channel.fileno())

"""One process of a load test: opens its connections, loads them, tells what happens.

It talks through a channel to whoever directs it: says ``ready`` when its connections are open,
waits for the word to go, then sends counts every :data:`INTERVAL` seconds and finally ``done``. Any
word that comes while it works means that it shall end early.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, Protocol

from duologue.base.limits import Limits
from duologue.base.types import Origin, Subprotocol
from duologue.cli import explain
from duologue.cli.bench.histogram import Histogram
from duologue.cli.bench.lanes import Lane, Load
from duologue.cli.bench.plan import DRAIN, OPENING, STALL, Plan, Way
from duologue.cli.bench.schedule import keep_schedule
from duologue.cli.certificates import read_tls
from duologue.client.connecting import connect
from duologue.client.reaching import ProxyOption
from duologue.connection.settings import Settings
from duologue.net.loops import new_event_loop

__all__ = ["INTERVAL", "Channel", "opener", "work"]

INTERVAL = 0.25
"""Seconds between two counts."""

# A test's own messages are bounded by the test; nothing else must stand in its way.
_LIMITS = Limits(max_size=None, max_outbox=None, memory_budget=None, write_timeout=None)


class Channel(Protocol):
    """What :class:`multiprocessing.connection.Connection` has of a channel."""

    def send(self, obj: Any, /) -> None:
        """Sends a value."""

    def recv(self) -> Any:
        """Waits for a value."""

    def poll(self) -> bool:
        """Tells whether a value has come."""


def opener(way: Way, make: Callable[[Settings], Any] | None = None) -> Callable[[], connect]:
    """Returns what opens connections the way it is told.

    Args:
        way: How.
        make: What makes connections.
    """
    tls = argparse.Namespace(insecure=way.insecure, ca=way.ca, cert=way.cert, key=way.key)
    context = read_tls(tls)
    options: dict[str, Any] = {}
    if context is not None and way.url.lower().startswith("wss:"):
        options["ssl"] = context
    logger = logging.getLogger("duologue.bench")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    proxy: ProxyOption = None if way.proxy == "none" else way.proxy or True

    def open_one() -> connect:
        return connect(
            way.url,
            additional_headers=way.headers,
            origin=None if way.origin is None else Origin(way.origin),
            subprotocols=[Subprotocol(name) for name in way.subprotocols] or None,
            compression="deflate" if way.compress else None,
            proxy=proxy,
            open_timeout=way.patience,
            ping_interval=None,
            limits=_LIMITS,
            logger=logger,
            create_connection=make,
            **options,
        )

    return open_one


def work(plan: Plan, channel: Channel) -> None:
    """Does one process's share.

    Args:
        plan: What to do.
        channel: Where to tell of it.
    """
    # Ctrl-C reaches every process of a terminal's job; whoever directs us says what follows.
    with contextlib.suppress(ValueError):  # in a thread, for tests
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_Work(plan, channel).run())


class _Work:
    def __init__(self, plan: Plan, channel: Channel) -> None:
        self._plan = plan
        self._channel = channel
        self._ended = asyncio.Event()
        self._stopped = False
        self._stalled = False
        self._load = Load(plan, self._ended.set)
        self._open = opener(plan.way, lambda settings: Lane(settings, self._load))

    async def run(self) -> None:
        await self._open_all()
        self._tell()
        self._channel.send(("ready", None))
        if await self._told() == "go" and self._load.lanes:
            telling = asyncio.create_task(self._keep_telling())
            try:
                await self._warm_up()
                await self._measure()
            finally:
                telling.cancel()
        for lane in list(self._load.lanes):
            self._load.give_up(lane)
        self._tell()
        self._channel.send(("done", None))
        self._load.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while self._load.lanes:
                    await asyncio.sleep(0.01)
        for lane in list(self._load.lanes):
            transport = lane.transport
            if transport is not None:
                transport.abort()

    # -- opening

    async def _open_all(self) -> None:
        places = asyncio.Semaphore(OPENING)
        start = asyncio.get_running_loop().time()
        tasks = []
        for number in range(self._plan.connections):
            if self._plan.ramp is not None:
                due = start + number / self._plan.ramp
                await asyncio.sleep(due - asyncio.get_running_loop().time())
            if self._channel.poll():
                break
            await places.acquire()
            task = asyncio.create_task(self._open_one())
            task.add_done_callback(lambda _: places.release())
            tasks.append(task)
            if len(tasks) % OPENING == 0:
                self._tell()
        for task in tasks:
            await task

    async def _open_one(self) -> None:
        start = perf_counter_ns()
        try:
            await self._open()
        except Exception as error:
            self._load.counts.failed += 1
            self._load.counts.example(f"no connection: {explain.reason(error)}")
        else:
            self._load.counts.opening.record(perf_counter_ns() - start)

    # -- load

    async def _warm_up(self) -> None:
        seconds = self._plan.warm_up
        if seconds <= 0:
            return
        await self._run(seconds)
        await self._drain()
        # What was learnt so far must not count, errors excepted.
        counts = self._load.take_counts()
        counts.latency, counts.lateness = Histogram(), Histogram()
        counts.sent = counts.answered = counts.unsent = 0
        self._load.counts = counts
        self._channel.send(("warm", None))

    async def _measure(self) -> None:
        if self._stopped:
            return
        self._load.left = self._plan.messages
        self._channel.send(("begin", None))
        start = perf_counter_ns()
        await self._run(self._plan.duration)
        self._tell()
        self._channel.send(("end", (perf_counter_ns() - start) / 1e9))
        await self._drain()

    async def _run(self, seconds: float | None) -> None:
        """Keeps up the load for a time, until all is sent and answered, or until told to end."""
        load, rate = self._load, self._plan.rate
        self._ended.clear()
        if rate is None:
            load.start()
            running: asyncio.Task[Any] = asyncio.create_task(self._until_ended())
        else:
            load.sending = True
            size = self._plan.size if self._plan.payload is None else len(self._plan.payload)
            running = asyncio.create_task(self._keep_schedule(rate, size, seconds))
        tasks = [running, asyncio.create_task(self._told())]
        if seconds is None:
            tasks.append(asyncio.create_task(self._until_stalled()))
        try:
            # An open loop ends by itself, a little later if it must catch up.
            timeout = seconds if rate is None else None
            await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            load.sending = False

    async def _until_ended(self) -> None:
        await self._ended.wait()

    async def _until_stalled(self) -> None:
        self._load.heard = perf_counter_ns()
        while perf_counter_ns() - self._load.heard < STALL * 1e9:
            await asyncio.sleep(STALL / 10)
        self._stalled = True

    async def _keep_schedule(self, rate: float, size: int, seconds: float | None) -> None:
        await keep_schedule(self._load, rate, size, seconds)
        if self._load.outstanding and self._load.left == 0:
            await self._ended.wait()

    async def _drain(self) -> None:
        """Waits for answers that are still missing, unless that was done already."""
        if self._stalled:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                while self._load.outstanding:
                    self._ended.clear()
                    self._load.stop()
                    await self._ended.wait()

    # -- telling

    def _tell(self) -> None:
        self._channel.send(("counts", self._load.take_counts()))

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            self._tell()

    async def _told(self) -> str:
        while not self._channel.poll():
            await asyncio.sleep(0.02)
        word = self._channel.recv()
        assert isinstance(word, str)
        self._stopped = word != "go"
        return word

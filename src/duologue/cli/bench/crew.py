"""The processes of a load test, and what they tell, put together.

Each process is started anew (not forked), opens its share of the connections, and begins when all
are ready. The process that directs them sends nothing itself, so that it has time for the terminal.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from duologue.cli.bench.counts import Counts
from duologue.cli.bench.histogram import Histogram
from duologue.cli.bench.plan import Plan
from duologue.cli.bench.worker import work

__all__ = ["Crew", "Progress", "Result"]

_TICK = 0.25
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class Progress:
    """How it goes, for the terminal.

    Attributes:
        phase: What is being done: ``connecting``, ``warming up``, ``measuring`` or ``ending``.
        seconds: How long that has been so.
        counts: Everything so far.
        rate: Answers a second, since the last time.
        recent: Latencies since the last time.
    """

    phase: str
    seconds: float
    counts: Counts
    rate: float
    recent: Histogram


@dataclass(slots=True)
class Result:
    """What a load test has found.

    Attributes:
        counts: Everything after the warm-up, errors also of before.
        rate: Answers a second while messages were being sent.
        seconds: How long that was.
        rates: Answers a second over time, one for each tick.
        interrupted: Whether it was ended early.
        died: How many processes ended by themselves.
    """

    counts: Counts = field(default_factory=Counts)
    rate: float = 0.0
    seconds: float = 0.0
    rates: list[float] = field(default_factory=list)
    interrupted: bool = False
    died: int = 0


@dataclass(slots=True)
class _Member:
    process: BaseProcess
    channel: Connection
    ready: bool = False
    warmed: bool = False
    measuring: bool = False
    done: bool = False
    answered: int = 0


class Crew:
    """The processes of a load test.

    Args:
        plan: What all of them do together.
        processes: How many there are.
        show: Called with progress, some times a second.
    """

    def __init__(self, plan: Plan, processes: int, show: Callable[[Progress], object]) -> None:
        self._plan = plan
        self._show = show
        self._shares = plan.shares(processes)
        self._members: list[_Member] = []
        self._result = Result()
        self._signals = 0
        self._window = Counts()
        self._phase = "connecting"
        self._since = time.monotonic()
        self._last_shown = time.monotonic()

    def run(self) -> Result:
        """Runs the test; Ctrl-C ends it early, a second one without waiting for answers."""
        with self._listening_to_signals(), self._at_work():
            self._follow()
        return self._result

    @contextmanager
    def _listening_to_signals(self) -> Iterator[None]:
        """Counts signals instead of being interrupted anywhere, such as in half of a message."""

        def count(number: int, frame: FrameType | None) -> None:
            self._signals += 1

        try:
            before = {each: signal.signal(each, count) for each in _SIGNALS}
        except ValueError:  # not in the main thread, where signals don't come
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _heed_signals(self) -> None:
        if self._signals and not self._result.interrupted:
            self._result.interrupted = True
            self._say("stop")

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        context = multiprocessing.get_context("spawn")
        try:
            for share in self._shares:
                ours, theirs = context.Pipe()
                process = context.Process(target=work, args=(share, theirs), daemon=True)
                process.start()
                theirs.close()
                self._members.append(_Member(process, ours))
            yield
        finally:
            for member in self._members:
                member.process.join(0 if not member.done else 2)
                if member.process.is_alive():
                    member.process.kill()
                    member.process.join()
                member.channel.close()

    def _follow(self) -> None:
        """Takes in what the processes say until all are done."""
        while waiting := [member for member in self._members if not member.done]:
            self._heed_signals()
            if self._signals > 1:
                return
            channels = {member.channel: member for member in waiting}
            for channel in multiprocessing.connection.wait(list(channels), _TICK):
                member = channels[channel]  # type: ignore[index]
                try:
                    self._take(member, *member.channel.recv())
                except (EOFError, ConnectionResetError):
                    member.done = True
                    self._result.died += 1
                    self._go_if_ready()
            self._tick()

    def _take(self, member: _Member, word: str, value: Any) -> None:
        if word == "counts":
            self._take_counts(member, value)
        elif word == "ready":
            member.ready = True
            self._go_if_ready()
        elif word == "begin":
            member.measuring = True
            self._enter("measuring")
        elif word == "end":
            member.measuring = False
            if value:
                self._result.rate += member.answered / value
            self._result.seconds = max(self._result.seconds, value)
            if not any(each.measuring for each in self._members):
                self._enter("ending")
        elif word == "done":
            member.done = True

    def _go_if_ready(self) -> None:
        ready = all(each.ready or each.done for each in self._members)
        if self._phase == "connecting" and ready:
            self._enter("warming up" if self._plan.warm_up else "measuring")
            if not self._result.interrupted:
                self._say("go")

    def _take_counts(self, member: _Member, counts: Counts) -> None:
        self._window.add(counts)
        if member.measuring:
            member.answered += counts.answered
        if self._phase in ("connecting", "warming up"):
            counts.latency, counts.lateness = Histogram(), Histogram()
            counts.sent = counts.answered = counts.unsent = 0
        self._result.counts.add(counts)

    def _enter(self, phase: str) -> None:
        if phase != self._phase:
            self._phase, self._since = phase, time.monotonic()

    def _say(self, word: str) -> None:
        for member in self._members:
            if not member.done:
                try:
                    member.channel.send(word)
                except OSError:
                    pass  # it has ended, which is seen when its channel is read

    def _tick(self) -> None:
        now = time.monotonic()
        passed = now - self._last_shown
        if passed < _TICK:
            return
        window, self._window = self._window, Counts()
        self._last_shown = now
        rate = window.answered / passed
        if self._phase == "measuring":
            self._result.rates.append(rate)
        self._show(
            Progress(self._phase, now - self._since, self._result.counts, rate, window.latency)
        )

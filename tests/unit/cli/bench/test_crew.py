"""The processes of a load test, when one of them fails."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import SimpleNamespace

import pytest

from duologue.cli.bench import crew
from duologue.cli.bench.counts import Counts
from duologue.cli.bench.crew import Crew, Progress
from duologue.cli.bench.plan import Plan, Way
from duologue.cli.bench.worker import Channel

PLAN = Plan(Way("ws://127.0.0.1:1/"), connections=2, duration=1.0)


class Process(threading.Thread):
    """A process of a test: a thread with a channel of its own, which ends when it does."""

    def __init__(self, target: Work, args: tuple[Plan, Connection], daemon: bool) -> None:
        super().__init__(daemon=daemon)
        self._work = target
        self._plan = args[0]
        self._channel = Connection(os.dup(args[1].fileno()))

    def run(self) -> None:
        with self._channel:
            self._work(self._plan, self._channel)


Work = Callable[[Plan, Channel], None]


def dies_at_once(plan: Plan, channel: Channel) -> None:
    if plan.process == 0:
        works(plan, channel)


def dies_at_work(plan: Plan, channel: Channel) -> None:
    channel.send(("ready", None))
    assert channel.recv() == "go"
    if plan.process == 0:
        tells(channel)


def works(plan: Plan, channel: Channel) -> None:
    channel.send(("ready", None))
    assert channel.recv() == "go"
    tells(channel)


def tells(channel: Channel) -> None:
    channel.send(("begin", None))
    channel.send(("counts", Counts(sent=10, answered=10)))
    channel.send(("end", 0.5))
    channel.send(("counts", Counts(sent=1, answered=1)))
    channel.send(("done", None))


@pytest.mark.parametrize(
    ("work", "died", "answered"), [(works, 0, 22), (dies_at_once, 1, 11), (dies_at_work, 1, 11)]
)
def test_the_others_go_on(
    work: Work, died: int, answered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = SimpleNamespace(Pipe=multiprocessing.Pipe, Process=Process)
    monkeypatch.setattr("multiprocessing.get_context", lambda method: context)
    monkeypatch.setattr(crew, "work", work)
    shown: list[Progress] = []
    result = Crew(PLAN, 2, shown.append).run()
    assert result.died == died
    assert result.counts.answered == answered
    # What came after the end of the measuring is no rate.
    assert result.rate == (2 - died) * 10 / 0.5
    assert result.seconds == 0.5

"""The decisions and small parts of supervision, without processes that serve."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import duologue
from duologue.app.shutdown import Departure
from duologue.app.workers import slots
from duologue.app.workers.channel import Channel
from duologue.app.workers.child import Child
from duologue.app.workers.listeners import Listeners
from duologue.app.workers.slots import Slot

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork()")


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    pair = Channel.pair()
    yield pair
    for each in pair:
        each.close()


def test_a_channel(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    assert other.hear() == []
    assert one.say(leave=1001)
    assert one.say(stats={"a": 1})
    assert other.hear() == [{"leave": 1001}, {"stats": {"a": 1}}]
    one.close()
    assert other.hear() is None


def test_a_channel_that_nobody_reads(ends: tuple[Channel, Channel]) -> None:
    one, other = ends
    numbers = 0
    while one.say(number=numbers, filling="x" * 1000):
        numbers += 1
    assert not one.say(number=-1)
    heard: list[Any] = []
    while lines := other.hear():
        heard += lines
    assert one.say(number=-2)
    while lines := other.hear():
        heard += lines
    # The one that was cut short is completed; the one after it was let go of.
    assert [line["number"] for line in heard] == [*range(numbers + 1), -2]


def test_when_a_worker_is_replaced(ends: tuple[Channel, Channel]) -> None:
    slot = Slot("worker 1", 0)
    pauses = []
    for _ in range(slots.MOST_FAILURES + 1):
        assert not slot.hopeless
        slot.lost(Child("worker 1", 1, ends[0], 100.0), 100.0)
        pauses.append(slot.start_at - 100.0)
    assert slot.hopeless
    assert pauses[:4] == pytest.approx([0.0, 0.1, 0.2, 0.4])
    assert max(pauses) == pytest.approx(slots.LONGEST_PAUSE)
    lived = Child("worker 1", 1, ends[0], 100.0)
    lived.ready = True
    slot.lost(lived, 100.0 + slots.STABLE)
    assert not slot.hopeless
    assert slot.start_at == 100.0 + slots.STABLE


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere one socket is shared")
def test_each_worker_has_sockets_of_its_own() -> None:
    with contextlib.closing(Listeners.open(3, "127.0.0.1", 0)) as listeners:
        assert len(listeners.all) == 3
        (name,) = {sock.getsockname() for sock in listeners.all}
        # They listen already: who connects now waits for a worker.
        with socket.create_connection(name, timeout=20):
            pass
        # Others of the same user could share the port, and would not be noticed.
        with pytest.raises(OSError, match="in use"):
            Listeners.open(2, "127.0.0.1", name[1])


def test_what_has_to_be_shared(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with contextlib.closing(Listeners.open(3, uds=path)) as listeners:
        assert len(listeners.slots) == 3
        assert len(listeners.all) == 1
    assert not path.exists()
    sock = socket.create_server(("127.0.0.1", 0))
    with contextlib.closing(Listeners.open(2, fd=os.dup(sock.fileno()))) as listeners:
        assert [each.getsockname() for each in listeners.all] == [sock.getsockname()]
    with contextlib.closing(Listeners.open(2, sock=sock)) as listeners:
        assert listeners.slots == [[sock], [sock]]
    with pytest.raises(ValueError, match="exclude"):
        Listeners.open(2, "127.0.0.1", uds=path)


@pytest.mark.parametrize(
    ("workers", "error"), [(0, ValueError), (True, TypeError), ("2", TypeError)]
)
def test_numbers_of_workers(workers: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="workers must be"):
        duologue.App().run(workers=workers, log_level=None)


def test_wrong_options_are_told_at_once() -> None:
    with pytest.raises(TypeError, match="prot"):
        duologue.App().run(port=0, workers=2, log_level=None, prot=1)


def test_how_fast_connections_are_closed() -> None:
    departure = Departure(close_rate=1000, retry_spread=None)
    assert departure.at_once(10, 30.0) == 20
    assert departure.at_once(150_000, 30.0) == 200
    assert departure.at_once(150_000, None) == 20
    assert Departure(close_rate=None).at_once(7, 30.0) == 7
    assert departure.reason() == ""


def test_clients_are_told_different_times() -> None:
    reasons = {Departure(retry_spread=5).reason() for _ in range(100)}
    assert len(reasons) > 10
    seconds = [float(reason.split()[2]) for reason in reasons]
    assert 0 <= min(seconds) < 2.5 < max(seconds) <= 5


@pytest.mark.parametrize("options", [{"close_rate": 0}, {"retry_spread": -1}])
def test_departures_that_can_not_be(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be more than 0"):
        Departure(**options)

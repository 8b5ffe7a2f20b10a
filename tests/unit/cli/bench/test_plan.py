"""How a load is divided among processes."""

from __future__ import annotations

import pytest

from duologue.cli.bench.plan import Plan, Way
from duologue.cli.bench.schedule import WAITING, WAITING_OCTETS, most_waiting

WAY = Way("ws://127.0.0.1/")


@pytest.mark.parametrize("connections", [1, 2, 7, 100])
@pytest.mark.parametrize("messages", [None, 1, 10, 12345])
@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_the_shares_are_the_whole(connections, messages, processes):
    processes = min(processes, connections)
    whole = Plan(WAY, connections=connections, messages=messages, rate=1000.0, ramp=50.0)
    shares = whole.shares(processes)
    assert len(shares) == processes
    assert sum(share.connections for share in shares) == connections
    assert max(share.connections for share in shares) - min(s.connections for s in shares) <= 1
    assert sum(share.rate or 0 for share in shares) == pytest.approx(1000)
    assert sum(share.ramp or 0 for share in shares) == pytest.approx(50)
    if messages is None:
        assert {share.messages for share in shares} == {None}
    else:
        assert sum(share.messages or 0 for share in shares) == messages
    assert [share.process for share in shares] == list(range(processes))


def test_what_is_the_same_for_all():
    whole = Plan(WAY, connections=4, duration=3.0, size=9, in_flight=5, warm_up=1.0, greetings=2)
    for share in whole.shares(2):
        assert (share.way, share.duration, share.size) == (WAY, 3.0, 9)
        assert (share.in_flight, share.warm_up, share.greetings) == (5, 1.0, 2)


@pytest.mark.parametrize(
    ("size", "most"),
    [(0, WAITING), (8192, WAITING), (8193, WAITING_OCTETS // 8193), (1 << 23, 1), (1 << 30, 1)],
)
def test_what_may_wait(size, most):
    assert most_waiting(size) == most

"""Positions only grow, in bounded memory."""

from __future__ import annotations

from duologue.hub.positions import Positions


def test_each_topic_counts_for_itself() -> None:
    positions = Positions()
    assert [positions.take(topic) for topic in "aabab"] == [1, 2, 1, 3, 2]
    assert len(positions) == 2


def test_a_horizon() -> None:
    assert Positions(horizon=10).take("a") == 11


def test_what_is_forgotten_never_goes_back() -> None:
    positions = Positions(most=4)
    last: dict[str, int] = {}
    for round_number in range(50):
        for topic in [str(number) for number in range(3 + round_number % 7)]:
            position = positions.take(topic)
            assert position > last.get(topic, 0)
            last[topic] = position
            assert len(positions) <= 4

from __future__ import annotations

import random

from duologue.app.guard.buckets import Buckets
from duologue.base.rates import Rate


def take_all(buckets: Buckets, key: object, now: float) -> int:
    """Take as often as may be; return how often that was."""
    count = 0
    while buckets.wait(key, now) == 0:
        buckets.take(key, now)
        count += 1
    return count


def test_burst_and_refill() -> None:
    buckets = Buckets(Rate(2, burst=10))
    assert take_all(buckets, "a", 1000.0) == 10
    assert take_all(buckets, "b", 1000.0) == 10
    assert 0.4 < buckets.wait("a", 1000.0) <= 0.5
    assert take_all(buckets, "a", 1000.5) == 1
    assert take_all(buckets, "a", 1003.0) == 5
    assert take_all(buckets, "a", 2000.0) == 10


def test_rounding_never_refuses_what_is_due() -> None:
    now = 1e7 + 0.1
    buckets = Buckets(Rate(1000, 7, burst=500))
    assert take_all(buckets, "a", now) == 500
    for _ in range(5000):
        now += 0.007
        assert buckets.wait("a", now) == 0
        buckets.take("a", now)


def test_waiting_takes_nothing() -> None:
    buckets = Buckets(Rate(1))
    assert [buckets.wait("a", 5.0) for _ in range(10)] == [0.0] * 10
    assert len(buckets) == 0


def test_the_table_is_bounded() -> None:
    buckets = Buckets(Rate(1, 3600), most=100)
    for number in range(10_000):
        buckets.take(number, 0.0)
        assert len(buckets) <= 100
    # Those that came last are known, those before are not.
    assert buckets.wait(9999, 1.0) > 0
    assert buckets.wait(9900, 1.0) > 0
    assert buckets.wait(9899, 1.0) == 0


def test_who_goes_on_is_not_forgotten() -> None:
    buckets = Buckets(Rate(100, 3600), most=10)
    for number in range(90):
        buckets.take("busy", number)
        buckets.take(number, number)
    assert take_all(buckets, "busy", 90) == 12


def test_full_buckets_are_forgotten() -> None:
    buckets = Buckets(Rate(1))
    for number in range(1000):
        buckets.take(number, 0.0)
    assert len(buckets) == 1000
    for number in range(600):
        buckets.take("later", 10.0 + number)
    assert len(buckets) == 1


def test_against_a_bucket_that_is_refilled() -> None:
    random.seed(7)
    for _ in range(50):
        rate = Rate(random.choice([1, 3, 10]), random.choice([1, 7]), random.choice([1, 2, 9]))
        assert rate.burst is not None
        buckets, tokens, now = Buckets(rate), rate.burst, 0.0
        for _ in range(300):
            passed = random.choice([0, 0, 0.25, 0.5, 3.0])
            now += passed
            tokens = min(rate.burst, tokens + passed * rate.count / rate.seconds)
            if abs(tokens - 1) < 1e-3:
                continue
            assert (buckets.wait("a", now) == 0) is (tokens >= 1)
            if tokens >= 1:
                buckets.take("a", now)
                tokens -= 1

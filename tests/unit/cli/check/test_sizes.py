"""The search for the longest message, without a network."""

from __future__ import annotations

import pytest

from duologue.cli.check.plan import ATTEMPTS
from duologue.cli.check.sizes import Search


def search(limit: int, bound: int) -> tuple[Search, list[int]]:
    made, tried = Search(bound), []
    while (size := made.size) is not None:
        tried.append(size)
        assert len(tried) < 100
        if size <= limit:
            made.accepted(size)
        else:
            made.refused(size)
    return made, tried


@pytest.mark.parametrize("exponent", range(10, 20))
def test_a_power_of_two_is_found_exactly_and_soon(exponent):
    made, tried = search(1 << exponent, 1 << 20)
    assert (made.good, made.bad) == (1 << exponent, (1 << exponent) + 1)
    assert sum(size > 1 << exponent for size in tried) == 2


@pytest.mark.parametrize("limit", [0, 1, 500, 1023, 1025, 3000, 65535, 70_000, 999_999])
def test_any_limit_is_enclosed(limit):
    made, tried = search(limit, 1 << 20)
    assert made.bad is not None
    assert made.good <= limit < made.bad
    assert made.bad - made.good <= max(limit, 1024) / 2 ** (ATTEMPTS - 3) + 1
    assert sum(size > limit for size in tried) <= ATTEMPTS


@pytest.mark.parametrize("bound", [1, 1000, 1024, 5000, 1 << 20])
def test_the_bound_is_tried_and_never_passed(bound):
    made, tried = search(1 << 30, bound)
    assert (made.good, made.bad) == (bound, None)
    assert max(tried) == bound
    assert sum(tried) <= 3 * bound

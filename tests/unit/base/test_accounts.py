"""The counters as an operator reads them; what fills them is tested where it happens."""

from __future__ import annotations

import duologue
from duologue.base.accounts import Accounts, accounts


def test_the_public_name() -> None:
    assert duologue.accounts is accounts
    assert isinstance(duologue.accounts(), duologue.Accounts)


def test_a_snapshot_has_names_and_whole_numbers() -> None:
    now = accounts()
    assert Accounts._fields == (
        "octets", "connections", "links", "listeners", "codecs", "holding", "shed",
        "dropped_newest", "dropped_oldest", "dropped_replaced", "dropped_unsent",
    )  # fmt: skip
    assert all(isinstance(value, int) and value >= 0 for value in now)


def test_every_counter_is_described() -> None:
    assert Accounts.__doc__ is not None
    for name in Accounts._fields:
        assert f"    {name}: " in Accounts.__doc__

"""Options and limits become settings, or a clear error."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from duologue.base.limits import Limits
from duologue.base.vocabulary import Side
from duologue.connection.settings import Settings

NOT_GIVEN: dict[str, Any] = {
    "max_size": ..., "max_queue": ..., "write_limit": ..., "ping_interval": ...,
    "ping_timeout": ..., "close_timeout": ..., "logger": None,
}  # fmt: skip


def resolve(limits: Limits | None = None, **options: Any) -> Settings:
    return Settings.resolve(Side.SERVER, limits or Limits(), **{**NOT_GIVEN, **options})


def test_limits_are_the_defaults() -> None:
    settings = resolve(
        Limits(
            max_size=1,
            max_queue=8,
            write_limit=400,
            ping_interval=3,
            ping_timeout=4,
            close_timeout=5,
        )
    )
    assert (settings.max_message, settings.max_fragment) == (1, None)
    assert (settings.queue_high, settings.queue_low) == (8, 2)
    assert (settings.write_high, settings.write_low) == (400, 100)
    assert (settings.ping_interval, settings.ping_timeout, settings.close_timeout) == (3, 4, 5)
    assert settings.logger is logging.getLogger("duologue.server")


def test_options_come_before_limits() -> None:
    logger = logging.getLogger("mine")
    settings = resolve(
        max_size=(10, 5), max_queue=(6, 1), write_limit=(7, 2), ping_interval=None,
        ping_timeout=None, close_timeout=None, logger=logger,
    )  # fmt: skip
    assert (settings.max_message, settings.max_fragment) == (10, 5)
    assert (settings.queue_high, settings.queue_low) == (6, 1)
    assert (settings.write_high, settings.write_low) == (7, 2)
    assert settings.ping_interval is settings.ping_timeout is settings.close_timeout is None
    assert settings.logger is logger


@pytest.mark.parametrize(
    "option, high, low",
    [(None, None, None), ((None, 3), 12, 3), ((8, None), 8, 2), ((8, 8), 8, 8), (1, 1, 0)],
)
def test_one_mark_follows_from_the_other(option: Any, high: int | None, low: int | None) -> None:
    settings = resolve(max_queue=option, write_limit=option)
    assert (settings.queue_high, settings.queue_low) == (high, low)
    assert (settings.write_high, settings.write_low) == (high, low)


def test_an_inbox_has_room_for_one_message() -> None:
    assert resolve(max_queue=0).queue_high == 1


@pytest.mark.parametrize("name", ["max_size", "max_queue", "write_limit"])
@pytest.mark.parametrize(
    "value, error",
    [
        (-1, ValueError),
        ((1, -1), ValueError),
        ("1", TypeError),
        (1.5, TypeError),
        (True, TypeError),
    ],
)
def test_nonsense_is_refused_by_name(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        resolve(**{name: value})


@pytest.mark.parametrize("name", ["max_queue", "write_limit"])
def test_a_low_mark_is_not_above_its_high_one(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has its low mark 5 above its high mark 4"):
        resolve(**{name: (4, 5)})

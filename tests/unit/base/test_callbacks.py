"""What may be called back, and what nobody would await."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from duologue.base.callbacks import check_callback


async def coroutine_function(*arguments: Any) -> None: ...


async def generator_function(*arguments: Any) -> Any:
    yield


@pytest.mark.parametrize("callback", [print, lambda: None, functools.partial(print, 1), str])
def test_plain_functions(callback: Any) -> None:
    check_callback("on_gap", callback)


@pytest.mark.parametrize(
    "callback",
    [coroutine_function, generator_function, functools.partial(coroutine_function, 1)],
)
def test_what_nobody_would_await(callback: Any) -> None:
    with pytest.raises(TypeError, match="on_gap must be a plain function"):
        check_callback("on_gap", callback)


@pytest.mark.parametrize("callback", [None, 5, "print"])
def test_what_is_no_function(callback: Any) -> None:
    with pytest.raises(TypeError, match="on_gap must be a function, not"):
        check_callback("on_gap", callback)

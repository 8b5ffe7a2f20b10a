"""Promises as the streams return them: futures of asyncio.

They happen whether or not somebody awaits them, and may be awaited many times.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

T = TypeVar("T")

Promise = asyncio.Future


def resolve(value: T) -> Promise[T]:
    """Return a promise that was kept."""
    promise: Promise[T] = asyncio.get_running_loop().create_future()
    promise.set_result(value)
    return promise


def reject(exc: BaseException, *, handled: bool = False) -> Promise[Any]:
    """Return a promise that was broken.

    Args:
        exc: why.
        handled: whether nobody has to look at it; else asyncio logs it if nobody does, as browsers
            log unhandled rejections.
    """
    promise: Promise[Any] = asyncio.get_running_loop().create_future()
    settle(promise, exc, handled=handled)
    return promise


def settle(promise: Promise[Any], exc: BaseException, *, handled: bool = False) -> None:
    """Break a promise that is still open; see :func:`reject`."""
    if promise.done():
        return
    promise.set_exception(exc)
    if handled:
        promise.exception()

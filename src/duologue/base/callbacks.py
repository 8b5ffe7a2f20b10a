"""What may be called back: plain functions, since nobody would await what others return.

Pure. Must never know who calls.
"""

from __future__ import annotations

import inspect

__all__ = ["check_callback"]


def check_callback(name: str, callback: object) -> None:
    """Make sure that something can be called back without being awaited.

    Args:
        name: of what takes it, for the error.
        callback: what was given.

    Raises:
        TypeError: If it can't be called, or is a coroutine function.
    """
    if not callable(callback):
        raise TypeError(f"{name} must be a function, not {callback!r}")
    if inspect.iscoroutinefunction(callback) or inspect.isasyncgenfunction(callback):
        raise TypeError(
            f"{name} must be a plain function, which may start a task; nobody awaits {callback!r}"
        )

"""Constants of an interface: the same on the class and on its objects, and not to be written."""

from __future__ import annotations

from typing import Any

__all__ = ["Constant", "WithConstants"]


class Constant:
    """A number that nobody can change.

    Args:
        value: the number.
    """

    def __init__(self, value: int) -> None:
        self._value = value

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type | None = None) -> int:
        return self._value

    def __set__(self, instance: object, value: object) -> None:
        raise AttributeError(f"{self._name} is a constant")


class WithConstants(type):
    """The class of classes whose constants can't be replaced either."""

    def __setattr__(cls, name: str, value: Any) -> None:
        if any(isinstance(vars(base).get(name), Constant) for base in cls.__mro__):
            raise AttributeError(f"{name} is a constant")
        super().__setattr__(name, value)

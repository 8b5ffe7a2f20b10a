"""``Fields``: what a query string or a form says, where names may repeat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import parse_qsl

__all__ = ["Fields"]

MAX_FIELDS = 1000
"""Fields in one query or form."""


class Fields(Mapping[str, str]):
    """Names and values, in order; a name that repeats means its last value as a key.

    Args:
        pairs: the fields.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = list(pairs)
        self._last = dict(self._pairs)

    @classmethod
    def parse(cls, text: str) -> Fields:
        """Read a query string, or a form as browsers send it (``a=1&b=2``).

        Raises:
            ValueError: If it has more than 1000 fields.
        """
        return cls(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))

    def __getitem__(self, name: str) -> str:
        return self._last[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._last)

    def __len__(self) -> int:
        return len(self._last)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._pairs!r})"

    def get_all(self, name: str) -> list[str]:
        """Return all values of a name, in their order."""
        return [value for key, value in self._pairs if key == name]

    def items_all(self) -> list[tuple[str, str]]:
        """Return all names and values, in their order."""
        return self._pairs.copy()

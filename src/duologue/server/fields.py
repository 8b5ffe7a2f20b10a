"""What a query string, a form or ``Cookie`` says, and where it came from; names may repeat.

Pure. Sources: WHATWG URL (forms), RFC 6265 section 4.2 (cookies).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl

from duologue.wire.headers import Headers

__all__ = ["Client", "Fields", "read_cookies"]

MAX_FIELDS = 1000
"""Fields in one query or form."""


class Client(NamedTuple):
    """Where a client is.

    Attributes:
        host: its address; the path of a Unix socket.
        port: ``None`` where there is none, 0 if a proxy doesn't tell.
    """

    host: str
    port: int | None


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


def read_cookies(headers: Headers) -> dict[str, str]:
    """Read the cookies; of those with the same name the first, which has the longest path."""
    cookies: dict[str, str] = {}
    for pair in ";".join(headers.get_all("Cookie")).split(";"):
        name, equals, value = pair.strip().partition("=")
        if equals and name.strip():
            cookies.setdefault(name.strip(), value.strip().strip('"'))
    return cookies

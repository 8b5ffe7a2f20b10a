"""`Headers`: the fields of an HTTP head, with names in any case and values that may repeat.

It holds what was said and in which order; what a field means is left to `wire.grammar` and to the
floors above. Names and values are `str`; octets above 127 are ISO-8859-1, which maps each octet to
one character and back, whatever encoding the peer meant (RFC 9110 section 5.5).

Invariants:
    * what `serialize` writes cannot contain a line break that did not come from `serialize`:
      names are tokens and values have no control characters other than tab;
    * the order of fields is kept, also among those of the same name (RFC 9110 section 5.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Protocol

from duologue.base.exceptions import InvalidHeaderFormat, InvalidHeaderValue
from duologue.wire.fields import split_fields

__all__ = ["Headers", "HeadersLike", "MultipleValuesError"]

_is_name = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+").fullmatch
_is_value = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch


class MultipleValuesError(LookupError):
    """`headers[name]` is ambiguous: the field occurs more than once. Use `get_all`."""

    def __str__(self) -> str:
        # As KeyError does, so that an odd name stays recognizable in a traceback.
        return repr(self.args[0]) if len(self.args) == 1 else super().__str__()


class Headers(MutableMapping[str, str]):
    """An ordered multi-dictionary of HTTP fields with case-insensitive names.

    As long as no name repeats it behaves as a dictionary whose keys are lower-case, with one
    difference: assigning to a name adds a value, it does not replace one. To replace a field,
    delete it first.

    Args:
        *args: At most one mapping or iterable of (name, value) pairs to start from.
        **kwargs: More fields.

    Raises:
        InvalidHeaderFormat: If a name is not a token (RFC 9110 section 5.1).
        InvalidHeaderValue: If a value has control characters, or characters above U+00FF.
    """

    # Of a head that is kept as octets the last one is set, and the others when somebody asks.
    __slots__ = ("_dict", "_head", "_list")
    _head: bytes

    def __init__(self, *args: HeadersLike, **kwargs: str) -> None:
        self._dict: dict[str, list[str]] = {}
        self._list: list[tuple[str, str]] = []
        if args or kwargs:
            self.update(*args, **kwargs)

    @classmethod
    def of_head(cls, head: bytes) -> Headers:
        """Return the fields of a head that was judged before; it is split when they are asked for.

        Args:
            head: octets from the first line to the empty one.
        """
        headers = cls.__new__(cls)
        headers._head = head
        return headers

    if not TYPE_CHECKING:  # else every name would seem to exist

        def __getattr__(self, name: str) -> object:
            """Split the head: called for attributes that are not set."""
            if name not in ("_dict", "_list"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            self._dict, self._list = split_fields(self._head)
            del self._head
            return getattr(self, name)

    def __str__(self) -> str:
        return "".join([f"{name}: {value}\r\n" for name, value in self._list]) + "\r\n"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._list!r})"

    def copy(self) -> Headers:
        """Return an independent copy."""
        copy = type(self)()
        copy._list = self._list.copy()
        copy._dict = {name: values.copy() for name, values in self._dict.items()}
        return copy

    def serialize(self) -> bytes:
        """Return the fields as octets, with the empty line that ends a head."""
        return str(self).encode("iso-8859-1")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._dict

    def __iter__(self) -> Iterator[str]:
        return iter(self._dict)

    def __len__(self) -> int:
        return len(self._dict)

    def __getitem__(self, name: str) -> str:
        """Return a field's only value.

        Raises:
            KeyError: If the field is missing.
            MultipleValuesError: If it occurs more than once.
        """
        values = self._dict[name.lower()]
        if len(values) > 1:
            raise MultipleValuesError(name)
        return values[0]

    def __setitem__(self, name: str, value: str) -> None:
        """Add a value for a field.

        Raises:
            InvalidHeaderFormat: If the name is not a token.
            InvalidHeaderValue: If the value has control characters or characters above U+00FF.
        """
        if _is_name(name) is None:
            raise InvalidHeaderFormat(repr(name), "header name is not a token", name, 0)
        if _is_value(str(value)) is None:
            raise InvalidHeaderValue(name, value)
        self.set_insecure(name, value)

    def __delitem__(self, name: str) -> None:
        """Remove all values of a field; takes time in proportion to the number of fields.

        Raises:
            KeyError: If the field is missing.
        """
        key = name.lower()
        del self._dict[key]
        self._list = [pair for pair in self._list if pair[0].lower() != key]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return self._dict == other._dict

    __hash__ = None  # type: ignore[assignment]

    def clear(self) -> None:
        """Remove all fields."""
        self._dict = {}
        self._list = []

    def update(self, *args: HeadersLike, **kwargs: str) -> None:
        """Add fields from a mapping or an iterable of pairs, and from keywords.

        Args:
            *args: At most one `Headers`, mapping, or iterable of (name, value) pairs.
            **kwargs: More fields.

        Raises:
            InvalidHeaderFormat: If a name is not a token.
            InvalidHeaderValue: If a value cannot be sent.
        """
        if len(args) == 1 and not kwargs and args[0].__class__ is list:
            # What super() would do, without its asking what kind of thing this is.
            for name, value in args[0]:
                self[name] = value
            return
        # The mapping view of Headers fails on repeated names; its pairs do not.
        pairs = [arg.raw_items() if isinstance(arg, Headers) else arg for arg in args]
        super().update(*pairs, **kwargs)

    def get_all(self, key: str) -> list[str]:
        """Return a new list of all values of a field in their order, empty if it is missing."""
        values = self._dict.get(key.lower())
        return [] if values is None else values.copy()

    def raw_items(self) -> Iterator[tuple[str, str]]:
        """Iterate over all (name, value) pairs as they came, in order and in their own case."""
        return iter(self._list)

    def set_insecure(self, key: str, value: str) -> None:
        """Add a value without checking anything. For values that were checked already."""
        self._dict.setdefault(key.lower(), []).append(value)
        self._list.append((key, value))


class SupportsKeysAndGetItem(Protocol):
    """What `dict.update` accepts as a mapping."""

    def keys(self) -> Iterable[str]:
        """Return the names."""

    def __getitem__(self, key: str, /) -> str:
        """Return the value of a name."""


HeadersLike = Headers | Mapping[str, str] | Iterable[tuple[str, str]] | SupportsKeysAndGetItem
"""Anything accepted as headers: `Headers`, a mapping, or an iterable of (name, value) pairs."""

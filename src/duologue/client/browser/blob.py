"""``Blob``: octets that don't change, with a type (File API section 3).

In memory, so that reading one needs no waiting: ``bytes(blob)`` gives its octets at once. The
methods of the standard return promises in JavaScript and are coroutines here.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Blob"]


class Blob:
    r"""Octets and their type.

    Args:
        parts: what it is made of: :class:`str` (as UTF-8), anything with the buffer protocol, and
            other blobs.
        options: a mapping with ``type``, a media type, and ``endings``: ``"transparent"``, or
            ``"native"`` to write the line breaks of text as ``\n``.
        **more: options as keywords.

    Raises:
        TypeError: If an argument has the wrong type.
    """

    __slots__ = ("__weakref__", "_octets", "_type")

    def __init__(
        self, parts: Iterable[Any] = (), options: Mapping[str, Any] | None = None, /, **more: Any
    ) -> None:
        # An iterable of parts, which text and octets are in Python only.
        if isinstance(parts, str | bytes | bytearray | memoryview) or not isinstance(
            parts, Iterable
        ):
            raise TypeError(f"parts must be a list of parts, not {type(parts).__name__}")
        if options is not None and not isinstance(options, Mapping):
            raise TypeError(f"options must be a mapping, not {options!r}")
        given = {**(options or {}), **more}
        endings = given.get("endings", "transparent")
        if endings not in ("transparent", "native"):
            raise TypeError(f'endings must be "transparent" or "native", not {endings!r}')
        self._type = _media_type(given.get("type", ""))
        self._octets = b"".join(_octets(part, endings == "native") for part in parts)

    @classmethod
    def _of(cls, octets: builtins.bytes, type: str = "") -> Blob:
        blob = cls.__new__(cls)
        blob._octets = octets
        blob._type = type
        return blob

    @property
    def size(self) -> int:
        """Octets in it."""
        return len(self._octets)

    @property
    def type(self) -> str:
        """The media type in lower case, empty if it has none."""
        return self._type

    def slice(
        self, start: int | None = None, end: int | None = None, contentType: str = ""
    ) -> Blob:
        """Return a part of it; negative positions count from the end.

        Args:
            start: position of the first octet, the first of all by default.
            end: position after the last octet, the end by default.
            contentType: media type of the new one.
        """
        return Blob._of(self._octets[start:end], _media_type(contentType))

    async def arrayBuffer(self) -> builtins.bytes:
        """Return its octets."""
        return self._octets

    async def bytes(self) -> builtins.bytes:
        """Return its octets."""
        return self._octets

    async def text(self) -> str:
        """Return its octets as text; what isn't UTF-8 becomes U+FFFD."""
        # "UTF-8 decode" of the Encoding standard takes a byte order mark away.
        return self._octets.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")

    def __bytes__(self) -> builtins.bytes:
        return self._octets

    def __repr__(self) -> str:
        return f"<Blob size={self.size} type={self._type!r}>"


def encode(text: str) -> bytes:
    """Encode text as UTF-8, each lone surrogate as U+FFFD (Web IDL, ``USVString``)."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        # A pair is one character in JavaScript, and two code points in a str that has surrogates.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _octets(part: Any, native: bool) -> bytes:
    if isinstance(part, Blob):
        return part._octets
    if isinstance(part, str):
        if native:
            part = part.replace("\r\n", "\n").replace("\r", "\n")
        return encode(part)
    try:
        return memoryview(part).tobytes()
    except TypeError:
        raise TypeError(
            f"a part must be str, bytes-like or a Blob, not {type(part).__name__}"
        ) from None


def _media_type(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"type must be str, not {text!r}")
    return text.lower() if all("\x20" <= char <= "\x7e" for char in text) else ""

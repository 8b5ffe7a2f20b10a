"""Which route a request belongs to: a tree of path segments with µWebSockets' precedence.

Pure: patterns and paths in, entries out. It must never know what a route does.

At each segment static text goes before parameters, these before the rest of the path (``{p:path}``
or ``*``), whatever was registered first; among parameters the special kinds (``int``, ``uuid``,
then ``float``) go before text, and those with literal text around them before bare ones. Where a
branch leads to nothing the next one is tried.

Invariants: a percent-encoded slash stays in its segment; a parameter is never empty, the rest of a
path may be; the query is no part of a path; matching an exact path takes one look into a
dictionary.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import unquote

from duologue.app.converters import CONVERTERS

__all__ = ["Pattern", "Router", "split_path"]

T = TypeVar("T")

MAX_SEGMENTS = 100
"""Segments in a path or pattern, as in µWebSockets: longer ones match nothing."""

# As µWebSockets and Express, and as Flask write parameters; nobody means them as they stand.
_foreign = re.compile(r"[:<](?:[a-z]+:)?([A-Za-z_][A-Za-z0-9_]*)>?").fullmatch

_REST = "path"
_parameter = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?::([A-Za-z_][A-Za-z0-9_]*))?\}")


class Part:
    """One segment of a pattern that has parameters.

    A parameter ends where the literal text after it first occurs, so matching takes one pass,
    whatever a peer sends.

    Args:
        text: as it stands in the pattern, such as ``{id:int}.png``.

    Attributes:
        names: of its parameters.
        rank: what is lower is tried first.

    Raises:
        ValueError: If a converter isn't known, or no text is between two parameters.
    """

    def __init__(self, text: str) -> None:
        found = list(_parameter.finditer(text))
        for each in found:
            if (each[2] or "str") not in CONVERTERS:
                known = ", ".join([*CONVERTERS, _REST])
                raise ValueError(f"unknown converter {each[2]!r} in {text!r}; there are {known}")
        ends = [0, *(each.end() for each in found)]
        starts = [*(each.start() for each in found), len(text)]
        literals = [_decode(text[end:start]) for end, start in zip(ends, starts, strict=True)]
        if not all(literals[1:-1]):
            raise ValueError(f"no text is between two parameters: {text!r}")
        self.text = text
        self.names = [each[1] for each in found]
        self._prefix, *self._between, self._suffix = literals
        self._converters = [CONVERTERS[each[2] or "str"] for each in found]
        self._matches = [re.compile(each.pattern).fullmatch for each in self._converters]
        # The usual one: the whole segment, as it is.
        self._bare = text == "{" + found[0][1] + "}"
        self.rank = (-sum(map(len, literals)), min(each.rank for each in self._converters))

    def take(self, segment: str, params: dict[str, Any]) -> bool:
        """Put what the segment says into ``params``; return whether it fits."""
        if self._bare:
            if not segment:
                return False
            params[self.names[0]] = segment
            return True
        start, end = len(self._prefix), len(segment) - len(self._suffix)
        if start >= end or not segment.startswith(self._prefix):
            return False
        if not segment.endswith(self._suffix):
            return False
        texts = []
        for literal in self._between:
            # At least one character is the parameter's.
            at = segment.find(literal, start + 1, end)
            if at < 0:
                return False
            texts.append(segment[start:at])
            start = at + len(literal)
        texts.append(segment[start:end])
        for index, text in enumerate(texts):
            if self._matches[index](text) is None:
                return False
            try:
                params[self.names[index]] = self._converters[index].convert(text)
            except ValueError:
                return False
        return True


class Pattern:
    """A path with parameters, checked.

    Args:
        text: begins with a slash: ``/room/{name}``, ``/item/{id:int}``, ``/files/{rest:path}``,
            ``/any/*``.

    Attributes:
        segments: static text or :class:`Part` for each segment before the rest.
        rest: name of the parameter that takes the rest, ``""`` for ``*``, ``None`` for neither.

    Raises:
        TypeError: If it isn't text.
        ValueError: If it can't be a pattern.
    """

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f'a path is text, as in @app.get("/"), not {text!r}')
        if not text.startswith("/"):
            raise ValueError(f"a path begins with a slash: {text!r}")
        if "?" in text or "#" in text:
            raise ValueError(f"a path has no query and no fragment: {text!r}")
        self.text = text
        self.rest: str | None = None
        self.segments: list[str | Part] = []
        names: list[str] = []
        pieces = text[1:].split("/")
        if len(pieces) > MAX_SEGMENTS:
            raise ValueError(f"a path has at most {MAX_SEGMENTS} segments: {text!r}")
        for index, piece in enumerate(pieces):
            if foreign := _foreign(piece):
                raise ValueError(f"a parameter is {{{foreign[1]}}}, not {piece}: {text!r}")
            found = _parameter.fullmatch(piece)
            if piece == "*" or (found and found[2] == _REST):
                if index != len(pieces) - 1:
                    raise ValueError(f"{piece} takes the rest of a path, so it ends it: {text!r}")
                self.rest = found[1] if found else ""
                names += [self.rest] if self.rest else []
            elif "{" in _parameter.sub("", piece) or "}" in _parameter.sub("", piece):
                raise ValueError(f"a parameter is {{name}} or {{name:kind}}: {text!r}")
            elif _parameter.search(piece):
                part = Part(piece)
                self.segments.append(part)
                names += part.names
            else:
                self.segments.append(_decode(piece))
        if len(set(names)) != len(names):
            raise ValueError(f"a parameter's name occurs once: {text!r}")
        self.names = names


class Node(Generic[T]):
    """The entries of one place in the tree, and the ways on from there."""

    __slots__ = ("entries", "parts", "rests", "static")

    def __init__(self) -> None:
        self.static: dict[str, Node[T]] = {}
        self.parts: list[tuple[Part, Node[T]]] = []
        self.rests: list[tuple[str, T]] = []
        self.entries: list[T] = []


class Router(Generic[T]):
    """Finds entries by path."""

    def __init__(self) -> None:
        self._root: Node[T] = Node()
        # Patterns without parameters.
        self._exact: dict[str, list[T]] = {}

    def add(self, pattern: Pattern, entry: T) -> None:
        """Register an entry; several may have the same pattern."""
        node = self._root
        for segment in pattern.segments:
            node = self._step(node, segment)
        if pattern.rest is not None:
            node.rests.append((pattern.rest, entry))
            return
        node.entries.append(entry)
        if all(isinstance(segment, str) for segment in pattern.segments):
            self._exact.setdefault(pattern.text, []).append(entry)

    def _step(self, node: Node[T], segment: str | Part) -> Node[T]:
        if isinstance(segment, str):
            return node.static.setdefault(segment, Node())
        for part, child in node.parts:
            if part.text == segment.text:
                return child
        child = Node()
        node.parts.append((segment, child))
        node.parts.sort(key=lambda pair: pair[0].rank)
        return child

    def exact(self, path: str) -> Sequence[T]:
        """Return the entries whose pattern is this very path; they go before all others.

        Args:
            path: as it stands in the request, without query.
        """
        return self._exact.get(path, ())

    def find(self, path: str) -> list[tuple[T, dict[str, Any]]]:
        """Return all entries that fit, the first choice first, with their parameters.

        Args:
            path: as it stands in the request, without query; percent-encoded.
        """
        found: list[tuple[T, dict[str, Any]]] = []
        segments = split_path(path)
        if segments is not None:
            _collect(self._root, segments, 0, {}, found)
        return found


def _collect(
    node: Node[T],
    segments: list[str],
    index: int,
    params: dict[str, Any],
    found: list[tuple[T, dict[str, Any]]],
) -> None:
    last = len(segments)
    while index < last and not node.parts and not node.rests:
        # Nothing to choose between, as in most places.
        following = node.static.get(segments[index])
        if following is None:
            return
        node = following
        index += 1
    if index == last:
        for entry in node.entries:
            found.append((entry, params))
        return
    segment = segments[index]
    child = node.static.get(segment)
    if child is not None:
        _collect(child, segments, index + 1, params, found)
    for part, child in node.parts:
        more = params.copy()
        if part.take(segment, more):
            _collect(child, segments, index + 1, more, found)
    for name, entry in node.rests:
        rest = {**params, name: "/".join(segments[index:])} if name else params
        found.append((entry, rest))


def split_path(path: str) -> list[str] | None:
    """Split a path into decoded segments.

    Args:
        path: percent-encoded, beginning with a slash.

    Returns:
        The segments, ``None`` if that can't be done: octets that aren't UTF-8, or too many
        segments.
    """
    if not path.startswith("/"):
        return None
    segments = path[1:].split("/", MAX_SEGMENTS)
    if len(segments) > MAX_SEGMENTS:
        return None
    if "%" not in path:
        return segments
    try:
        return [_decode(segment) for segment in segments]
    except UnicodeDecodeError:
        return None


def _decode(segment: str) -> str:
    return unquote(segment, errors="strict")

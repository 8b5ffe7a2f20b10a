"""Names of topics, and the wildcards of MQTT in what is subscribed to.

A topic is any text that is not empty; nothing in it has a meaning, as in µWebSockets. Only when a
whole level between slashes is ``+``, or the last one is ``#``, it is a filter: ``+`` stands for any
one level, ``#`` for any number of levels at the end, none included. ``c++`` and ``#general`` are
plain names.

Decides and knows nothing else. Sources: MQTT 5.0 section 4.7.
"""

from __future__ import annotations

from collections.abc import Iterator

SEPARATOR = "/"
ONE = "+"
REST = "#"


def is_filter(topic: str) -> bool:
    """Tell whether a topic has wildcards, wherever they stand."""
    if ONE not in topic and REST not in topic:
        return False
    return any(level in (ONE, REST) for level in topic.split(SEPARATOR))


def check_topic(topic: object, max_topic: int | None) -> str:
    """Return what may be subscribed to, a name or a filter.

    Args:
        topic: what was given.
        max_topic: octets of UTF-8, ``None`` for any number.

    Raises:
        TypeError: If it is no str.
        ValueError: If it is empty, too long, has no UTF-8 form, or has a ``#`` before its end.
    """
    if not isinstance(topic, str):
        raise TypeError(f"a topic must be str, not {topic!r}")
    if not topic:
        raise ValueError("a topic must not be empty")
    octets = len(topic.encode())
    if max_topic is not None and octets > max_topic:
        raise ValueError(f"a topic of {octets} octets is longer than max_topic of {max_topic}")
    if REST in topic and REST in topic.split(SEPARATOR)[:-1]:
        raise ValueError(f"# must be the last level of {topic!r}")
    return topic


def check_name(topic: object, max_topic: int | None) -> str:
    """Return what may be published to: as :func:`check_topic`, and without wildcards.

    Raises:
        TypeError: If it is no str.
        ValueError: If it is no topic, or has wildcards.
    """
    name = check_topic(topic, max_topic)
    if is_filter(name):
        raise ValueError(f"{name!r} has wildcards: it can be subscribed to, and nothing else")
    return name


class Filters:
    """A tree of filters by their levels: finds those that match a name.

    What a name costs depends on its levels and on how many of them branch at a ``+``, never on how
    many filters there are. As in MQTT, a wildcard that comes first does not match names that begin
    with ``$``.
    """

    __slots__ = ("_count", "_root")

    def __init__(self) -> None:
        self._root: _Node = _Node()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, topic: str) -> None:
        """Add a filter; one that is there already changes nothing."""
        node = self._root
        for level in topic.split(SEPARATOR):
            node = node.below.setdefault(level, _Node())
        self._count += node.topic is None
        node.topic = topic

    def discard(self, topic: str) -> None:
        """Remove a filter, and every level that nothing needs any more."""
        way = [self._root]
        levels = topic.split(SEPARATOR)
        for level in levels:
            found = way[-1].below.get(level)
            if found is None:
                return
            way.append(found)
        self._count -= way[-1].topic is not None
        way[-1].topic = None
        for node, above, level in zip(way[:0:-1], way[-2::-1], reversed(levels), strict=True):
            if node.topic is not None or node.below:
                return
            del above.below[level]

    def matching(self, name: str) -> Iterator[str]:
        """Find the filters that match a name, each once."""
        levels = name.split(SEPARATOR)
        hidden = name.startswith("$")
        nodes = [self._root]
        for depth, level in enumerate(levels):
            wild = depth > 0 or not hidden
            following = []
            for node in nodes:
                if wild and (rest := node.below.get(REST)) is not None and rest.topic is not None:
                    yield rest.topic
                if (same := node.below.get(level)) is not None:
                    following.append(same)
                if wild and (one := node.below.get(ONE)) is not None:
                    following.append(one)
            nodes = following
        for node in nodes:
            if node.topic is not None:
                yield node.topic
            # `a/#` is also `a`.
            if (rest := node.below.get(REST)) is not None and rest.topic is not None:
                yield rest.topic


class _Node:
    __slots__ = ("below", "topic")

    def __init__(self) -> None:
        self.below: dict[str, _Node] = {}
        self.topic: str | None = None

"""Names of topics and MQTT's wildcards."""

from __future__ import annotations

import re
from typing import Any

import pytest

from duologue.hub.names import Filters, check_name, check_topic, is_filter


@pytest.mark.parametrize("topic", ["a", "a/b", "c++", "#general", "+1", "a/b+", "x#/y", " ", "/"])
def test_plain_names(topic: str) -> None:
    assert not is_filter(topic)
    assert check_name(topic, 10) == topic


@pytest.mark.parametrize("topic", ["+", "#", "a/+", "+/a", "a/+/b", "a/#", "+/+/#", "/+", "+/"])
def test_filters(topic: str) -> None:
    assert is_filter(topic)
    assert check_topic(topic, 10) == topic
    with pytest.raises(ValueError, match="wildcards"):
        check_name(topic, 10)


@pytest.mark.parametrize(
    ("topic", "error", "text"),
    [
        ("", ValueError, "empty"),
        (b"a", TypeError, "str"),
        (None, TypeError, "str"),
        ("#/a", ValueError, "last level"),
        ("a/#/b", ValueError, "last level"),
        ("\ud800", UnicodeEncodeError, "surrogates"),
        ("é" * 6, ValueError, "12 octets is longer than max_topic of 10"),
    ],
)
def test_what_is_no_topic(topic: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        check_topic(topic, 10)


def test_any_length() -> None:
    assert check_topic("x" * 100_000, None) == "x" * 100_000


MATCHES = [
    ("sport/tennis/player1/#", "sport/tennis/player1", True),
    ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
    ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
    ("sport/tennis/player1/#", "sport/tennis/player2", False),
    ("sport/#", "sport", True),
    ("sport/#", "sports", False),
    ("#", "anything/at/all", True),
    ("#", "/", True),
    ("sport/tennis/+", "sport/tennis/player1", True),
    ("sport/tennis/+", "sport/tennis/player1/ranking", False),
    ("sport/+", "sport", False),
    ("sport/+", "sport/", True),
    ("+/+", "/finance", True),
    ("/+", "/finance", True),
    ("+", "/finance", False),
    ("+", "finance", True),
    ("a/+/b", "a/x/b", True),
    ("a/+/b", "a//b", True),
    ("a/+/b", "a/b", False),
    ("a/+/b", "a/x/y/b", False),
    ("+/b/#", "a/b", True),
    ("#", "$SYS/monitor", False),
    ("+/monitor", "$SYS/monitor", False),
    ("$SYS/#", "$SYS/monitor", True),
    ("$SYS/+", "$SYS/monitor", True),
]


@pytest.mark.parametrize(("topic", "name", "expected"), MATCHES)
def test_matching(topic: str, name: str, expected: bool) -> None:
    filters = Filters()
    filters.add(topic)
    assert list(filters.matching(name)) == ([topic] if expected else [])


def matches(topic: str, name: str) -> bool:
    """The same by a regular expression."""
    pattern = re.escape(topic).replace(re.escape("/#"), "(/.*)?").replace(re.escape("+"), "[^/]*")
    pattern = ".*" if topic == "#" else pattern
    if name.startswith("$") and topic[0] in "+#":
        return False
    return re.fullmatch(pattern, name, re.DOTALL) is not None


def test_the_oracle_agrees() -> None:
    assert [matches(topic, name) for topic, name, _ in MATCHES] == [each[2] for each in MATCHES]


def test_all_together() -> None:
    filters = Filters()
    topics = {topic for topic, _, _ in MATCHES}
    for topic in [*topics, *topics]:
        filters.add(topic)
    assert len(filters) == len(topics)
    for _, name, _ in MATCHES:
        found = list(filters.matching(name))
        assert len(found) == len(set(found))
        assert set(found) == {topic for topic in topics if matches(topic, name)}


def test_nothing_stays_of_what_is_discarded() -> None:
    filters = Filters()
    for topic in ("a/+", "a/+/b", "a/#"):
        filters.add(topic)
    filters.discard("a/+/c")
    filters.discard("a")
    assert len(filters) == 3
    filters.discard("a/+")
    assert set(filters.matching("a/x")) == {"a/#"}
    assert set(filters.matching("a/x/b")) == {"a/+/b", "a/#"}
    filters.discard("a/+/b")
    filters.discard("a/+/b")
    filters.discard("a/#")
    assert not filters
    assert not filters._root.below

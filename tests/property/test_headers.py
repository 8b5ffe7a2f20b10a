from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from duologue.base.exceptions import InvalidHeader
from duologue.wire.headers import Headers, MultipleValuesError
from duologue.wire.http11 import Request, RequestParser

datastructures = pytest.importorskip("websockets.datastructures")

names = st.sampled_from(["A", "a", "B-c", "b-C", "D"])
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=5)


class SameAsWebsockets(RuleBasedStateMachine):
    """The reference is the `Headers` of websockets, operation for operation."""

    def __init__(self):
        super().__init__()
        self.ours, self.theirs = Headers(), datastructures.Headers()

    @rule(name=names, value=values)
    def add(self, name, value):
        self.ours[name] = self.theirs[name] = value

    @rule(name=names)
    def delete(self, name):
        if name in self.theirs:
            del self.ours[name], self.theirs[name]
        else:
            with pytest.raises(KeyError):
                del self.ours[name]

    @rule()
    def copy(self):
        old = self.ours
        self.ours = old.copy()
        old.clear()
        assert str(old) == "\r\n"

    @rule(pairs=st.lists(st.tuples(names, values), max_size=3))
    def update(self, pairs):
        self.ours.update(pairs)
        self.theirs.update(pairs)

    @rule(name=names)
    def look_up(self, name):
        try:
            expected = self.theirs[name]
        except KeyError:
            with pytest.raises(KeyError):
                self.ours[name]
        except datastructures.MultipleValuesError:
            with pytest.raises(MultipleValuesError):
                self.ours[name]
        else:
            assert self.ours[name] == expected

    @invariant()
    def same(self):
        assert str(self.ours) == str(self.theirs)
        assert list(self.ours) == list(self.theirs)
        assert list(self.ours.raw_items()) == list(self.theirs.raw_items())
        for name in ("A", "b-c", "D"):
            assert self.ours.get_all(name) == self.theirs.get_all(name)


TestSameAsWebsockets = SameAsWebsockets.TestCase


@given(st.text(max_size=6), st.text(max_size=6))
def test_a_header_never_becomes_more_than_one_line(name, value):
    headers = Headers(Host="h")
    try:
        headers[name] = value
    except InvalidHeader:
        return
    head = Request("/", headers).serialize()
    assert head.count(b"\n") == head.count(b"\r") == head.count(b"\r\n") == 4
    if name.lower() not in ("host", "content-length", "transfer-encoding"):
        assert RequestParser().feed(head).headers[name] == value.strip(" \t")

from __future__ import annotations

import copy
import pickle

import pytest

from duologue.base.exceptions import InvalidHeaderFormat, InvalidHeaderValue
from duologue.wire.headers import Headers, MultipleValuesError


@pytest.fixture
def headers():
    return Headers([("Connection", "Upgrade"), ("Set-Cookie", "a=1"), ("set-cookie", "b=2")])


def test_names_are_found_in_any_case(headers):
    assert headers["connection"] == headers["CONNECTION"] == "Upgrade"
    assert "cOnNeCtIoN" in headers
    assert "Upgrade" not in headers
    assert 1 not in headers


def test_missing_names(headers):
    with pytest.raises(KeyError):
        headers["Upgrade"]
    assert headers.get("Upgrade") is None
    assert headers.get_all("Upgrade") == []


def test_repeated_names_are_ambiguous(headers):
    with pytest.raises(MultipleValuesError) as info:
        headers["SET-cookie"]
    assert str(info.value) == "'SET-cookie'"
    assert str(MultipleValuesError("a", "b")) == "('a', 'b')"
    assert headers.get_all("Set-Cookie") == ["a=1", "b=2"]


def test_setting_adds(headers):
    headers["Connection"] = "close"
    assert headers.get_all("connection") == ["Upgrade", "close"]


def test_deleting_removes_all(headers):
    del headers["SET-COOKIE"]
    assert list(headers.raw_items()) == [("Connection", "Upgrade")]
    with pytest.raises(KeyError):
        del headers["Set-Cookie"]


def test_iterates_over_lower_case_names(headers):
    assert list(headers) == ["connection", "set-cookie"]
    assert len(headers) == 2


def test_writes_what_was_given_in_order(headers):
    text = "Connection: Upgrade\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\r\n"
    assert str(headers) == text
    assert headers.serialize() == text.encode()
    assert Headers().serialize() == b"\r\n"


def test_obs_text_is_written_back_as_it_came():
    assert Headers({"A": "\xe9"}).serialize() == b"A: \xe9\r\n\r\n"


def test_repr_can_be_evaluated(headers):
    assert eval(repr(headers)) == headers


def test_equality_ignores_case_and_order_between_names(headers):
    assert headers == Headers(
        [("SET-COOKIE", "a=1"), ("connection", "Upgrade"), ("Set-Cookie", "b=2")]
    )
    assert headers != Headers(
        [("Set-Cookie", "b=2"), ("Set-Cookie", "a=1"), ("Connection", "Upgrade")]
    )
    assert headers != {"connection": "Upgrade"}
    with pytest.raises(TypeError):
        hash(headers)


def test_copies_are_independent(headers):
    other = headers.copy()
    other["Connection"] = "close"
    del other["Set-Cookie"]
    assert headers["Connection"] == "Upgrade"
    assert headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert copy.deepcopy(headers) == headers == pickle.loads(pickle.dumps(headers))


def test_get_all_returns_a_list_of_its_own(headers):
    headers.get_all("Connection").append("x")
    assert headers["Connection"] == "Upgrade"


@pytest.mark.parametrize(
    "source", [{"A": "1"}, [("A", "1")], Headers(A="1"), iter([("A", "1")])], ids=type
)
def test_accepts_all_kinds_of_sources(source):
    assert Headers(source, B="2") == Headers([("A", "1"), ("B", "2")])


def test_update_keeps_repeated_names(headers):
    other = Headers(X="y")
    other.update(headers)
    assert other.get_all("Set-Cookie") == ["a=1", "b=2"]


def test_clear(headers):
    headers.clear()
    assert headers == Headers()
    assert str(headers) == "\r\n"


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\n", "\r", "\0", "\x7f", "\x1b", "é中"])
def test_values_cannot_break_out_of_their_line(value):
    with pytest.raises(InvalidHeaderValue):
        Headers()["A"] = value
    with pytest.raises(InvalidHeaderValue):
        Headers([("A", value)])


@pytest.mark.parametrize("name", ["", "A:", "A B", "A\r\nX", "é", "A\0", "(A)"])
def test_names_are_tokens(name):
    with pytest.raises(InvalidHeaderFormat):
        Headers()[name] = "x"


def test_insecure_means_unchecked():
    headers = Headers()
    headers.set_insecure("A B", "\x00")
    assert headers["a b"] == "\x00"


HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX-One:1\r\nx-one: \t2 \t\r\nX-Empty:\r\nX-Latin: \xe9\r\n\r\n"
PAIRS = [("Host", "a"), ("X-One", "1"), ("x-one", "2"), ("X-Empty", ""), ("X-Latin", "é")]


def test_fields_of_a_head_are_split_when_they_are_asked_for():
    assert list(Headers.of_head(HEAD).raw_items()) == PAIRS
    assert Headers.of_head(HEAD) == Headers(PAIRS)
    assert Headers(PAIRS) == Headers.of_head(HEAD)
    assert Headers.of_head(HEAD).get_all("X-ONE") == ["1", "2"]
    assert Headers.of_head(HEAD).serialize() == Headers(PAIRS).serialize()
    assert list(Headers.of_head(b"GET / HTTP/1.1\r\n\r\n")) == []


def test_fields_of_a_head_can_be_changed_and_copied():
    headers = Headers.of_head(HEAD)
    headers["X-One"] = "3"
    del headers["X-Latin"]
    assert list(headers.raw_items()) == [*PAIRS[:4], ("X-One", "3")]
    for duplicate in (
        Headers.of_head(HEAD).copy(),
        copy.copy(Headers.of_head(HEAD)),
        copy.deepcopy(Headers.of_head(HEAD)),
        pickle.loads(pickle.dumps(Headers.of_head(HEAD))),
    ):
        assert list(duplicate.raw_items()) == PAIRS
        assert duplicate["host"] == "a"


def test_other_attributes_are_missing_all_the_same():
    with pytest.raises(AttributeError, match="'Headers' object has no attribute 'nonsense'"):
        _ = Headers.of_head(HEAD).nonsense
    assert not hasattr(Headers(), "_head")

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.base.exceptions import InvalidHeaderFormat, InvalidHeaderValue
from duologue.wire import grammar

reference = pytest.importorskip("websockets.headers")
errors = pytest.importorskip("websockets.exceptions")

PIECES = [
    "a",
    "b",
    "foo",
    "x-y",
    ",",
    ";",
    "=",
    '"',
    "\\",
    " ",
    "\t",
    "/",
    "1",
    "é",
    "\x00",
    "basic",
]
soup = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
# websockets' list parsers are given values without space around them.
stripped = soup.map(lambda text: text.strip(" \t"))


def outcome(function, value):
    try:
        return function(value)
    except (InvalidHeaderFormat, errors.InvalidHeaderFormat):
        return "malformed"
    except (InvalidHeaderValue, errors.InvalidHeaderValue):
        return "refused"
    except IndexError:
        return "malformed"


@pytest.mark.parametrize(
    "name", ["parse_connection", "parse_upgrade", "parse_extension", "parse_subprotocol"]
)
@given(value=stripped.filter(bool))
def test_lists_mean_what_websockets_says(name, value):
    ours = outcome(getattr(grammar, name), value)
    theirs = outcome(getattr(reference, name), value)
    assert ours == theirs


tokens = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,8}", fullmatch=True)
parameters = st.lists(st.tuples(tokens, st.none() | tokens), max_size=3)
extensions = st.lists(st.tuples(tokens, parameters), min_size=1, max_size=3)


@given(extensions)
def test_extensions_round_trip(value):
    header = grammar.build_extension(value)
    assert grammar.parse_extension(header) == value
    assert header == reference.build_extension(value)
    loose = re.sub(r"([,;=])", " \\1\t", header)
    assert grammar.parse_extension(f", {loose} ,,") == value
    quoted = re.sub(r"=([^,;]+)", lambda m: '="' + re.sub("(.)", r"\\\1", m[1]) + '"', header)
    if "=" not in "".join(name for name, _ in value):
        assert grammar.parse_extension(quoted) == value


@given(st.lists(tokens, min_size=1, max_size=4))
def test_token_lists_round_trip(value):
    header = grammar.build_subprotocol(value)
    assert grammar.parse_subprotocol(header) == grammar.parse_connection(header) == value
    grammar.validate_subprotocols(value)


@given(st.text().filter(lambda text: ":" not in text), st.text())
def test_basic_credentials_round_trip(username, password):
    try:
        header = grammar.build_authorization_basic(username, password)
    except UnicodeEncodeError:
        return
    assert grammar.parse_authorization_basic(header) == (username, password)


@given(st.text(st.sampled_from("Basicb aGVsbG86d=+/:~\t")))
def test_authorization_never_fails_otherwise(value):
    ours = outcome(grammar.parse_authorization_basic, value)
    assert ours in ("malformed", "refused") or isinstance(ours, tuple)

from __future__ import annotations

import pytest

from duologue.base.exceptions import (
    HeaderLineTooLong,
    RequestLineTooLong,
    SecurityError,
    TooManyHeaders,
)
from duologue.base.limits import Limits
from duologue.wire.head import HeadReader, check_octets

SMALL = Limits(max_line=20, max_headers=3, max_head=60)
NONE = Limits(max_line=None, max_headers=None, max_head=None)


def new_reader(limits=SMALL, *, skip_empty=True):
    seen = []
    reader = HeadReader(limits, "request", RequestLineTooLong, seen.append, skip_empty=skip_empty)
    reader.seen = seen
    return reader


def run(data, sizes, **options):
    """Feed data in pieces of the given sizes, the last of which repeats; return the outcome."""
    reader = new_reader(**options)
    position = 0
    while position < len(data):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        try:
            lines = reader.feed(data[position : position + size])
        except Exception as exc:
            return type(exc)
        position += size
        if lines is not None:
            assert reader.seen == [lines[0]]
            return lines, reader.octets, reader.rest + data[position:]
    return reader.position


def outcome(data, **options):
    """Return the outcome, which must be the same for every way to split."""
    whole = run(data, [len(data)], **options)
    assert run(data, [1], **options) == whole
    for split in range(1, len(data)):
        assert run(data, [split, len(data)], **options) == whole, split
    return whole


def test_reads_a_head():
    head = b"first\r\nA: b\r\nC:\xe9\td\r\n\r\n"
    lines = [b"first", b"A: b", b"C:\xe9\td"]
    assert outcome(head) == (lines, head, b"")
    assert outcome(head + b"\r\nrest") == (lines, head, b"\r\nrest")


def test_reads_a_head_without_headers():
    assert outcome(b"first\r\n\r\n") == ([b"first"], b"first\r\n\r\n", b"")


def test_empty_lines_before_the_first_are_skipped_on_request():
    data = b"\r\n\r\nfirst\r\n\r\n"
    assert outcome(data) == ([b"first"], b"first\r\n\r\n", b"")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"first\nA: b\r\n\r\n", ValueError),
        (b"first\r\nA: b\n\r\n", ValueError),
        (b"first\r\nA: b\r\n\n", ValueError),
        (b"first\r\n\n", ValueError),
        (b"\nfirst\r\n\r\n", ValueError),
        (b"fi\rst\r\n\r\n", ValueError),
        (b"first\r\nA: b\r\r\n\r\n", ValueError),
        (b"first\r\nA: \x00\r\n\r\n", ValueError),
        (b"first\r\nA: \x1b\r\n\r\n", ValueError),
        (b"first\r\nA: \x7f\r\n\r\n", ValueError),
        (b"first\r\nA: b\r\n c\r\n\r\n", ValueError),
        (b"first\r\n\tc\r\n\r\n", ValueError),
        (b"\x16\x03\x01\x02\x00", ValueError),
        (b"x" * 21 + b"\r\n\r\n", RequestLineTooLong),
        (b"x" * 22, RequestLineTooLong),
        (b"first\r\nA:" + b"b" * 19 + b"\r\n\r\n", HeaderLineTooLong),
        (b"first\r\n" + b"A:b\r\n" * 4 + b"\r\n", TooManyHeaders),
        (b"first\r\n" + b"A:bbbbbbbbbbbbbbbb\r\n" * 3 + b"\r\n", SecurityError),
        (b"\r\n" * 31, SecurityError),
        (b"first\r\nA:" + b"b" * 30 + b"\x00", HeaderLineTooLong),
        (b"first\r\nA:\x00" + b"b" * 30, ValueError),
    ],
)
def test_refuses(data, error):
    assert outcome(data) is error


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 20 + b"\r\n\r\n",
        b"first\r\nA:" + b"b" * 18 + b"\r\n\r\n",
        b"first\r\n" + b"A:b\r\n" * 3 + b"\r\n",
        b"x" * 16 + b"\r\n" + b"A:bbbbbbbbbbbbbb\r\n" * 2 + b"A:b\r\n\r\n"[-6:],
    ],
)
def test_accepts_what_reaches_a_limit(data):
    _lines, octets, rest = outcome(data)
    assert octets == data and rest == b""


def test_head_of_exactly_max_head():
    head = b"first\r\n" + b"A:" + b"b" * 15 + b"\r\n" + b"A:" + b"b" * 15 + b"\r\n" + b"C:"
    head += b"d" * (60 - len(head) - 4) + b"\r\n\r\n"
    assert len(head) == 60
    assert outcome(head)[1] == head
    assert outcome(head[:-4] + b"d\r\n\r\n") is SecurityError


def test_lifted_limits():
    head = b"x" * 100_000 + b"\r\n" + b"A: b\r\n" * 1000 + b"\r\n"
    assert run(head, [4096], limits=NONE)[1] == head
    assert run(head, [len(head)], limits=NONE)[1] == head


def test_an_empty_first_line_is_a_line_unless_skipped():
    reader = new_reader(skip_empty=False)
    assert reader.feed(b"\r\n") is None
    assert reader.seen == [b""]


def test_errors_name_limit_value_and_setting():
    with pytest.raises(RequestLineTooLong, match=r"has 22 bytes.*limit of 20 bytes.*max_line"):
        new_reader().feed(b"x" * 22)
    with pytest.raises(TooManyHeaders, match=r"4 headers.*limit of 3 headers.*max_headers"):
        new_reader().feed(b"first\r\n" + b"A:b\r\n" * 4)
    with pytest.raises(SecurityError, match=r"62 bytes.*limit of 60 bytes.*max_head"):
        new_reader().feed(b"\r\n" * 31)
    with pytest.raises(ValueError, match="0x16"):
        new_reader().feed(b"\x16\x03\x01")


def test_position_tells_what_is_missing():
    reader = new_reader()
    assert reader.position == "before an HTTP request"
    reader.feed(b"fir")
    assert reader.position == "in the first line of an HTTP request"
    reader.feed(b"st\r\n")
    assert reader.position == "in the header lines of an HTTP request"


def test_first_line_is_judged_as_soon_as_it_is_complete():
    reader = new_reader()
    reader.feed(b"first\r")
    assert reader.seen == []
    reader.feed(b"\n")
    assert reader.seen == [b"first"]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_accepts_bytes_like(kind):
    reader = new_reader()
    assert reader.feed(kind(b"first\r\n")) is None
    assert reader.feed(kind(b"\r\nx")) == [b"first"]
    assert reader.rest == b"x"


def test_check_octets_allows_exactly_field_content():
    allowed = {0x09, *range(0x20, 0x7F), *range(0x80, 0x100)}
    for octet in range(256):
        if octet in allowed:
            check_octets(bytes([octet]), "x")
        else:
            with pytest.raises(ValueError, match=f"0x{octet:02x} in an x"):
                check_octets(bytes([octet]), "x")

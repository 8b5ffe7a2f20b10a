from __future__ import annotations

import pytest

from duologue.base.exceptions import (
    BodyTooLarge,
    HeaderLineTooLong,
    SecurityError,
    TooManyHeaders,
)
from duologue.base.limits import Limits
from duologue.wire.body import Body, ChunkedBody, EndlessBody, SizedBody

SMALL = Limits(max_body=10, max_line=12, max_headers=2, max_head=20)
NONE = Limits(max_body=None, max_line=None, max_headers=None, max_head=None)


def run(make, pieces):
    try:
        body = make()
        for index, piece in enumerate(pieces):
            if body.complete:
                return bytes(body.data), body.rest + b"".join(pieces[index:])
            assert body.feed(piece) == body.complete
    except (ValueError, SecurityError) as exc:
        return type(exc)
    return (bytes(body.data), body.rest) if body.complete else None


def outcome(make, data):
    whole = run(make, [data])
    assert run(make, [data[i : i + 1] for i in range(len(data))]) == whole
    for split in range(1, len(data)):
        assert run(make, [data[:split], data[split:]]) == whole, split
    return whole


def chunked(data, limits=SMALL, **options):
    return outcome(lambda: ChunkedBody(limits, **options), data)


def test_sized():
    assert outcome(lambda: SizedBody(3, SMALL), b"abcde") == (b"abc", b"de")
    assert outcome(lambda: SizedBody(3, SMALL), b"ab") is None
    assert outcome(lambda: SizedBody(10, SMALL), b"a" * 10) == (b"a" * 10, b"")
    assert SizedBody(0, SMALL).complete


def test_sized_is_refused_before_it_comes():
    with pytest.raises(BodyTooLarge, match=r"11 bytes.*limit of 10 bytes.*max_body"):
        SizedBody(11, SMALL)
    assert not SizedBody(11, NONE).complete


def test_endless():
    body = EndlessBody(SMALL)
    assert not body.feed(b"abc")
    assert not body.feed(bytearray(b"defghij"))
    with pytest.raises(BodyTooLarge, match="11 bytes"):
        body.feed(b"k")
    body.feed_eof()
    assert body.complete and body.data == b"abcdefghij"


@pytest.mark.parametrize(
    ("data", "result"),
    [
        (b"0\r\n\r\n", (b"", b"")),
        (b"0\r\n\r\nrest\r\n", (b"", b"rest\r\n")),
        (b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", (b"abcde", b"")),
        (b"A\r\n0123456789\r\n000\r\n\r\n", (b"0123456789", b"")),
        (b"2\r\n\r\n\r\n0\r\n\r\n", (b"\r\n", b"")),
        (b"1;a=b\r\nx\r\n0 ;c\r\n\r\n", (b"x", b"")),
        (b"0\r\nA: b\r\nC: d\r\n\r\nx", (b"", b"x")),
        (b"3\r\nabc\r\n", None),
        (b"0\r\n", None),
    ],
)
def test_chunked(data, result):
    assert chunked(data) == result


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\r\n", ValueError),
        (b"g\r\n", ValueError),
        (b"-1\r\n", ValueError),
        (b"+1\r\n", ValueError),
        (b"0x1\r\n", ValueError),
        (b" 1\r\n", ValueError),
        (b"1 \r\n", ValueError),
        (b"1_0\r\n", ValueError),
        (b"1\n", ValueError),
        (b"1\r\nxy\r\n", ValueError),
        (b"1\r\nx\n", ValueError),
        (b"1\r\nx\rx", ValueError),
        (b"0\r\nA\n\r\n", ValueError),
        (b"0;\x00\r\n\r\n", ValueError),
        (b"0\r\nA: \x01\r\n", ValueError),
        (b"B\r\n", BodyTooLarge),
        (b"9\r\n012345678\r\n2\r\n", BodyTooLarge),
        (b"fffffffffff\r\n", BodyTooLarge),
        (b"1" * 14, HeaderLineTooLong),
        (b"0\r\nA: 8901234567\r\n\r\n", HeaderLineTooLong),
        (b"0\r\nA:\r\nB:\r\nC:\r\n", TooManyHeaders),
        (b"1;345678901\r\nx\r\n1;345678901\r\nx\r\n1;345\r\n", SecurityError),
    ],
)
def test_chunked_refuses(data, error):
    assert chunked(data) is error


def test_chunk_size_of_more_digits_than_any_machine_can_hold():
    assert chunked(b"0" * 16 + b"\r\n", NONE) is ValueError
    assert chunked(b"0" * 15 + b"\r\n\r\n", NONE) == (b"", b"")


def test_lifted_limits():
    data = b"1;" + b"x" * 50_000 + b"\r\ny\r\n0\r\n" + b"A: b\r\n" * 500 + b"\r\n"
    assert run(lambda: ChunkedBody(NONE), [data]) == (b"y", b"")


@pytest.mark.parametrize(
    ("make", "data"),
    [
        (lambda keep: SizedBody(3, SMALL, keep=keep), b"abc"),
        (lambda keep: ChunkedBody(SMALL, keep=keep), b"3\r\nabc\r\n0\r\n\r\n"),
    ],
)
def test_a_skipped_body_is_counted_but_not_kept(make, data):
    kept, skipped = make(True), make(False)
    assert kept.feed(data) and skipped.feed(data)
    assert kept.data == b"abc"
    assert skipped.data == b""
    with pytest.raises(BodyTooLarge):
        ChunkedBody(SMALL, keep=False).feed(b"B\r\n")


def test_end_of_stream_inside_a_body():
    for body in (SizedBody(3, SMALL), ChunkedBody(SMALL)):
        body.feed(b"2" if isinstance(body, SizedBody) else b"2\r\nx")
        with pytest.raises(EOFError, match="after 1 bytes"):
            body.feed_eof()
    body = SizedBody(0, SMALL)
    body.feed_eof()


def test_base_class_reads_nothing():
    with pytest.raises(NotImplementedError):
        Body(SMALL).feed(b"")


def test_errors_name_limit_value_and_setting():
    with pytest.raises(HeaderLineTooLong, match=r"13 bytes.*limit of 12 bytes.*max_line"):
        ChunkedBody(SMALL).feed(b"1" * 14)
    with pytest.raises(TooManyHeaders, match=r"3 trailer.*limit of 2 headers.*max_headers"):
        ChunkedBody(SMALL).feed(b"0\r\nA:\r\nB:\r\nC:\r\n")
    with pytest.raises(SecurityError, match=r"21 bytes.*limit of 20 bytes.*max_head"):
        ChunkedBody(SMALL).feed(b"1;345678901\r\nx\r\n" * 2 + b"1;345\r\n")

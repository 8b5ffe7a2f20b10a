"""Bodies of answers that are sent in parts."""

from __future__ import annotations

import pytest

from duologue.protocol.outgoing import OutgoingBody
from duologue.wire.headers import Headers


def body(
    *headers: tuple[str, str], status: int = 200, chunks: bool = True, head_only: bool = False
) -> tuple[OutgoingBody, Headers]:
    fields = Headers(headers)
    return OutgoingBody(status, fields, chunks=chunks, head_only=head_only), fields


def test_a_length_is_kept_to() -> None:
    outgoing, headers = body(("Content-Length", "3"))
    assert outgoing.part(b"ab") + outgoing.part(b"") + outgoing.part(b"c") == b"abc"
    assert outgoing.end() == b""
    assert "Transfer-Encoding" not in headers
    assert not outgoing.endless


def test_another_length_is_refused() -> None:
    outgoing, _ = body(("Content-Length", "3"))
    with pytest.raises(ValueError, match="1 bytes longer than its Content-Length"):
        outgoing.part(b"abcd")
    outgoing.part(b"a")
    with pytest.raises(ValueError, match="2 bytes shorter than its Content-Length"):
        outgoing.end()


@pytest.mark.parametrize("lengths", [["1", "1"], ["-1"], ["1x"], [""], ["\u00b2"]])
def test_a_length_that_is_no_number(lengths: list[str]) -> None:
    with pytest.raises(ValueError, match="must be one number"):
        body(*[("Content-Length", length) for length in lengths])


def test_chunks() -> None:
    outgoing, headers = body(("Transfer-Encoding", "gzip"))
    assert headers.get_all("Transfer-Encoding") == ["chunked"]
    # An empty chunk would be the last one.
    assert outgoing.part(b"") == b""
    assert outgoing.part(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert outgoing.end() == b"0\r\n\r\n"
    assert not outgoing.endless


def test_without_chunks_the_connection_ends_the_body() -> None:
    outgoing, headers = body(chunks=False)
    assert outgoing.endless
    assert "Transfer-Encoding" not in headers
    assert outgoing.part(b"x") + outgoing.end() == b"x"


@pytest.mark.parametrize(("status", "head_only"), [(204, False), (304, False), (200, True)])
def test_no_body(status: int, head_only: bool) -> None:
    outgoing, headers = body(("Content-Length", "3"), status=status, head_only=head_only)
    assert outgoing.part(b"x") + outgoing.end() == b""
    assert not outgoing.endless
    # RFC 9110 section 8.6: a 204 may not even announce one.
    assert ("Content-Length" in headers) == (status != 204)

"""`ServerExchange` with `streaming`: bodies in parts, both ways, whole, bytewise and split."""

from __future__ import annotations

import pytest

from duologue.base.exceptions import BodyTooLarge, InvalidMessage
from duologue.base.limits import Limits
from duologue.protocol.exchange import ServerExchange
from duologue.protocol.incoming import MAX_SKIPPED
from duologue.wire.headers import Headers
from duologue.wire.http11 import Request, Response

HEAD = b"POST / HTTP/1.1\r\nHost: h\r\n"
SIZED = HEAD + b"Content-Length: 5\r\n\r\nabcde"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"


def ok(body: bytes = b"") -> Response:
    return Response(200, "OK", Headers(), body)


def start(octets: bytes, limits: Limits | None = None) -> tuple[ServerExchange, Request]:
    exchange = ServerExchange(limits or Limits(), streaming=True)
    exchange.receive(octets)
    request = exchange.next_request()
    assert request is not None
    return exchange, request


def splits(octets: bytes) -> list[list[bytes]]:
    head = octets.index(b"\r\n\r\n") + 4
    cuts = range(head, len(octets) + 1)
    bytewise = [octets[:head], *(octets[at : at + 1] for at in range(head, len(octets)))]
    return [[octets[:at], octets[at:]] for at in cuts] + [bytewise]


@pytest.mark.parametrize("octets", [SIZED, CHUNKED])
def test_a_body_in_parts(octets: bytes) -> None:
    for pieces in splits(octets + NEXT):
        exchange, request = start(pieces[0])
        body = exchange.read_body(100)
        for piece in pieces[1:]:
            exchange.receive(piece)
            body += exchange.read_body(100)
        assert body == b"abcde"
        assert exchange.body_complete
        exchange.respond(request, ok())
        following = exchange.next_request()
        assert following is not None
        assert following.path == "/next"


@pytest.mark.parametrize("octets", [SIZED, CHUNKED, NEXT])
def test_a_head_that_comes_again_is_read_alike(octets: bytes) -> None:
    """Whole, and thus recognised, or in pieces; with a body of its own, and between others."""
    end = octets.index(b"\r\n\r\n") + 4
    exchange, request = start(octets)
    seen = []
    for pieces in ([octets[:end], octets[end:]], [NEXT], [octets], [octets[:9], octets[9:]]) * 2:
        while not exchange.body_complete:
            exchange.read_body(100)
        exchange.respond(request, ok())
        for number, piece in enumerate(pieces):
            exchange.receive(piece)
            if number == 0:
                following = exchange.next_request()
        following = following or exchange.next_request()
        assert following is not None
        # What was done to the last one is not done to this one.
        assert "X-Seen" not in following.headers
        body = exchange.read_body(100)
        seen.append((following.method, following.path, following.headers["Host"], body))
        assert exchange.head.endswith(b"\r\n\r\n")
        request = following
        request.headers["X-Seen"] = "1"
    method, path = octets.split(b" ")[:2]
    again = (method.decode(), path.decode(), "h", b"" if octets == NEXT else b"abcde")
    assert seen == [again, ("GET", "/next", "h", b""), again, again] * 2


@pytest.mark.parametrize("octets", [SIZED, CHUNKED])
def test_an_unread_body_is_skipped(octets: bytes) -> None:
    for pieces in splits(octets + NEXT):
        exchange, request = start(pieces[0])
        assert b"Connection: close" not in exchange.respond(request, ok())
        assert not exchange.idle
        found = [exchange.next_request()]
        for piece in pieces[1:]:
            exchange.receive(piece)
            found.append(exchange.next_request())
        assert [request.path for request in found if request] == ["/next"]


def test_how_much_is_skipped() -> None:
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    exchange, request = start(head)
    exchange.respond(request, ok())
    chunk = b"%x\r\n" % MAX_SKIPPED + b"x" * MAX_SKIPPED + b"\r\n"
    exchange.receive(chunk)
    assert exchange.next_request() is None
    assert exchange.keep_alive
    exchange.receive(b"1\r\nx\r\n")
    assert exchange.next_request() is None
    assert not exchange.keep_alive


@pytest.mark.parametrize("rest", [b"zz\r\n", None])
def test_what_cannot_be_skipped_ends_the_connection(rest: bytes | None) -> None:
    exchange, request = start(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    exchange.respond(request, ok())
    if rest is None:
        exchange.receive_eof()
    else:
        exchange.receive(rest)
    assert exchange.next_request() is None
    assert not exchange.keep_alive


def test_the_first_read_says_how_much_is_allowed() -> None:
    exchange, _ = start(SIZED, Limits(max_body=1))
    assert exchange.read_body(5) == b"abcde"
    exchange, _ = start(SIZED)
    with pytest.raises(BodyTooLarge, match=r"\(setting: max_body\)"):
        exchange.read_body(4)
    assert not exchange.keep_alive


@pytest.mark.parametrize("end", [b"zz\r\n", None])
def test_malformed_bodies(end: bytes | None) -> None:
    exchange, _ = start(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    if end is None:
        exchange.receive_eof()
    else:
        exchange.receive(end)
    with pytest.raises(InvalidMessage) as raised:
        exchange.read_body(None)
    assert isinstance(raised.value.__cause__, EOFError if end is None else ValueError)


def test_continue_is_offered_once_to_who_reads() -> None:
    exchange, _ = start(HEAD + b"Content-Length: 1\r\nExpect: 100-continue\r\n\r\n")
    assert exchange.data_to_send() == b""
    assert exchange.read_body(9) == b""
    assert exchange.data_to_send() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert exchange.read_body(9) == b""
    assert exchange.data_to_send() == b""


def test_an_answer_in_parts() -> None:
    exchange, request = start(NEXT + NEXT)
    octets = exchange.begin(request, ok(b"a")) + exchange.part(b"b") + exchange.finish()
    assert octets.endswith(b"\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
    assert exchange.next_request() is not None


def test_an_answer_in_parts_has_its_order() -> None:
    exchange, request = start(NEXT)
    for call in (lambda: exchange.part(b"x"), exchange.finish):
        with pytest.raises(ValueError, match="no answer was begun"):
            call()
    with pytest.raises(ValueError, match="a 101 has no body"):
        exchange.begin(request, Response(101, "", Headers()))
    exchange.begin(request, ok())
    for again in (exchange.begin, exchange.respond):
        with pytest.raises(ValueError, match="isn't the request that waits"):
            again(request, ok())
    assert exchange.next_request() is None


def test_stop() -> None:
    exchange, request = start(NEXT + NEXT)
    exchange.stop()
    assert b"Connection: close" in exchange.respond(request, ok())
    assert exchange.next_request() is None
    assert not exchange.keep_alive

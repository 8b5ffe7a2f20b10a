"""HTTP/1.1 on one connection: persistence, pipelining, bodies, framing of answers, refusals."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from duologue.base.exceptions import (
    BodyTooLarge,
    HeaderLineTooLong,
    InvalidHandshake,
    InvalidMessage,
    InvalidMethod,
    InvalidProtocol,
    RequestLineTooLong,
    TooManyHeaders,
)
from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.protocol.exchange import ServerExchange
from duologue.wire.headers import Headers
from duologue.wire.http11 import Request, Response, ResponseParser

GET = b"GET /%d HTTP/1.1\r\nHost: example.com\r\n\r\n"


def head(
    *lines: str, method: str = "GET", path: str = "/", protocol: str = "HTTP/1.1", host: bool = True
) -> bytes:
    hosts = ["Host: example.com"] if host else []
    return "\r\n".join([f"{method} {path} {protocol}", *hosts, *lines, "", ""]).encode("latin-1")


def answer(body: bytes = b"hi", *headers: tuple[str, str], status: int = 200) -> Response:
    return Response(status, "Fine", Headers(headers), body)


def exchange_with(data: bytes, limits: Limits = DEFAULT_LIMITS) -> ServerExchange:
    exchange = ServerExchange(limits)
    exchange.receive(data)
    return exchange


def first(exchange: ServerExchange) -> Request:
    request = exchange.next_request()
    assert request is not None
    return request


def parse(octets: bytes) -> Response:
    parser = ResponseParser()
    response = parser.feed(octets)
    assert response is not None
    assert parser.rest == b""
    return response


def splits(data: bytes) -> Iterator[list[bytes]]:
    """The same octets whole, one by one, and in two pieces at every place."""
    yield [data]
    yield [data[index : index + 1] for index in range(len(data))]
    for index in range(1, len(data)):
        yield [data[:index], data[index:]]


def serve(pieces: list[bytes]) -> tuple[list[tuple[str, str]], bytes, ServerExchange]:
    """Answer everything with its path; returns what was asked and answered."""
    exchange = ServerExchange()
    seen: list[tuple[str, str]] = []
    out = b""
    for piece in pieces:
        exchange.receive(piece)
        while (request := exchange.next_request()) is not None:
            seen.append((request.method, request.path))
            out += exchange.respond(request, answer(request.path.encode(), ("Date", "today")))
    return seen, out, exchange


# Requests


def test_one_request() -> None:
    exchange = ServerExchange()
    assert exchange.idle and exchange.keep_alive and exchange.wants_data
    assert exchange.next_request() is None
    exchange.receive(GET % 1)
    assert not exchange.idle
    request = first(exchange)
    assert (request.method, request.path, request.protocol) == ("GET", "/1", "HTTP/1.1")
    assert request.headers["Host"] == "example.com"
    assert exchange.unanswered is request
    exchange.respond(request, answer())
    assert exchange.unanswered is None
    assert exchange.idle and exchange.keep_alive


BODIES = (
    head("Content-Length: 11", method="POST", path="/sized")
    + b"hello world"
    + head("Transfer-Encoding: chunked", method="PUT", path="/chunked")
    + b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nTrailer: x\r\n\r\n"
    + head("Content-Length: 0", method="POST", path="/empty")
    + head(method="HEAD", path="/last")
)


def test_requests_do_not_depend_on_how_octets_were_split() -> None:
    whole = serve([BODIES])
    assert whole[0] == [
        ("POST", "/sized"),
        ("PUT", "/chunked"),
        ("POST", "/empty"),
        ("HEAD", "/last"),
    ]
    for pieces in splits(BODIES):
        seen, out, exchange = serve(pieces)
        assert (seen, out) == whole[:2], pieces
        assert exchange.idle and exchange.keep_alive


def test_pipelined_requests_wait_for_their_turn() -> None:
    exchange = exchange_with(GET % 1 + GET % 2 + GET % 3)
    for number in (1, 2, 3):
        request = first(exchange)
        assert request.path == f"/{number}"
        assert exchange.next_request() is None
        exchange.respond(request, answer())
    assert exchange.next_request() is None
    assert exchange.idle


def test_pipelined_octets_stop_reading_above_max_head() -> None:
    limits = dataclasses.replace(DEFAULT_LIMITS, max_head=100)
    exchange = exchange_with(GET % 1, limits)
    request = first(exchange)
    exchange.receive(b"G" * 99)
    assert exchange.wants_data
    exchange.receive(b"G")
    assert not exchange.wants_data
    exchange.respond(request, answer())
    assert exchange.wants_data


def test_pipelined_octets_are_unlimited_without_max_head() -> None:
    exchange = exchange_with(GET % 1, dataclasses.replace(DEFAULT_LIMITS, max_head=None))
    first(exchange)
    exchange.receive(b"G" * 200_000)
    assert exchange.wants_data


def test_an_unfinished_body_holds_the_request_back() -> None:
    exchange = exchange_with(head("Content-Length: 3", method="POST") + b"ab")
    assert exchange.next_request() is None
    assert not exchange.idle
    exchange.receive(b"c" + GET % 2)
    assert first(exchange).method == "POST"


# Expect: 100-continue


def test_who_waits_for_100_gets_it_once() -> None:
    exchange = exchange_with(head("Content-Length: 3", "Expect: 100-Continue", method="POST"))
    assert exchange.next_request() is None
    assert exchange.data_to_send() == b"HTTP/1.1 100 Continue\r\n\r\n"
    exchange.receive(b"ab")
    assert exchange.next_request() is None
    assert exchange.data_to_send() == b""
    exchange.receive(b"c")
    assert first(exchange).method == "POST"


def test_no_100_once_the_body_came() -> None:
    exchange = exchange_with(head("Content-Length: 3", "Expect: 100-continue", method="POST"))
    assert exchange.next_request() is None
    exchange.receive(b"abc")
    assert first(exchange).method == "POST"
    assert exchange.data_to_send() == b""


def test_no_100_for_a_body_that_is_there() -> None:
    exchange = exchange_with(
        head("Content-Length: 3", "Expect: 100-continue", method="POST") + b"abc"
    )
    assert first(exchange).method == "POST"
    assert exchange.data_to_send() == b""


def test_no_100_for_http_1_0_or_without_expectation() -> None:
    for data in (
        head("Content-Length: 3", "Expect: 100-continue", method="POST", protocol="HTTP/1.0"),
        head("Content-Length: 3", method="POST"),
    ):
        exchange = exchange_with(data)
        assert exchange.next_request() is None
        assert exchange.data_to_send() == b""


def test_no_100_for_a_body_that_is_refused() -> None:
    exchange = exchange_with(
        head(f"Content-Length: {2**20 + 1}", "Expect: 100-continue", method="POST")
    )
    with pytest.raises(BodyTooLarge):
        exchange.next_request()
    assert exchange.data_to_send() == b""


# Answers


def test_answer_gets_date_and_length() -> None:
    exchange = exchange_with(GET % 1)
    given = answer(b"12345")
    response = parse(exchange.respond(first(exchange), given))
    assert response.body == b"12345"
    assert response.headers["Content-Length"] == "5"
    assert response.headers["Date"].endswith(" GMT")
    assert "Connection" not in response.headers
    assert len(given.headers) == 0


def test_answer_keeps_its_own_date_and_length() -> None:
    exchange = exchange_with(GET % 1)
    given = answer(b"hi", ("Date", "today"), ("Content-Length", "2"))
    octets = exchange.respond(first(exchange), given)
    assert octets == b"HTTP/1.1 200 Fine\r\nDate: today\r\nContent-Length: 2\r\n\r\nhi"


def test_head_gets_the_length_and_no_body() -> None:
    exchange = exchange_with(head(method="HEAD"))
    octets = exchange.respond(first(exchange), answer(b"12345", ("Date", "today")))
    assert octets == b"HTTP/1.1 200 Fine\r\nDate: today\r\nContent-Length: 5\r\n\r\n"


def test_head_may_announce_a_body_that_was_not_made() -> None:
    exchange = exchange_with(head(method="HEAD"))
    octets = exchange.respond(first(exchange), answer(b"", ("Content-Length", "99")))
    assert b"Content-Length: 99\r\n" in octets


def test_head_only_can_be_asked_for_or_denied() -> None:
    exchange = exchange_with(GET % 1 + head(method="HEAD"))
    assert exchange.respond(first(exchange), answer(b"body"), head_only=True).endswith(b"\r\n\r\n")
    assert exchange.respond(first(exchange), answer(b"body"), head_only=False).endswith(b"body")


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_body(status: int) -> None:
    exchange = exchange_with(GET % 1 + GET % 2)
    octets = exchange.respond(first(exchange), answer(b"ignored", status=status))
    assert octets.endswith(b"\r\n\r\n")
    assert b"Content-Length" not in octets
    assert first(exchange).path == "/2"


def test_204_loses_its_length() -> None:
    exchange = exchange_with(GET % 1)
    given = answer(b"", ("Content-Length", "0"), status=204)
    assert b"Content-Length" not in exchange.respond(first(exchange), given)


def test_wrong_length_is_refused() -> None:
    exchange = exchange_with(GET % 1)
    with pytest.raises(ValueError, match="Content-Length is 5 but the body has 2 bytes"):
        exchange.respond(first(exchange), answer(b"hi", ("Content-Length", "5")))
    assert exchange.unanswered is not None


def test_transfer_encoding_is_the_callers_affair() -> None:
    exchange = exchange_with(GET % 1)
    given = answer(b"2\r\nhi\r\n0\r\n\r\n", ("Transfer-Encoding", "chunked"))
    octets = exchange.respond(first(exchange), given)
    assert b"Content-Length" not in octets
    assert parse(octets).body == b"hi"


@pytest.mark.parametrize("status", [100, 103, 199, 99, 600])
def test_interim_answers_are_refused(status: int) -> None:
    exchange = exchange_with(GET % 1)
    with pytest.raises(ValueError, match=str(status)):
        exchange.respond(first(exchange), answer(status=status))


def test_only_the_request_in_hand_can_be_answered() -> None:
    exchange = exchange_with(GET % 1)
    request = first(exchange)
    with pytest.raises(ValueError, match="waits for an answer"):
        exchange.respond(None, answer())
    exchange.respond(request, answer())
    with pytest.raises(ValueError, match="waits for an answer"):
        exchange.respond(request, answer())


# Persistence


@pytest.mark.parametrize(
    ("data", "header", "stays"),
    [
        (head(), None, True),
        (head("Connection: keep-alive"), None, True),
        (head("Connection: Upgrade", "Upgrade: websocket"), None, True),
        (head("Connection: close"), None, False),
        (head("Connection: foo, CLOSE"), None, False),
        (head(protocol="HTTP/1.0"), None, False),
        (head("Connection: keep-alive", protocol="HTTP/1.0"), None, False),
        (head(), "close", False),
        (head(), "Upgrade, Close", False),
        (head(), "keep-alive", True),
    ],
)
def test_persistence(data: bytes, header: str | None, stays: bool) -> None:
    exchange = exchange_with(data + GET % 2)
    given = answer(b"hi", *([("Connection", header)] if header else []))
    response = parse(exchange.respond(first(exchange), given))
    assert exchange.keep_alive is stays
    assert exchange.wants_data is stays
    tokens = ", ".join(response.headers.get_all("Connection")).lower()
    assert ("close" in tokens) is not stays
    assert tokens.count("close") == (not stays)
    following = exchange.next_request()
    assert (following is not None) is stays
    if not stays:
        exchange.receive(GET % 3)
        assert exchange.next_request() is None
        assert exchange.rest == b""


def test_upgrade_ends_http_and_leaves_the_rest() -> None:
    exchange = exchange_with(GET % 1 + head("Connection: Upgrade", "Upgrade: x") + b"\x81\x00")
    exchange.respond(first(exchange), answer())
    request = first(exchange)
    given = Response(101, "Switching Protocols", Headers({"Upgrade": "x", "Connection": "Upgrade"}))
    octets = exchange.respond(request, given)
    assert octets.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"Content-Length" not in octets
    assert octets.endswith(b"\r\n\r\n")
    assert exchange.upgraded and not exchange.keep_alive
    assert exchange.rest == b"\x81\x00"
    assert exchange.next_request() is None
    exchange.receive(b"\x88")
    assert exchange.rest == b"\x81\x00\x88"


def test_upgrade_does_not_depend_on_how_octets_were_split() -> None:
    data = head("Connection: Upgrade", "Upgrade: websocket", path="/ws") + b"\x81\x00"
    for pieces in splits(data):
        exchange = ServerExchange()
        for piece in pieces:
            exchange.receive(piece)
            exchange.next_request()
        assert exchange.unanswered is not None
        assert exchange.unanswered.path == "/ws"
        assert exchange.rest == b"\x81\x00"


# The end of the stream


def test_end_between_requests() -> None:
    exchange = exchange_with(GET % 1)
    exchange.receive_eof()
    request = first(exchange)
    assert exchange.keep_alive
    exchange.respond(request, answer())
    assert exchange.next_request() is None
    assert not exchange.keep_alive


def test_requests_before_the_end_are_served() -> None:
    exchange = exchange_with(GET % 1 + GET % 2)
    exchange.receive_eof()
    exchange.respond(first(exchange), answer())
    assert exchange.keep_alive
    exchange.respond(first(exchange), answer())
    assert not exchange.keep_alive


@pytest.mark.parametrize(
    "data",
    [
        b"G",
        b"GET / HTTP/1.1\r\nHost: exam",
        head("Content-Length: 3", method="POST") + b"ab",
        head("Transfer-Encoding: chunked", method="POST") + b"3\r\nab",
    ],
)
def test_end_within_a_request(data: bytes) -> None:
    exchange = exchange_with(data)
    exchange.receive_eof()
    with pytest.raises(InvalidMessage) as raised:
        exchange.next_request()
    assert isinstance(raised.value.__cause__, EOFError)
    assert not exchange.keep_alive


# Refusals

LIMITS = dataclasses.replace(
    DEFAULT_LIMITS, max_line=100, max_headers=4, max_head=300, max_body=1000
)


@pytest.mark.parametrize(
    ("data", "exc_type", "status"),
    [
        (b"nonsense\r\n\r\n", InvalidMessage, 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", InvalidMessage, 400),
        (head(host=False), InvalidMessage, 400),
        (head("Host: other.example"), InvalidMessage, 400),
        (head("Bad Name: x"), InvalidMessage, 400),
        (head("X: a\0b"), InvalidMessage, 400),
        (head("X: a", " folded"), InvalidMessage, 400),
        (head().replace(b"\r\n", b"\n"), InvalidMessage, 400),
        (head("Content-Length: 3", "Transfer-Encoding: chunked"), InvalidMessage, 400),
        (head("Content-Length: 3", "Content-Length: 4"), InvalidMessage, 400),
        (head("Content-Length: -1"), InvalidMessage, 400),
        (head("Content-Length: +1"), InvalidMessage, 400),
        (head("Content-Length: 1_0"), InvalidMessage, 400),
        (head("Transfer-Encoding: gzip"), InvalidMessage, 501),
        (head("Transfer-Encoding: gzip, chunked"), InvalidMessage, 501),
        (head(method="BREW"), InvalidMethod, 405),
        (head(protocol="HTTP/2.0"), InvalidProtocol, 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", InvalidProtocol, 505),
        (head(path="/" + "a" * 100), RequestLineTooLong, 414),
        (head("X: " + "a" * 100), HeaderLineTooLong, 431),
        (head("A: 1", "B: 2", "C: 3", "D: 4"), TooManyHeaders, 431),
        (head("A: " + "a" * 90, "B: " + "b" * 90, "C: " + "c" * 90), InvalidHandshake, 431),
        (head("Content-Length: 1001", method="POST"), BodyTooLarge, 413),
        (head("Transfer-Encoding: chunked") + b"3e9\r\n", BodyTooLarge, 413),
        (
            head("Transfer-Encoding: chunked") + b"1f4\r\n" + b"x" * 500 + b"\r\n1f5\r\n",
            BodyTooLarge,
            413,
        ),
        (head("Transfer-Encoding: chunked") + b"xyz\r\n", InvalidMessage, 400),
        (head("Transfer-Encoding: chunked") + b"1\r\nxyz\r\n", InvalidMessage, 400),
        (head("Transfer-Encoding: chunked") + b"1\nx\n0\n\n", InvalidMessage, 400),
    ],
)
def test_refusals(data: bytes, exc_type: type[InvalidHandshake], status: int) -> None:
    for pieces in splits(data):
        exchange = ServerExchange(LIMITS)
        with pytest.raises(exc_type) as raised:
            for piece in pieces:
                exchange.receive(piece)
                assert exchange.next_request() is None
        response = parse(exchange.refuse(raised.value))
        assert response.status_code == status
        assert response.headers["Connection"] == "close"
        assert response.body
        assert not exchange.keep_alive
        exchange.receive(GET % 2)
        assert exchange.next_request() is None


def test_a_refusal_names_limit_value_and_setting() -> None:
    exchange = exchange_with(head("Content-Length: 1001", method="POST"), LIMITS)
    with pytest.raises(BodyTooLarge) as raised:
        exchange.next_request()
    text = parse(exchange.refuse(raised.value)).body.decode()
    assert "1001" in text and "1000" in text and "max_body" in text


def test_limits_can_be_lifted() -> None:
    limits = dataclasses.replace(
        DEFAULT_LIMITS, max_line=None, max_headers=None, max_head=None, max_body=None
    )
    many = [f"X-{number}: {'a' * 10_000}" for number in range(150)]
    exchange = exchange_with(head(*many, "Content-Length: 2000000", method="POST"), limits)
    assert exchange.next_request() is None
    exchange.receive(bytes(2_000_000))
    assert len(first(exchange).headers) == 152


def test_a_refusal_comes_after_the_answers_before_it() -> None:
    exchange = exchange_with(GET % 1 + b"nonsense\r\n\r\n")
    exchange.respond(first(exchange), answer())
    with pytest.raises(InvalidMessage):
        exchange.next_request()


def test_a_malformed_connection_header_is_refused() -> None:
    exchange = exchange_with(head("Connection: ???"))
    with pytest.raises(InvalidHandshake) as raised:
        exchange.next_request()
    assert parse(exchange.refuse(raised.value)).status_code == 400


def test_empty_lines_before_a_request_are_skipped() -> None:
    exchange = exchange_with(b"\r\n" + GET % 1 + b"\r\n" + GET % 2)
    exchange.respond(first(exchange), answer())
    assert first(exchange).path == "/2"

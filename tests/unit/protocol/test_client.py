"""The sans-I/O client: what it sends, what it refuses, when it opens."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator

import pytest

from duologue.base.exceptions import (
    InvalidHandshake,
    InvalidHeader,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidStatus,
    InvalidUpgrade,
    InvalidURI,
    NegotiationError,
    SecurityError,
    StatusLineTooLong,
    TooManyHeaders,
)
from duologue.base.limits import DEFAULT_LIMITS
from duologue.base.types import Origin, Subprotocol
from duologue.base.vocabulary import Opcode, Side, State
from duologue.protocol.client import ClientProtocol
from duologue.protocol.handshake import accept_key
from duologue.wire.frame import Frame
from duologue.wire.http11 import RequestParser, Response
from duologue.wire.permessage_deflate import ClientPerMessageDeflateFactory
from duologue.wire.uri import parse_uri

# "Hello", unmasked, from RFC 6455 section 5.7.
HELLO = bytes.fromhex("8105 48656c6c6f")


def octets(
    client: ClientProtocol, *extra: str, status: str = "HTTP/1.1 101 Whatever", without: str = ""
) -> bytes:
    lines = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(client.key)}",
    )
    kept = [line for line in lines if not without or not line.startswith(without)]
    return "\r\n".join([status, *kept, *extra, "", ""]).encode("latin-1")


def splits(data: bytes) -> Iterator[list[bytes]]:
    yield [data]
    yield [data[index : index + 1] for index in range(len(data))]
    for index in range(1, len(data)):
        yield [data[:index], data[index:]]


def make() -> ClientProtocol:
    return ClientProtocol("ws://example.com/")


def test_opening() -> None:
    client = ClientProtocol(parse_uri("ws://example.com/chat?x=1"))
    assert (client.side, client.state) == (Side.CLIENT, State.CONNECTING)
    request = client.connect()
    assert client.data_to_send() == []
    request.headers["X-Added"] = "later"
    client.send_request(request)
    (sent,) = client.data_to_send()
    received = RequestParser().feed(sent)
    assert received is not None
    assert received.path == "/chat?x=1"
    assert received.headers["Host"] == "example.com"
    assert received.headers["Sec-WebSocket-Key"] == client.key
    assert received.headers["Sec-WebSocket-Version"] == "13"
    assert received.headers["X-Added"] == "later"
    assert "Sec-WebSocket-Extensions" not in received.headers
    client.receive_data(octets(client))
    (response,) = client.events_received()
    assert isinstance(response, Response) and response.status_code == 101
    assert client.state is State.OPEN
    assert client.handshake_exc is None
    assert not client.close_expected()
    assert client.data_to_send() == []


def test_keys_are_fresh() -> None:
    assert make().key != make().key


def test_strings_are_parsed() -> None:
    assert make().uri == parse_uri("ws://example.com/")
    with pytest.raises(InvalidURI):
        ClientProtocol("ftp://example.com/")


def test_opening_does_not_depend_on_how_octets_were_split() -> None:
    size = len(octets(make()) + HELLO)
    for index in range(size):
        client = make()
        data = octets(client) + HELLO
        assert len(data) == size
        pieces = [data] if index == 0 else [data[:index], data[index:]]
        if index == 1:
            pieces = [data[at : at + 1] for at in range(size)]
        for piece in pieces:
            client.receive_data(piece)
        response, frame = client.events_received()
        assert isinstance(response, Response)
        assert frame == Frame(Opcode.TEXT, b"Hello")


def test_offers() -> None:
    client = ClientProtocol(
        "ws://user:pass@example.com/",
        origin=Origin("http://example.com"),
        extensions=[ClientPerMessageDeflateFactory()],
        subprotocols=[Subprotocol("v2"), Subprotocol("v1")],
    )
    headers = client.connect().headers
    assert headers["Origin"] == "http://example.com"
    assert headers["Authorization"] == "Basic dXNlcjpwYXNz"
    assert headers["Sec-WebSocket-Protocol"] == "v2, v1"
    assert headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
    client.receive_data(
        octets(client, "Sec-WebSocket-Protocol: v1", "Sec-WebSocket-Extensions: permessage-deflate")
    )
    assert client.state is State.OPEN
    assert client.subprotocol == "v1"
    assert [extension.name for extension in client.extensions] == ["permessage-deflate"]


@pytest.mark.parametrize(
    ("extra", "without", "status", "exc_type"),
    [
        ([], "", "HTTP/1.1 404 Not Found", InvalidStatus),
        ([], "", "HTTP/1.1 200 OK", InvalidStatus),
        (["Location: /"], "", "HTTP/1.1 302 Found", InvalidStatus),
        ([], "Upgrade", "HTTP/1.1 101 x", InvalidUpgrade),
        (["Upgrade: h2c"], "Upgrade", "HTTP/1.1 101 x", InvalidUpgrade),
        ([], "Connection", "HTTP/1.1 101 x", InvalidUpgrade),
        ([], "Sec-WebSocket-Accept", "HTTP/1.1 101 x", InvalidHeader),
        (
            ["Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
            "Sec-WebSocket-Accept",
            "HTTP/1.1 101 x",
            InvalidHeaderValue,
        ),
        (["Sec-WebSocket-Protocol: v1"], "", "HTTP/1.1 101 x", NegotiationError),
        (["Sec-WebSocket-Extensions: x-odd"], "", "HTTP/1.1 101 x", NegotiationError),
    ],
)
def test_refused_responses(
    extra: list[str], without: str, status: str, exc_type: type[InvalidHandshake]
) -> None:
    client = make()
    client.receive_data(octets(client, "Content-Length: 0", *extra, status=status, without=without))
    (response,) = client.events_received()
    assert isinstance(response, Response)
    assert type(client.handshake_exc) is exc_type
    assert client.state is State.CONNECTING
    assert client.close_expected()
    assert client.data_to_send() == [b""]
    client.receive_data(HELLO)
    assert client.events_received() == []
    client.receive_eof()
    assert client.state is State.CLOSED
    assert client.data_to_send() == []


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ValueError),
        (b"220 mail.example ESMTP\r\n\r\n", ValueError),
        (b"\x15\x03\x01\x00\x02\x02\x50\r\n\r\n", ValueError),
        (b"HTTP/1.1 101\nUpgrade: websocket\n\n", ValueError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", NotImplementedError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n", SecurityError),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n", TooManyHeaders),
    ],
)
def test_what_is_no_response(data: bytes, cause: type[Exception]) -> None:
    for pieces in splits(data) if len(data) < 100 else [[data]]:
        client = make()
        for piece in pieces:
            client.receive_data(piece)
        assert isinstance(client.handshake_exc, InvalidMessage)
        assert isinstance(client.handshake_exc.__cause__, cause)
        assert client.events_received() == []
        assert client.close_expected()
        assert client.data_to_send() == [b""]


def test_a_long_status_line() -> None:
    client = make()
    client.receive_data(b"HTTP/1.1 101 " + b"a" * 8192)
    assert isinstance(client.handshake_exc, StatusLineTooLong)


def test_limits_are_those_given() -> None:
    for size, exc_type in [(3, type(None)), (2, InvalidMessage)]:
        client = ClientProtocol(
            "ws://h/", limits=dataclasses.replace(DEFAULT_LIMITS, max_headers=size)
        )
        client.receive_data(octets(client))
        assert isinstance(client.handshake_exc, exc_type)


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 101", b"HTTP/1.1 101 x\r\nUpgrade: x\r\n"])
def test_end_of_stream_before_the_response(data: bytes) -> None:
    client = make()
    client.receive_data(data)
    client.receive_eof()
    assert isinstance(client.handshake_exc, InvalidMessage)
    assert isinstance(client.handshake_exc.__cause__, EOFError)
    assert client.data_to_send() == [b""]
    assert client.state is State.CLOSED


def test_bodies_are_in_the_exception() -> None:
    for data in (
        b"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nplain",
        b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nplain\r\n0\r\n\r\n",
    ):
        client = make()
        client.receive_data(data)
        assert isinstance(client.handshake_exc, InvalidStatus)
        assert client.handshake_exc.response.body == b"plain"


def test_a_body_may_end_with_the_stream() -> None:
    client = make()
    client.receive_data(b"HTTP/1.1 403 No\r\n\r\npla")
    client.receive_data(b"in")
    assert client.handshake_exc is None
    client.receive_eof()
    assert isinstance(client.handshake_exc, InvalidStatus)
    assert client.handshake_exc.response.body == b"plain"
    assert client.state is State.CLOSED


def test_interim_responses_are_skipped() -> None:
    client = make()
    client.receive_data(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + octets(client))
    assert client.state is State.OPEN


def test_state_open_skips_the_handshake() -> None:
    client = ClientProtocol("ws://example.com/", state=State.OPEN)
    client.receive_data(HELLO)
    assert client.events_received() == [Frame(Opcode.TEXT, b"Hello")]


def test_max_size() -> None:
    client = ClientProtocol("ws://example.com/", max_size=4)
    client.receive_data(octets(client) + HELLO)
    assert client.close_sent is not None and client.close_sent.code == 1009


def test_a_request_that_cannot_be_sent() -> None:
    client = make()
    request = client.connect()
    request.path = "/a b"
    with pytest.raises(ValueError):
        client.send_request(request)
    assert client.data_to_send() == []


def test_logging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "test.client"):
        client = ClientProtocol("ws://example.com/", logger=logging.getLogger("test.client"))
        client.send_request(client.connect())
        client.receive_data(b"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nplain")
    lines = [record.getMessage() for record in caplog.records]
    assert "> GET / HTTP/1.1" in lines
    assert "> Host: example.com" in lines
    assert "< HTTP/1.1 403 No" in lines
    assert "< [body] (5 bytes)" in lines
